"""
The engine for rooms on several nodes, over one Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from ...core.meters import Histogram
from ...core.validation import isAmount
from ...rooms.contract.meters import EngineMeters
from ...rooms.contract.nodes import NodeInfo, StrandedRoom
from ...rooms.contract.ports import HandoverFailed, HostFactory
from ...rooms.hooks import runCoroutine
from .address import RedisAddress
from .answers import UNREACHABLE
from .channels import Client
from .client import RedisClient
from .clusternode import ClusterNode
from .keys import Keys
from .node import NodeOptions
from .nodecalls import RedisNodeCalls
from .notices import RedisNotices
from .rooms import RedisRooms


class RedisEngine:
    """
    The engine of servers that serve the same rooms: any of them accepts any client, and one of them has each
    room.

    Each server that has such an engine with the same Redis and prefix is a node of the cluster. What a room
    must not lose is written to Redis before clients see it. If a node is lost, others take over its rooms.

    Args:
        url: The URL of Redis 6.2 or later, or of valkey: ``redis://host:6379/0``, ``rediss://`` for TLS, or
            ``unix:///path``; see `RedisAddress.parse`.
        prefix: What the names of all keys and channels begin with. Clusters with different prefixes may share
            one Redis.
        durable: Whether Redis never loses what it has confirmed, because it has ``appendfsync always`` and no
            replica ever takes its place. Otherwise messages get a new epoch when Redis was started again and
            the node of their room was lost too.
        restored: Whether Redis was started with an older copy of its data, such as a backup. Give it for the
            first start after that: all rooms then get a new epoch.
        run: The identity of Redis's data, which stays the same as long as Redis never loses what it has
            confirmed. Messages get a new epoch when it is another one and the node of their room was lost
            too. By default each start of Redis has another.
        orphanSeconds: After how many seconds a room is deleted that no node can open, because its `load`
            raises, its data can't be read or its name isn't registered; 0: never. Default: a day.

    Raises:
        ValueError: The URL, the prefix, the run or the number of seconds is wrong.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "txr",
        durable: bool = False,
        restored: bool = False,
        run: str | None = None,
        orphanSeconds: float = 86400.0,
        connect: Callable[[Any], Client] | None = None,
    ) -> None:
        address = RedisAddress.parse(url)
        Keys(prefix)
        if run is not None and not run:
            raise ValueError("run: must be a text that is not empty, or None")
        if not isAmount(orphanSeconds):
            raise ValueError(f"orphanSeconds={orphanSeconds!r}: must be a number of seconds, 0 or more")
        self._options = NodeOptions(
            prefix=prefix, isDurable=durable, isRestored=restored, run=run, orphanSeconds=orphanSeconds
        )
        self._address = address
        self._connect = connect
        self._applications: dict[str, RedisRooms] = {}
        #: The notifications of users; see `EngineService.notices`.
        self.notices = RedisNotices()
        #: What the nodes ask one another; see `EngineService.nodeCalls`.
        self.nodeCalls = RedisNodeCalls()
        self._node: ClusterNode | None = None

    def rooms(self, application: str, factory: HostFactory) -> RedisRooms:
        """Return the engine for the rooms of one application; see `EngineService.rooms`."""
        rooms = self._applications[application] = RedisRooms(application, factory)
        return rooms

    @property
    def node(self) -> ClusterNode | None:
        """The running node; `None` while the engine is stopped."""
        return self._node

    @property
    def meters(self) -> EngineMeters:
        """What was counted; see `EngineService.meters`."""
        node, notices = self._node, self.notices
        return EngineMeters(
            isUp=node is not None and node.journals.isUp,
            commitTimes=Histogram() if node is None else node.journals.weight.commitTimes,
            noticesQueued=notices.queued,
            noticesDropped=notices.dropped,
        )

    def start(self, clock: IReactorTime, failed: Callable[[Exception], None]) -> Deferred[None]:
        """Become a node of the cluster; see `EngineService.start`."""
        try:
            node = ClusterNode(
                clock,
                self._options,
                partial(self._connected, clock),
                self._applications.values(),
                failed,
            )
        except ValueError as error:  # the files for TLS can't be used
            return fail(error)
        self._node = node
        self.notices.begin(node.forNotices)
        self.nodeCalls.begin(node)
        return runCoroutine(node.start())

    def _connected(self, clock: Any, isQuiet: bool) -> Client:
        """Make a connection; what happens to a quiet one is logged at the level debug only."""
        if self._connect is not None:
            return self._connect(clock)
        return RedisClient(clock, self._address, isQuiet=isQuiet)

    @property
    def nodeId(self) -> str | None:
        """The id of the running node; `None` while the engine is stopped."""
        return None if self._node is None else self._node.id

    def leave(self, nodes: Sequence[str]) -> Deferred[int]:
        """Give all rooms to other nodes; see `EngineService.leave`."""
        if self._node is None:
            return fail(HandoverFailed("the engine is not running"))
        return runCoroutine(self._node.handingOver.leave(nodes))

    def stay(self) -> None:
        """Take rooms again; see `EngineService.stay`."""
        if self._node is not None:
            self._node.handingOver.stay()

    def handOver(self) -> Deferred[None]:
        """Give all rooms to other nodes; see `EngineService.handOver`."""
        return succeed(None) if self._node is None else runCoroutine(self._node.handOver())

    def stop(self) -> Deferred[None]:
        """Leave the cluster; see `EngineService.stop`."""
        node, self._node = self._node, None
        self.notices.end()
        self.nodeCalls.end()
        return succeed(None) if node is None else runCoroutine(node.stop())

    def nodes(self) -> list[NodeInfo]:
        """Return the nodes that are alive; see `EngineService.nodes`."""
        return [] if self._node is None else self._node.nodes()

    def nodeEnded(self, node: str) -> None:
        """Take over the rooms of a node whose process has ended; see `EngineService.nodeEnded`."""
        if self._node is not None:
            self._node.nodeEnded(node)

    def dataRenewed(self, run: str) -> None:
        """
        Give the data another identity, from the next connection to Redis on. Call it before Redis is started
        again, if it may lack something that it has confirmed.

        Args:
            run: The new value of the argument `run`.
        """
        self._options = attrs.evolve(self._options, run=run)
        if self._node is not None:
            self._node.dataRun = run

    def stranded(self) -> list[StrandedRoom]:
        """Return the rooms that this node could not open; see `EngineService.stranded`."""
        return [] if self._node is None else self._node.strandedRooms()

    def health(self) -> str | None:
        """Return what is wrong; see `EngineService.health`."""
        if self._node is None:
            return "the engine is not running"
        return None if self._node.lease.isFresh else UNREACHABLE
