"""Who gives way when there are too many."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.case import HarnessTestCase
from txroom import Application
from txroom.testing import upgradeRequest


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
        self.assertEqual(len(harness.server._gateway.admission.lingering), 3)
        self.assertEqual([client.isClosed for client in clients[-3:]], [False] * 3)
        harness.advance(2.2)
        self.assertEqual(len(harness.server._gateway.admission.lingering), 0)
