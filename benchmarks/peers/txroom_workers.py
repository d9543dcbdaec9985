"""
An app for `twistd txroom --app`: an echo at the path /, and the rooms of txroom_server.py.
"""

from __future__ import annotations

from txroom_server import Echo, makeRooms

from txroom import Server


def makeServer() -> Server:
    """The server of one process."""
    server = Server()
    server.addApplication(Echo(), path="/")
    server.addApplication(makeRooms())
    return server
