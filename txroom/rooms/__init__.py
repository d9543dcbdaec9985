"""Rooms, their members, and the protocol that clients speak with them."""
