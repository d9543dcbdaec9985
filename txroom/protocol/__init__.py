"""What both ends of a room connection speak."""
