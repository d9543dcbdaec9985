"""
The Twisted service: the server, its listeners and what it serves.
"""
