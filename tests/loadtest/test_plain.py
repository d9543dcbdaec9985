"""Load tests without rooms."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from tests.loadtest.case import Echo, LoadTestCase
from txroom import Application
from txroom.loadtest.plain import CLOSE_TIMEOUT, CONNECT_TIMEOUT


class PlainTests(LoadTestCase):
    """Plain WebSockets whose messages are answered."""

    def test_echo(self) -> None:
        """Each message is answered, in order."""
        figures = self.finish(self.plain(data="I am {n}", rate=5.0, duration=4.0))
        self.assertEqual((figures["errors"], figures["room"], figures["isOk"]), ({}, None, True))
        messages = figures["messages"]
        self.assertIn(messages["sent"], (59, 60))
        self.assertEqual(messages["received"], messages["sent"])
        self.assertEqual(figures["latency"]["returned"]["count"], messages["sent"])
        self.assertEqual(figures["clients"]["connected"], 3)

    def test_slowEcho(self) -> None:
        """The latency is measured for each message."""

        class Slow(Echo):
            def onMessage(slow, connection: Any, message: str | bytes) -> None:
                self.harness.clock.callLater(0.25, connection.send, message)

        self.harness.server.addApplication(Slow(), path="/slow")
        times = self.finish(self.plain("/slow", data="x", rate=10.0))["latency"]["returned"]
        self.assertAbout(times["p50"], 0.25)
        self.assertAbout(times["max"], 0.25)

    def test_broadcast(self) -> None:
        """If all clients receive all messages, each measures its own, also beside another load test."""
        first = self.plain("/broadcast", data="x {id} y", token="a", rate=5.0)
        isFirstDone = self.done
        figures = self.finish(self.plain("/broadcast", data="x {id} y", token="b", rate=5.0))
        self.assertEqual((isFirstDone, first.metrics.errors), ([None], {}))
        messages = figures["messages"]
        self.assertEqual(figures["latency"]["returned"]["count"], messages["sent"])
        self.assertEqual(messages["received"], 3 * (messages["sent"] + first.metrics.sent))

    def test_listenOnly(self) -> None:
        """Without data nothing is sent; received messages are counted."""
        loadTest = self.plain("/broadcast")
        self.harness.connect("/broadcast").send("hello")
        figures = self.finish(loadTest)
        self.assertEqual((figures["messages"]["sent"], figures["messages"]["received"]), (0, 3))
        self.assertEqual((figures["errors"], figures["latency"]), ({}, {}))

    def test_turns(self) -> None:
        """They send in turn, so that all of them send equally often."""
        speakers = []
        listening = Application(onMessage=lambda connection, message: speakers.append(message))
        self.harness.server.addApplication(listening, path="/turns")
        self.plain("/turns", data="{n}", rate=10.0, duration=1.0)
        self.harness.advance(0.95)
        self.assertGreater(len(speakers), 20)
        self.assertEqual(speakers, (["0", "1", "2"] * 10)[: len(speakers)])
        self.harness.advance(10.0)

    def test_headers(self) -> None:
        """The headers of the plan are sent with the upgrade."""
        seen = []

        class Looking(Application):
            def verifyClient(self, handshake: Any) -> bool:
                seen.append(handshake.headers.get("x-token"))
                return True

        self.harness.server.addApplication(Looking(), path="/look")
        self.finish(self.plain("/look", clients=1, headers={"X-Token": "secret"}))
        self.assertEqual(seen, ["secret"])


class FailingTests(LoadTestCase):
    """Plain WebSockets that fail."""

    def test_noServer(self) -> None:
        """No server listens."""
        self.endpoint.isOpen = False
        figures = self.finish(self.plain(duration=1000.0))
        expected = "connect: Connection was refused by other side: nobody listens."
        self.assertEqual(figures["errors"], {expected: 3})

    def test_refused(self) -> None:
        """The server refuses the upgrade."""
        figures = self.finish(self.plain("/nosuch", duration=1000.0))
        self.assertEqual(figures["errors"], {"connect: 404 Not Found": 3})

    def test_hungUp(self) -> None:
        """The server closes the connection before it has answered."""

        class Busy(Factory):
            noisy = False

            def buildProtocol(self, address: Any) -> None:
                return None

        self.harness.clock.ports[0].factory = Busy()
        figures = self.finish(self.plain(duration=1000.0))
        expected = "connect: Connection to the other side was lost in a non-clean fashion."
        self.assertEqual(figures["errors"], {expected: 3})

    def test_noAnswer(self) -> None:
        """The server does not answer."""

        class Nowhere:
            def connect(self, factory: Any) -> Deferred[Any]:
                return Deferred()

        loadTest = self.plain(endpoint=Nowhere(), duration=1000.0)
        figures = self.finish(loadTest, CONNECT_TIMEOUT + 0.2)
        self.assertEqual(figures["errors"], {"connect: timeout": 3})

    def test_cut(self) -> None:
        """A lost connection is not opened again."""
        loadTest = self.plain(data="x", duration=1000.0)
        self.harness.advance(1.0)
        self.cut()
        self.assertEqual(loadTest.metrics.connected, 0)
        figures = self.finish(loadTest)
        self.assertEqual((figures["errors"], figures["disconnects"]), ({"closed: 1006": 3}, {"1006": 3}))

    def test_closed(self) -> None:
        """The errors have the server's code and reason."""

        class Closing(Application):
            def onMessage(self, connection: Any, message: str | bytes) -> None:
                connection.close(4321, "enough")

        self.harness.server.addApplication(Closing(), path="/closing")
        figures = self.finish(self.plain("/closing", data="x", duration=1000.0))
        self.assertEqual(figures["errors"], {"closed: 4321 enough": 3})

    def test_unanswered(self) -> None:
        """Messages without an answer are counted as errors."""
        self.harness.server.addApplication(Application(onMessage=lambda *args: None), path="/deaf")
        figures = self.finish(self.plain("/deaf", data="x"))
        self.assertEqual(figures["errors"], {"returned: missing": figures["messages"]["sent"]})

    def test_stop(self) -> None:
        """The load test is stopped while clients are still connecting."""

        class Silent(Application):
            def verifyClient(self, handshake: Any) -> Any:
                return Deferred()

        self.harness.server.addApplication(Silent(), path="/silent")
        loadTest = self.plain("/silent")
        loadTest.stop()
        self.assertEqual(self.finish(loadTest, 0.2)["errors"], {})

    def test_stopDraining(self) -> None:
        """The load test is stopped while it waits for the last answers."""
        self.harness.server.addApplication(Application(onMessage=lambda *args: None), path="/deaf")
        loadTest = self.plain("/deaf", data="x", duration=1.5)
        self.harness.advance(3.0)
        self.assertEqual(self.done, [])
        loadTest.stop()
        figures = self.finish(loadTest, 0.2)
        missing = {"returned: missing": figures["messages"]["sent"]}
        self.assertEqual((figures["errors"], figures["isStopped"]), (missing, True))
        self.assertAbout(figures["seconds"], 1.5)

    def test_noGoodbye(self) -> None:
        """The load test does not wait long for a server that does not answer the Close frame."""
        loadTest = self.plain(duration=1.0)
        for transport in list(self.harness.clock.readers):
            if transport.getHost() == self.harness.clock.ports[0].getHost():
                transport.pauseProducing()
        self.finish(loadTest, 1.0 + CLOSE_TIMEOUT + 0.2)
