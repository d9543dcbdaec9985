"""
Slow links that operators simulate, for one connection or for all, on the nodes that have the connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import attrs
import msgspec
from msgspec import Struct
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ...core.codes import ErrorCode
from ...core.connection import Connection
from ...core.link import Link
from ...protocol.errors import RoomError
from ..cluster import Cluster
from ..connections import Connections
from .connections import noSuchConnection

#: The most single connections of a node that are made slow; for more of them, all can be.
MOST_SINGLE = 100

_SET, _CLEAR, _LIST = "txroom.simulate", "txroom.clearSimulations", "txroom.simulations"


class Simulation(Struct):
    """A simulated slow link."""

    #: The id of the connection; empty: all connections of the node.
    connection: str
    node: str
    #: The milliseconds that are added to a round trip, half of them each way.
    latency: float
    #: The most milliseconds that are added by chance to each way.
    jitter: float
    #: The share of what is sent and received that is lost, and sent again by TCP.
    loss: float
    #: For how many more seconds.
    seconds: float


class Simulations(Struct):
    """The simulated slow links of the nodes, those of all connections of a node first."""

    simulations: list[Simulation]
    #: The nodes that have not answered.
    unanswered: list[str]


class Changed(Struct):
    """What was changed."""

    #: How many connections.
    connections: int
    #: The nodes that have not answered.
    unanswered: list[str]


@attrs.define(eq=False)
class Running:
    """A simulation that runs."""

    link: Link
    until: float
    timer: IDelayedCall

    def cancel(self) -> None:
        """Don't end it by itself."""
        if self.timer.active():
            self.timer.cancel()


class NodeSimulations:
    """
    Simulates slow links, of this node and of others.

    A simulation of all connections is that of those too which are opened later. One of a single connection
    goes before it.

    Args:
        cluster: The cluster.
        connections: The connections of this node.
        clock: The server's clock.
    """

    _log = Logger()

    def __init__(self, cluster: Cluster, connections: Connections, clock: IReactorTime) -> None:
        self._cluster = cluster
        self._connections = connections
        self._clock = clock
        self._all: Running | None = None
        self._single: dict[str, Running] = {}
        cluster.answerNode(_SET, lambda args: self._set(*args))
        cluster.answerNode(_CLEAR, self._clear)
        cluster.answerNode(_LIST, lambda _: list(self._own()))

    # -- of all nodes

    async def set(self, connection: str | None, link: Link, seconds: float) -> Changed:
        """
        Simulate a link for some time.

        Args:
            connection: The id of the connection; `None`: all, and those that are opened meanwhile.
            link: What it is like.
            seconds: For how long.

        Raises:
            RoomError: ``noSuchConnection``; ``rateLimited``, the node has `MOST_SINGLE` single ones.
        """
        return await self._change(_SET, connection, [connection, *attrs.astuple(link), seconds])

    async def clear(self, connection: str | None) -> Changed:
        """End the simulation of a connection, or all; `RoomError` as for `set`."""
        return await self._change(_CLEAR, connection, connection)

    async def _change(self, question: str, connection: str | None, args: Any) -> Changed:
        answers = await self._cluster.askNodes(question, args)
        done = [each for each in answers.done.values() if each is not None]
        if connection is not None and not done:
            raise noSuchConnection(answers)
        if connection is not None and done[0] < 0:
            text = f"{MOST_SINGLE} connections of the node are made slow already"
            raise RoomError(ErrorCode.RATE_LIMITED, text)
        return Changed(sum(done), [] if connection is not None else list(answers.unanswered))

    async def find(self) -> Simulations:
        """Tell the simulations of all nodes."""
        answers = await self._cluster.askNodes(_LIST)
        found = [
            msgspec.convert({**each, "node": node}, Simulation)
            for node, those in answers.done.items()
            for each in those
        ]
        found.sort(key=lambda each: each.connection != "")
        return Simulations(found, list(answers.unanswered))

    # -- of this node

    def _set(self, id: str | None, latency: float, jitter: float, loss: float, seconds: float) -> int | None:
        """Return how many connections there are; `None`: none of this id; -1: there are too many."""
        link = Link(latency, jitter, loss)
        if id is None:
            self._forgetAll()
            self._all = self._running(link, seconds, self._endAll)
            self._connections.whenOpened = self._opened
            return self._apply(self._connections.all, link)
        connection = self._connections.get(id)
        if connection is None:
            return None
        before = self._single.pop(id, None)
        if before is not None:
            before.cancel()
        elif len(self._single) >= MOST_SINGLE:
            return -1
        if not self._apply([connection], link):
            return None
        self._single[id] = self._running(link, seconds, partial(self._endOne, id))
        return 1

    def _running(self, link: Link, seconds: float, end: Any) -> Running:
        return Running(link, self._clock.seconds() + seconds, self._clock.callLater(seconds, end))

    def _apply(self, connections: Iterable[Connection], link: Link | None) -> int:
        """Return how many of the connections were open."""
        return sum(each.simulate(link, partial(self._gone, each.id)) for each in connections)

    def _opened(self, connection: Connection) -> None:
        if self._all is not None:
            self._apply([connection], self._all.link)

    def _gone(self, id: str) -> None:
        """Called when a connection has no slow link any more."""
        running = self._single.pop(id, None)
        if running is not None:
            running.cancel()

    def _clear(self, id: str | None) -> int | None:
        if id is None:
            return self._endAll()
        if self._connections.get(id) is None:
            return None
        return self._endOne(id)

    def _endAll(self) -> int:
        self._forgetAll()
        self._log.info("all simulations of slow links have ended")
        return self._apply(self._connections.all, None)

    def _endOne(self, id: str) -> int:
        """Let a connection be as all others. Returns how many simulations have ended."""
        running = self._single.pop(id, None)
        connection = self._connections.get(id)
        if running is None or connection is None:
            return 0
        running.cancel()
        self._log.info("the simulation of a slow link of {connection} has ended", connection=id)
        return self._apply([connection], None if self._all is None else self._all.link)

    def _forgetAll(self) -> None:
        single, self._single = self._single, {}
        for running in single.values():
            running.cancel()
        if self._all is not None:
            self._all.cancel()
        self._all = self._connections.whenOpened = None

    def _own(self) -> Iterator[dict[str, Any]]:
        """Yield the simulations of this node, as plain data."""
        now = self._clock.seconds()
        first = {} if self._all is None else {"": self._all}
        for id, each in {**first, **self._single}.items():
            link = each.link
            yield {
                "connection": id,
                "latency": round(link.latency * 1000, 3),
                "jitter": round(link.jitter * 1000, 3),
                "loss": link.loss,
                "seconds": round(max(0.0, each.until - now), 3),
            }

    def stop(self) -> None:
        """End all, because the server stops."""
        if self._all is not None or self._single:
            self._endAll()
