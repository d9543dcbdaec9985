"""
Tests for the limits on connections, and for which connections are evicted.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.case import HarnessTestCase
from txroom import Application, ServerOptions, UpgradeError
from txroom.http.admission import RETRY_AFTER, Admission
from txroom.testing import upgradeRequest
from txroom.wire.timerwheel import TimerWheel


class PendingTests(HarnessTestCase):
    """Pending handshakes."""

    def test_greedy(self) -> None:
        """
        A client that opens too many handshakes loses its own: the slow login of another client still
        succeeds.
        """
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
        """
        Clients behind a trusted proxy are told apart once their requests have arrived; until then none is
        counted.
        """
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
        """Refused connections that linger are limited, too."""
        harness = self.serve(Application(), maxPendingHandshakes=3)
        clients = [harness.raw() for _ in range(10)]
        for client in clients:
            client.stall()
            client.send(b"nonsense\r\n\r\n")
        self.assertEqual(len(harness.server._gateway.admission.lingering), 3)
        self.assertEqual([client.isClosed for client in clients[-3:]], [False] * 3)
        harness.advance(2.2)
        self.assertEqual(len(harness.server._gateway.admission.lingering), 0)


class Page:
    """The connection of a page request, which records the calls."""

    def __init__(self, name: str, told: list[str]) -> None:
        self._name = name
        self._told = told

    def evict(self) -> None:
        self._told.append(f"evict {self._name}")

    def drain(self) -> None:
        self._told.append(f"drain {self._name}")

    def drop(self) -> None:
        self._told.append(f"drop {self._name}")


class AdmissionTests(SynchronousTestCase):
    """`Admission` by itself."""

    def setUp(self) -> None:
        self.told: list[str] = []
        self.clock = Clock()

    def admission(self, **options: Any) -> Admission:
        wheel = TimerWheel(self.clock)
        return Admission(
            ServerOptions(**options), wheel, self.clock.seconds, lambda: self.told.append("quiet")
        )

    def status(self, call: Any, *args: Any) -> int:
        """Return the status of the refusal, or 0. A refusal has a Retry-After header."""
        try:
            call(*args)
        except UpgradeError as error:
            self.assertEqual((error.reason, error.headers), ("limit", (("Retry-After", RETRY_AFTER),)))
            return error.status
        return 0

    def test_admit(self) -> None:
        """Connections are limited in all, per application and per address. A refused one is not counted."""
        admission = self.admission(maxConnections=3)
        one, other = Application(), Application()
        options = ServerOptions(maxConnections=2, maxConnectionsPerAddress=1)
        statuses = [
            self.status(admission.admit, address, application, options)
            for application, address in (
                (one, "a"),
                (one, "a"),
                (one, "b"),
                (one, "c"),
                (other, ""),
                (other, ""),
            )
        ]
        self.assertEqual(statuses, [0, 429, 0, 503, 0, 503])
        self.assertEqual(admission.perApplication, {one: 2, other: 1})
        self.assertEqual(admission.perAddress, {"a": 1, "b": 1})
        for application, address in ((one, "a"), (one, "b"), (other, "")):
            admission.leave(address, application)
        self.assertEqual((admission.perApplication, admission.perAddress), ({}, {}))

    def test_pages(self) -> None:
        """
        Answered page requests are evicted first, then those without a complete body, and never one that is
        working.
        """
        admission = self.admission(maxPages=3, maxPagesPerAddress=2)
        pages = {name: Page(name, self.told) for name in "abcdef"}
        for name, address in (("a", "x"), ("b", "x"), ("c", "y")):
            admission.beginPage(pages[name], address)
        admission.pages.bodyReceived(pages["b"])
        admission.pages.answerComplete(pages["b"], "x")
        self.assertEqual(self.status(admission.beginPage, pages["d"], "z"), 0)
        self.assertEqual(self.status(admission.beginPage, pages["e"], "x"), 0)
        self.assertEqual(self.told, ["evict b", "evict c"])
        for name in "ade":
            admission.pages.bodyReceived(pages[name])
        self.assertEqual(self.status(admission.beginPage, pages["f"], "w"), 503)
        admission.endPage(pages["d"])
        self.assertEqual(self.status(admission.beginPage, pages["f"], "x"), 429)
        self.assertEqual((len(self.told), len(admission.pages), admission.pages.count("x")), (2, 2, 2))

    def test_quiet(self) -> None:
        """A server that stops is told when the last connection has gone; a server that runs is not."""
        admission = self.admission()
        page = Page("a", self.told)
        admission.beginPage(page, "x")
        admission.endPage(page)
        self.assertEqual((self.told, admission.isDrained), ([], True))
        admission.beginPage(page, "x")
        admission.drain()
        self.assertFalse(admission.isDrained)
        admission.dropAll()
        admission.endPage(page)
        self.assertEqual(self.told, ["drain a", "drop a", "quiet"])
