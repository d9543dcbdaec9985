"""Engines: what carries rooms. Each implements `txroom.rooms.contract`."""
