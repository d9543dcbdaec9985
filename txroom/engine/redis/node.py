"""
What makes a process a node of the cluster: its options, its id, and the guard that keeps it silent while its
lease isn't fresh.

**The id** is random, and new at each start. A node that restarts is another node, so what was meant for its
former self can't reach it. The id begins with the version of the packets and of the data, and so announces it
wherever the id is known.

**The guard.** A node may have lost its rooms to other nodes without knowing it, because it was suspended or
cut off from Redis. Records are safe, since Redis refuses those of former owners. What a room sends without
writing a record is not, so the guard looks at the lease at each item: while the lease isn't fresh, volatile
items are dropped, and others are held until the lease is fresh again and the node knows which rooms it still
has. The items that are held are few, since rooms stop handling frames when nothing is committed any more.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from ...core.codes import CloseCode
from ...rooms.contract.items import Item
from ...rooms.contract.ports import Outlet
from .packets import VERSION


@attrs.frozen(kw_only=True)
class NodeOptions:
    """The options of a node; see `RedisEngine`."""

    prefix: str
    isDurable: bool
    isRestored: bool
    run: str | None
    orphanSeconds: float


def newNode() -> str:
    """Return the id of a new node: its version, and a random part."""
    return f"{VERSION}.{secrets.token_urlsafe(9)}"


def versionOf(node: str) -> int:
    """Return the version in the id of a node; 0 if there is none."""
    version, _, rest = node.partition(".")
    return int(version) if rest and version.isascii() and version.isdecimal() else 0


class FreshLease(Protocol):
    """The part of a `Lease` that the guard uses."""

    #: Until when the lease is fresh, in seconds of the clock.
    freshUntil: float


class Guard:
    """The guard of one node; it makes the `GuardedOutlet`s."""

    __slots__ = ("_clock", "_holding", "_lease", "dropped")

    def __init__(self, clock: IReactorTime, lease: FreshLease) -> None:
        self._clock = clock
        self._lease = lease
        self._holding: dict[GuardedOutlet, None] = {}
        #: The number of volatile items that were dropped.
        self.dropped = 0

    @property
    def isFresh(self) -> bool:
        """Whether the lease is fresh. Called for every item."""
        return self._clock.seconds() < self._lease.freshUntil

    def wrap(self, outlet: Outlet) -> GuardedOutlet:
        """Return an outlet that passes on to `outlet` while the lease is fresh."""
        return GuardedOutlet(self, outlet)

    def holds(self, outlet: GuardedOutlet) -> None:
        """An outlet holds items from now on."""
        self._holding[outlet] = None

    def release(self) -> None:
        """The lease is fresh, and this node has all its rooms still: pass on the items that were held."""
        holding, self._holding = self._holding, {}
        for outlet in holding:
            outlet.release()


class GuardedOutlet:
    """An outlet that is silent while the lease of the node isn't fresh."""

    __slots__ = ("_guard", "_held", "_outlet")

    def __init__(self, guard: Guard, outlet: Outlet) -> None:
        self._guard = guard
        self._outlet = outlet
        #: The items that are held, or the ends (code and reason) of links.
        self._held: list[tuple[Item | tuple[int, str], Sequence[str]]] = []

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        """Send an item, hold it, or drop it. Called for every message."""
        guard = self._guard
        if not self._held and guard.isFresh:
            self._outlet.deliver(item, links)
        elif item.isVolatile:
            guard.dropped += 1
        else:
            self._hold(item, links)

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        """
        End links: after the items that are held for them, or instead of these if the clients will resume.
        """
        if self._held and code >= CloseCode.SHUTTING_DOWN:
            self._forget(frozenset(links))
        if self._held and code < CloseCode.SHUTTING_DOWN:
            self._hold((code, reason), links)
        else:
            self._outlet.detach(links, code, reason)

    def release(self) -> None:
        """Pass on what was held."""
        held, self._held = self._held, []
        for item, links in held:
            if isinstance(item, Item):
                self._outlet.deliver(item, links)
            else:
                self._outlet.detach(links, *item)

    def _hold(self, item: Item | tuple[int, str], links: Sequence[str]) -> None:
        if not self._held:
            self._guard.holds(self)
        self._held.append((item, links))

    def _forget(self, ended: frozenset[str]) -> None:
        """Forget what is held for links that have ended."""
        left = [(item, tuple(each for each in links if each not in ended)) for item, links in self._held]
        self._held = [(item, links) for item, links in left if links]
