"""
What `twistd txroom` serves without `--app`: a page, two kinds of rooms, an echo, a broadcast, and health.
"""

from __future__ import annotations

from typing import Any

from ..core.options import ServerOptions
from ..service.server import Server
from .chat import ChatRoom
from .mole import MoleRoom
from .pages import demoPages
from .plain import Broadcast, Echo

#: The most rooms of one kind: whoever is there makes them, and they cost memory. More than a hundred
#: connections can be in, so that a few can't keep everybody else from making one.
MAX_ROOMS = 2000


def makeDemo(options: ServerOptions | None = None, clock: Any = None) -> Server:
    """
    A server with the rooms "chat" and "mole" at `/rooms`, and a page at `/` that is a client of both.

    Besides there are `/txroom.js`, `/echo`, `/broadcast` and `/healthz`. `options` and `clock` are those of
    `Server`.
    """
    server = Server(options, clock)
    server.register("chat", ChatRoom, maxRooms=MAX_ROOMS).filterBy("topic")
    server.register("mole", MoleRoom, maxRooms=MAX_ROOMS)
    server.addApplication(Echo(), path="/echo")
    server.addApplication(Broadcast(), path="/broadcast")
    for path, page in demoPages().items():
        server.addPage(path, page)
    server.addClientScript()
    server.addHealthPage()
    return server
