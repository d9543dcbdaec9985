"""What the program `twistd txroom` is beside its service."""
