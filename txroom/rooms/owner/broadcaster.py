"""
What a room says: broadcasts, messages to one client, calls, and what is said again to those who missed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall

from ...core.awaitables import isAsync
from ...core.codes import ErrorCode
from ...core.validation import isAmount
from ...protocol import payload
from ...protocol.errors import RoomError
from .. import hooks
from ..api.history import Past
from ..api.room import Client, To
from ..contract.items import Asked, Item, Message, Replay
from ..contract.records import Entry
from .member import Member, State
from .outbox import Audience, audienceOf

if TYPE_CHECKING:
    from .host import Host


#: Most calls of one client that wait for its answer.
MAX_CALLS = 256


class Emitter:
    """What one room says."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._everyone: Audience | None = None
        self._lastRef = 0
        #: The `announced` of who joined last.
        self.lastAnnounced = 0

    def audienceChanged(self) -> None:
        """Somebody can be reached, or can't any more."""
        self._everyone = None

    @property
    def everyone(self) -> Audience:
        """All who can be reached now."""
        if self._everyone is None:
            self._everyone = self.reached(self._host.members.values())
        return self._everyone

    def reached(self, members: Iterable[Member]) -> Audience:
        """Those of `members` who can be reached."""
        return audienceOf(
            (member.outlet, member.link)
            for member in members
            if member.state is State.JOINED and member.outlet is not None
        )

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
        encoded = self._encode(type, data)
        left = _idsOf("exclude", exclude) if exclude else ()
        chosen = None if to is None else self._chosen(to, left)
        if volatile:
            self._overtake(Message(self._host.id, None, type, encoded), chosen, left)
            return None
        return self._logged(type, encoded, chosen, () if chosen is not None else left)

    def send(self, member: Member, type: str, data: Any, volatile: bool = False) -> int | None:
        """See `Client.send`."""
        encoded = self._encode(type, data)
        if member.state >= State.LEAVING:
            return None
        if volatile:
            self._overtake(Message(self._host.id, None, type, encoded), (member.id,), ())
            return None
        if member.early is not None:
            member.early.append((type, encoded))
            return None
        return self._logged(type, encoded, (member.id,), ())

    def letIn(self, member: Member) -> None:
        """`onAuth` has accepted it: what was sent to it meanwhile counts from now on."""
        early, member.early = member.early, None
        for type, encoded in early or ():
            self._logged(type, encoded, (member.id,), ())

    def _encode(self, type: str, data: Any) -> bytes:
        if type.__class__ is not str and not (isinstance(type, str) and isinstance(type, Enum)):
            raise TypeError(f"the type of a message must be a str itself, not {type!r}")
        if not type.isascii():
            type.encode()  # raises for what is no Unicode
        return payload.encode(data, self._host.room.binary)

    def _chosen(self, to: To, exclude: tuple[str, ...]) -> tuple[str, ...]:
        """The ids of those that `to` means, now."""
        present = [m for m in self._host.members.values() if m.state <= State.DROPPED and m.early is None]
        if isinstance(to, str):
            ids = [member.id for member in present if to in member.groups]
            if not ids and to in self._host.members:
                raise TypeError(
                    f"to={to!r}: is the id of a client; a text is a group, one client is to=client"
                )
        elif callable(to):
            ids = [member.id for member in present if _isMeant(to(member.client))]
        else:
            ids = list(_idsOf("to", to))
        return tuple(id for id in ids if id not in exclude)

    def _logged(
        self, type: str, encoded: bytes, to: tuple[str, ...] | None, exclude: tuple[str, ...]
    ) -> int | None:
        host = self._host
        if host.life > host.life.DISPOSING:
            return None
        entry = Entry(host.log.offset + 1, type, encoded, to, exclude)
        host.log.add(entry, host.clock.seconds())
        host.outbox.record(entry)
        host.outbox.emit(self.messageOf(entry), self._among(to, exclude))
        host.log.sent()
        return entry.offset

    def _overtake(self, item: Item, to: tuple[str, ...] | None, exclude: tuple[str, ...]) -> None:
        host = self._host
        if to is None and not exclude and self.lastAnnounced <= host.outbox.done:
            host.outbox.overtake(item, self.everyone)
            return
        # Nobody gets something before its `joined`.
        done = host.outbox.done
        members = host.members.values() if to is None else self._of(to)
        told = (m for m in members if m.announced <= done and m.id not in exclude)
        host.outbox.overtake(item, self.reached(told))

    def _among(self, to: tuple[str, ...] | None, exclude: tuple[str, ...]) -> Audience:
        if to is not None:
            return self.reached(self._of(to))
        if not exclude:
            return self.everyone
        members = self._host.members
        return self.reached(members[id] for id in members if id not in exclude)

    def _of(self, ids: tuple[str, ...]) -> list[Member]:
        members = self._host.members
        return [members[id] for id in ids if id in members]

    def messageOf(self, entry: Entry) -> Message:
        """The message of a log entry; the same one each time, so that it is framed once."""
        return entry.messageOf(self._host.id)

    def say(self, member: Member, item: Item) -> None:
        """Send something else to one client, if it can be reached."""
        if member.state is State.JOINED and member.outlet is not None:
            self._host.outbox.emit(item, member.audience)

    def replay(self, member: Member, entries: Iterable[Entry]) -> None:
        """Say again what a client has missed."""
        messages = tuple(self.messageOf(entry) for entry in entries)
        if messages:
            self._host.outbox.emit(Replay(messages), member.audience)

    def history(self) -> list[Past]:
        """See `Room.messages`."""
        entries = self._host.log.history(self._host.clock.seconds())
        return [Past(entry.offset, entry.type, payload.decode(entry.data)) for entry in entries]

    # -- calls

    def call(self, member: Member, type: str, data: Any, timeout: float) -> Deferred[Any]:
        """See `Client.call`."""
        host = self._host
        encoded = self._encode(type, data)
        if not isAmount(timeout):
            raise ValueError(f"timeout={timeout!r}: must be seconds, 0 or more")
        if member.state >= State.LEAVING:
            return fail(RoomError(ErrorCode.ROOM_GONE))
        if len(member.calls) >= MAX_CALLS:
            return fail(RoomError(ErrorCode.RATE_LIMITED, f"{MAX_CALLS} calls wait for this client's answer"))
        self._lastRef += 1
        ref = self._lastRef
        answer: Deferred[Any] = Deferred(lambda _: _forget(member, ref))
        member.calls[ref] = answer
        timer = host.clock.callLater(timeout, self._timeOut, member, ref)
        answer.addBoth(_stop, timer)
        item = Asked(ref, host.id, type, encoded)
        if member.state is State.SEATED:
            member.pending.append(item)
            host.later.post(self._refuseWait, member, ref)
        else:
            self.say(member, item)
        return answer

    def _refuseWait(self, member: Member, ref: int) -> None:
        """A hook that lets somebody in can't wait for its answer, who is asked when it has joined."""
        answer = member.calls.get(ref)
        if answer is not None and hooks.waitsFor(member.step, answer):
            del member.calls[ref]
            error = RuntimeError(
                "onAuth and onJoin can't wait for what client.call gives: a client is asked when it "
                "has joined, which is when they are over; use addCallback, or ask later, in a function "
                "of its own: self.clock.callLater(0, self.ask, client)"
            )
            hooks.breakOff(answer, error)

    def _timeOut(self, member: Member, ref: int) -> None:
        answer = member.calls.pop(ref, None)
        if answer is not None:
            hooks.breakOff(answer, RoomError(ErrorCode.TIMEOUT))

    def failCalls(self, member: Member) -> None:
        """The client can't answer any more; who has asked is told in the next turn."""
        if member.calls:
            calls, member.calls = member.calls, {}
            self._host.later.post(_failAll, list(calls.values()))


def _isMeant(answer: object) -> bool:
    """What a test of a client says of it."""
    if isAsync(answer):
        if isinstance(answer, CoroutineType):
            answer.close()  # it never begins
        raise TypeError("to: a test can't be async, its answer is needed at once")
    return bool(answer)


def _idsOf(name: str, given: Any) -> tuple[str, ...]:
    """The ids of what is given as one client or several; `TypeError` for anything else."""
    isOne = isinstance(given, str) or not isinstance(given, Iterable)
    clients = (given,) if isOne else tuple(given)
    for each in clients:
        if not isinstance(each, Client):
            raise TypeError(f"{name}: {each!r} is no client; the one of an id is room.client(id)")
    return tuple(client.id for client in clients)


def _failAll(answers: list[Deferred[Any]]) -> None:
    for answer in answers:
        if not answer.called:
            hooks.breakOff(answer, RoomError(ErrorCode.ROOM_GONE))


def _forget(member: Member, ref: int) -> None:
    """Nobody waits for the answer any more."""
    member.calls.pop(ref, None)


def _stop(result: Any, timer: IDelayedCall) -> Any:
    if timer.active():
        timer.cancel()
    return result
