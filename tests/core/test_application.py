"""
Tests for `Application`.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.case import HarnessTestCase, echo
from txroom import Application, Connection, OptionError, Prepared
from txroom.core.hooks import CONNECTION_HOOKS, UPGRADE_HOOKS, Hooks
from txroom.testing import upgradeRequest


class ConstructionTests(SynchronousTestCase):
    """Its arguments."""

    def test_functions(self) -> None:
        """Every hook may be a plain function."""
        for name in CONNECTION_HOOKS | UPGRADE_HOOKS:
            hooks: dict[str, Any] = {name: echo}
            application = Application(**hooks)
            self.assertIs(application.hook(name), echo)

    def test_methods(self) -> None:
        """A hook may be a method of a subclass; other hooks are not set."""

        class Mine(Application):
            def onConnect(self, connection: Connection) -> None: ...

        application = Mine()
        self.assertEqual(application.hook("onConnect"), application.onConnect)
        self.assertIsNone(application.hook("onMessage"))

    def test_functionOverMethod(self) -> None:
        """A given function replaces the method."""

        class Mine(Application):
            def onMessage(self, connection: Connection, message: str | bytes) -> None: ...

        self.assertIs(Mine(onMessage=echo).hook("onMessage"), echo)

    def test_notCallable(self) -> None:
        """The error names a hook that is not callable."""
        with self.assertRaises(TypeError) as caught:
            Application(onMessage="echo")
        self.assertEqual(str(caught.exception), "onMessage='echo': must be callable")

    def test_options(self) -> None:
        """Other keywords are options, which are checked at once."""
        application = Application(maxPayload=10, onMessage=echo)
        self.assertEqual(dict(application.overrides), {"maxPayload": 10})
        self.assertRaises(OptionError, Application, maxPayload=-1)

    def test_serverOnly(self) -> None:
        """Options for the whole server are refused."""
        for name, value in (
            ("backlog", 5),
            ("maxPendingHandshakes", 5),
            ("noDelay", False),
            ("shutdownTimeout", 5),
        ):
            with self.assertRaises(OptionError) as caught:
                Application(**{name: value})  # type: ignore[arg-type]
            self.assertEqual(str(caught.exception), f"{name}: can only be set for the whole server")

    def test_misspelt(self) -> None:
        """A misspelt hook is refused."""
        with self.assertRaises(OptionError) as caught:
            Application(onMesage=echo)
        self.assertIn("onMesage", str(caught.exception))

    def test_hooksClass(self) -> None:
        """`Hooks` has exactly the connection hooks."""
        given = {field.name for field in attrs.fields(Hooks) if field.init}
        self.assertEqual(given, CONNECTION_HOOKS)


class HookTests(HarnessTestCase):
    """Which hook is called."""

    def test_replacedOnApplication(self) -> None:
        """A hook that is assigned to an application applies to later connections."""
        application = Application(onMessage=echo)
        harness = self.serve(application)
        early = harness.connect()
        application.onMessage = lambda connection, message: connection.send("new")
        late = harness.connect()
        early.send("a")
        late.send("a")
        self.assertEqual((early.received, late.received), (["a"], ["new"]))

    def test_ownState(self) -> None:
        """Replacing a hook on one connection does not change the application's."""
        application = Application(onMessage=echo)
        harness = self.serve(application)
        one = harness.connect()
        harness.connectionOf(one).onMessage = None
        other = harness.connect()
        other.send("a")
        self.assertEqual(other.received, ["a"])

    def test_override(self) -> None:
        """An option of the application applies to its path only."""
        harness = self.serve({"/small": Application(maxPayload=3), "/": Application(onMessage=echo)})
        small, normal = harness.connect("/small"), harness.connect("/")
        small.send("abcd")
        normal.send("abcd")
        self.assertClosed(small, 1009)
        self.assertEqual(normal.received, ["abcd"])

    def test_ownNames(self) -> None:
        """A subclass may use the names "opened" and "closed"."""

        class Chat(Application):
            closed = False

            def opened(self) -> None:
                raise AssertionError("this isn't the server's to call")

        harness = self.serve(Chat(onMessage=echo))
        client = harness.connect()
        client.send("x")
        self.assertEqual(client.received, ["x"])
        client.drop()
        admission = harness.server._gateway.admission
        self.assertEqual((harness.server.connections, admission.perApplication.total()), ([], 0))


class OverrideTests(HarnessTestCase):
    """Options of one application that matter before or beside its connections."""

    def test_handshakeTimeout(self) -> None:
        """
        The application's `handshakeTimeout` counts from the beginning of the request; 0 means no deadline.
        """
        for own, whole, expected in ((1.0, 10.0, True), (1.0, 0.0, True), (0.0, 1.0, False)):
            app = Application(verifyClient=lambda handshake: Deferred(), handshakeTimeout=own)
            harness = self.serve(app, handshakeTimeout=whole)
            client = harness.raw(upgradeRequest())
            harness.advance(0.8)
            self.assertEqual(client.output, b"")
            harness.advance(0.4)
            self.assertEqual(client.output.startswith(b"HTTP/1.1 503 "), expected)

    def test_clientTracking(self) -> None:
        """Only the application with `clientTracking` off has an empty list."""
        quiet, other = Application(clientTracking=False), Application()
        harness = self.serve({"/quiet": quiet, "/other": other})
        harness.connect("/quiet")
        harness.connect("/other")
        self.assertEqual((len(quiet.connections), len(other.connections)), (0, 1))

    def test_trustedProxies(self) -> None:
        """The application's proxies decide the client's address, also for limits per address."""
        app = Application(trustedProxies=["203.0.113.9"], maxConnectionsPerAddress=1)
        harness = self.serve({"/own": app, "/other": Application()})
        headers = {"X-Forwarded-For": "198.51.100.7"}
        for path, peer in (("/own", "198.51.100.7"), ("/other", "203.0.113.9")):
            client = harness.connect(path, headers=headers)
            self.assertEqual(harness.connectionOf(client).handshake.peer, peer)
        refused = harness.connect("/own", headers=headers).response
        assert refused is not None
        self.assertEqual(refused.status, 429)


class BroadcastTests(HarnessTestCase):
    """Messages to all connections of one application."""

    def setUp(self) -> None:
        self.app = Application()
        self.other = Application()
        self.harness = self.serve({"/": self.app, "/other": self.other})
        self.clients = [self.harness.connect() for _ in range(3)]
        self.stranger = self.harness.connect("/other")

    def received(self) -> list[list[Any]]:
        self.harness.flush()
        return [client.received for client in (*self.clients, self.stranger)]

    def test_all(self) -> None:
        """Only this application's connections get it."""
        self.app.broadcast("a")
        self.app.broadcast(b"b")
        self.assertEqual(self.received(), [["a", b"b"]] * 3 + [[]])

    def test_exclude(self) -> None:
        """Excluded connections do not get it."""
        self.app.broadcast("a", exclude=[self.harness.connectionOf(self.clients[1])])
        self.assertEqual(self.received(), [["a"], [], ["a"], []])

    def test_excludeOne(self) -> None:
        """A single connection need not be in a list; the error names anything else."""
        one = self.harness.connectionOf(self.clients[1])
        self.app.broadcast("a", exclude=one)
        self.harness.server.broadcast("b", exclude=one)
        self.assertEqual(self.received(), [["a", "b"], [], ["a", "b"], ["b"]])
        for broadcast in (self.app.broadcast, self.harness.server.broadcast):
            for wrong in (one.id, [one.id], 5):
                error = self.assertRaises(TypeError, broadcast, "a", exclude=wrong)
                self.assertIn("is not a Connection; for an id use server.connection(id)", str(error))

    def test_prepared(self) -> None:
        """A prepared message is framed once for several applications."""
        prepared = Prepared("a")
        self.app.broadcast(prepared)
        built = prepared.frame
        self.other.broadcast(prepared)
        self.assertEqual(self.received(), [["a"]] * 4)
        self.assertIsNotNone(built)
        self.assertIs(prepared.frame, built)

    def test_closing(self) -> None:
        """Closing connections are skipped."""
        self.harness.connectionOf(self.clients[0]).close()
        self.app.broadcast("a")
        self.assertEqual(self.received(), [[], ["a"], ["a"], []])

    def test_leavesWhileSending(self) -> None:
        """Connections may close during the broadcast."""

        def leave(connection: Connection, code: int, reason: str) -> None:
            self.app.broadcast("left")

        self.app.onDisconnect = leave
        leaver = self.harness.connect()
        leaver.close()
        self.assertEqual(self.received(), [["left"]] * 3 + [[]])

    def test_type(self) -> None:
        """A message is str or bytes, even without connections."""
        for client in self.clients:
            client.close()
        bad: Any = {"a": 1}
        self.assertRaises(TypeError, self.app.broadcast, bad)

    def test_connections(self) -> None:
        """The list is a copy."""
        connections = self.app.connections
        self.assertEqual(len(connections), 3)
        connections.clear()
        self.clients[0].close()
        self.assertEqual(len(self.app.connections), 2)
        self.assertEqual(len(self.other.connections), 1)

    def test_noTracking(self) -> None:
        """With `clientTracking` off the list is empty, but a broadcast reaches all."""
        app = Application()
        harness = self.serve(app, clientTracking=False)
        client = harness.connect()
        app.broadcast("a")
        harness.flush()
        self.assertEqual((app.connections, harness.server.connections, client.received), ([], [], ["a"]))
