"""
A client of rooms that outlives its connections: for back-end services, bots and tests.

It is ``txroom.js`` in Python: the same names, the same behaviour, with seconds for milliseconds and Deferreds
for promises::

    client = Client("ws://localhost:8080/rooms", auth="a token")
    room = await client.joinOrCreate("chat", {"name": "ada"})
    room.on("said", lambda data, offset: print(data))
    room.onPresence(lambda members, joined, left: print(len(members), "here"))
    room.send("say", "hello")
    dice = await room.call("roll", {"sides": 6})
    await room.leave()
    await client.close()

Any number of rooms share one connection. When it is lost the client connects again by itself, resumes each
room and sends again what the server has not acknowledged: every message is handled once, in order, and
every message of the room arrives once, in order. Where that is impossible the room says so: "lost".

What goes wrong is a `RoomError`, here as on the server; a handler of the server's calls may raise one to
choose what the server is told.
"""

from ..protocol.closecodes import mayReconnect
from ..protocol.errors import RoomError
from ..protocol.limits import JSON_PROTOCOL, MSGPACK_PROTOCOL
from ..protocol.serverframes import Member
from .client import Client
from .connection import ClientState
from .options import ClientOptions
from .room import Room
from .roomstate import Loss, RoomState, Unconfirmed
from .sendqueue import Sent

__all__ = [
    "JSON_PROTOCOL",
    "MSGPACK_PROTOCOL",
    "Client",
    "ClientOptions",
    "ClientState",
    "Loss",
    "Member",
    "Room",
    "RoomError",
    "RoomState",
    "Sent",
    "Unconfirmed",
    "mayReconnect",
]
