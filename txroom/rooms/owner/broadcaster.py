"""
Sends the messages of a room: broadcasts, messages to one client, and missed messages to a client that
resumes.

`encodedMessage` encodes the data once. The edges build the frames, see `Item.prepared`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from types import CoroutineType
from typing import Any

from ...core.awaitables import isAsync
from ...protocol import payload
from ...protocol.errors import InvalidData
from ...protocol.limits import MAX_NAME
from ..api.client import Client, To
from ..api.history import HistoryEntry
from ..contract.items import Item, Message, Replay
from ..contract.records import Entry
from .context import RoomContext
from .logwindow import OVERHEAD
from .member import JOINED, LEAVING, Member, State
from .outbox import Audience

#: After this many bytes a journal is told which entries the next owner does not need. As in the log, an entry
#: counts `OVERHEAD` bytes besides its data.
FORGETTING = 64 << 10


def encodedMessage(type: str, data: Any, isBinary: bool) -> bytes:
    """Return the payload of a message. Raises the errors of `Room.broadcast`. Called for every message."""
    if type.__class__ is not str or not 0 < len(type) <= MAX_NAME or not type.isascii():
        checkType(type)
    return payload.encode(data, isBinary)


def checkType(type: str) -> None:
    """
    Check the type of a message.

    Raises:
        TypeError: It is not a string.
        ValueError: It is empty or too long, or has lone surrogates.
    """
    if type.__class__ is not str and not (isinstance(type, str) and isinstance(type, Enum)):
        raise TypeError(f"the type of a message must be a string, of the class str itself, not {type!r}")
    if not 0 < len(type) <= MAX_NAME:
        raise ValueError(f"the type of a message must have 1 to {MAX_NAME} characters, not {len(type)}")
    type.encode()  # raises for lone surrogates, which can't be sent


class Broadcaster:
    """Logs the messages of one room, and sends them to their recipients."""

    __slots__ = (
        "_announced", "_clock", "_id", "_journalled", "_life", "_log", "_meters", "_outbox", "_room",
        "_roster",
    )  # fmt: skip

    def __init__(self, context: RoomContext) -> None:
        self._id = context.id
        self._room = context.room
        self._clock = context.clock
        self._life = context.life
        self._meters = context.meters
        self._roster = context.roster
        self._log = context.log
        self._outbox = context.outbox
        #: The number of records that must be committed before the newest `joined` is sent.
        self._announced = 0
        #: The bytes that were written to the journal since it was told what it may forget.
        self._journalled = 0

    # -- messages

    def broadcast(
        self,
        type: str,
        data: Any,
        exclude: Client | Iterable[Client] = (),
        to: To | None = None,
        volatile: bool = False,
    ) -> int | None:
        """See `Room.broadcast`."""
        encoded = encodedMessage(type, data, self._room.binary)
        left = _idsOf("exclude", exclude) if exclude else ()
        chosen = None if to is None else self._chosen(to, left)
        if volatile:
            self._overtake(Message(self._id, None, type, encoded), chosen, left)
            return None
        return self._logged(type, encoded, chosen, () if chosen is not None else left)

    def send(self, member: Member, type: str, data: Any, volatile: bool = False) -> int | None:
        """See `Client.send`."""
        encoded = encodedMessage(type, data, self._room.binary)
        if member.state >= LEAVING:
            return None
        if volatile:
            self._overtakeTo(member, Message(self._id, None, type, encoded))
            return None
        if member.early is not None:
            member.early.append((type, encoded))
            return None
        return self._loggedFor(member, type, encoded)

    def admit(self, member: Member) -> None:
        """Log and send the messages that were sent to a client before `onAuth` has accepted it."""
        early, member.early = member.early, None
        for type, encoded in early or ():
            self._loggedFor(member, type, encoded)

    def _chosen(self, to: To, exclude: tuple[str, ...]) -> tuple[str, ...]:
        """Return the ids of the members that `to` selects now."""
        members = self._roster.members
        admitted = [m for m in members.values() if m.state <= State.DROPPED and m.early is None]
        if isinstance(to, str):
            ids = [member.id for member in admitted if to in member.groups]
            if not ids and to in members:
                raise TypeError(
                    f"to={to!r}: is the id of a client; a string names a group, for one client use to=client"
                )
        elif callable(to):
            ids = [member.id for member in admitted if _isMeant(to(member.client))]
        else:
            ids = list(_idsOf("to", to))
        return tuple(id for id in ids if id not in exclude)

    def _logged(
        self, type: str, encoded: bytes, to: tuple[str, ...] | None, exclude: tuple[str, ...]
    ) -> int | None:
        """Log a message, and send it to its recipients that are connected. Returns its offset."""
        if not self._life.isSpeaking:
            return None
        log = self._log
        entry = Entry(log.offset + 1, type, encoded, to, exclude, self._clock.seconds())
        kept = log.add(entry)
        if self._outbox.isRecording:
            self._journal(entry)
        audience = self._among(to, exclude)
        if self._meters.recipients is not None:
            self._meters.countRecipients(audience)
        self._outbox.emit(entry.messageOf(self._id), audience)
        log.sent(kept)
        return entry.offset

    def _loggedFor(self, member: Member, type: str, encoded: bytes) -> int | None:
        """As `_logged`, for one member, without a search for recipients. Called for every message."""
        if not self._life.isSpeaking:
            return None
        log = self._log
        entry = Entry(log.offset + 1, type, encoded, (member.id,), (), self._clock.seconds())
        kept = log.add(entry)
        if self._outbox.isRecording:
            self._journal(entry)
        self.say(member, entry.messageOf(self._id))
        log.sent(kept)
        return entry.offset

    def _journal(self, entry: Entry) -> None:
        """Write an entry to the journal. After many, tell it which entries the next owner won't need."""
        self._outbox.record(entry)
        self._journalled += len(entry.data) + OVERHEAD
        if self._journalled >= FORGETTING:
            self._journalled = 0
            needless = self._log.needless
            kept = self._log.keepApart(needless)
            if kept is not None:
                self._outbox.record(kept)
            self._outbox.forget(needless)

    def publish(self, type: str, encoded: bytes, to: tuple[str, ...] | None, isVolatile: bool) -> int | None:
        """
        Send a message whose data is encoded to all members, or to those with these ids.

        Raises:
            InvalidData: The type is none that can be sent.
        """
        try:
            checkType(type)
        except (TypeError, ValueError) as error:
            raise InvalidData(str(error), "type") from None
        if isVolatile:
            self._overtake(Message(self._id, None, type, encoded), to, ())
            return None
        return self._logged(type, encoded, to, ())

    def _overtake(self, item: Item, to: tuple[str, ...] | None, exclude: tuple[str, ...]) -> None:
        done = self._outbox.done
        if to is None and not exclude and self._announced <= done:
            self._overtakeAmong(self._roster.everyone, item)
            return
        # No member gets a message before its `joined`.
        members = self._roster.members.values() if to is None else self._of(to)
        told = (m for m in members if m.announced <= done and m.id not in exclude)
        self._overtakeAmong(self._roster.reached(told), item)

    def _overtakeAmong(self, audience: Audience, item: Item) -> None:
        if self._meters.recipients is not None:
            self._meters.countRecipients(audience)
        self._outbox.overtake(item, audience)

    def _overtakeTo(self, member: Member, item: Item) -> None:
        """As `_overtake`, for one member. Called for every message."""
        outbox, outlet = self._outbox, member.outlet
        if member.state is JOINED and outlet is not None and member.announced <= outbox.done:
            outbox.overtake(item, ((outlet, (member.link,)),))

    def _among(self, to: tuple[str, ...] | None, exclude: tuple[str, ...]) -> Audience:
        if to is not None:
            return self._roster.reached(self._of(to))
        if not exclude:
            return self._roster.everyone
        members = self._roster.members
        return self._roster.reached(members[id] for id in members if id not in exclude)

    def _of(self, ids: tuple[str, ...]) -> list[Member]:
        members = self._roster.members
        return [members[id] for id in ids if id in members]

    # -- to one client

    def say(self, member: Member, item: Item) -> None:
        """Send an item to one member, if it is connected. Called for every message."""
        outlet = member.outlet
        if outlet is not None and member.state is JOINED:
            self._outbox.emitTo(item, outlet, member.link)

    def announced(self, member: Member) -> None:
        """Note that the `joined` of this member waits for the records that were written so far."""
        member.announced = self._announced = self._outbox.written

    def replay(self, member: Member, entries: Iterable[Entry]) -> None:
        """Send earlier messages to a member that joins or resumes."""
        messages = tuple(entry.messageOf(self._id) for entry in entries)
        if messages:
            self._outbox.emit(Replay(messages), member.audience)
            self._log.framed(messages[0].offset or 0)

    def history(self) -> list[HistoryEntry]:
        """See `Room.messages`."""
        entries = self._log.history(self._clock.seconds())
        return [HistoryEntry(entry.offset, entry.type, payload.decode(entry.data)) for entry in entries]


def _isMeant(answer: object) -> bool:
    """Return the answer of `to(client)` as a truth value. Raises `TypeError` for an asynchronous one."""
    if isAsync(answer):
        if isinstance(answer, CoroutineType):
            answer.close()  # it never begins
        raise TypeError("to: the function can't be async, because its answer is needed at once")
    return bool(answer)


def _idsOf(name: str, given: Any) -> tuple[str, ...]:
    """Return the ids of one client or of several. Raises `TypeError` for anything else."""
    isOne = isinstance(given, str) or not isinstance(given, Iterable)
    clients = (given,) if isOne else tuple(given)
    for each in clients:
        if not isinstance(each, Client):
            raise TypeError(f"{name}: {each!r} is not a Client; for an id use room.client(id)")
    return tuple(client.id for client in clients)
