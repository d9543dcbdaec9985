"""Clients of other systems, in txroom's rooms."""
