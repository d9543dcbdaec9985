"""
All that two nodes share for as long as their pair lasts: links in both directions, questions, and groups.

A `Talk` belongs to one `Pair`. When the pair ends, for whatever reason, so does all of this: `end` detaches
our clients, who resume, drops the links of the other node's clients, and answers what was asked. Nothing is
carried over to the next talk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ...core.codes import CloseCode, ErrorCode
from ...rooms.contract.arrivals import Refused
from .generations import Generations
from .groups import SentGroups
from .incoming import Incoming, PeersSide
from .node import Guard
from .outgoing import Outgoing
from .packets import (
    Ask,
    Attach,
    Attached,
    Deliver,
    Detach,
    Drop,
    Group,
    PacketMessage,
    Read,
    Reset,
    Submit,
    Told,
    encode,
)
from .pair import Pair
from .remote import RemoteOutlet


class Shared:
    """What all talks of one node use."""

    def __init__(
        self, clock: IReactorTime, side: PeersSide, guard: Guard, now: Callable[[], float | None]
    ) -> None:
        self.clock = clock
        self.side = side
        self.guard = guard
        self.now = now
        self.generations = Generations()


class Talk:
    """
    See the module.

    Args:
        shared: What all talks share.
        node: The id of the other node.
        wake: Called with the first message of a turn.
        onRead: Called with the number of a packet up to which the other node has read.
    """

    _log = Logger()

    def __init__(
        self, shared: Shared, node: str, wake: Callable[[], None], onRead: Callable[[int], None]
    ) -> None:
        self._side = shared.side
        self._node = node
        self._wake = wake
        self.pair = Pair()
        self.isOver = False
        self.queue: list[PacketMessage] = []
        self.sentGroups = SentGroups()
        #: The outlet that our rooms use for the clients of the other node.
        self.outlet = shared.guard.wrap(RemoteOutlet(self))
        self.outgoing = Outgoing(self, shared.clock, shared.now, shared.generations)
        self.incoming = Incoming(self, shared.side, self.outlet, shared.clock, shared.now)
        self._handlers: dict[type, Callable[[Any], None]] = {
            Attach: self.incoming.onAttach,
            Submit: self.incoming.onSubmit,
            Drop: self.incoming.onDrop,
            Ask: self.incoming.onAsk,
            Attached: self.outgoing.onAttached,
            Deliver: self.outgoing.onDeliver,
            Group: self.outgoing.onGroup,
            Detach: self.outgoing.onDetach,
            Told: self.outgoing.onTold,
            Read: lambda message: onRead(message.seq),
            Reset: lambda message: None,  # the peer has looked at it
        }

    @property
    def isBusy(self) -> bool:
        """Whether anything would be lost with this talk."""
        return self.outgoing.isBusy or len(self.incoming) > 0

    @property
    def links(self) -> tuple[int, int]:
        """The numbers of links of our clients, and of theirs."""
        return len(self.outgoing), len(self.incoming)

    def tell(self, message: PacketMessage) -> None:
        """Put a message into the packet of this turn. Called for every message."""
        if self.isOver:
            return
        self.queue.append(message)
        if len(self.queue) == 1:
            self._wake()

    def tellReset(self, pair: int) -> None:
        """Tell the other node that its pair has ended; before anything else, and once in a packet."""
        message = Reset(pair)
        if message not in self.queue:
            self.queue.insert(0, message)
            if len(self.queue) == 1:
                self._wake()

    def take(self, message: PacketMessage) -> None:
        """Handle a message of the other node. Raises `Exception` if it makes no sense."""
        self._handlers[type(message)](message)

    def beat(self) -> None:
        """Forget the groups that aren't used any more, and links that have ended some time ago."""
        self.incoming.beat()
        for group in self.sentGroups.beat():
            self.tell(Group(group, ()))

    # -- for the outlet

    def generationOf(self, room: str) -> int:
        """Return the generation of one of our rooms."""
        return self._side.generationOf(room)

    def detached(self, links: Sequence[str], code: int) -> None:
        """One of our rooms has ended these links."""
        self.incoming.detached(links, code)

    # -- messages that can't be encoded

    def encodable(self, message: PacketMessage) -> Sequence[PacketMessage]:
        """
        Return a message, or what to send if it can't be encoded. Then what it is about fails here and now.

        Not even a client that sends data which can't be encoded may cost others their links.
        """
        try:
            encode(message)
        except Exception:
            self._log.failure("a {kind} can't be sent to another node", kind=type(message).__name__)
            return self._substitute(message)
        return (message,)

    def _substitute(self, message: PacketMessage) -> list[PacketMessage]:
        """Return what to send instead of a message that can't be encoded."""
        if isinstance(message, Attach | Ask):
            self.outgoing.fail(message, Refused(ErrorCode.BAD_REQUEST))
        elif isinstance(message, Submit):
            if self.outgoing.breakLink(message.link):
                return [Drop(message.link, False)]
        elif isinstance(message, Attached):
            return [Attached(message.id, None, Refused(ErrorCode.INTERNAL))]
        elif isinstance(message, Told):
            return [Told(message.id, error=Refused(ErrorCode.INTERNAL))]
        elif isinstance(message, Deliver):
            to = message.links
            links = self.sentGroups.linksOf(to) if isinstance(to, int) else to
            self.incoming.breakLinks(links)
            return [Detach(links, CloseCode.STATE_LOST, "")]
        return []

    # -- the end

    def end(self, unheard: int | None) -> None:
        """
        End the talk.

        Args:
            unheard: The packets from this number on have certainly not been received; `None`: it isn't known
                which ones have been.
        """
        self.isOver = True
        self.queue = []
        informOurs = self.outgoing.end(self.pair.sent if unheard is None else unheard - 1)
        informTheirs = self.incoming.end()
        for inform in informTheirs + informOurs:
            try:
                inform()
            except Exception:
                self._log.failure("the end of a link to node {node} could not be handled", node=self._node)
