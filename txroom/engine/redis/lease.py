"""
The lease of a node, and what this node knows of the leases of the others.

Each node renews its lease in Redis every `RENEW` seconds. A lease expires `EXPIRY` seconds after its last
renewal, by Redis's clock, and then other nodes may take the rooms of its node. A node counts its lease as
fresh for only `FRESH` seconds after it *asked* for a renewal that succeeded, by its own clock. So it falls
silent before any other node takes its rooms. The lease only decides when another node may try to take a room.
Which node has it, the token of the room decides.

The states of the own lease:

=========  ========================================  =========  ==============================================
state      event                                     next       what the lease does
=========  ========================================  =========  ==============================================
STARTING   renewed; other versions are neighbours    FRESH      `start` fires
STARTING   renewed; another version is none          STOPPED    `start` fails
STARTING   not renewed; it will not help to wait     STOPPED    `start` fails
FRESH      renewed in time, and Redis had the lease  FRESH      is fresh for `FRESH` seconds more
FRESH      renewed late, or Redis hadn't the lease   VERIFYING  isn't fresh; asks the node to verify its rooms
VERIFYING  renewed in time, and Redis had the lease  VERIFYING
VERIFYING  renewed late, or Redis hadn't the lease   VERIFYING  asks the node to verify its rooms again
VERIFYING  the rooms are verified                    FRESH      is fresh since then; tells the node
any        `stop`                                    STOPPED    isn't fresh, and renews no more
=========  ========================================  =========  ==============================================

In the state FRESH a lease is no longer fresh when its time is over; nothing needs to happen for that.

**Other nodes** (`NodeState`). A node is ALIVE while its lease has not expired, and GONE when it has. It is
GONE for good when somebody says that it has ended: each start has an id of its own, so whatever Redis still
shows of its lease is old. Four things look like an expired lease, and are not, so the node is WAITED for:

- Absent is not dead. If Redis has lost its data, no node is known until each has renewed.
- If this node could not reach Redis for a while, perhaps no node could. The others get `GRACE` seconds to
  renew.
- If Redis was started again, or has forgotten this node's lease, it may have lost those of others too. They
  get `EXPIRY` seconds.
- Redis's own clock may jump. All leases then seem to have expired, or to be valid for an hour. Each counts
  for `EXPIRY` seconds from when it was first seen, by this node's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .node import versionOf
from .packets import VERSION, isNeighbour

#: The seconds between renewals, until a lease expires, and for how long it is fresh after a renewal.
RENEW = 2.0
EXPIRY = 10.0
FRESH = 7.0
#: For so many seconds after this node has reached Redis again, no other node is gone because it didn't renew.
GRACE = 4.0
#: Redis's clock has jumped if it is off by more seconds than this.
JUMP = 3.0
#: The most nodes that are gone and remembered.
MAX_GONE = 1000


class IncompatibleNodes(Exception):
    """This node can't start, because another one has a version that it can't work with."""


class Renewal(NamedTuple):
    """The answer of Redis to a renewal."""

    #: Whether Redis had the lease, and it had not expired.
    had: bool
    #: The time by Redis's clock, in seconds.
    now: float
    #: When the leases of all nodes expire or have expired, in seconds of Redis's clock.
    expiries: Mapping[str, float]


class LeaseSide(Protocol):
    """The node, as its lease uses it."""

    def verify(self) -> Deferred[None]:
        """The lease had a gap. Find out which rooms this node still has; fires when all are known."""

    def fresh(self) -> None:
        """The lease is fresh again after a gap, and the rooms are verified."""

    def nodeCame(self, node: str) -> None:
        """Another node has started, or is back."""

    def nodeGone(self, node: str) -> None:
        """Another node is gone; its rooms may be taken over."""

    def mayRenewAgain(self, error: BaseException) -> bool:
        """Return whether a renewal may succeed later that has failed with this error."""


class Stage(Enum):
    """The states of the own lease."""

    STARTING = auto()
    FRESH = auto()
    VERIFYING = auto()
    STOPPED = auto()


class NodeState(Enum):
    """The states of another node."""

    ALIVE = auto()
    #: It may be gone, or not; that is known within `EXPIRY` seconds.
    WAITED = auto()
    GONE = auto()


class _Seen:
    """The lease of another node."""

    __slots__ = ("expiry", "since", "state")

    def __init__(self, expiry: float | None, since: float) -> None:
        #: When it expires, by Redis's clock; `None`: Redis doesn't have it.
        self.expiry = expiry
        #: When this expiry was first seen, by this node's clock.
        self.since = since
        self.state = NodeState.WAITED


class OtherNodes:
    """What this node knows of the leases of the others."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._seen: dict[str, _Seen] = {}
        self._gone: dict[str, float | None] = {}
        #: Those of them that are known to have ended.
        self._ended: set[str] = set()
        #: Until then, by this node's clock, no node is gone because of its lease.
        self._doubtUntil = 0.0

    def stateOf(self, node: str, now: float) -> NodeState:
        """Return the state of another node. One that was never seen is waited for from now on."""
        seen = self._seen.get(node)
        if seen is not None:
            return seen.state
        if node in self._gone:
            return NodeState.GONE
        self._seen[node] = _Seen(None, now)
        return NodeState.WAITED

    @property
    def alive(self) -> tuple[str, ...]:
        """The nodes that are alive."""
        return tuple(node for node, seen in self._seen.items() if seen.state is NodeState.ALIVE)

    def doubt(self, until: float) -> None:
        """Until then, no node is gone because of its lease."""
        self._doubtUntil = max(self._doubtUntil, until)

    def declareGone(self, node: str) -> bool:
        """Somebody knows that a node has ended. Returns whether that is news."""
        self._seen.pop(node, None)
        isNews = node not in self._gone
        self._remember(node, None)
        self._ended.add(node)
        return isNews

    def renewed(self, renewal: Renewal, now: float) -> tuple[list[str], list[str]]:
        """Return the nodes that have come, and those that are gone, since the last renewal."""
        for node, expiry in renewal.expiries.items():
            seen = self._seen.get(node)
            if node == self._node or (node in self._gone and self._isOldNews(node, expiry, renewal.now)):
                continue
            if seen is None or seen.expiry != expiry:
                self._seen[node] = new = _Seen(expiry, now)
                new.state = NodeState.WAITED if seen is None else seen.state
        came, gone = [], []
        for node, seen in list(self._seen.items()):
            if seen.expiry is not None and node not in renewal.expiries:
                seen.expiry, seen.since = None, now
            before, seen.state = seen.state, self._judge(seen, renewal.now, now)
            if seen.state is NodeState.GONE:
                gone.append(node)
                del self._seen[node]
                self._remember(node, seen.expiry)
            elif seen.state is NodeState.ALIVE and before is not NodeState.ALIVE:
                came.append(node)
                self._gone.pop(node, None)
        return came, gone

    def _isOldNews(self, node: str, expiry: float, redisNow: float) -> bool:
        return node in self._ended or expiry <= redisNow or expiry == self._gone[node]

    def _judge(self, seen: _Seen, redisNow: float, now: float) -> NodeState:
        isExpired = seen.expiry is not None and seen.expiry <= redisNow
        if now >= self._doubtUntil and (isExpired or now - seen.since >= EXPIRY):
            return NodeState.GONE
        return NodeState.WAITED if isExpired or seen.expiry is None else NodeState.ALIVE

    def _remember(self, node: str, expiry: float | None) -> None:
        self._gone.pop(node, None)
        self._gone[node] = expiry
        while len(self._gone) > MAX_GONE:
            oldest = next(iter(self._gone))
            del self._gone[oldest]
            self._ended.discard(oldest)


class Lease:
    """
    The lease of this node; see the module.

    Args:
        clock: The clock; it must not jump.
        node: The id of this node.
        renew: Renews the lease for `EXPIRY` seconds. Its Deferred fails if that is not certain.
        side: The node.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, node: str, renew: Callable[[], Deferred[Renewal]], side: LeaseSide
    ) -> None:
        self._clock = clock
        self._node = node
        self._renew = renew
        self._side = side
        self._nodes = OtherNodes(node)
        self._timer: IDelayedCall | None = None
        self._isAsking = False
        #: The number of gaps; a verification counts if there was none since it began.
        self._gaps = 0
        #: Until when the newest renewal counts. The lease is fresh until then, unless it is VERIFYING.
        self._renewedUntil = float("-inf")
        self._lastSuccess: float | None = None
        self._started: Deferred[None] | None = None
        self._offset: float | None = None
        self.stage = Stage.STARTING
        #: Until when the lease is fresh. It is in the past while it isn't.
        self.freshUntil = float("-inf")
        #: Since when the lease has been fresh without a gap.
        self.freshSince = float("inf")

    @property
    def isFresh(self) -> bool:
        """Whether the lease is fresh, so that this node may send what its rooms emit."""
        return self._clock.seconds() < self.freshUntil

    @property
    def others(self) -> tuple[str, ...]:
        """The ids of the other nodes that are alive."""
        return self._nodes.alive

    def now(self) -> float | None:
        """Return the time by Redis's clock, in seconds; `None` before the first renewal."""
        return None if self._offset is None else self._clock.seconds() + self._offset

    def stateOf(self, node: str) -> NodeState:
        """Return the state of a node."""
        if node == self._node:
            return NodeState.ALIVE
        return self._nodes.stateOf(node, self._clock.seconds())

    def declareGone(self, node: str) -> None:
        """Somebody who knows it says that a node has ended."""
        if node != self._node and self._nodes.declareGone(node):
            self._side.nodeGone(node)

    def redisRestarted(self) -> None:
        """Redis was started again, and may have lost renewals: give the other nodes time to renew."""
        if self._lastSuccess is not None:
            self._nodes.doubt(self._clock.seconds() + EXPIRY)

    def start(self) -> Deferred[None]:
        """
        Get the lease, and renew it until `stop`. It is asked for again if Redis can't give it now.

        Raises:
            IncompatibleNodes: A node in the cluster has a version that can't work with this one.
        """
        if self.stage is not Stage.STARTING or self._started is not None:
            raise RuntimeError("a lease can be started once")
        started = self._started = Deferred()
        self._ask()
        return started

    def stop(self) -> None:
        """Renew no more. If `start` has not ended, it never does."""
        self.stage = Stage.STOPPED
        self.freshUntil = float("-inf")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def renewNow(self) -> None:
        """Renew at once, since Redis can be reached again."""
        if self.stage not in (Stage.STARTING, Stage.STOPPED) and not self._isAsking:
            self._ask()

    # -- renewals

    def _ask(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._isAsking = True
        began = self._clock.seconds()
        asked = maybeDeferred(self._renew)
        asked.addCallbacks(self._renewed, self._failed, callbackArgs=(began,), errbackArgs=(began,))
        asked.addErrback(lambda failure: self._log.failure("a renewal has failed", failure))

    def _next(self, began: float) -> None:
        """Ask for the next renewal `RENEW` seconds after this one, at once if it took longer."""
        if self.stage is not Stage.STOPPED:
            delay = max(0.0, began + RENEW - self._clock.seconds())
            self._timer = self._clock.callLater(delay, self._again)

    def _again(self) -> None:
        self._timer = None
        self._ask()

    def _failed(self, failure: Failure, began: float) -> None:
        self._isAsking = False
        if self.stage is Stage.STOPPED:
            return
        error = failure.value
        if self.stage is Stage.STARTING and (error is None or not self._side.mayRenewAgain(error)):
            self._startFailed(failure)
            return
        reason = failure.getErrorMessage()
        self._log.warn("the lease of this node could not be renewed: {reason}", reason=reason)
        # Not at once: a renewal that fails in no time would be asked for again and again.
        delay = max(RENEW / 4, began + RENEW - self._clock.seconds())
        self._timer = self._clock.callLater(delay, self._again)

    def _startFailed(self, failure: Failure) -> None:
        started, self._started = self._started, None
        self.stop()
        if started is not None:
            started.errback(failure)

    def _renewed(self, renewal: Renewal, began: float) -> None:
        self._isAsking = False
        if self.stage is Stage.STOPPED:
            return
        now = self._clock.seconds()
        isAhead = self._watchClock(renewal.now, began, now)
        if self._lastSuccess is None or now - self._lastSuccess > RENEW + GRACE / 2:
            self._nodes.doubt(now + GRACE)
        if not renewal.had and self._lastSuccess is not None:
            self._nodes.doubt(now + EXPIRY)  # Redis has forgotten leases, perhaps those of others too
        self._lastSuccess = now
        isInTime = renewal.had and now < self._renewedUntil and not isAhead
        self._renewedUntil = began + FRESH
        came, gone = self._nodes.renewed(renewal, now)
        if self.stage is Stage.STARTING:
            self._begin(began)
        else:
            self._next(began)
            if not isInTime:
                self._verify()
            elif self.stage is Stage.FRESH:
                self.freshUntil = self._renewedUntil
        for node in came:
            self._tell(self._side.nodeCame, node)
        for node in gone:
            self._tell(self._side.nodeGone, node)

    def _begin(self, began: float) -> None:
        """The node has its first lease."""
        try:
            self._checkVersions()
        except IncompatibleNodes:
            self._startFailed(Failure())
            return
        self.stage = Stage.FRESH
        self._becomeFresh()
        self._next(began)
        started, self._started = self._started, None
        if started is not None:
            started.callback(None)

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        """Tell the node something. Its mistakes must not end the renewals."""
        try:
            callback(*args)
        except Exception:
            self._log.failure("an event of the lease could not be handled")

    def _watchClock(self, redisNow: float, began: float, now: float) -> bool:
        """
        Find out whether Redis's clock has jumped against ours; return whether it is ahead.

        Then this machine may have been suspended, and its clock with it.
        """
        before, self._offset = self._offset, redisNow - now
        if before is None:
            return False
        earliest, latest = began + before - JUMP, now + before + JUMP
        if earliest <= redisNow <= latest:
            return False
        jump = redisNow - (now + before)
        self._log.warn("the clock of Redis has jumped by {jump:.1f} seconds", jump=jump)
        self._nodes.doubt(now + EXPIRY)
        return redisNow > latest

    def _checkVersions(self) -> None:
        for node in self._nodes.alive:
            version = versionOf(node)
            if not isNeighbour(version):
                raise IncompatibleNodes(
                    f"this node has version {VERSION} of the cluster's data, but the node {node} has "
                    f"version {version}: only nodes of neighbouring versions can work together. "
                    f"Update one version at a time, or stop all nodes first"
                )

    def _verify(self) -> None:
        """There was a gap: the node must find out which rooms it still has."""
        self.stage = Stage.VERIFYING
        self.freshUntil = float("-inf")
        self.freshSince = float("inf")
        self._gaps += 1
        gap = self._gaps
        self._log.info("the lease of this node had lapsed: its rooms are verified")

        def done(result: object) -> None:
            if self.stage is not Stage.VERIFYING or self._gaps != gap:
                return
            if isinstance(result, Failure):
                self._log.failure("the rooms could not be verified", result)
                self._renewedUntil = float("-inf")  # they are verified again after the next renewal
            else:
                self.stage = Stage.FRESH
                self._becomeFresh()
                if self.isFresh:
                    self._tell(self._side.fresh)

        maybeDeferred(self._side.verify).addBoth(done)

    def _becomeFresh(self) -> None:
        self.freshUntil = self._renewedUntil
        self.freshSince = self._clock.seconds()
