"""Tests for the calls that simulate slow links."""

from __future__ import annotations

from typing import Any

from tests.admin.builtin.case import READER, CallsTestCase
from txroom.service.operating.simulations import MOST_SINGLE


class SimulateTests(CallsTestCase):
    """Connections to two servers."""

    def setUp(self) -> None:
        super().setUp()
        self.first, self.second = self.startPair()

    def listed(self, node: Any = None) -> list[tuple[Any, ...]]:
        """The simulations, without the seconds that are left."""
        found = self.call("simulate.list", caller=READER)
        self.assertEqual(found["unanswered"], [])
        return [
            (each["connection"], each["latency"], each["jitter"], each["loss"])
            for each in found["simulations"]
            if node is None or each["node"] == self.nodeId(node)
        ]

    def rtts(self, joined: Any) -> float:
        """For how long an answer takes."""
        self.clock.advance(2)  # so that what was said before has arrived everywhere
        begun = self.clock.seconds()
        said: list[float] = []
        joined.room.on("said", lambda *_: said.append(self.clock.seconds() - begun))
        joined.send("say", 1)
        for _ in range(300):
            if said:
                break
            self.clock.advance(0.01)
        return said[0]

    def test_one(self) -> None:
        """One connection of another server, for a time, with what it is told."""
        slow, quick = self.second.join(), self.second.join()
        (id, _) = (each.id for each in self.second.harness.server.connections)
        begun = self.clock.seconds()
        done = self.call("simulate.set", connection=id, latency=1000, seconds=60)
        self.assertEqual(done, {"connections": 1, "unanswered": []})
        self.assertEqual(self.listed(self.second), [(id, 1000.0, 0.0, 0.0)])
        self.assertEqual(self.listed(self.first), [])
        self.assertGreaterEqual(self.rtts(slow), 1.0)
        self.assertLess(self.rtts(quick), 0.5)
        self.clock.advance(60 - (self.clock.seconds() - begun))
        self.assertEqual(self.listed(), [])
        self.assertLess(self.rtts(slow), 0.5)

    def test_all(self) -> None:
        """All connections, those too that come later; one of its own goes before; all end together."""
        one = self.first.join()
        done = self.call("simulate.set", latency=600, jitter=10, loss=0.0)
        self.assertEqual(done, {"connections": 1, "unanswered": []})
        joining = self.second.joining("chat")
        self.clock.advance(5)
        (later,) = joining
        self.assertGreaterEqual(self.rtts(one), 0.6)
        self.assertGreaterEqual(self.rtts(later), 0.6)
        (id,) = (each.id for each in self.first.harness.server.connections)
        self.call("simulate.set", connection=id, latency=0)
        self.assertEqual(len(self.listed()), 3)
        self.assertEqual(self.listed(self.first), [("", 600.0, 10.0, 0.0), (id, 0.0, 0.0, 0.0)])
        self.assertLess(self.rtts(one), 0.6)
        self.assertEqual(self.call("simulate.clear", connection=id)["connections"], 1)
        self.assertGreaterEqual(self.rtts(one), 0.6)
        self.assertEqual(self.call("simulate.clear", connection=id)["connections"], 0)
        self.call("simulate.set", connection=id, latency=0)
        self.assertEqual(self.call("simulate.clear")["connections"], 2)
        self.assertEqual(self.listed(), [])
        self.assertLess(max(self.rtts(one), self.rtts(later)), 0.6)

    def test_end(self) -> None:
        """It ends by itself after ten minutes, with the connection, and with the server."""
        joined = self.first.join()
        self.call("simulate.set")
        self.assertEqual(len(self.listed()), 2)
        self.clock.advance(601)
        self.assertEqual(self.listed(), [])
        (id,) = (each.id for each in self.first.harness.server.connections)
        self.call("simulate.set", connection=id)
        joined.client.drop()
        self.settle()
        self.assertEqual(self.listed(), [])
        self.call("simulate.set")
        self.second.stop()
        self.settle()
        self.assertEqual(len(self.listed()), 1)

    def test_refused(self) -> None:
        """Those who may only read, unknown connections, wrong values, and too many single ones."""
        self.first.join()
        (id,) = (each.id for each in self.first.harness.server.connections)
        self.assertEqual(self.call("simulate.set", caller=READER), ("forbidden", ""))
        self.assertEqual(self.call("simulate.clear", caller=READER), ("forbidden", ""))
        self.assertEqual(self.call("simulate.set", connection="nix"), ("noSuchConnection", ""))
        self.assertEqual(self.call("simulate.clear", connection="nix"), ("noSuchConnection", ""))
        for wrong in ({"latency": -1}, {"loss": 0.6}, {"jitter": 1e9}, {"seconds": 601}, {"seconds": 0}):
            (field,) = wrong
            self.assertEqual(self.call("simulate.set", connection=id, **wrong), ("badRequest", field))
        server = self.first.harness.server
        simulations = server.operations.simulations
        for _ in range(MOST_SINGLE):
            self.first.client().listen()
        self.settle()
        for each in server.connections[1 : MOST_SINGLE + 1]:
            simulations._set(each.id, 0.0, 0.0, 0.0, 5.0)
        self.assertEqual(self.call("simulate.set", connection=id), ("rateLimited", ""))
