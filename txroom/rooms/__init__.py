"""Rooms, their members, and the protocol by which they are reached."""
