"""
The demo, which `twistd txroom` serves without `--app`: a page, two kinds of rooms, an echo, a broadcast,
and health.
"""

from __future__ import annotations

from typing import Any

from ..core.options import ServerOptions
from ..server import Server
from .pages import demoPages
from .plain import Broadcast, Echo
from .visitors import Mole, chatRoom, identify

#: The largest number of rooms of one kind. Every visitor can create rooms, and rooms use memory. A connection
#: can be in 16 rooms, so only more than a hundred connections together can reach this limit.
MAX_ROOMS = 2000


def makeDemo(options: ServerOptions | None = None, clock: Any = None) -> Server:
    """
    Make a server with the rooms "chat" and "mole" at `/rooms`, and a page at `/` that uses both.

    It also serves `/txroom.js`, `/echo`, `/broadcast` and `/healthz`. For `options` and `clock` see
    `Server`.
    """
    server = Server(options, clock)
    server.register("chat", chatRoom(server), maxRooms=MAX_ROOMS).filterBy("topic")
    server.register("mole", Mole, maxRooms=MAX_ROOMS)
    server.rooms.verifyClient = identify
    server.addApplication(Echo(), path="/echo")
    server.addApplication(Broadcast(), path="/broadcast")
    for path, page in demoPages().items():
        server.addPage(path, page)
    server.addClientScript()
    server.addHealthPage()
    return server
