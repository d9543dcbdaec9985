"""The notifications of the user; the vectors have what both clients do."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogPublisher

from tests.client.case import ClientTestCase
from txroom.client import ClientState


class NotificationTests(ClientTestCase):
    """A client that has no room."""

    def subscribe(self, name: str = "notify", listener: Any = None) -> Any:
        """Listen and subscribe; return what removes the listener."""
        self.begin(device="d1")
        self.told: list[Any] = []
        off = self.client.on(name, listener or (lambda *args: self.told.append(args)))
        self.wire.open()
        self.subscription = self.wire.take()
        self.wire.receive("notified", "e1", 0, 0)
        return off

    def notify(self, *numbers: int) -> None:
        for n in numbers:
            self.wire.receive("notify", "e1", n, "gift", n, 0)

    def test_alone(self) -> None:
        """With the first listener a client connects, and it reconnects while it has one."""
        off = self.subscribe()
        self.assertEqual(self.subscription, [["notify", "d1", None, 0]])
        self.wire.end(4101)
        self.nextWire()
        self.wire.open()
        self.assertEqual(self.wire.take(), [["notify", "d1", "e1", 0]])
        endings: list[Any] = []
        self.client.on("disconnected", lambda code, reason: endings.append(code))
        off()
        self.wire.end()
        self.assertEqual((self.client.state, endings), (ClientState.IDLE, [1006]))
        self.client.once("notify:gift", print)
        self.assertEqual(self.client.state, ClientState.CONNECTING)
        self.client.close()
        self.client.on("notify", print)
        self.assertEqual(self.client.state, ClientState.CLOSED)

    def test_otherEvents(self) -> None:
        """Other events ask for nothing, and names that only look alike are no events."""
        for name in ("notifyDropped", "connected"):
            self.client.on(name, print)
        self.assertEqual((self.client.state, self.wires), (ClientState.IDLE, []))
        self.assertRaises(ValueError, self.client.on, "notified", print)

    def test_deferreds(self) -> None:
        """The acknowledgement waits for the listeners' Deferreds, and for those of earlier notifications."""
        ends: list[Deferred[None]] = []

        async def listener(type: str, data: Any) -> None:
            ends.append(Deferred())
            await ends[-1]

        self.subscribe("notify", listener)
        self.notify(1, 2, 3)
        self.assertEqual(len(ends), 3)
        ends[1].callback(None)
        self.clock.advance(1)
        self.assertEqual(self.wire.take(), [])
        ends[0].errback(ValueError("the listener failed"))
        self.clock.advance(1)
        self.assertEqual(self.wire.take(), [["notify", "d1", "e1", 2]])
        self.assertEqual([str(error) for error in self.errors], ["the listener failed"])
        # Over the next connection it comes again, and is not told again.
        self.assertEqual(self.reconnect(), [["notify", "d1", "e1", 2]])
        self.wire.receive("notified", "e1", 2, 0)
        self.notify(3, 4)
        self.assertEqual(len(ends), 4)
        ends[3].callback(None)
        ends[2].callback(None)
        self.clock.advance(1)
        self.assertEqual(self.wire.take(), [["notify", "d1", "e1", 4]])
        # What ends while the connection is lost is acknowledged by the next subscription.
        self.notify(5)
        self.wire.end()
        ends[4].callback(None)
        self.nextWire()
        self.wire.open()
        self.assertEqual(self.wire.take(), [["notify", "d1", "e1", 5]])

    def hold(self) -> list[tuple[int, Deferred[None]]]:
        """Subscribe with a listener that ends later; return what it was told, and what ends it."""
        ends: list[tuple[int, Deferred[None]]] = []

        def listener(type: str, data: Any) -> Deferred[None]:
            ends.append((data, Deferred()))
            return ends[-1][1]

        self.subscribe("notify", listener)
        return ends

    def test_endBeforeAnswer(self) -> None:
        """
        Deferreds that fire before the server has answered: nothing is told again, and the window moves.
        """
        ends = self.hold()
        self.notify(*range(1, 65))
        self.assertEqual(self.reconnect(), [["notify", "d1", "e1", 0]])
        for _, end in ends:
            end.callback(None)
        self.clock.advance(1)
        # The server would ignore it: it has sent nothing over this connection.
        self.assertEqual(self.wire.take(), [])
        self.wire.receive("notified", "e1", 0, 0)
        self.notify(*range(1, 65))
        self.assertEqual([frame[3] for frame in self.wire.take()], [32, 64])
        self.notify(65)
        self.assertEqual([n for n, _ in ends], list(range(1, 66)))

    def test_back(self) -> None:
        """A server that goes back in an epoch, after Deferreds have fired, has lost what came after."""
        ends = self.hold()
        self.notify(1, 2)
        ends[0][1].callback(None)
        self.clock.advance(1)
        self.assertEqual(self.reconnect(), [["notify", "d1", "e1", 1]])
        ends[1][1].callback(None)
        self.wire.receive("notified", "e1", 0, 0)
        self.notify(1)
        self.assertEqual([n for n, _ in ends], [1, 2, 1])

    def test_otherEpoch(self) -> None:
        """A Deferred that fires after the server has begun another epoch changes nothing."""
        ends = self.hold()
        self.notify(1)
        self.reconnect()
        self.wire.receive("notified", "e2", 7, 0)
        ends[0][1].callback(None)
        self.clock.advance(1)
        self.assertEqual(self.reconnect(), [["notify", "d1", "e2", 7]])

    def test_raises(self) -> None:
        """A listener that raises is reported, and the notification counts as received."""

        def listener(type: str, data: Any) -> None:
            raise ValueError("no")

        self.subscribe("notify", listener)
        self.notify(1)
        self.clock.advance(1)
        self.assertEqual([str(error) for error in self.errors], ["no"])
        self.assertEqual(self.wire.take(), [["notify", "d1", "e1", 1]])

    def test_once(self) -> None:
        """`once` takes one notification; the next ones wait for another listener."""
        told: list[Any] = []
        self.begin(device="d1")
        self.client.once("notify:gift", told.append)
        self.wire.open()
        self.wire.receive("notified", "e1", 0, 0)
        self.notify(1, 2, 3)
        self.assertEqual(told, [1])
        self.clock.advance(1)
        self.assertEqual(self.wire.take()[-1], ["notify", "d1", "e1", 1])

        def more(type: str, data: Any) -> None:
            told.append(data)
            self.client.on("notify:gift", lambda data: told.append(f"gift {data}"))

        self.client.once("notify", more)
        self.assertEqual(told, [1, 2, "gift 3"])

    def test_closeInListener(self) -> None:
        """After `close` no other notification is told; what was handled is acknowledged."""
        self.subscribe("notify:none", print)()
        self.notify(1, 2, 3)

        def listener(type: str, data: Any) -> None:
            self.told.append(data)
            if data == 2:
                self.client.close()

        self.client.on("notify", listener)
        self.assertEqual(self.told, [1, 2])
        self.assertEqual(self.wire.take(), [["notify", "d1", "e1", 1]])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noDevice(self) -> None:
        """A client without the option has no id of a device."""
        self.client.on("notify", print)
        self.wire.open()
        self.assertEqual(self.wire.take(), [["notify", None, None, 0]])

    def test_unheard(self) -> None:
        """A type without a listener is logged once."""
        events: list[Any] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.subscribe("notify:friend")
        self.notify(1, 2)
        warned = [event for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual([(event["type"], event["name"]) for event in warned], [("gift", "notify:gift")])

    def test_refused(self) -> None:
        """An error about notifications in the first frame is not the reason why the server closes."""
        self.begin()
        self.client.on("notify", print)
        joining = self.client.joinOrCreate("chat")
        self.wire.open()
        self.wire.receive("error", None, None, "unauthorized", "no id", {"frame": "notify"})
        self.wire.end(4004, "gone")
        self.assertEqual(self.codeOf(joining), "noSuchRoom")
        self.assertEqual([str(error) for error in self.errors], ["unauthorized: no id"])

    def test_tooMany(self) -> None:
        """More than the server may send without acknowledgements end the connection."""
        self.subscribe()()
        self.notify(*range(1, 1002))
        self.assertEqual(self.wires[0].closed, (4010, "not a frame"))
        self.assertIn("more notifications than", str(self.errors[0]))

    def test_reconnect(self) -> None:
        """A client that has given up connects again at `reconnect`."""
        self.client.reconnect()
        self.assertEqual(self.wires, [])
        self.client.on("notify", print)
        for _ in range(4):
            self.wire.end()
            self.nextWire()
        self.wire.end()
        self.assertEqual(self.client.state, ClientState.IDLE)
        self.client.reconnect(0.5)
        self.assertEqual(self.nextWire(), 0.5)
        self.wire.open()
        self.assertEqual(self.wire.take(), [["notify", None, None, 0]])


class RefusalTests(ClientTestCase):
    """A client that only listens, and a server that refuses it."""

    def listen(self) -> list[int]:
        """Listen for notifications; return the codes of "disconnected"."""
        endings: list[int] = []
        self.client.on("disconnected", lambda code, reason: endings.append(code))
        self.client.on("notify", print)
        return endings

    def test_final(self) -> None:
        """After a final refusal "error" has the reason, the client is idle, and `close` adds nothing."""
        for isSaid, message in ((True, "log in"), (False, "Unauthorized")):
            self.begin()
            endings = self.listen()
            self.wire.open()
            if isSaid:
                self.wire.receive("error", None, None, "unauthorized", "log in", None)
            self.wire.end(4001, "Unauthorized")
            told = [(error.code, error.message) for error in self.errors]
            self.assertEqual(told, [("unauthorized", message)])
            self.assertEqual((self.client.state, self.clock.getDelayedCalls()), (ClientState.IDLE, []))
            self.client.close()
            self.assertEqual((self.client.state, endings), (ClientState.CLOSED, [4001]))
            self.assertEqual(len(self.errors), 1)

    def test_gaveUp(self) -> None:
        """A client that was never connected reports it when it gives up."""
        self.listen()
        for _ in range(4):
            self.wire.end()
            self.nextWire()
        self.assertEqual(self.errors, [])
        self.wire.end()
        self.assertEqual([error.code for error in self.errors], ["unavailable"])

    def test_others(self) -> None:
        """If a join or a room has the error, "error" does not repeat it."""
        self.listen()
        self.wire.open()
        joining = self.client.join("chat")
        self.wire.end(4001, "log in")
        self.assertEqual((self.codeOf(joining), self.errors), ("unauthorized", []))
        self.begin()
        self.listen()
        self.wire.open()
        room = self.join()
        self.wire.end(4001, "log in")
        self.assertEqual((room.log[-1], self.errors), (("left", 4001, "log in"), []))

    def test_close(self) -> None:
        """`close` emits "disconnected" only if there was a connection, or was to be one."""
        endings: list[int] = []
        self.client.on("disconnected", lambda code, reason: endings.append(code))
        self.client.close()
        self.assertEqual(endings, [])
        self.begin()
        endings = self.listen()
        self.wire.open()
        self.client.close()
        self.assertEqual((endings, self.errors), ([1000], []))
