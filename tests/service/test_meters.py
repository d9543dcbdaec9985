"""The counters of a server."""

from __future__ import annotations

from typing import Any

from tests.case import HarnessTestCase, Recorder
from tests.rooms.case import NotingRoom, RoomTestCase, onBothEngines
from txroom import Client, Handshake, RoomError
from txroom.service.meters import Meters


class ConnectionTests(HarnessTestCase):
    """Connections and their messages."""

    def open(self, **options: Any) -> Meters:
        self.app = Recorder()
        self.harness = self.serve(self.app, **options)
        self.client = self.harness.connect()
        return self.harness.server.meters

    def test_messages(self) -> None:
        """Messages and their bytes, both ways."""
        meters = self.open()
        self.client.send("abc")
        self.app.connection.send(b"12345")
        self.harness.flush()
        self.assertEqual((meters.messagesReceived, meters.bytesReceived), (1, 3))
        self.assertEqual((meters.messagesSent, meters.bytesSent), (1, 5))

    def test_upgrades(self) -> None:
        """Upgrades by result."""
        meters = self.open()
        self.harness.connect(origin="https://evil.example")
        self.harness.connect(origin="https://evil.example")
        self.harness.raw(b"nonsense\r\n\r\n")
        self.assertEqual(meters.upgrades, {"ok": 1, "origin": 2, "syntax": 1})
        self.assertEqual((meters.connections, meters.connectionsOpened), (1, 1))

    def test_closes(self) -> None:
        """Closes by the code that the application sees: the peer's, ours, or 1006 without any."""
        meters = self.open()
        self.client.close(4321)
        self.harness.connect()
        self.app.connection.close(1001)
        self.harness.flush()
        self.harness.connect()
        self.app.connection.terminate()
        self.harness.flush()
        self.assertEqual(meters.closes, {4321: 1, 1001: 1, 1006: 1})
        self.assertEqual([args[0] for args in self.app.named("disconnect")], [4321, 1001, 1006])
        self.assertEqual((meters.connections, meters.connectionsOpened), (0, 3))

    def test_dropped(self) -> None:
        """A message that is over the limit of the peer's queue is dropped, and not counted as sent."""
        meters = self.open(highWaterMark=1000, maxBackpressure=2000)
        self.client.stall()
        for data in (b"a" * 1500, b"b" * 600, b"c" * 100):
            self.app.connection.send(data)
        self.assertEqual((meters.messagesSent, meters.messagesDropped), (2, 1))

    def test_pingTimes(self) -> None:
        """The answers to pings of the heartbeat are timed; other pongs are not."""
        meters = self.open(pingInterval=5)
        self.client.protocol.sendPong(b"unasked")
        self.harness.advance(6)
        self.assertEqual(meters.pingTimes.count, 1)
        self.assertLess(meters.pingTimes.sum, 1.0)


class PickyRoom(NotingRoom):
    """A room that refuses, with a code of txroom's, or one of its own."""

    def onAuth(self, client: Client, options: Any, handshake: Handshake) -> Any:
        if "code" in options:
            raise RoomError(options["code"])
        return True


@onBothEngines
class RoomTests(RoomTestCase):
    """Rooms, on every engine."""

    def setUp(self) -> None:
        super().setUp()
        self.rooms(PickyRoom)
        self.meters = self.harness.server.meters

    def test_joins(self) -> None:
        """Joins by result; codes that a room has made up are summed up, so that there aren't too many."""
        self.player().join()
        player = self.player()
        player.join(code="unauthorized")
        for number in range(3):
            player.join(code=f"mine{number}")
        player.ask("joinById", "nowhere", {})
        self.assertEqual(self.meters.joins, {"ok": 1, "unauthorized": 1, "other": 3, "noSuchRoom": 1})
        self.assertEqual(self.meters.resumes, {})

    def test_resumes(self) -> None:
        """Resumes by result, and what becomes of members."""
        player = self.player()
        player.join()
        player.client.drop()
        self.settle()
        self.assertEqual((self.meters.rooms, self.meters.members), ({"chat": 1}, {"chat": 1}))
        again = self.player()
        again.resume(player)
        self.player().resume(player, token="wrong")
        self.assertEqual(self.meters.resumes, {"recovered": 1, "unauthorized": 1})
        lives = self.meters.lives
        self.assertEqual([lives.get(each) for each in ("create", "join", "drop", "resume")], [1, 1, 1, 1])
        again.write("leave", 1, player.room)
        self.advance(1)
        self.assertEqual((self.meters.rooms, self.meters.members), ({"chat": 0}, {"chat": 0}))
        self.assertEqual(self.meters.lives["leave"], 1)


class EngineTests(HarnessTestCase):
    """The counters of the engine in memory."""

    def test_notifications(self) -> None:
        """Those that are queued, and those that are dropped as there are too many, not expired ones."""
        harness = self.serve(Recorder())
        server, meters = harness.server, harness.server.meters
        for _ in range(3):
            server.notify("ann", "hello", limit=2)
        self.assertEqual((meters.engine.noticesQueued, meters.engine.noticesDropped), (3, 1))
        server.notify("ann", "hello", queue=False)
        server.notify("bob", "hello", seconds=5)
        harness.advance(6)
        server.notify("bob", "hello", limit=1)
        self.assertEqual((meters.engine.noticesQueued, meters.engine.noticesDropped), (5, 1))
        self.assertEqual((meters.engine.isUp, meters.engine.commitTimes), (None, None))


class CommitTests(RoomTestCase):
    """The counters of the engine over Redis."""

    isLagging = isOnRedis = True

    def test_commits(self) -> None:
        """How long commits take, and whether Redis is there."""
        self.rooms(NotingRoom)
        ada = self.joined()
        ada.send("say", "hello")
        engine = self.harness.server.meters.engine
        assert engine.commitTimes is not None
        self.assertGreater(engine.commitTimes.count, 1)
        self.assertTrue(engine.isUp)
