"""
A client for rooms that survives lost connections: for back-end services, bots and tests.

It is the Python counterpart of ``txroom.js``. The names and the behaviour are the same; times are seconds
instead of milliseconds, and methods return Deferreds instead of promises::

    client = Client("ws://localhost:8080/rooms", auth="a token")
    room = await client.joinOrCreate("chat", {"name": "ada"})
    room.on("said", lambda data, offset: print(data))
    room.onPresence(lambda members, joined, left: print(len(members), "here"))
    room.send("say", "hello")
    dice = await room.call("roll", {"sides": 6})
    await room.leave()
    await client.close()

All rooms of a client share one connection. When that connection is lost, the client connects again by
itself, resumes each room and sends again what the server has not acknowledged. The server handles every
message once and in order, and the client receives every message of the room once and in order. If messages
were lost after all, the room emits the event "lost".

Errors are `RoomError`, here as on the server. A handler that answers the server's calls can raise one to
choose the error that the server receives.
"""

from ..protocol.closecodes import mayReconnect
from ..protocol.errors import RoomError
from ..protocol.limits import JSON_PROTOCOL, MSGPACK_PROTOCOL
from ..protocol.serverframes import Member
from .client import Client
from .connection import ClientState
from .options import ClientOptions
from .room import Room
from .roomstatus import Loss, RoomStatus, Unconfirmed
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
    "RoomStatus",
    "Sent",
    "Unconfirmed",
    "mayReconnect",
]
