"""
Tests for WAMP sessions under a server, in memory: RPC, PubSub and their `Connection`s.
"""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from autobahn.twisted.wamp import ApplicationSession
from autobahn.twisted.websocket import WampWebSocketClientFactory
from autobahn.wamp.types import ComponentConfig

from tests.case import HarnessTestCase

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "wamp.py"


def example() -> Any:
    """Import the module of the example."""
    spec = spec_from_file_location("wamp_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Session(ApplicationSession):
    """A client's session, which is joined at once in memory."""

    def onJoin(self, details: Any) -> None:
        self.config.extra.append(self)


class WampTests(HarnessTestCase):
    """A router and its clients."""

    def setUp(self) -> None:
        self.harness = self.serve(example().makeServer)

    def session(self) -> Any:
        joined: list[Any] = []
        factory = WampWebSocketClientFactory(
            lambda: Session(ComponentConfig("realm1", joined)),
            url="ws://localhost:8080/wamp",
            reactor=object(),
        )
        factory.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0
        )
        self.harness.endpoint().connect(factory)
        self.harness.flush()
        return joined[0]

    def result(self, waited: Any) -> Any:
        self.harness.flush()
        return self.successResultOf(waited)

    def test_pubSub(self) -> None:
        """One client publishes; another client and a room get the event."""
        reader, writer = self.session(), self.session()
        heard: list[Any] = []
        self.result(reader.subscribe(heard.append, "news"))
        room = self.harness.client().join("news")
        writer.publish("news", "hello")
        self.harness.flush()
        self.assertEqual(heard, ["hello"])
        self.assertEqual(room.expect("headline"), "hello")

    def test_call(self) -> None:
        """One client registers a procedure, another calls it."""
        adder, caller = self.session(), self.session()
        self.result(adder.register(lambda a, b: a + b, "add"))
        self.assertEqual(self.result(caller.call("add", 2, 3)), 5)
        self.failureResultOf(self.calling(caller, "none"))

    def calling(self, session: Any, name: str) -> Any:
        waited = session.call(name)
        self.harness.flush()
        return waited

    def test_connection(self) -> None:
        """Connections are listed, counted and disconnected; `send` raises, and broadcasts skip them."""
        self.session()
        (connection,) = self.harness.server.connections
        self.assertTrue(str(connection.protocol).startswith("wamp.2."))
        with self.assertRaisesRegex(TypeError, "speaks WAMP"):
            connection.send("x")
        before = self.harness.server.stats()
        self.harness.server.broadcast("x")
        connection.application.broadcast("y")
        self.assertIs(self.harness.server.connection(connection.id), connection)
        self.harness.flush()
        self.assertEqual(self.harness.server.stats().messagesSent, before.messagesSent)
        self.assertGreater(before.messagesReceived, 0)
        self.harness.server.disconnect(connection.id, 1012)
        self.harness.flush()
        self.assertEqual(self.harness.server.connections, [])

    def test_stop(self) -> None:
        """They end with the server, like other connections."""
        session = self.session()
        self.harness.stop()
        self.assertFalse(session.is_connected())
