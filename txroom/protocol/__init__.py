"""The room protocol: what servers and clients of rooms share."""
