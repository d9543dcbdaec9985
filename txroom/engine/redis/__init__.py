"""Rooms on Redis: several processes and machines serve the same rooms. Needs the extra `redis`."""
