"""Load tests of rooms."""

from __future__ import annotations

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.loadtest.case import LoadTestCase
from txroom import Room, RoomError
from txroom.loadtest import LoadTest

REFUSED = "Connection was refused by other side: nobody listens."


class ComingTests(LoadTestCase):
    """How clients join and leave."""

    def test_ramp(self) -> None:
        """Clients start evenly over the ramp, and stay for the duration afterwards."""
        loadTest = self.loadTest(clients=4, ramp=2.0, duration=1.0)
        counts = []
        for _ in range(5):
            counts.append(loadTest.metrics.joined)
            self.harness.advance(0.5)
        self.assertEqual(counts, [0, 1, 2, 3, 4])
        figures = self.finish(loadTest)
        self.assertAbout(figures["seconds"], 3.0)
        self.assertEqual(figures["clients"], {"planned": 4, "started": 4, "connected": 4, "joined": 4})
        self.assertEqual((figures["connect"]["count"], figures["join"]["count"]), (4, 4))
        self.assertTrue(figures["isOk"])
        self.assertFalse(figures["isStopped"])

    def test_listenOnly(self) -> None:
        """Without a type of messages nothing is sent."""
        figures = self.finish(self.loadTest())
        self.assertEqual(figures["messages"]["sent"], 0)
        self.assertIs(figures["messages"]["wantedRate"], None)

    def test_options(self) -> None:
        """Each client joins with its own number in the options."""
        names = []

        async def note(client, room, clock):
            room.on("name", lambda name, offset: names.append(name))
            await room.call("name")

        figures = self.finish(self.loadTest(clients=1, options='{"name": "ada {n}"}', scenario=note))
        self.assertEqual((names, figures["errors"]), (["ada 0"], {}))

    def test_noRoom(self) -> None:
        """A refused join is an error, and the load test ends when no client is left."""
        figures = self.finish(self.loadTest(room="nosuch", duration=1000.0))
        self.assertEqual(figures["errors"], {"join: noSuchRoom": 3})
        self.assertFalse(figures["isOk"])
        self.assertEqual(figures["clients"]["connected"], 3)

    def test_noServer(self) -> None:
        """The load test does not wait for a server that was never reached."""
        self.endpoint.isOpen = False
        figures = self.finish(self.loadTest(duration=1000.0))
        self.assertEqual(figures["errors"], {f"connect: {REFUSED}": 3})
        self.assertEqual(figures["clients"]["connected"], 0)

    def test_refusedUpgrade(self) -> None:
        """The HTTP response to a refused upgrade is the error."""
        figures = self.finish(self.loadTest(path="/nosuch"))
        self.assertEqual(figures["errors"], {"connect: HTTP 404 Not Found": 3})

    def test_stop(self) -> None:
        """When it is stopped early, it has the figures so far, and waits for the last answers."""
        loadTest = self.loadTest(clients=10, ramp=10.0, duration=1000.0, type="slow", data='"{id}"')
        self.harness.advance(3.05)
        self.assertGreater(loadTest.metrics.pending["returned"], 0)
        loadTest.stop()
        figures = self.finish(loadTest, 0.5)
        self.assertEqual(figures["latency"]["returned"]["count"], figures["messages"]["sent"])
        self.assertEqual((figures["isStopped"], figures["isOk"], figures["errors"]), (True, True, {}))
        self.assertEqual(figures["clients"]["started"], 4)
        self.assertAbout(figures["seconds"], 3.05)
        loadTest.stop()


class SpeakingTests(LoadTestCase):
    """Messages: how many are sent, and how long they take."""

    def measured(self, loadTest: LoadTest, what: str, least: float, most: float) -> None:
        """Check that all messages were measured, with latencies in that range."""
        figures = self.finish(loadTest)
        self.assertEqual(figures["errors"], {})
        times = figures["latency"][what]
        self.assertEqual(times["count"], figures["messages"]["sent"])
        self.assertTrue(least <= times["p50"] <= times["max"] <= most, times)

    def test_rate(self) -> None:
        """Each client sends evenly at the rate, and all clients receive the messages."""
        loadTest = self.loadTest(type="say", data='"hello"', rate=2.0, duration=10.0)
        self.harness.advance(1.0)
        self.assertIn(loadTest.metrics.sent, (5, 6))
        messages = self.finish(loadTest)["messages"]
        self.assertIn(messages["sent"], (59, 60))
        self.assertEqual(messages["received"], 3 * messages["sent"])
        self.assertEqual(messages["wantedRate"], 6.0)
        self.assertAbout(messages["sentRate"], 6.0)
        self.assertAbout(messages["receivedRate"], 18.0)

    def test_rampIsLeftOut(self) -> None:
        """Rates are measured only while all clients are there."""
        loadTest = self.loadTest(type="say", rate=4.0, clients=2, ramp=4.0, duration=4.0)
        messages = self.finish(loadTest)["messages"]
        self.assertAbout(messages["sentRate"], 8.0, 0.04)
        self.assertGreater(messages["sent"], 4 * 8)

    def test_reply(self) -> None:
        """The latency of a call is the time until its reply."""
        self.measured(self.loadTest(type="slow", isCall=True), "reply", 0.245, 0.255)

    def test_returned(self) -> None:
        """The latency of a marked message is the time until the client receives it itself."""
        loadTest = self.loadTest(type="slow", data='{"text": "I am {n}: {id}"}')
        self.measured(loadTest, "returned", 0.245, 0.255)

    def test_returnedCall(self) -> None:
        """A marked call is measured both ways."""
        loadTest = self.loadTest(type="slow", data='["{id}"]', isCall=True)
        self.measured(loadTest, "returned", 0.245, 0.255)
        self.assertEqual(set(loadTest.metrics.latencies), {"returned", "reply"})

    def test_handled(self) -> None:
        """
        The latency of other messages is the time until the server acknowledges them, which it does up to 50
        ms late.
        """
        self.measured(self.loadTest(type="slow"), "handled", 0.245, 0.305)

    def test_neverReturned(self) -> None:
        """A marked message that does not return is an error in the end."""
        loadTest = self.loadTest(clients=1, type="mute", data='"{id}"', duration=17.0)
        figures = self.finish(loadTest, 30.0)
        self.assertEqual(set(figures["errors"]), {"returned: timeout", "returned: missing"})
        self.assertEqual(sum(figures["errors"].values()), 17)

    def test_stopMissing(self) -> None:
        """
        When it is stopped early, missing answers are errors; stopped once more, it does not wait for them.
        """
        for isPatient in (True, False):
            loadTest = self.loadTest(type="mute", data='"{id}"', duration=1000.0)
            self.harness.advance(3.0)
            loadTest.stop()
            if not isPatient:
                loadTest.stop()
            figures = self.finish(loadTest, 5.5 if isPatient else 0.1)
            self.assertEqual(figures["errors"]["returned: missing"], figures["messages"]["sent"])

    def test_abandon(self) -> None:
        """`abandon` counts missing answers too, and once only."""
        loadTest = self.loadTest(type="mute", data='"{id}"', duration=1000.0)
        self.harness.advance(3.0)
        loadTest.abandon()
        loadTest.abandon()
        self.assertEqual(loadTest.metrics.errors["returned: missing"], loadTest.metrics.sent)
        loadTest.stop()
        self.finish(loadTest)
        self.assertEqual(loadTest.metrics.errors["returned: missing"], loadTest.metrics.sent)

    def test_refused(self) -> None:
        """A message that the room refuses is an error of its kind."""
        figures = self.finish(self.loadTest(clients=1, type="refuse", data='"x"'))
        self.assertEqual(figures["errors"], {"room: invalidData": 2})
        figures = self.finish(self.loadTest(clients=1, type="refuse", data='"x"', isCall=True))
        self.assertEqual(figures["errors"], {"call: invalidData": 2})

    def test_tooMany(self) -> None:
        """A message that the client cannot queue any more is an error, and no answer is awaited."""
        loadTest = self.loadTest(clients=1, type="say", data='"{id}"', rate=1000.0, duration=0.5)
        self.endpoint.isOpen = False
        self.cut()
        figures = self.finish(loadTest)
        self.assertGreater(figures["errors"]["send: unavailable"], 100)
        # The window and the queue: each of these messages should have been handled and returned.
        for what in ("handled", "returned"):
            self.assertEqual(figures["errors"][f"{what}: missing"], figures["messages"]["sent"])

    def test_late(self) -> None:
        """Messages that were due while the process was busy are not all sent at once."""
        loadTest = self.loadTest(type="say", rate=100.0, duration=10.0)
        before = loadTest.metrics.sent
        self.harness.clock.rightNow += 5.0
        self.harness.flush()
        self.assertEqual(loadTest.metrics.sent - before, 31)
        self.assertAbout(self.finish(loadTest)["lateness"]["max"], 5.0)


class LosingTests(LoadTestCase):
    """Clients that lose their connection."""

    def test_recovered(self) -> None:
        """A client that resumes in time has lost nothing, so there is no error."""
        loadTest = self.loadTest(type="say", data='"{id}"', duration=5.0)
        self.harness.advance(1.0)
        self.cut()
        self.assertEqual((loadTest.metrics.connected, loadTest.metrics.joined), (0, 0))
        self.harness.advance(2.0)
        self.assertEqual((loadTest.metrics.connected, loadTest.metrics.joined), (3, 3))
        figures = self.finish(loadTest)
        self.assertEqual((figures["errors"], figures["disconnects"]), ({}, {"1006": 3}))
        self.assertEqual((figures["recoveries"], figures["losses"]), (3, 0))
        self.assertEqual(figures["latency"]["returned"]["count"], figures["messages"]["sent"])

    def test_lost(self) -> None:
        """A client that resumes too late has missed messages, which is an error."""
        loadTest = self.loadTest(clients=1, duration=40.0)
        self.endpoint.isOpen = False
        self.cut()
        self.harness.advance(15.0)
        self.endpoint.isOpen = True
        figures = self.finish(loadTest, 60.0)
        self.assertEqual(figures["losses"], 1)
        self.assertEqual(set(figures["errors"]), {f"reconnect: {REFUSED}", "lost"})

    def test_away(self) -> None:
        """A client that is not back at the end is an error."""
        loadTest = self.loadTest(type="say", duration=1.0)
        self.endpoint.isOpen = False
        self.cut()
        figures = self.finish(loadTest)
        self.assertEqual(figures["errors"]["away at the end"], 3)

    def test_kicked(self) -> None:
        """A client that is kicked does not come back."""
        figures = self.finish(self.loadTest(type="out", duration=1000.0))
        self.assertEqual(figures["errors"]["left: 4003 enough"], 3)

    def test_closed(self) -> None:
        """A client whose connection is closed for good ends."""
        loadTest = self.loadTest(duration=1000.0)
        for connection in list(self.harness.server.connections):
            connection.close(1008, "enough")
        self.harness.flush()
        figures = self.finish(loadTest)
        self.assertEqual(figures["errors"], {"left: 1008 enough": 3})
        self.assertLess(figures["seconds"], 1.0)

    def test_lateWelcome(self) -> None:
        """A client that joins after the end is not counted."""
        thinking: Deferred[None] = Deferred()

        class Slowly(Room):
            def onJoin(self, client, options):
                return thinking

        self.rooms.register("slowly", Slowly)
        loadTest = self.loadTest(room="slowly", clients=1, duration=1000.0)
        self.harness.advance(0.1)
        self.assertEqual((loadTest.metrics.connected, loadTest.metrics.joined), (1, 0))
        loadTest.stop()
        thinking.callback(None)
        figures = self.finish(loadTest)
        self.assertEqual((figures["clients"]["joined"], figures["errors"]), (0, {}))


class ScenarioTests(LoadTestCase):
    """Clients that run a scenario."""

    def test_measured(self) -> None:
        """
        What the scenario sends and receives is counted and timed; the load test ends when all have
        finished.
        """
        heard = []

        async def play(client, room, clock):
            room.on("said", lambda data, offset: heard.append(data))
            await room.call("slow", "a")
            await room.send("say", room.name)
            room.send("say", "c", volatile=True)
            await deferLater(clock, 0.5)

        figures = self.finish(self.loadTest(clients=1, duration=1000.0, scenario=play))
        self.assertEqual((heard, figures["errors"]), (["a", "hall", "c"], {}))
        self.assertEqual((figures["messages"]["sent"], figures["messages"]["received"]), (3, 3))
        self.assertEqual(figures["latency"]["reply"]["count"], 1)
        self.assertEqual(figures["latency"]["handled"]["count"], 1)
        self.assertLess(figures["seconds"], 2.0)

    def test_countedOnce(self) -> None:
        """A message is counted once, however many listeners there are."""

        async def play(client, room, clock):
            room.onMessage("said", lambda data, offset: None)
            room.on("said", lambda data, offset: None)
            room.once("said", lambda data, offset: None)
            room.onMessage("*", lambda type, data, offset: None)
            await room.call("say", 1)
            await room.call("say", 2)
            room.off("said")
            await room.call("say", 3)
            room.on("said", lambda data, offset: None)
            await room.call("say", 4)

        messages = self.finish(self.loadTest(clients=1, scenario=play))["messages"]
        self.assertEqual((messages["sent"], messages["received"]), (4, 4))

    def test_endless(self) -> None:
        """At the end of the duration the scenario is cancelled, which is not an error."""
        ended = []

        async def play(client, room, clock):
            try:
                await Deferred()
            finally:
                ended.append(True)

        figures = self.finish(self.loadTest(duration=1.0, scenario=play))
        self.assertEqual((ended, figures["errors"]), ([True] * 3, {}))

    def test_elsewhere(self) -> None:
        """A scenario may leave the room and join another one, which is not measured."""

        async def play(client, room, clock):
            await room.leave()
            await deferLater(clock, 0.5)
            other = await client.create("hall")
            await other.call("say", "hello")
            await client.close()
            await deferLater(clock, 0.5)

        figures = self.finish(self.loadTest(scenario=play, duration=1000.0))
        self.assertEqual((figures["errors"], figures["messages"]["sent"]), ({}, 0))
        self.assertAbout(figures["seconds"], 1.0)

    def test_failures(self) -> None:
        """If a scenario raises, the error has the place or the code."""

        async def wrong(client, room, clock):
            return 1 / 0

        async def refused(client, room, clock):
            await room.call("refuse", "x")

        async def caught(client, room, clock):
            try:
                await room.call("refuse", "x")
            except RoomError:
                pass

        def atOnce(client, room, clock):
            return 1 / 0

        (error,) = self.finish(self.loadTest(scenario=wrong))["errors"]
        self.assertTrue(error.startswith("scenario: ZeroDivisionError: division by zero ("), error)
        self.assertIn("test_rooms.py, line ", error)
        (error,) = self.finish(self.loadTest(scenario=atOnce))["errors"]
        self.assertIn("ZeroDivisionError", error)
        self.assertEqual(self.finish(self.loadTest(scenario=refused))["errors"], {"scenario: invalidData": 3})
        self.assertEqual(self.finish(self.loadTest(scenario=caught))["errors"], {})

    def test_json(self) -> None:
        """All figures can be written as JSON."""
        figures = self.finish(self.loadTest(type="say", data='"{id}"'))
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(figures)), figures)
