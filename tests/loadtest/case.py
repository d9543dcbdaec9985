"""What the tests of load tests share: a load test of a server in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from tests.case import HarnessTestCase, fired
from txroom import Application, Room, RoomApplication, message
from txroom import Client as Player
from txroom.loadtest import LoadTest, Plan, figuresOf
from txroom.testing import RoomHarness


@implementer(IStreamClientEndpoint)
class Door:
    """Leads to the server of a harness, or to a port where no server listens."""

    def __init__(self, harness: RoomHarness) -> None:
        self._endpoint = harness.endpoint()
        self.isOpen = True

    def connect(self, factory: Any) -> Deferred[Any]:
        if not self.isOpen:
            return fail(ConnectionRefusedError("nobody listens"))
        return self._endpoint.connect(factory)


class Hall(Room):
    """A room for these tests."""

    resumeSeconds = 10
    linger = 0

    def onJoin(self, client: Player, options: Any) -> None:
        client.data["name"] = options.get("name")

    @message("say")
    def say(self, client: Player, data: Any) -> None:
        self.broadcast("said", data)

    @message("slow")
    def slow(self, client: Player, data: Any) -> Any:
        answer: Deferred[Any] = Deferred()
        self.clock.callLater(0.25, answer.callback, None)
        return answer.addCallback(lambda _: self.broadcast("said", data))

    @message("name")
    def tellName(self, client: Player) -> Any:
        self.broadcast("name", client.data["name"])

    @message("refuse")
    def refuse(self, client: Player, data: int) -> None:
        raise AssertionError("no int comes")

    @message("out")
    def out(self, client: Player) -> None:
        client.kick("enough")

    @message("mute")
    def mute(self, client: Player, data: Any) -> None:
        pass


class Echo(Application):
    """Sends each message back."""

    def onMessage(self, connection: Any, message: str | bytes) -> None:
        connection.send(message)


class Broadcast(Application):
    """Sends each message to all connections."""

    def onMessage(self, connection: Any, message: str | bytes) -> None:
        self.broadcast(message)


class LoadTestCase(HarnessTestCase):
    """Runs plans against a server with the room "hall", an echo and a broadcast."""

    def setUp(self) -> None:
        self.rooms = rooms = RoomApplication()
        rooms.register("hall", Hall)
        applications = {"/rooms": rooms, "/echo": Echo(), "/broadcast": Broadcast()}
        self.harness = self.serve(applications, pingInterval=0, refusals="http")
        self.endpoint = Door(self.harness)

    def loadTest(
        self, *, path: str = "/rooms", room: str | None = "hall", token: str = "t", **plan: Any
    ) -> LoadTest:
        """Begin a load test."""
        usual = {"clients": 3, "ramp": 0.0, "duration": 2.0, "endpoint": self.endpoint}
        url = f"ws://localhost:8080{path}"
        loadTest = LoadTest(Plan(url=url, room=room, **{**usual, **plan}), self.harness.clock, token)
        self.done = fired(loadTest.run())
        self.harness.flush()
        return loadTest

    def plain(self, path: str = "/echo", **plan: Any) -> LoadTest:
        """Begin a load test without rooms."""
        return self.loadTest(path=path, room=None, **plan)

    def finish(self, loadTest: LoadTest, seconds: float = 20.0) -> dict[str, Any]:
        """Let time pass until the load test is done; return its figures."""
        left = seconds
        while not self.done and left > 0:
            self.harness.advance(0.1)
            left -= 0.1
        self.assertEqual(self.done, [None])
        self.assertEqual(
            (loadTest.metrics.connected, loadTest.metrics.joined, loadTest.metrics.pending.total()), (0, 0, 0)
        )
        return figuresOf(loadTest, cpu=0.0)

    def cut(self) -> None:
        """Lose all connections."""
        for transport in list(self.harness.clock.readers):
            transport.abortConnection()
        self.harness.flush()

    def assertAbout(self, value: float, expected: float, part: float = 0.02) -> None:
        """A measured value is as expected, up to the width of a bucket."""
        self.assertTrue(abs(value - expected) <= part * expected, f"{value} isn't about {expected}")
