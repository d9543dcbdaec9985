"""
Packets: what the nodes of a cluster send one another.

A packet has all messages that one node has for another at the end of a turn of the reactor. They are
structs, encoded as MessagePack arrays. These changes need no new `VERSION`:

- Fields may be added at the end of a struct, with defaults. Nodes without them ignore them.
- Commands (`Ask.command`) may be added and removed. A node that doesn't know a command refuses it, and only
  it; see `readCommand`. So a node that asks must expect `unavailable`.

Any other change needs a new `VERSION`: another kind of message, item or frame, for example, or another
meaning of a field. The newer node must still understand, and send, the packets of the version before.

`Head` is what a node can read of each packet, also if it doesn't understand its messages.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.msgpack import Decoder, Encoder

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...rooms.contract.arrivals import Join, Refused, Resume
from ...rooms.contract.asks import Command
from ...rooms.contract.commands import Frame
from ...rooms.contract.items import (
    Ack,
    Error,
    Joined,
    MembersPage,
    Message,
    PresenceChange,
    Replay,
    Reply,
    RoomCall,
    StateFull,
    StatePatch,
    StatePatches,
)

#: The version of the packets, and of the data of rooms in Redis. A node announces it by the id that it has.
VERSION = 1
#: Nodes work together if their versions differ by no more than this.
NEIGHBOURS = 1

#: The items that cross from an owner to an edge.
CrossingItem = (
    Message
    | Replay
    | RoomCall
    | Reply
    | Error
    | Joined
    | PresenceChange
    | MembersPage
    | Ack
    | StateFull
    | StatePatch
    | StatePatches
)


class Attach(Struct, frozen=True, array_like=True, tag=1):
    """A client of the sender asks to join a room, or to resume. `id` is that of the answer."""

    id: int
    arrival: Join | Resume


class Attached(Struct, frozen=True, array_like=True, tag=2):
    """
    The answer to `Attach`: the id of the link, or why the client may not enter.

    If it has neither, the room is not at this node.
    """

    id: int
    link: str | None = None
    refused: Refused | None = None


class Submit(Struct, frozen=True, array_like=True, tag=3):
    """A client has sent a frame."""

    link: str
    frame: Frame


class Drop(Struct, frozen=True, array_like=True, tag=4):
    """A client has disconnected, or has left."""

    link: str
    hasLeft: bool


class Deliver(Struct, frozen=True, array_like=True, tag=5):
    """An item for the clients of links, or of the `Group` with that id."""

    item: CrossingItem
    links: tuple[str, ...] | int
    #: For a volatile item: the generation of the room's owner.
    generation: int = 0


class Group(Struct, frozen=True, array_like=True, tag=6):
    """From now on `id` stands for these links in `Deliver`. No links: it isn't used any more."""

    id: int
    links: tuple[str, ...]


class Detach(Struct, frozen=True, array_like=True, tag=7):
    """The owner has ended these links; see `Outlet.detach`."""

    links: tuple[str, ...]
    code: int
    reason: str


class Reset(Struct, frozen=True, array_like=True, tag=8):
    """The sender has lost a part of the receiver's pair of this number. The receiver begins a new pair."""

    pair: int


class Take(Struct, frozen=True, array_like=True, tag_field="kind", tag="take"):
    """
    Become the owner of a room that has just been handed over to the receiver.

    The answer is whether the room is there now: `False` if it can't be opened, `None` if there is no such
    room any more, or if it has another owner. The error `unavailable` asks to try again: Redis can't be
    reached, for example. With `{"isLeaving": true}` in its details it says that the receiver leaves too.
    """

    #: `True` is answered when so many clients are in the room, or after a second.
    clients: int = 0


class CallNode(Struct, frozen=True, array_like=True, tag_field="kind", tag="callNode"):
    """
    Answer a question of the sender; see `NodeCalls`. It is for the node, and for none of its rooms.

    The answer is a payload.
    """

    name: str
    #: The argument, a payload.
    args: bytes


#: The commands that a node carries out itself.
NodeCommand = Take | CallNode


class Ask(Struct, frozen=True, array_like=True, tag=9):
    """A command for a room. After `until` (seconds of Redis's clock; 0: never) it must not be carried out."""

    id: int
    room: str
    #: The encoded command; see `readCommand`.
    command: Raw
    until: float = 0.0


class Told(Struct, frozen=True, array_like=True, tag=10):
    """The answer to `Ask`: a result, or an error."""

    id: int
    result: Any = None
    error: Refused | None = None
    #: Whether the room is not at this node.
    isElsewhere: bool = False


class Read(Struct, frozen=True, array_like=True, tag=11):
    """The sender has read the packets of the receiver up to this number; see `sending`."""

    seq: int


PacketMessage = Attach | Attached | Submit | Drop | Deliver | Group | Detach | Reset | Ask | Told | Read


class Head(Struct, frozen=True, array_like=True):
    """The fields of each packet that all versions can read."""

    version: int
    #: The id of the sender.
    node: str
    #: The number of the sender's pair, and of the receiver's as far as the sender knows it (else 0).
    pair: int
    to: int
    #: The packets of a pair are numbered from 1. A packet without messages is a beat: it has the number of
    #: the last packet before it.
    seq: int


class Packet(Head, frozen=True, array_like=True):
    """A packet with its messages."""

    messages: tuple[PacketMessage, ...] = ()


class UnreadablePacket(Exception):
    """
    A packet could not be decoded.

    Attributes:
        head: What could be read of it, or `None`.
    """

    def __init__(self, why: str, head: Head | None = None) -> None:
        super().__init__(why)
        self.head = head


class UnsupportedVersion(UnreadablePacket):
    """A packet has a version that this node doesn't understand."""


_encoder = Encoder()
_readPacket = Decoder(Packet).decode
_readHead = Decoder(Head).decode
_readCommand: Decoder[Command | NodeCommand] = Decoder(Command | NodeCommand)

#: Encodes a packet, or a message. Raises `Exception` if its data can't be encoded. Called for every packet.
encode = _encoder.encode


def isNeighbour(version: int) -> bool:
    """Return whether a node of that version and this one can work together."""
    return abs(version - VERSION) <= NEIGHBOURS


def decode(data: bytes) -> Packet:
    """
    Decode a packet. Called for every packet.

    Raises:
        UnsupportedVersion: Its version is too new or too old.
        UnreadablePacket: It is malformed, or has a message that this version doesn't know.
    """
    try:
        packet = _readPacket(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(data, str(error)) from None
    if not isNeighbour(packet.version):
        raise _unreadable(data, "")
    return packet


def readCommand(command: Raw) -> Command | NodeCommand:
    """
    Decode the command of an `Ask`.

    Raises:
        RoomError: `unavailable`: this node doesn't know the command, or not in this form, since the node that
            asks has another version of txroom. Nothing has happened.
    """
    try:
        return _readCommand.decode(command)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = "the node doesn't know this command: it has another version of txroom"
        raise RoomError(ErrorCode.UNAVAILABLE, text, {"mayHaveHappened": False}) from None


def _unreadable(data: bytes, why: str) -> UnreadablePacket:
    try:
        head = _readHead(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return UnreadablePacket(why)
    if not isNeighbour(head.version):
        return UnsupportedVersion(
            f"it has version {head.version} of the packets, this node has {VERSION}", head
        )
    return UnreadablePacket(why, head)
