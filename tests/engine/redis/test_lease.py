"""The lease of a node, and what it knows of the others."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis.lease import (
    EXPIRY,
    FRESH,
    GRACE,
    MAX_GONE,
    RENEW,
    IncompatibleNodes,
    Lease,
    NodeState,
    OtherNodes,
    Renewal,
    Stage,
)

OWN, OTHER, THIRD = "1.own", "1.other", "1.third"


class FakeRedis:
    """The leases as Redis has them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.offset = 5000.0
        self.expiries: dict[str, float] = {}
        self.renewals = 0
        #: What happens instead of a renewal.
        self.answer: Deferred[Renewal] | None = None
        self.isDown = False

    @property
    def now(self) -> float:
        return self.clock.seconds() + self.offset

    def lives(self, node: str, seconds: float = EXPIRY) -> None:
        """A node has a lease for so long."""
        self.expiries[node] = self.now + seconds

    def renew(self) -> Deferred[Renewal]:
        self.renewals += 1
        if self.isDown:
            return fail(ConnectionError("down"))
        if self.answer is not None:
            answer, self.answer = self.answer, None
            return answer
        return succeed(self.renewed())

    def renewed(self) -> Renewal:
        had = self.expiries.get(OWN, 0.0) > self.now
        self.lives(OWN)
        return Renewal(had, self.now, dict(self.expiries))


class LeaseCase(SynchronousTestCase):
    """A lease on a fake Redis; this is its node too."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.redis = FakeRedis(self.clock)
        self.lease = Lease(self.clock, OWN, self.redis.renew, self)
        self.events: list[str] = []
        self.verification: Deferred[None] | None = None
        self.addCleanup(lambda: self.assertEqual(len(self.clock.getDelayedCalls()), 0))
        self.addCleanup(self.lease.stop)

    def pending(self) -> Deferred[Renewal]:
        """An answer that has not come."""
        return Deferred()

    def start(self) -> None:
        self.successResultOf(self.lease.start())

    def run_(self, seconds: float, alive: tuple[str, ...] = ()) -> None:
        """Let time pass, in which those nodes renew."""
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            for node in alive:
                self.redis.lives(node)

    # the node

    def verify(self) -> Deferred[None]:
        self.events.append("verify")
        return self.verification or succeed(None)

    def fresh(self) -> None:
        self.events.append("fresh")

    def nodeCame(self, node: str) -> None:
        self.events.append(f"came {node}")

    def nodeGone(self, node: str) -> None:
        self.events.append(f"gone {node}")

    def mayRenewAgain(self, error: BaseException) -> bool:
        return not isinstance(error, ZeroDivisionError)


class OwnLeaseTests(LeaseCase):
    """The states of the own lease."""

    def test_start(self) -> None:
        """It is fresh from the first renewal on, for 7 s after that was asked for."""
        self.redis.answer = Deferred()
        answer, started = self.redis.answer, self.lease.start()
        self.clock.advance(1.5)
        self.assertFalse(self.lease.isFresh)
        answer.callback(self.redis.renewed())
        self.successResultOf(started)
        self.assertTrue(self.lease.isFresh)
        self.assertEqual(self.lease.freshUntil, FRESH)
        self.assertEqual(self.events, [])
        self.assertRaises(RuntimeError, self.lease.start)

    def test_startWaits(self) -> None:
        """If Redis can't give a lease now, it is asked again."""
        self.redis.isDown = True
        started = self.lease.start()
        self.run_(30)
        self.assertNoResult(started)
        self.redis.isDown = False
        self.run_(2)
        self.successResultOf(started)
        self.assertTrue(self.lease.isFresh)

    def test_startStopped(self) -> None:
        """A lease that is stopped before it has started asks no more, and its start never ends."""
        self.redis.isDown = True
        started = self.lease.start()
        self.lease.stop()
        renewals = self.redis.renewals
        self.run_(10)
        self.assertEqual(self.redis.renewals, renewals)
        self.assertNoResult(started)

    def test_raises(self) -> None:
        """`start` fails if it would not help to wait. A function that raises is as one that fails."""
        lease = Lease(self.clock, OWN, lambda: 1 / 0, self)  # type: ignore[arg-type,return-value]
        self.failureResultOf(lease.start(), ZeroDivisionError)

    def test_renewals(self) -> None:
        """It is renewed every 2 s, and stays fresh."""
        self.start()
        since = self.lease.freshSince
        self.run_(20)
        self.assertEqual(self.redis.renewals, 1 + 20 / RENEW)
        self.assertTrue(self.lease.isFresh)
        self.assertEqual(self.lease.freshSince, since)
        self.assertEqual(self.events, [])

    def test_stale(self) -> None:
        """7 s after the last renewal it isn't fresh, though no timer has run: the process was suspended."""
        self.start()
        self.clock.rightNow += FRESH - 0.001
        self.assertTrue(self.lease.isFresh)
        self.clock.rightNow += 0.001
        self.assertFalse(self.lease.isFresh)

    def test_verified(self) -> None:
        """After a gap the rooms are verified before the lease is fresh again."""
        self.start()
        self.verification = Deferred()
        self.clock.advance(15)
        self.assertEqual((self.events, self.lease.isFresh), (["verify"], False))
        self.assertIs(self.lease.stage, Stage.VERIFYING)
        self.run_(3)
        self.assertEqual((self.events, self.lease.isFresh), (["verify"], False))
        self.verification.callback(None)
        self.assertEqual((self.events, self.lease.isFresh), (["verify", "fresh"], True))
        self.assertEqual(self.lease.freshSince, 18.0)

    def test_forgotten(self) -> None:
        """If Redis has lost the lease, the rooms are verified, though the lease was renewed in time."""
        self.start()
        self.redis.expiries.clear()
        self.run_(2)
        self.assertEqual(self.events, ["verify", "fresh"])
        self.run_(10)
        self.assertEqual(self.events, ["verify", "fresh"])

    def test_secondGap(self) -> None:
        """A verification doesn't count if there was another gap meanwhile."""
        self.start()
        first = self.verification = Deferred()
        self.clock.advance(15)
        second = self.verification = Deferred()
        self.clock.advance(15)
        first.callback(None)
        self.assertFalse(self.lease.isFresh)
        second.callback(None)
        self.assertEqual(self.events, ["verify", "verify", "fresh"])

    def test_lateVerification(self) -> None:
        """A verification that ends when the lease has lapsed again makes nothing fresh."""
        self.start()
        self.verification = Deferred()
        self.clock.advance(15)
        self.redis.isDown = True
        self.run_(8)
        self.verification.callback(None)
        self.assertFalse(self.lease.isFresh)
        self.assertEqual(self.events, ["verify"])
        self.verification = None
        self.redis.isDown = False
        self.run_(3)
        self.assertEqual(self.events, ["verify", "verify", "fresh"])
        self.assertTrue(self.lease.isFresh)

    def test_verificationFails(self) -> None:
        """If the rooms can't be verified, that is done again after the next renewal."""
        self.start()
        self.verification = fail(ValueError("why"))
        self.clock.advance(15)
        self.flushLoggedErrors(ValueError)
        self.assertFalse(self.lease.isFresh)
        self.verification = None
        self.run_(2)
        self.assertEqual(self.events, ["verify", "verify", "fresh"])

    def test_mistakes(self) -> None:
        """Exceptions of the node don't end the renewals."""
        self.redis.lives(OTHER)
        self.verify = self.fresh = self.nodeCame = self.nodeGone = lambda *node: 1 // 0  # type: ignore[assignment]
        self.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(15)
        self.run_(4)
        self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(self.lease.isFresh)
        del self.verify, self.fresh
        self.run_(4)
        self.assertTrue(self.lease.isFresh)
        self.run_(20)
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertTrue(self.lease.isFresh)

    def test_suspended(self) -> None:
        """If the machine was suspended, and its clock with it, the rooms are verified."""
        self.start()
        self.redis.offset += 15
        self.redis.lives(OWN)
        self.run_(2)
        self.assertEqual(self.events, ["verify", "fresh"])

    def test_failures(self) -> None:
        """Renewals that fail are repeated, and logged; a short outage costs nothing."""
        self.start()
        self.redis.isDown = True
        self.run_(5)
        self.redis.isDown = False
        self.run_(2)
        self.assertTrue(self.lease.isFresh)
        self.assertEqual(self.events, [])

    def test_slow(self) -> None:
        """Only one renewal is under way; the next one comes at once if it took long."""
        self.start()
        answer = self.redis.answer = self.pending()
        self.clock.advance(2)
        self.clock.advance(4)
        self.lease.renewNow()
        self.assertEqual(self.redis.renewals, 2)
        answer.callback(self.redis.renewed())
        self.assertEqual(self.lease.freshUntil, 2 + FRESH)
        self.clock.advance(0)
        self.assertEqual(self.redis.renewals, 3)
        self.assertEqual(self.lease.freshUntil, 6 + FRESH)

    def test_renewNow(self) -> None:
        """The node may renew at once, when Redis can be reached again. That doesn't add a second timer."""
        self.lease.renewNow()
        self.assertEqual(self.redis.renewals, 0)
        self.start()
        self.clock.advance(1)
        self.lease.renewNow()
        self.assertEqual(self.redis.renewals, 2)
        self.run_(4)
        self.assertEqual(self.redis.renewals, 4)

    def test_stop(self) -> None:
        """After `stop` it isn't fresh, and answers count no more."""
        self.start()
        answer = self.redis.answer = self.pending()
        self.clock.advance(2)
        self.lease.stop()
        self.assertFalse(self.lease.isFresh)
        answer.callback(self.redis.renewed())
        self.lease.renewNow()
        self.assertFalse(self.lease.isFresh)

    def test_stopWhileFailing(self) -> None:
        """A renewal that fails after `stop` isn't repeated."""
        self.start()
        answer = self.redis.answer = self.pending()
        self.clock.advance(2)
        self.lease.stop()
        answer.errback(ConnectionError())
        self.run_(5)
        self.assertEqual(self.redis.renewals, 2)

    def test_now(self) -> None:
        """It knows the time of Redis."""
        self.assertIsNone(self.lease.now())
        self.start()
        self.clock.advance(1.25)
        self.assertEqual(self.lease.now(), 5001.25)


class VersionTests(LeaseCase):
    """Nodes of versions that can't work together."""

    def test_refused(self) -> None:
        """A node refuses to start beside one of a version that is no neighbour, and says what to do."""
        self.redis.lives("3.new")
        error = self.failureResultOf(self.lease.start(), IncompatibleNodes).value
        self.assertIn("the node 3.new has version 3", str(error))
        self.assertNotIn("\n", str(error))
        self.assertIs(self.lease.stage, Stage.STOPPED)

    def test_neighbour(self) -> None:
        """Neighbours work together."""
        self.redis.lives("2.new")
        self.start()

    def test_expired(self) -> None:
        """A node that has stopped doesn't matter."""
        self.redis.lives("3.new", 0)
        self.start()


class OtherNodesTests(LeaseCase):
    """What the node knows of others."""

    def test_alive(self) -> None:
        """A node with a lease is alive."""
        self.redis.lives(OTHER)
        self.start()
        self.assertEqual(self.events, [f"came {OTHER}"])
        self.assertEqual(self.lease.others, (OTHER,))
        self.run_(30, (OTHER,))
        self.assertEqual(self.events, [f"came {OTHER}"])
        self.assertIs(self.lease.stateOf(OTHER), NodeState.ALIVE)
        self.assertIs(self.lease.stateOf(OWN), NodeState.ALIVE)

    def test_expires(self) -> None:
        """A node is gone when its lease has expired, which others see within 12 s after its last renewal."""
        self.redis.lives(OTHER)
        self.start()
        self.run_(9.5)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.ALIVE)
        self.run_(2.5)
        self.assertEqual(self.events, [f"came {OTHER}", f"gone {OTHER}"])
        self.assertIs(self.lease.stateOf(OTHER), NodeState.GONE)
        self.run_(20)
        self.assertEqual(len(self.events), 2)

    def test_back(self) -> None:
        """A node that renews after it had expired is back."""
        self.redis.lives(OTHER)
        self.start()
        self.run_(12)
        self.redis.lives(OTHER)
        self.run_(2)
        self.assertEqual(self.events[-1], f"came {OTHER}")
        self.assertIs(self.lease.stateOf(OTHER), NodeState.ALIVE)

    def test_tombstone(self) -> None:
        """A node that had expired before this one started is gone after the grace."""
        self.redis.lives(OTHER, -30)
        self.start()
        self.assertIs(self.lease.stateOf(OTHER), NodeState.WAITED)
        self.run_(GRACE)
        self.assertEqual(self.events, [f"gone {OTHER}"])

    def test_unknown(self) -> None:
        """A node that Redis doesn't know is waited for, for 10 s."""
        self.start()
        self.run_(6)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.WAITED)
        self.run_(9.5)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.WAITED)
        self.run_(2.5)
        self.assertEqual(self.events, [f"gone {OTHER}"])
        self.assertIs(self.lease.stateOf(OTHER), NodeState.GONE)

    def test_absent(self) -> None:
        """Absent is not dead: after Redis has lost its data, nodes come back one after another."""
        self.redis.lives(OTHER)
        self.redis.lives(THIRD)
        self.start()
        self.redis.expiries.clear()
        self.run_(4)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.WAITED)
        self.run_(4, (OTHER,))
        self.assertIs(self.lease.stateOf(OTHER), NodeState.ALIVE)
        self.assertIs(self.lease.stateOf(THIRD), NodeState.WAITED)
        self.run_(5, (OTHER,))
        self.assertEqual([event for event in self.events if "gone" in event], [f"gone {THIRD}"])

    def test_outage(self) -> None:
        """After an outage of Redis, nobody is gone who renews within the grace."""
        self.redis.lives(OTHER)
        self.start()
        self.redis.isDown = True
        self.run_(15)
        self.redis.isDown = False
        self.run_(2)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.WAITED)
        self.run_(10, (OTHER,))
        self.assertIs(self.lease.stateOf(OTHER), NodeState.ALIVE)
        self.assertNotIn(f"gone {OTHER}", self.events)

    def test_outageEnds(self) -> None:
        """Who doesn't renew within the grace is gone."""
        self.redis.lives(OTHER)
        self.start()
        self.redis.isDown = True
        self.run_(8)
        self.redis.isDown = False
        self.run_(2 + EXPIRY + 2)
        self.assertIn(f"gone {OTHER}", self.events)

    def test_forgotten(self) -> None:
        """
        If Redis has forgotten this node's lease, it has older data, in which those of others have expired.
        """
        self.redis.lives(OTHER)
        self.start()
        self.run_(20, (OTHER,))
        self.redis.expiries[OWN] = self.redis.now - 20
        self.redis.expiries[OTHER] = self.redis.now - 20
        self.run_(2)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.WAITED)
        self.run_(5)
        self.run_(5, (OTHER,))
        self.assertNotIn(f"gone {OTHER}", self.events)

    def test_restarted(self) -> None:
        """If Redis was started again, the others get time to renew, though this node was first."""
        self.redis.lives(OTHER)
        self.lease.redisRestarted()
        self.start()
        self.run_(20, (OTHER,))
        self.redis.expiries[OTHER] = self.redis.now - 20
        self.lease.redisRestarted()
        self.run_(8)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.WAITED)
        self.run_(5)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.GONE)

    def test_clockForward(self) -> None:
        """If the clock of Redis jumps forward, all leases have expired, and nobody is gone."""
        self.redis.lives(OTHER)
        self.start()
        self.run_(3, (OTHER,))
        self.redis.offset += 3600
        self.clock.advance(1)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.WAITED)
        self.run_(20, (OTHER,))
        self.assertNotIn(f"gone {OTHER}", self.events)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.ALIVE)

    def test_clockBack(self) -> None:
        """If it jumps back, all leases are an hour ahead. A node that doesn't renew is gone after 10 s."""
        self.redis.lives(OTHER)
        self.redis.lives(THIRD)
        self.start()
        self.redis.offset -= 3600
        self.run_(9, (OTHER,))
        self.assertIs(self.lease.stateOf(THIRD), NodeState.ALIVE)
        self.run_(3, (OTHER,))
        self.assertIs(self.lease.stateOf(THIRD), NodeState.GONE)
        self.run_(20, (OTHER,))
        self.assertEqual([event for event in self.events if "gone" in event], [f"gone {THIRD}"])

    def test_declared(self) -> None:
        """Somebody who knows it says that a node has ended: it is gone at once, and once."""
        self.redis.lives(OTHER)
        self.start()
        self.lease.declareGone(OTHER)
        self.redis.lives(OTHER, 0)  # the tombstone
        self.run_(5)
        self.lease.declareGone(OTHER)
        self.lease.declareGone(OWN)
        self.assertEqual(self.events, [f"came {OTHER}", f"gone {OTHER}"])

    def test_declaredForGood(self) -> None:
        """
        A node that is said to have ended never comes back, since each start has an id of its own. Redis may
        still show a lease of it: an answer was on its way, or Redis was started again with its data.
        """
        self.redis.lives(OTHER)
        self.start()
        answer = self.redis.answer = self.pending()
        self.clock.advance(RENEW)
        self.redis.lives(OTHER)  # its last renewal, which this node has not seen
        late = self.redis.renewed()
        self.lease.declareGone(OTHER)
        answer.callback(late)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.GONE)
        self.lease.redisRestarted()
        self.run_(2 * EXPIRY)
        self.assertIs(self.lease.stateOf(OTHER), NodeState.GONE)
        self.assertEqual(self.events, [f"came {OTHER}", f"gone {OTHER}"])

    def test_declaredLater(self) -> None:
        """A node whose lease has expired is back when it renews, but not after it is said to have ended."""
        self.redis.lives(OTHER)
        self.start()
        self.run_(12)
        self.lease.declareGone(OTHER)
        self.run_(2, (OTHER,))
        self.assertEqual(self.events, [f"came {OTHER}", f"gone {OTHER}"])

    def test_memory(self) -> None:
        """The nodes that are gone are remembered, but not all of them for ever."""
        nodes = OtherNodes(OWN)
        for number in range(2 * MAX_GONE):
            nodes.declareGone(f"1.{number}")
        self.assertEqual(len(nodes._gone), MAX_GONE)
        self.assertIs(nodes.stateOf(f"1.{2 * MAX_GONE - 1}", 0), NodeState.GONE)
