"""
What this node has on another one: the links of its clients to the other's rooms, and its questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from typing import Any, Protocol

from msgspec import Raw
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ...core.codes import CloseCode, ErrorCode
from ...protocol.errors import RoomError
from ...rooms.contract.arrivals import Join, Refused, Resume
from ...rooms.contract.asks import Command, unanswered
from ...rooms.contract.items import Item, Joined, Message
from ...rooms.contract.ports import Link, Outlet
from .generations import Generations
from .groups import MAX_GROUPS
from .packets import Ask, Attach, Attached, Deliver, Detach, Group, NodeCommand, PacketMessage, Told, encode
from .pair import Pair
from .remote import RemoteLink, Unreached

#: After how many seconds the answer to `Attach` is not waited for any more. The other node answers when the
#: room is open and `canJoin` has returned, so this is much more than the usual `Room.handlerTimeout`.
ATTACH_SECONDS = 120.0


class ElsewhereError(Exception):
    """A room is not at the node that was asked; nothing has happened."""


class OutgoingPort(Protocol):
    """The part of a `Talk` that its outgoing links use."""

    pair: Pair

    def tell(self, message: PacketMessage) -> None: ...


class _OutgoingLink:
    """The link of a client here to a room on the other node."""

    __slots__ = ("isJoined", "outlet", "room")

    def __init__(self, room: str, outlet: Outlet) -> None:
        self.room = room
        self.outlet = outlet
        #: Whether the client has got `Joined`.
        self.isJoined = False


class _Asked:
    """A question that the other node has not answered."""

    __slots__ = ("answer", "link", "packet", "timer")

    def __init__(self, packet: int, link: str = "") -> None:
        self.answer: Deferred[Any] = Deferred()
        #: The number of the packet that it is in.
        self.packet = packet
        #: The link of an `Attach`; empty for an `Ask`.
        self.link = link
        self.timer: IDelayedCall | None = None


class Outgoing:
    """The outgoing links and questions of one talk."""

    _log = Logger()

    def __init__(
        self,
        talk: OutgoingPort,
        clock: IReactorTime,
        now: Callable[[], float | None],
        generations: Generations,
    ) -> None:
        self._talk = talk
        self._clock = clock
        self._now = now
        self._generations = generations
        self._links: dict[str, _OutgoingLink] = {}
        self._asked: dict[int, _Asked] = {}
        self._ids = count(1)
        #: The groups of links that the other node has told, by the outlets of the links.
        self.groups: dict[int, list[tuple[Outlet, Sequence[str]]]] = {}

    def __len__(self) -> int:
        return len(self._links)

    @property
    def isBusy(self) -> bool:
        """Whether there are links, or questions without an answer."""
        return bool(self._links or self._asked)

    # -- links

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused | Unreached]:
        """Ask for a link to a room of the other node; see `Peers.attach`."""
        self._links[arrival.link] = _OutgoingLink(arrival.room, outlet)
        self._generations.began(arrival.room)
        id, asked = self._ask(arrival.link)
        asked.timer = self._clock.callLater(ATTACH_SECONDS, self._attachTimedOut, id)
        self._talk.tell(Attach(id, arrival))
        return asked.answer

    def hasLink(self, link: str) -> bool:
        """Return whether a link has not ended. Called for every message."""
        return link in self._links

    def endLink(self, link: str) -> bool:
        """End a link. Returns whether it had not ended before."""
        ended = self._links.pop(link, None)
        if ended is None:
            return False
        self._generations.ended(ended.room)
        return True

    def breakLink(self, link: str) -> bool:
        """End a link whose frame can't be sent; its client resumes. Returns whether it had not ended."""
        broken = self._links.get(link)
        if broken is not None:
            self._clock.callLater(0, broken.outlet.detach, (link,), CloseCode.STATE_LOST)
        return self.endLink(link)

    def onAttached(self, message: Attached) -> None:
        """The other node has answered `Attach`."""
        asked = self._take(message.id)
        if asked is None:
            return
        if message.link != asked.link:
            self.endLink(asked.link)
        if message.link is not None:
            asked.answer.callback(self._linkOf(message.link))
        elif message.refused is not None:
            asked.answer.callback(message.refused)
        else:
            asked.answer.callback(Unreached(False, isElsewhere=True))

    def onGroup(self, message: Group) -> None:
        """The other node has told a group."""
        if not 0 <= message.id < MAX_GROUPS:
            raise ValueError(f"there is no group {message.id}")
        if message.links:
            self.groups[message.id] = self._byOutlet(message.links)
        else:
            self.groups.pop(message.id, None)

    def onDeliver(self, message: Deliver) -> None:
        """Pass an item on to the edges. Called for every message."""
        item, to = message.item, message.links
        if isinstance(to, int):
            audience = self.groups[to]  # an edge ignores those that have ended since
        elif len(to) != 1:
            audience = self._byOutlet(to)
        else:
            link = self._links.get(to[0])
            if link is None:
                return
            if type(item) is Joined:
                link.isJoined = True
            audience = [(link.outlet, to)]
        if message.generation and self._isOld(item, message.generation):
            return
        for outlet, links in audience:
            outlet.deliver(item, links)

    def onDetach(self, message: Detach) -> None:
        """The other node has ended links."""
        for outlet, links in self._byOutlet(message.links):
            for link in links:
                self.endLink(link)
            outlet.detach(links, message.code, message.reason)

    def _linkOf(self, link: str) -> RemoteLink:
        return RemoteLink(self, self._talk, link)

    def _isOld(self, item: Item, generation: int) -> bool:
        """Return whether a volatile message comes from an earlier owner of its room."""
        return isinstance(item, Message) and self._generations.isOld(item.room, generation)

    def _byOutlet(self, links: Iterable[str]) -> list[tuple[Outlet, Sequence[str]]]:
        """Group those links that have not ended. All clients of a room have one outlet."""
        groups: dict[Outlet, list[str]] = {}
        for each in links:
            link = self._links.get(each)
            if link is not None:
                groups.setdefault(link.outlet, []).append(each)
        return list(groups.items())

    # -- questions

    def ask(self, room: str, command: Command | NodeCommand, seconds: float) -> Deferred[Any]:
        """
        Ask a room of the other node for a command.

        Raises:
            ElsewhereError: The room is not there.
            RoomError: The command failed, or was not answered within `seconds`.
        """
        if seconds <= 0:
            return fail(unanswered(False))
        try:
            encoded = Raw(encode(command))
        except Exception:
            self._log.failure("a {kind} can't be sent to another node", kind=type(command).__name__)
            return fail(RoomError(ErrorCode.BAD_REQUEST))
        id, asked = self._ask()
        now = self._now()
        asked.timer = self._clock.callLater(seconds, self._timedOut, id)
        self._talk.tell(Ask(id, room, encoded, 0.0 if now is None else now + seconds))
        return asked.answer

    def fail(self, message: Attach | Ask, refused: Refused) -> None:
        """A question can't be sent."""
        asked = self._take(message.id)
        if asked is None:
            return
        self.endLink(asked.link)
        if isinstance(message, Attach):
            self._clock.callLater(0, asked.answer.callback, refused)
        else:
            self._clock.callLater(0, asked.answer.errback, RoomError(refused.code))

    def onTold(self, message: Told) -> None:
        """The other node has answered `Ask`."""
        asked = self._take(message.id)
        if asked is None:
            return
        if message.isElsewhere:
            asked.answer.errback(ElsewhereError())
        elif message.error is not None:
            error = message.error
            asked.answer.errback(RoomError(error.code, error.message, error.details))
        else:
            asked.answer.callback(message.result)

    def _ask(self, link: str = "") -> tuple[int, _Asked]:
        id = next(self._ids)
        asked = self._asked[id] = _Asked(self._talk.pair.sent + 1, link)
        return id, asked

    def _take(self, id: int) -> _Asked | None:
        """Return a question, which is not waited for any more."""
        asked = self._asked.pop(id, None)
        if asked is not None and asked.timer is not None and asked.timer.active():
            asked.timer.cancel()
        return asked

    def _timedOut(self, id: int) -> None:
        asked = self._take(id)
        if asked is not None:
            asked.answer.errback(unanswered(asked.packet <= self._talk.pair.sent))

    def _attachTimedOut(self, id: int) -> None:
        asked = self._take(id)
        if asked is None:
            return
        attached = self._linkOf(asked.link)
        link = self._links.get(asked.link)
        if link is not None and link.isJoined:
            asked.answer.callback(attached)
        else:
            attached.drop()
            asked.answer.callback(Unreached(asked.packet <= self._talk.pair.sent))

    # -- the end

    def end(self, lastHeard: int) -> list[Callable[[], None]]:
        """
        The talk has ended, and with it all links and questions.

        Args:
            lastHeard: The number of the last packet that the other node may have received.

        Returns:
            Functions that tell the edges, and those that have asked.
        """
        links, self._links = self._links, {}
        asked = [each for each in (self._take(id) for id in list(self._asked)) if each is not None]
        for link in links.values():
            self._generations.ended(link.room)

        joining = {each.link for each in asked}
        inform: list[Callable[[], None]] = [
            partial(link.outlet.detach, (id,), CloseCode.ROOM_MOVED)
            for id, link in links.items()
            if link.isJoined or id not in joining
        ]
        inform += [
            partial(self._unanswered, each, links.get(each.link), each.packet <= lastHeard) for each in asked
        ]
        return inform

    def _unanswered(self, asked: _Asked, link: _OutgoingLink | None, mayHaveHappened: bool) -> None:
        if not asked.link:
            asked.answer.errback(unanswered(mayHaveHappened))
        elif link is None or link.isJoined:
            asked.answer.callback(self._linkOf(asked.link))  # it has ended
        else:
            asked.answer.callback(Unreached(mayHaveHappened))
