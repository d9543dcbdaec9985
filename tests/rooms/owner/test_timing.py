"""Handlers that are timed, and recipients that are counted."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms.case import NotingRoom, RoomTestCase
from txroom import Client, RoomError, message
from txroom.core.meters import Histogram
from txroom.rooms.meters import RoomMeters
from txroom.rooms.owner.timing import handlersFor, timedCall


class TimedCallTests(SynchronousTestCase):
    """How long a call takes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.histogram = Histogram((1, 2, 4))

    def call(self, function: Any, *args: Any) -> Any:
        return timedCall(function, self.histogram, self.clock.seconds)(*args)

    def test_synchronous(self) -> None:
        """A function that returns at once; the arguments and the result are its own."""

        def add(a: int, b: int) -> int:
            self.clock.advance(1.5)
            return a + b

        self.assertEqual(self.call(add, 1, 2), 3)
        self.assertEqual((self.histogram.counts, self.histogram.sum), ([0, 1, 0, 0], 1.5))
        self.assertEqual(timedCall(add, self.histogram, self.clock.seconds).__name__, "add")

    def test_raises(self) -> None:
        """One that raises is counted too."""

        def fail() -> None:
            self.clock.advance(3)
            raise RoomError("full")

        self.assertRaises(RoomError, self.call, fail)
        self.assertEqual(self.histogram.counts, [0, 0, 1, 0])

    def test_deferred(self) -> None:
        """One that returns a Deferred is counted when it fires; the result goes on."""
        waited: Deferred[str] = Deferred()
        result = self.call(lambda: waited)
        self.clock.advance(9)
        self.assertEqual(self.histogram.count, 0)
        waited.callback("done")
        self.assertEqual(self.successResultOf(result), "done")
        self.assertEqual((self.histogram.counts, self.histogram.sum), ([0, 0, 0, 1], 9))

    def test_coroutine(self) -> None:
        """A coroutine is counted when it ends, also if it fails."""
        waited: Deferred[str] = Deferred()

        async def handle() -> str:
            return await waited

        result = Deferred.fromCoroutine(self.call(handle))
        self.clock.advance(2)
        self.assertEqual(self.histogram.count, 0)
        waited.errback(RoomError("full"))
        self.failureResultOf(result, RoomError)
        self.assertEqual(self.histogram.counts, [0, 1, 0, 0])

    def test_cancelled(self) -> None:
        """So is one that is cancelled, since it took too long."""
        waited: Deferred[None] = Deferred()
        result = self.call(lambda: waited)
        self.clock.advance(4)
        result.cancel()
        self.failureResultOf(result)
        self.assertEqual(self.histogram.counts, [0, 0, 1, 0])


class Chat(NotingRoom):
    """A room whose handlers take their time, by the clock of the test."""

    timeOf: Any

    @message("slow")
    def slow(self, client: Client) -> str:
        type(self).timeOf.rightNow += 0.3
        return "done"

    def onMessage(self, client: Client, type: str, data: Any) -> Any:
        return [type, data]


class TimingTests(RoomTestCase):
    """What a room counts."""

    def open(self, isTiming: bool) -> RoomMeters:
        self.rooms(Chat)
        Chat.timeOf = self.harness.clock
        if isTiming:
            self.harness.server.meters.startTiming()
        return self.app.meters

    def test_off(self) -> None:
        """Without metrics the handlers are those of the class, and nothing is timed."""
        meters = self.open(False)
        ada = self.joined()
        self.assertEqual(ada.call("slow")[2], "done")
        ada.send("say", "hello")
        handlers = self.app.registrations["chat"].handlers
        self.assertIs(handlersFor(meters, "chat", handlers, self.harness.clock.seconds), handlers)
        self.assertEqual((meters.handlerTimes, meters.recipients), ({}, None))

    def test_handlers(self) -> None:
        """Handlers by the name of the room and the registered type; types of clients are "other"."""
        meters = self.open(True)
        ada = self.joined()
        self.assertEqual(ada.call("slow")[2], "done")
        for type in ("mine1", "mine2"):
            self.assertEqual(ada.call(type, 7)[2], [type, 7])
        counts = {key: times.count for key, times in meters.handlerTimes.items()}
        expected = {("chat", "slow"): 1, ("chat", "other"): 2, ("chat", "say"): 0, ("chat", "tell"): 0}
        self.assertEqual(counts, expected)
        self.assertAlmostEqual(meters.handlerTimes["chat", "slow"].sum, 0.3, places=2)
        self.assertEqual(self.harness.server.meters.handlerTimes.keys(), expected.keys())

    def test_recipients(self) -> None:
        """Broadcasts, volatile ones too, by the clients that are connected; messages to one don't count."""
        self.open(True)
        players = [self.joined() for _ in range(3)]
        players[0].send("say", "hello")
        players[0].send("tell", "alone")
        self.room(players[0]).broadcast("quick", 1, volatile=True)
        players[2].client.drop()
        self.settle()
        players[0].send("say", "again")
        recipients = self.harness.server.meters.recipients
        self.assertEqual((recipients.count, recipients.sum), (3, 3 + 3 + 2))

    def test_noFallback(self) -> None:
        """A room without `onMessage` refuses unknown types, timed or not."""
        self.rooms(NotingRoom)
        self.harness.server.meters.startTiming()
        self.assertEqual(self.joined().call("unknown")[3], "unknownType")
        self.assertEqual(self.app.meters.timeOf("chat", "other").count, 0)

    def test_later(self) -> None:
        """An application that is added later is timed as well."""
        self.open(True)
        later = self.harness.server.addApplication(type(self.app)(path="/later"))
        self.assertTrue(later.meters.isTiming)  # type: ignore[attr-defined]

    def test_recovered(self) -> None:
        """What is sent again to a client that resumes."""
        meters = self.open(False)
        ada, bob = self.joined(), self.joined()
        ada.client.drop()
        self.settle()
        for text in ("one", "three"):
            bob.send("say", text)
        self.player().resume(ada)
        self.assertEqual((meters.messagesRecovered, meters.bytesRecovered), (2, len('"one"' + '"three"') - 2))
