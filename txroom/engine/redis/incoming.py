"""
What another node has on this one: the links of its clients to the rooms here, and its questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from msgspec import Raw
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...core.codes import CloseCode, ErrorCode
from ...protocol.errors import RoomError
from ...rooms.contract.arrivals import Join, Refused, Resume
from ...rooms.contract.asks import TOO_LARGE, Command, unanswered
from ...rooms.contract.ports import ASK_SECONDS, Link, Outlet
from .outgoing import ElsewhereError
from .packets import (
    Ask,
    Attach,
    Attached,
    Drop,
    NodeCommand,
    PacketMessage,
    Submit,
    Told,
    encode,
    readCommand,
)

#: For how many seconds frames are taken over the links to rooms that have moved.
MOVED_SECONDS = 10.0
#: The most bytes of an answer. Larger ones would need too much of `sending.KEPT_SIZE`.
MOST_TOLD = 4 << 20


class PeersSide(Protocol):
    """The node, as its talks with others use it."""

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused | None] | None:
        """A client of another node joins or resumes; `None`: the room isn't here. See `Engine.attach`."""

    def ask(self, room: str, command: Command | NodeCommand, seconds: float) -> Deferred[Any] | None:
        """
        Another node asks for a command, which must begin within so many seconds; see `Engine.ask`. `None`, or
        the error `ElsewhereError`: the room isn't here.
        """

    def generationOf(self, room: str) -> int:
        """Return the generation of the owner of a room here."""

    def edgeGone(self, outlet: Outlet, rooms: Iterable[str]) -> None:
        """An edge is lost while clients of it were joining these rooms; see `RoomHost.edgeGone`."""


class IncomingPort(Protocol):
    """The part of a `Talk` that its incoming links use."""

    isOver: bool

    def tell(self, message: PacketMessage) -> None: ...


class Incoming:
    """The incoming links and questions of one talk."""

    _log = Logger()

    def __init__(
        self,
        talk: IncomingPort,
        side: PeersSide,
        outlet: Outlet,
        clock: IReactorTime,
        now: Callable[[], float | None],
    ) -> None:
        self._talk = talk
        self._side = side
        self._outlet = outlet
        self._clock = clock
        self._now = now
        self._links: dict[str, Link] = {}
        #: The links to rooms that have moved, and since when. Frames may still be on their way.
        self._moved: dict[str, tuple[Link, float]] = {}
        #: The links of the clients that are joining, with their rooms, and those of them that the room or the
        #: client has ended already.
        self._entering: dict[str, str] = {}
        self._endedEarly: set[str] = set()
        self._droppedEarly: set[str] = set()

    def __len__(self) -> int:
        return len(self._links) + len(self._entering)

    def detached(self, links: Sequence[str], code: int) -> None:
        """A room has ended these links."""
        now = self._clock.seconds()
        for each in links:
            link = self._links.pop(each, None)
            if link is None and each in self._entering:
                self._endedEarly.add(each)
            elif link is not None and code == CloseCode.ROOM_MOVED:
                self._moved[each] = (link, now)

    def beat(self) -> None:
        """Forget the links to rooms that have moved some time ago."""
        until = self._clock.seconds() - MOVED_SECONDS
        while self._moved:
            link = next(iter(self._moved))
            if self._moved[link][1] > until:
                break
            del self._moved[link]

    def _movedLink(self, link: str) -> Link | None:
        moved = self._moved.get(link)
        return None if moved is None else moved[0]

    def breakLinks(self, links: Sequence[str]) -> None:
        """End links whose items can't be sent; their clients resume."""
        for each in links:
            link = self._links.pop(each, None)
            if link is not None:
                self._clock.callLater(0, link.drop)

    def onAttach(self, message: Attach) -> None:
        """A client of the other node joins or resumes."""
        arrival = message.arrival
        try:
            work = self._side.attach(self._outlet, arrival)
        except Exception:
            work = fail(Failure())
        if work is None:
            self._talk.tell(Attached(message.id))
            return
        self._entering[arrival.link] = arrival.room
        work.addCallbacks(
            self._attached,
            self._notAttached,
            callbackArgs=(message.id, arrival.link),
            errbackArgs=(message.id, arrival.link),
        ).addErrback(lambda failure: self._log.failure("a client could not be attached", failure))

    def _attached(self, result: Link | Refused | None, id: int, link: str) -> None:
        isEnded, isDropped = link in self._endedEarly, link in self._droppedEarly
        self._entered(link)
        if isDropped:
            if not (result is None or isinstance(result, Refused)):
                result.drop()
        elif result is None or isinstance(result, Refused):
            self._talk.tell(Attached(id, None, result))
        elif self._talk.isOver:
            result.drop()
        elif result.id != link and result.id not in self._links:
            result.drop()  # the client's earlier attachment, whose link has ended meanwhile
            self._talk.tell(Attached(id, None, Refused(ErrorCode.UNAVAILABLE)))
        else:
            if not isEnded:
                self._links[result.id] = result
            self._talk.tell(Attached(id, result.id))

    def _notAttached(self, failure: Failure, id: int, link: str) -> None:
        self._entered(link)
        self._talk.tell(Attached(id, None, self._refusalOf(failure)))

    def _entered(self, link: str) -> None:
        self._entering.pop(link, None)
        self._endedEarly.discard(link)
        self._droppedEarly.discard(link)

    def onSubmit(self, message: Submit) -> None:
        """Pass a frame on to its room. Called for every message."""
        link = self._links.get(message.link) or self._movedLink(message.link)
        if link is not None:
            link.submit(message.frame)

    def onDrop(self, message: Drop) -> None:
        """A client of the other node has gone."""
        link = self._links.pop(message.link, None) or self._movedLink(message.link)
        if link is None:
            if message.link in self._entering:
                self._droppedEarly.add(message.link)
            return
        if message.hasLeft:
            link.leave()
        else:
            link.drop()

    def onAsk(self, message: Ask) -> None:
        """The other node asks for a command."""
        now, seconds = self._now(), ASK_SECONDS
        if message.until and now is not None:
            seconds = message.until - now
        if seconds < 0:
            error = unanswered(False)
            refused = Refused.of(error)
            self._talk.tell(Told(message.id, error=refused))
            return
        try:
            work = self._side.ask(message.room, readCommand(message.command), seconds)
        except Exception:
            work = fail(Failure())
        if work is None:
            self._talk.tell(Told(message.id, isElsewhere=True))
            return
        work.addCallback(self._encoded).addCallbacks(
            lambda result: self._talk.tell(Told(message.id, result)),
            self._notCarriedOut,
            errbackArgs=(message.id,),
        )

    def _notCarriedOut(self, failure: Failure, id: int) -> None:
        if isinstance(failure.value, ElsewhereError):
            self._talk.tell(Told(id, isElsewhere=True))
        else:
            self._talk.tell(Told(id, error=self._refusalOf(failure)))

    def _encoded(self, result: Any) -> Raw:
        """Return an answer as it is sent. Raises `RoomError` (``tooLarge``), or what its encoding raises."""
        encoded = encode(result)
        if len(encoded) > MOST_TOLD:
            text = f"the answer has {len(encoded)} bytes; nodes tell one another at most {MOST_TOLD}"
            raise RoomError(TOO_LARGE, text)
        return Raw(encoded)

    def _refusalOf(self, failure: Failure) -> Refused:
        """Return a failure as it is sent; unexpected ones are logged, and sent without their text."""
        error = failure.value
        if isinstance(error, RoomError):
            return Refused.of(error)
        self._log.failure("the request of another node failed", failure)
        return Refused(ErrorCode.INTERNAL)

    def end(self) -> list[Callable[[], None]]:
        """The talk has ended, and with it all links. Returns functions that tell the rooms."""
        links, self._links = self._links, {}
        self._moved.clear()
        inform: list[Callable[[], None]] = [link.drop for link in links.values()]
        if self._entering:
            rooms = set(self._entering.values())
            inform.append(partial(self._side.edgeGone, self._outlet, rooms))
        return inform
