"""
A node of the cluster, from its start to its end: it makes the parts, and passes the events of each to those
that they concern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ...core.codes import CloseCode
from ...rooms.contract.arrivals import Join, Refused, Resume
from ...rooms.contract.asks import Command
from ...rooms.contract.nodecalls import noAnswerer
from ...rooms.contract.nodes import NodeInfo, StrandedRoom
from ...rooms.contract.ports import Link, Outlet
from .adoption import Adoption
from .announcing import About, Announcing, aboutThis
from .answers import Answer, answerOf, isOfReplica
from .channels import Channels, Client
from .creating import Creating
from .entrance import Entrance
from .finding import Finder
from .handingover import HandingOver
from .here import Here, Owned
from .journal import RedisJournal
from .journals import Journals
from .keys import Keys
from .lease import EXPIRY, IncompatibleNodes, Lease, Renewal, Stage
from .locating import Locator
from .node import Guard, GuardedOutlet, NodeOptions, newNode
from .notices import NoticeServices
from .owning import Owning
from .packets import CallNode, NodeCommand, Take
from .peers import Peers
from .rooms import RedisRooms, RoomServices
from .scripts import Scripts, milliseconds
from .settings import concerns, runOf
from .stranded import StrandedRooms
from .turn import Turn
from .unlisted import UnlistedRooms
from .waiting import Waits

#: For how many seconds Redis remembers nodes whose leases have expired. For how many a node that stops waits
#: for the next owners of its rooms.
REMEMBERED, PASSED = 60.0, 1.0
#: After how many seconds of a start the log says that the server waits for Redis.
NOTICE = 2.0
#: After how many seconds without a fresh lease clients are sent to other nodes; how often that is checked.
CUT_OFF, WATCH = 20.0, 1.0


class ClusterNode:
    """
    One node; see the module.

    Args:
        clock: The reactor.
        options: Its options.
        connect: Makes a connection to Redis that is not started; its argument is whether to log little.
        applications: The engines of the applications.
        failed: Called if the node can't go on.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        options: NodeOptions,
        connect: Callable[[bool], Client],
        applications: Iterable[RedisRooms],
        failed: Callable[[Exception], None],
    ) -> None:
        self._clock = clock
        self._options = options
        self._failed = failed
        self._applications = applications
        #: Its id, which is new at each start.
        self.id = node = newNode()
        self._keys = keys = Keys(options.prefix)
        self._scripts = Scripts()
        self._redis = redis = connect(False)
        self._channels = Channels(redis, connect(True), self._scripts, keys, node, self)
        watched = self._channels.watched
        self._announcing = Announcing(redis, keys, node, self._about)
        #: What the log has said of Redis's settings.
        self._concerns: set[str] = set()
        self.lease = Lease(clock, node, self._renew, self)
        self.guard = Guard(clock, self.lease)
        self.here = Here()
        self.journals = Journals(clock, redis, self._scripts, keys, node, self, options.isDurable)
        self._waits = waits = Waits(clock)
        self.finder = Finder(waits, watched, keys, node, self.here, self.wake, lambda: self.lease.isFresh)
        self.peers = Peers(clock, node, self, self._channels.publish, self.guard, self.wake, self.lease.now)
        self._turn = Turn(clock, self.journals.flush, self.finder.flush, self.peers.flush)
        orphanSeconds = options.orphanSeconds
        self.stranded = StrandedRooms(clock, redis, self._scripts, keys, orphanSeconds, self.lease.now)
        self.stranded.onFailed = self.finder.strand
        self.owning = Owning(self.here, self.journals, self.stranded)
        self.owning.onEnded = self._ended
        self.owning.onVanished = self.finder.vanished
        self.finder.onTaken = self.journals.doubt
        locator = self._locator = Locator(watched, keys, node, self.here, self.finder, self.lease)
        unlisted = UnlistedRooms(
            waits, redis, keys, lambda room: room in self.here or room in self.finder.index
        )
        self.adoption = Adoption(clock, node, self.finder, locator, self.owning, self.lease, unlisted)
        self.adoption.takersOf = self._announcing.takersOf
        self.handingOver = HandingOver(
            waits,
            self.here,
            self.owning,
            self.adoption,
            self._announcing,
            locator,
            self.journals,
            self.peers,
            self.lease,
        )
        #: When the lease was fresh for the last time, and whether clients are served.
        self._freshAt = float("-inf")
        self._isServing = True
        self._isRefused = False
        #: The `run_id` of the Redis to which the node is connected.
        self._redisRun = ""
        #: The argument `run` of `RedisEngine`.
        self.dataRun = options.run
        self._watching: IDelayedCall | None = None
        self._guarded: dict[Outlet, GuardedOutlet] = {}
        #: The nodes that have ended, of which Redis and the others have yet to be told.
        self._endedNodes: set[str] = set()
        self.entrance = Entrance(
            waits, self.here, locator, self.owning, self.peers, self._guardedFor, self.lease
        )
        creating = Creating(waits, watched, self._scripts, keys, node, self.finder, self.owning, self.lease)
        #: The identity of Redis's data, for queues of notifications.
        self.dataIdentity = ""
        self.forNotices = NoticeServices(self, waits, self._channels, self._scripts, keys)
        #: Answers a question of another node; see `NodeCalls.answerer`.
        self.onCall: Callable[[str, bytes], Deferred[bytes]] = noAnswerer
        self._services = RoomServices(
            finder=self.finder, creating=creating, entrance=self.entrance, owning=self.owning
        )

    # -- start and stop

    async def start(self) -> None:
        """
        Connect to Redis, get a lease, and serve rooms.

        Raises:
            Exception: Redis refuses this node, or there are nodes of a version that this one can't work with.
        """
        notice = self._clock.callLater(NOTICE, self._notice)
        try:
            await self._channels.start()
        finally:
            if notice.active():
                notice.cancel()
        try:
            await self.lease.start()
        except IncompatibleNodes:
            await self._scripts.ask(self._redis, "renew", (self._keys.nodes,), self._lease(0.0))
            raise
        for rooms in self._applications:
            rooms.begin(self.id, self._services)
        await self.finder.loadAgain(self._groups())
        self.peers.start()
        self.adoption.start()
        self._watch()
        about = self._about()
        self._log.info(
            "this server is node {node} of the cluster, process {pid} on {host}",
            node=self.id,
            pid=about.pid,
            host=about.host,
        )

    def _watch(self) -> None:
        """Let clients go to other nodes while this one has not reached Redis for `CUT_OFF` seconds."""
        now = self._clock.seconds()
        if self.lease.isFresh:
            self._freshAt = now
        isServing = now - self._freshAt < CUT_OFF
        if isServing is not self._isServing:
            self._isServing = isServing
            if not isServing:
                self._log.warn("this node is cut off from Redis: its clients are sent to other nodes")
            for rooms in self._applications:
                rooms.factory.setServing(isServing)
        self._watching = self._clock.callLater(WATCH, self._watch)

    def _notice(self) -> None:
        self._log.warn("waiting for Redis; until it can be reached, this server doesn't listen")

    def _groups(self) -> list[tuple[str, str]]:
        rooms = self._applications
        return [(each.application, name) for each in rooms for name in each.factory.registrations]

    def _about(self) -> About:
        isLeaving = self.owning.isLeaving or self.owning.isStopping
        return aboutThis(self._applications, self._options.isDurable, isLeaving)

    def nodes(self) -> list[NodeInfo]:
        """Return the nodes that are alive; see `EngineService.nodes`."""
        nodes = (self.id, *self.lease.others)
        found = [(node, self._announcing.about(node)) for node in nodes]
        return [NodeInfo(node, about.host, about.pid, about.isLeaving) for node, about in found]

    async def handOver(self) -> None:
        """Give all rooms to other nodes, and end the lease. Rooms that are left are kept for other nodes."""
        self.owning.isStopping = True
        self.adoption.stop()
        try:
            if self.lease.isFresh:
                await self._handOver()
        finally:
            self.loseRooms()

    async def _handOver(self) -> None:
        await self.handingOver.end()
        self._turn.flush()
        self._announcing.withdraw()
        self.lease.stop()
        await DeferredList(self._endLease(self.id), consumeErrors=True)
        if self.lease.others:
            await self.entrance.passedOn(PASSED)

    def _endLease(self, node: str) -> list[Deferred[Any]]:
        """End the lease of a node, and tell all others."""
        lease = (node, 0, milliseconds(REMEMBERED))
        ended = self._scripts.ask(self._redis, "renew", (self._keys.nodes,), lease)
        return [ended, self._redis.ask("PUBLISH", self._keys.gone, node)]

    def nodeEnded(self, node: str) -> None:
        """
        The process of another node has ended: take over its rooms now, and let all other nodes do so.

        If Redis can't be reached, they are told after the next renewal of this node's lease.
        """
        self._endedNodes.add(node)
        self.lease.declareGone(node)
        self._tellEnded()

    def _tellEnded(self) -> None:
        for node in list(self._endedNodes):
            telling = DeferredList(self._endLease(node), fireOnOneErrback=True, consumeErrors=True)
            telling.addCallbacks(lambda _, node=node: self._endedNodes.discard(node), lambda _: None)

    async def stop(self) -> None:
        """Close the connections."""
        if self._watching is not None and self._watching.active():
            self._watching.cancel()
        self.adoption.stop()
        self._waits.stop()
        self.owning.isStopping = True
        self.owning.stay()
        self.lease.stop()
        self._turn.flush()
        self._turn.stop()
        self.peers.stop()
        self.journals.stop()
        self.loseRooms()
        for rooms in self._applications:
            rooms.end()
        await self._channels.stop()

    def wake(self) -> None:
        """There is something to send at the end of the turn. Called for every message."""
        self._turn.wake()

    # -- the lease

    def _lease(self, seconds: float) -> tuple[str, int, int]:
        return self.id, milliseconds(seconds), milliseconds(REMEMBERED)

    async def _renewal(self) -> Renewal:
        began = self._clock.seconds()
        try:
            had, now, leases = await self._scripts.ask(
                self._redis, "renew", (self._keys.nodes,), self._lease(EXPIRY)
            )
        except Exception as error:
            if isOfReplica(error):  # the address may lead to the new primary
                self._channels.reconnect("it has become a replica")
            if answerOf(error) is Answer.STOP and self.lease.stage is not Stage.STARTING:
                self.refused(error)
            raise
        expiries = {
            node.decode(): expiry / 1000 for node, expiry in zip(leases[::2], leases[1::2], strict=True)
        }
        self.journals.renewed(now / 1000, began)
        self._clock.callLater(0, self._refresh)
        return Renewal(bool(had), now / 1000, expiries)

    def _refresh(self) -> None:
        """After a renewal: an error here must not cost the lease."""
        if self.lease.stage is not Stage.STOPPED:
            self.finder.refresh()
            self.stranded.sweep()
            self._tellEnded()
            self._announcing.refresh(self.lease.others)

    def _renew(self) -> Deferred[Renewal]:
        return Deferred.fromCoroutine(self._renewal())

    def mayRenewAgain(self, error: BaseException) -> bool:
        """Return whether a renewal may succeed later; see `LeaseSide`."""
        return isinstance(error, Exception) and answerOf(error) not in (Answer.STOP, Answer.FAILED)

    def verify(self) -> Deferred[None]:
        """The lease had a gap; see `LeaseSide`."""
        self.finder.doubt()
        return self.journals.verify()

    def fresh(self) -> None:
        """The lease is fresh again; see `LeaseSide`."""
        self.finder.republish()
        self.guard.release()
        self.wake()

    def nodeCame(self, node: str) -> None:
        """Another node has come; see `LeaseSide`."""
        self._announcing.read(node)

    def nodeGone(self, node: str) -> None:
        """Another node is gone; see `LeaseSide`."""
        self.peers.gone(node)
        self.finder.index.mayBeOlder(node)
        self.adoption.nodeGone(node)

    # -- the connections

    def connected(self, info: Mapping[str, str], leases: list[Any]) -> None:
        """Commands can be sent; see `ChannelsSide`."""
        for level, text in concerns(info, self._options.isDurable):
            if text not in self._concerns:
                self._concerns.add(text)
                self._log.emit(level, "Redis has {text}", text=text)
        run = runOf(info)
        before, self._redisRun = self._redisRun, run
        isRestarted = run != before
        if isRestarted:
            self.lease.redisRestarted()
            if before:
                self.finder.doubt()
        if self.dataRun is not None:
            run = self.dataRun
        self.dataIdentity = "durable" if self._options.isDurable else run
        if self._options.isRestored:
            self.dataIdentity += ":restored"
            run = f"{run}:{self.id}"
        self.journals.up(run, leases, isRestarted)
        self.peers.resend()
        self.finder.republish()
        self.lease.renewNow()

    def subscribed(self, isAgain: bool) -> None:
        """Messages are received; see `ChannelsSide`."""
        if isAgain:
            self.finder.loadAgain(())

    def packet(self, data: bytes) -> None:
        """Another node has sent a packet. Called for every packet."""
        self.peers.received(data)

    def changed(self, data: bytes) -> None:
        """Listings of another node have changed."""
        self.finder.heard(data)

    def gone(self, node: str) -> None:
        """A node has ended."""
        self.lease.declareGone(node)

    def refused(self, error: Exception) -> None:
        """Redis refuses this node: it can't go on. Only the first time counts."""
        if self._isRefused:
            return
        self._isRefused = True
        self.owning.isStopping = True
        self.adoption.stop()
        self.lease.stop()
        self.journals.stop()
        self.loseRooms()
        self._failed(error)

    # -- rooms

    def strandedRooms(self) -> list[StrandedRoom]:
        """Return the rooms that this node could not open, and that no other node has."""
        return self.stranded.list(lambda room: self._locator.guess(room) is not None)

    def loseRooms(self) -> None:
        """Give up the rooms that are left. They may live on at other nodes."""
        for owned in self.here:
            self.owning.ended(owned.host, isOurs=False)
            owned.host.lost(CloseCode.ENGINE_UNAVAILABLE, "this node stops")

    def _guardedFor(self, outlet: Outlet) -> Outlet:
        guarded = self._guarded.get(outlet)
        if guarded is None:
            guarded = self._guarded[outlet] = self.guard.wrap(outlet)
        return guarded

    def _ended(self, owned: Owned, isOurs: bool) -> None:
        host = owned.host
        if isOurs:
            self.finder.ended(owned.application, host.name, host.id)
        else:
            self.finder.lost(host.id)

    def scheduleFlush(self) -> None:
        """A journal has records; see `JournalsPort`."""
        self._turn.wake()

    def journalEnded(self, journal: RedisJournal, isOurs: bool) -> None:
        """A journal has ended; see `JournalsPort`."""
        self.owning.ended(journal.owner, isOurs)

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused | None] | None:
        """A client of another node joins or resumes; see `PeersSide`."""
        return self.entrance.attachFrom(outlet, arrival)

    def ask(self, room: str, command: Command | NodeCommand, seconds: float) -> Deferred[Any] | None:
        """Another node asks a room; see `PeersSide`."""
        if isinstance(command, CallNode):
            return self.onCall(command.name, command.args)
        if isinstance(command, Take):
            return Deferred.fromCoroutine(self.handingOver.take(room, command.clients))
        return self.entrance.askFrom(room, command, seconds)

    def generationOf(self, room: str) -> int:
        """Return the generation of a room; see `PeersSide`. Called for volatile messages."""
        return self.here.generationOf(room)

    def edgeGone(self, outlet: Outlet, rooms: Iterable[str]) -> None:
        """An edge is lost while clients of it were joining these rooms; see `PeersSide`."""
        for room in rooms:
            host = self.here.host(room)
            if host is not None:
                host.edgeGone(outlet)
