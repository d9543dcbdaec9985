"""
Forwarding: what clients send to a room while it moves to its next owner, and that they don't send again.

A frame with a number is sent again by its client. Messages without one, and requests to leave, would be lost.
So they are kept while the room moves, and passed on to its next owner in their order: those that were queued,
or whose handlers were cancelled, and those that arrive until the client knows of the next owner. A call
without a number can't be answered by another owner; it is refused.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ...core.awaitables import clearTraceback
from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ..contract.asks import Command, LateFrame, TakeLate
from ..contract.commands import Call, Frame, Leave, Send, Unreadable
from ..contract.items import Error
from .member import Member

#: The most bytes that are kept for one member. Each frame counts as `COST` bytes more, so that there are at
#: most 256. One frame may be kept whatever its size.
MOST, COST = 2 << 20, 8 << 10
#: For how many seconds the next owner is looked for, and the seconds between two attempts.
PATIENCE, PAUSE = 30.0, 0.2


class Forwarding:
    """
    Passes on the late frames of the clients of one room.

    Args:
        room: The room's id.
        clock: The clock.
        ask: Asks a room for something, wherever it is; see `Engine.ask`.
    """

    __slots__ = ("_ask", "_clock", "_frames", "_isAsking", "_links", "_room", "_sizes")

    _log = Logger()

    def __init__(
        self, room: str, clock: IReactorTime, ask: Callable[[str, Command], Deferred[object]]
    ) -> None:
        self._room = room
        self._clock = clock
        self._ask = ask
        self._frames: deque[LateFrame] = deque()
        #: The bytes that are kept, by member.
        self._sizes: Counter[str] = Counter()
        #: The members by their last links, when another owner has the room: ids, and `Member.isJSON`.
        self._links: dict[str, tuple[str, bool]] | None = None
        self._isAsking = False

    # -- while the room moves

    def take(self, member: Member, frame: Frame) -> None:
        """Keep a frame of a member, or refuse it."""
        if isinstance(frame, Leave):
            self.leave(member)
        elif isinstance(frame, Call) and frame.n is None:
            self._refuse(member, frame.ref, ErrorCode.UNAVAILABLE, "the room moves to another process")
        elif isinstance(frame, Unreadable) and frame.n is None and not frame.isAnswer:
            self._refuse(member, frame.ref, ErrorCode.INVALID_DATA, frame.message)
        elif isinstance(frame, Send) and frame.n is None and not self._keep(member.id, member.isJSON, frame):
            self._refuse(member, None, ErrorCode.RATE_LIMITED, "too much data waits to be handled")

    def takeEarlier(self, member: Member, frames: Sequence[Frame]) -> None:
        """Keep frames that have arrived before all that are kept already."""
        for frame in reversed(frames):
            if isinstance(frame, Call):
                self.take(member, frame)
            elif isinstance(frame, Send) and frame.n is None:
                self._frames.appendleft(LateFrame(member.id, member.isJSON, frame))

    def leave(self, member: Member) -> None:
        """Let a member leave at the next owner."""
        self._frames.append(LateFrame(member.id, member.isJSON))

    def _keep(self, member: str, isJSON: bool, frame: Send) -> bool:
        size = self._sizes[member] + COST + len(frame.data)
        if self._sizes[member] and size > MOST:
            return False
        self._sizes[member] = size
        self._frames.append(LateFrame(member, isJSON, frame))
        return True

    def _refuse(self, member: Member, ref: int | None, code: ErrorCode, text: str) -> None:
        """Send an error at once: nothing leaves by the outbox when the room is about to be handed over."""
        if member.outlet is not None:
            member.outlet.deliver(Error(ref, self._room, code, text), (member.link,))

    # -- when it has moved

    def begin(self, members: Iterable[Member]) -> None:
        """Pass on what was kept, and what `late` gets for these members: another owner has the room."""
        self._links = {member.link: (member.id, member.isJSON) for member in members if member.link}
        self._passOn()

    def late(self, link: str, frame: Frame) -> None:
        """Pass on what has arrived over a link that has ended."""
        found = None if self._links is None else self._links.get(link)
        if found is None:
            return
        if isinstance(frame, Leave):
            self._frames.append(LateFrame(*found))
        elif not isinstance(frame, Send) or frame.n is not None or not self._keep(*found, frame):
            return
        self._passOn()

    def _passOn(self) -> None:
        if self._frames and not self._isAsking:
            self._isAsking = True
            Deferred.fromCoroutine(self._passAllOn()).addErrback(
                lambda failure: self._log.failure("room {room}: messages are lost", failure, room=self._room)
            )

    async def _passAllOn(self) -> None:
        """Pass on one batch after another, so that they stay in order."""
        try:
            while self._frames:
                frames = tuple(self._frames)
                self._frames.clear()
                self._sizes.clear()
                await self._pass(frames)
        finally:
            self._isAsking = False

    async def _pass(self, frames: tuple[LateFrame, ...]) -> None:
        until = self._clock.seconds() + PATIENCE
        while True:
            try:
                await self._ask(self._room, TakeLate(frames))
            except RoomError as error:
                clearTraceback(error)
                if error.code == ErrorCode.NO_SUCH_ROOM:
                    return
                mayHaveHappened = bool((error.details or {}).get("mayHaveHappened"))
                if mayHaveHappened or self._clock.seconds() >= until:
                    self._log.warn(
                        "room {room}: the next owner may not have got {count} messages of clients: {why}",
                        room=self._room,
                        count=len(frames),
                        why=str(error),
                    )
                    return
                await deferLater(self._clock, PAUSE, lambda: None)
            else:
                return
