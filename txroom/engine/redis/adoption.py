"""
Adoption: the rooms of a node that is gone get new owners, also those that nobody asks for.

A room has timers, members that have to return in time, and an end of its own, so it needs an owner although
no client asks for it. Clients that ask come first: the room that they ask for is taken over at once, by the
node that they ask. All others are spread over the nodes that are alive, by their ids, and each node takes its
share of them at a limited rate. If that node doesn't take a room, because it can't open it or doesn't serve
its application, the next node takes it after some seconds.

A node looks for such rooms when another node is gone, and again from time to time. So it also finds the rooms
of nodes that were gone before it started, and those that another node could not open. It goes by the
listings; `unlisted` finds the rooms that have none.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .finding import Finder
from .lease import Lease, NodeState
from .locating import Locator, Orphan, Where
from .owning import AT_ONCE, Owning
from .unlisted import UnlistedRooms

#: The seconds between two looks for rooms without a node.
LOOK = 5.0
#: After how many seconds more the next node takes a room that no node has taken; longer if there are many.
PATIENCE = 10.0
#: How many rooms are taken at most in each interval, in seconds.
BATCH, INTERVAL = 50, 0.1


class Adoption:
    """
    Takes over the rooms of nodes that are gone.

    Args:
        clock: The clock.
        node: The id of this node.
        finder: The listings of all nodes.
        locator: Finds the nodes of rooms.
        owning: Takes rooms over.
        lease: The lease of this node, which knows the other nodes.
        unlisted: Finds the rooms that no listing names.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        node: str,
        finder: Finder,
        locator: Locator,
        owning: Owning,
        lease: Lease,
        unlisted: UnlistedRooms,
    ) -> None:
        self._clock = clock
        self._node = node
        self._finder = finder
        self._locator = locator
        self._owning = owning
        self._lease = lease
        self._unlisted = unlisted
        #: Returns those of some nodes that take rooms over. Those that leave the cluster do not.
        self.takersOf: Callable[[Iterable[str]], Sequence[str]] = tuple
        unlisted.onFound = self._takeUnlisted
        self._waiting: deque[str] = deque()
        #: The rooms that wait or are being taken, each with the node that is gone; empty: it isn't known.
        self._known: dict[str, str] = {}
        #: How many of the rooms of a node are still to be taken, and how many have been.
        self._left: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        #: The rooms of nodes that are gone, and since when this node knows that.
        self._since: dict[str, float] = {}
        self._running = 0
        self._isStarted = False
        self._calls: dict[Callable[[], None], IDelayedCall] = {}

    @property
    def waiting(self) -> int:
        """The number of rooms that have yet to be taken over."""
        return len(self._waiting)

    def start(self) -> None:
        """Look for rooms without a node now, and from time to time, unless that has begun already."""
        if self._isStarted:
            return
        self._isStarted = True
        self._later(LOOK, self._lookAgain)
        self._unlisted.read()
        self.look()

    def stop(self) -> None:
        """Take no more rooms, until it is started again."""
        self._isStarted = False
        self._waiting.clear()
        self._known.clear()
        self._left.clear()
        self._done.clear()
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()

    def _lookAgain(self) -> None:
        self._later(LOOK, self._lookAgain)
        self.look()

    def look(self) -> None:
        """Look for rooms without a node."""
        if not self._lease.isFresh:
            return
        left: dict[str, float] = {}
        for node in self._finder.index.nodes:
            if node == self._node:
                self._take(self._finder.lostRooms())
            elif self._lease.stateOf(node) is NodeState.GONE:
                rooms = self._finder.index.roomsOf(node)
                left |= self._sinceOf(rooms)
                self._takeFrom(node)
        self._unlisted.goOn()
        left |= self._sinceOf(self._unlisted.rooms)
        self._takeUnlisted()
        self._since = left

    def _sinceOf(self, rooms: Iterable[str]) -> dict[str, float]:
        now = self._clock.seconds()
        return {room: self._since.get(room, now) for room in rooms}

    def nodeGone(self, node: str) -> None:
        """A node is gone: take over this node's share of its rooms."""
        self._takeFrom(node)
        self._unlisted.read()

    def _takeUnlisted(self) -> None:
        self._take(self._due(self._unlisted.rooms))

    def _takeFrom(self, node: str) -> None:
        self._take(self._due(self._finder.index.roomsOf(node)), node)

    def _due(self, rooms: Sequence[str]) -> list[str]:
        """Return the rooms that this node has to take now."""
        now, others = self._clock.seconds(), self.takersOf(self._lease.others)
        patience = PATIENCE + len(rooms) * INTERVAL / BATCH
        return [
            room
            for room in rooms
            if now - self._since.setdefault(room, now) >= patience * rankOf(self._node, room, others)
        ]

    def _take(self, rooms: Iterable[str], gone: str = "") -> None:
        """Take rooms over, one after another; `gone` is the node that had them."""
        new = []
        if self._isStarted:
            isHeldBack = self._owning.isQuarantined
            new = [room for room in rooms if not (room in self._known or isHeldBack(room))]
        if new:
            self._waiting.extend(new)
            self._known.update(dict.fromkeys(new, gone))
            self._left[gone] += len(new)
            self._work()

    # -- one after another

    def _work(self) -> None:
        """Begin with the next rooms, unless that is going to happen."""
        if self._work in self._calls:
            return
        for _ in range(BATCH):
            if not self._waiting or self._running >= AT_ONCE:
                break
            self._running += 1
            room = self._waiting.popleft()
            Deferred.fromCoroutine(self._adopt(room)).addBoth(self._adopted, room)
        if self._waiting:
            self._later(INTERVAL, self._work)

    async def _adopt(self, room: str) -> bool:
        """Take a room over if no node has it, and return whether this node has."""
        place = await self._locator.ask(room)
        if isinstance(place, Orphan):
            return await self._owning.take(room, place, isAsked=False)
        if place is not Where.UNKNOWN:
            self._unlisted.forget(room)
        return False

    def _adopted(self, result: object, room: str) -> None:
        if isinstance(result, Failure):
            self._log.failure("room {room} could not be taken over", result, room=room)
        self._running -= 1
        gone = self._known.pop(room, None)
        if gone is not None:
            self._left[gone] -= 1
            self._done[gone] += result is True
            if not self._left[gone]:
                self._tookAll(gone)

    def _tookAll(self, gone: str) -> None:
        """None of the rooms of a node is left: say how many are here now."""
        del self._left[gone]
        count = self._done.pop(gone)
        if gone and count:
            self._log.info(
                "node {gone} is gone; rooms that this node has taken: {count}", gone=gone, count=count
            )

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        def run() -> None:
            del self._calls[call]
            call()

        self._calls[call] = self._clock.callLater(seconds, run)


def rankOf(node: str, room: str, others: Iterable[str]) -> int:
    """
    Return after how many other nodes this one has to take a room over.

    All nodes that know the same nodes have the same order for a room.
    """
    own = _weightOf(node, room)
    return sum(_weightOf(other, room) > own for other in others)


def _weightOf(node: str, room: str) -> bytes:
    return blake2b(f"{room} {node}".encode(), digest_size=8).digest()
