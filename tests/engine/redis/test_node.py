"""Ids of nodes, and the guard of their outlets."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.redis.mesh import Always, FakeEdge, messageOf
from txroom.core.codes import CloseCode
from txroom.engine.redis.node import Guard, newNode, versionOf
from txroom.engine.redis.packets import VERSION


class NodeIdTests(SynchronousTestCase):
    """`newNode`, `versionOf`."""

    def test_random(self) -> None:
        """Each start gives another id. Two nodes with one id would take each other's packets."""
        self.assertEqual(len({newNode() for _ in range(100)}), 100)

    def test_version(self) -> None:
        """The id announces the version."""
        self.assertEqual(versionOf(newNode()), VERSION)
        self.assertEqual(versionOf("12.abc"), 12)
        for node in ("", "abc", "x.y", "1", ".a", "-1.a", "1.5", "²."):
            self.assertIn(versionOf(node), (0, 1), node)
        self.assertEqual(versionOf("noVersion"), 0)


class GuardTests(SynchronousTestCase):
    """`Guard` and `GuardedOutlet`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lease = Always()
        self.guard = Guard(self.clock, self.lease)
        self.edge = FakeEdge()
        self.outlet = self.guard.wrap(self.edge)

    def stale(self) -> None:
        self.lease.freshUntil = self.clock.seconds()

    def fresh(self) -> None:
        self.lease.freshUntil = float("inf")
        self.guard.release()

    def offsets(self) -> list[int | None]:
        return [item.offset for item, _ in self.edge.delivered]  # type: ignore[attr-defined]

    def test_fresh(self) -> None:
        """While the lease is fresh, everything passes at once."""
        self.outlet.deliver(messageOf(1), ("l",))
        self.outlet.deliver(messageOf(None), ("l",))
        self.outlet.detach(("l",), 4003, "kicked")
        self.assertEqual(self.offsets(), [1, None])
        self.assertEqual(self.edge.detached, [(("l",), 4003, "kicked")])

    def test_stale(self) -> None:
        """The moment at which it isn't fresh any more, volatile items are dropped, and others are held."""
        self.lease.freshUntil = 7.0
        self.clock.advance(6.999)
        self.outlet.deliver(messageOf(1), ("l",))
        self.clock.advance(0.001)
        self.outlet.deliver(messageOf(2), ("l",))
        self.outlet.deliver(messageOf(None), ("l",))
        self.assertEqual(self.offsets(), [1])
        self.assertEqual(self.guard.dropped, 1)

    def test_release(self) -> None:
        """What was held leaves in order, and before what comes later."""
        self.stale()
        self.outlet.deliver(messageOf(1), ("l",))
        self.lease.freshUntil = float("inf")
        self.outlet.deliver(messageOf(2), ("l",))  # the rooms aren't released yet
        self.guard.release()
        self.outlet.deliver(messageOf(3), ("l",))
        self.assertEqual(self.offsets(), [1, 2, 3])
        self.guard.release()
        self.assertEqual(self.offsets(), [1, 2, 3])

    def test_end(self) -> None:
        """An end keeps its place behind what is held for the links."""
        self.stale()
        self.outlet.deliver(messageOf(1), ("l",))
        self.outlet.detach(("l",), CloseCode.KICKED, "why")
        self.assertEqual(self.edge.detached, [])
        self.fresh()
        self.assertEqual((self.offsets(), self.edge.detached), ([1], [(("l",), 4003, "why")]))

    def test_moved(self) -> None:
        """
        If the room has another owner, its links end at once, and nothing of what was held for them leaves.
        """
        self.stale()
        self.outlet.deliver(messageOf(1), ("l", "m"))
        self.outlet.deliver(messageOf(2), ("l",))
        self.outlet.detach(("l",), CloseCode.ROOM_MOVED)
        self.assertEqual(self.edge.detached, [(("l",), 4101, "")])
        self.fresh()
        self.assertEqual(self.edge.delivered, [(messageOf(1), ("m",))])

    def test_endWhileStale(self) -> None:
        """An end that nothing waits before is passed on; it is committed already."""
        self.stale()
        self.outlet.detach(("l",), CloseCode.KICKED)
        self.assertEqual(len(self.edge.detached), 1)
