"""
Tests for applications with negotiators of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.case import HarnessTestCase, Recorder
from txroom import Accept, Application, Connection, Handshake, ServerOptions, UpgradeError
from txroom.http.negotiation import HasNegotiator, UpgradeNegotiator, WireNegotiator
from txroom.testing import Client
from txroom.wire.context import WireContext


class OwnNegotiator(WireNegotiator):
    """A negotiator that calls its application first."""

    async def negotiate(
        self,
        application: Any,
        handshake: Handshake,
        accepted: Accept,
        callHook: Callable[..., Any],
        transport: Any,
    ) -> Any:
        application.events.append(("negotiate", accepted.user))
        agreed = Accept(headers=[("X-Opened", await callHook(application.decide, handshake))])
        return await super().negotiate(application, handshake, agreed, callHook, transport)


class OwnApplication(Recorder):
    """An application that has its own negotiator, and records each one that is made."""

    decide: Callable[[Handshake], Any] = staticmethod(lambda handshake: "yes")

    def makeNegotiator(
        self, context: WireContext, options: ServerOptions, headersHook: Any
    ) -> UpgradeNegotiator:
        self.events.append(("make", options.maxPayload))
        return OwnNegotiator(context, options, lambda: None)


class NegotiationTests(HarnessTestCase):
    """What such an application decides."""

    def start(self, **hooksAndOptions: Any) -> None:
        self.app = OwnApplication(**hooksAndOptions)
        self.harness = self.serve(self.app)

    def status(self, client: Client) -> int:
        assert client.response is not None
        return client.response.status

    def assertCounts(self, expected: int) -> None:
        admission = self.harness.server._gateway.admission
        self.assertEqual((admission.perApplication.total(), len(admission.pending)), (expected, 0))

    def test_chosen(self) -> None:
        """
        The application's negotiator opens the connections; one is made for all of them, with its options.
        """
        self.start(maxPayload=77, verifyClient=lambda handshake: Accept(user="ann"))
        first, second = self.harness.connect(), self.harness.connect()
        assert first.response is not None
        self.assertEqual((first.response.headers["x-opened"], second.isOpen), ("yes", True))
        self.assertEqual(self.app.named("make"), [77])
        self.assertEqual(self.app.named("negotiate"), ["ann", "ann"])
        first.send("x")
        self.assertEqual(self.app.named("message"), ["x"])
        self.assertCounts(2)

    def test_usual(self) -> None:
        """Other applications use `WireNegotiator`."""
        self.assertNotIsInstance(Application(), HasNegotiator)
        harness = self.serve(app := Application())
        self.assertIs(type(harness.server._gateway.negotiatorFor(app)), WireNegotiator)

    def test_after(self) -> None:
        """It is not called before txroom's own checks have accepted the client."""
        self.start(verifyClient=lambda handshake: False)
        self.assertEqual(self.status(self.harness.connect()), 401)
        self.assertEqual(self.status(self.harness.connect(headers={"Origin": "http://evil.example"})), 403)
        self.assertEqual(self.app.named("negotiate"), [])

    def test_refuses(self) -> None:
        """It may refuse the client; any other exception is logged and answered with 500."""
        self.start()

        def deny(handshake: Handshake) -> Any:
            raise UpgradeError(409, "denied", "taken")

        self.app.decide = deny
        response = self.harness.connect().response
        assert response is not None
        self.assertEqual((response.status, response.body), (409, b"taken"))
        self.app.decide = lambda handshake: 1 / 0
        self.assertEqual(self.status(self.harness.connect()), 500)
        self.assertRaised(ZeroDivisionError)
        self.assertCounts(0)
        self.assertEqual(self.harness.server.stats().rejected, {"denied": 1, "error": 1})

    def test_later(self) -> None:
        """It may take up to `handshakeTimeout`; what the client sends meanwhile is delivered afterwards."""
        self.start(handshakeTimeout=5)
        decisions: list[Deferred[str]] = []

        def wait(handshake: Handshake) -> Deferred[str]:
            decisions.append(Deferred())
            return decisions[-1]

        self.app.decide = wait
        client = self.harness.connect()
        self.assertIsNone(client.response)
        decisions[0].callback("late")
        self.harness.flush()
        self.assertTrue(client.isOpen)
        slow = self.harness.connect()
        self.harness.advance(5.2)
        self.assertEqual(self.status(slow), 503)
        self.harness.connect().drop()
        self.assertEqual(
            [decision.called for decision in decisions], [True] * 3, "the last two were cancelled"
        )
        self.assertCounts(1)


class ConnectionClassTests(HarnessTestCase):
    """A connection class of the user's is instantiated before anything is written."""

    def refused(self, make: Callable[[], object]) -> Client:
        class Own(Connection):
            def __init__(self, *args: Any, **more: Any) -> None:
                super().__init__(*args, **more)
                make()

        app = Recorder(connectionClass=Own)
        self.harness = self.serve(app)
        client = self.harness.connect()
        admission = self.harness.server._gateway.admission
        self.assertEqual((admission.perApplication.total(), len(admission.pending)), (0, 0))
        self.assertEqual((app.events, self.harness.server.connections), ([], []))
        return client

    def status(self, client: Client) -> int:
        assert client.response is not None
        return client.response.status

    def test_raises(self) -> None:
        """If it raises, the client gets 500."""
        self.assertEqual(self.status(self.refused(lambda: 1 / 0)), 500)
        self.assertRaised(ZeroDivisionError)

    def test_stops(self) -> None:
        """If it ends the upgrade, the client gets one answer and nothing is opened."""
        client = self.refused(lambda: self.harness.server._gateway.admission.drain())
        self.assertEqual(self.status(client), 503)
