"""Engines connect edges and owners of rooms. Each implements `txroom.rooms.contract`."""
