"""The Twisted service: a server, where it listens and what it routes."""
