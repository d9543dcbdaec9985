"""One file per module of txroom.wire."""
