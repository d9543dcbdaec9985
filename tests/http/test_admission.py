"""Who gives way when there are too many."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.case import HarnessTestCase
from txroom import Application
from txroom.http.admission import Crowd
from txroom.testing import upgradeRequest


class CrowdTests(SynchronousTestCase):
    """Members by address."""

    def test_model(self) -> None:
        """Against the plain way to find it: the oldest of the address that had most of them first."""
        random = Random(9)
        crowd: Crowd[int] = Crowd()
        addresses: dict[int, str] = {}
        for number in range(3000):
            if addresses and random.random() < 0.48:
                gone = random.choice(list(addresses))
                crowd.remove(gone)
                del addresses[gone]
            else:
                addresses[number] = random.choice(["", "a", "b", "c", "d"])
                crowd.add(number, addresses[number])
            self.assertEqual((len(crowd), list(crowd)), (len(addresses), list(addresses)))
            by: dict[object, list[int]] = {}
            for member, address in addresses.items():
                by.setdefault(address or member, []).append(member)
            last = crowd.last()
            if not addresses:
                self.assertIsNone(last)
                continue
            assert last is not None
            members = by[addresses[last] or last]
            self.assertEqual((len(members), last), (max(map(len, by.values())), members[0]))
            for address in "abcd":
                self.assertEqual(crowd.count(address), len(by.get(address, ())))
                self.assertEqual(crowd.oldestOf(address), by.get(address, [None])[0])
        for member in list(addresses):
            crowd.remove(member)
        self.assertEqual((len(crowd), crowd.last(), crowd._members, crowd._having), (0, None, {}, {}))

    def test_again(self) -> None:
        """One that comes to be known under another address counts there alone."""
        crowd: Crowd[str] = Crowd()
        crowd.add("x", "")
        crowd.add("x", "a")
        crowd.remove("y")
        self.assertEqual((len(crowd), crowd.count("a")), (1, 1))

    def test_ties(self) -> None:
        """Of addresses that have as many, the one goes that has had so many for longest."""
        crowd: Crowd[int] = Crowd()
        for number, address in enumerate("abcabc"):
            crowd.add(number, address)
        self.assertEqual(crowd.last(), 0)
        crowd.remove(0)
        self.assertEqual(crowd.last(), 1)


class PendingTests(HarnessTestCase):
    """Unfinished handshakes."""

    def test_greedy(self) -> None:
        """Whoever fills the table loses his own: a login that takes its time gets through."""
        decisions: list[Deferred[bool]] = []

        def verify(handshake: object) -> Deferred[bool]:
            decisions.append(Deferred())
            return decisions[-1]

        harness = self.serve(Application(verifyClient=verify), maxPendingHandshakes=8)
        honest = [harness.raw(upgradeRequest(), peer=f"198.51.100.{number}") for number in range(3)]
        greedy = [harness.raw(b"", peer="203.0.113.66") for _ in range(100)]
        for decision in decisions:
            decision.callback(True)
        harness.flush()
        self.assertTrue(all(client.output.startswith(b"HTTP/1.1 101 ") for client in honest))
        self.assertEqual(sum(not client.isClosed for client in greedy), 5)
        self.assertEqual(harness.server.stats().rejected, {"pending": 95})

    def test_proxy(self) -> None:
        """The clients of a trusted proxy are told apart once their request is there; until then nobody is."""
        harness = self.serve(
            Application(verifyClient=lambda handshake: Deferred()),
            maxPendingHandshakes=6,
            trustedProxies=["10.0.0.1"],
        )

        def come(address: str) -> object:
            return harness.raw(upgradeRequest(headers={"X-Forwarded-For": address}), peer="10.0.0.1")

        honest = come("198.51.100.1")
        for number in range(20):
            come(f"2001:db8::{number}")
        silent = harness.raw(b"", peer="10.0.0.1")
        self.assertEqual((honest.output, silent.output), (b"", b""))  # type: ignore[attr-defined]

    def test_lingering(self) -> None:
        """Those who have had their refusal are as many at most, however slow they are to go."""
        harness = self.serve(Application(), maxPendingHandshakes=3)
        clients = [harness.raw() for _ in range(10)]
        for client in clients:
            client.stall()
            client.send(b"nonsense\r\n\r\n")
        self.assertEqual(len(harness.server._wire.lingering), 3)
        self.assertEqual([client.isClosed for client in clients[-3:]], [False] * 3)
        harness.advance(2.2)
        self.assertEqual(len(harness.server._wire.lingering), 0)
