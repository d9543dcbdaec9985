"""Servers that share rooms over a Redis in memory, on one clock, for tests of whole nodes."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from tests.engine.redis.fakeredis import FakeClient, FakeRedis
from txroom import Client as Member
from txroom import Room, RoomApplication, Server, ServerOptions, message
from txroom.engine.redis import RedisEngine
from txroom.engine.redis.clusternode import ClusterNode
from txroom.testing import MemoryReactor, RoomHarness
from txroom.testing.rooms import JoinedRoom, RoomClient


class Chat(Room):
    """A room that repeats what it is told."""

    resumeSeconds = 60.0
    linger = 60.0

    @message("say")
    def say(self, client: Member, data: Any) -> Any:
        return self.broadcast("said", data)

    @message("many")
    def many(self, client: Member, number: int) -> None:
        for index in range(number):
            self.broadcast("said", index)

    @message("shout")
    def shout(self, client: Member, data: Any) -> None:
        self.broadcast("shouted", data, volatile=True)


class TestNode:
    """One server, and its harness."""

    __test__ = False

    def __init__(
        self,
        case: NodesTestCase,
        port: int,
        roomClass: type[Room],
        options: dict[str, Any],
        path: str = "/rooms",
        name: str = "chat",
    ) -> None:
        self._name = name
        self.case = case
        self._port = port
        self._roomClass = roomClass
        self._options = options
        self.connections: list[FakeClient] = []
        self.engine = RedisEngine(
            "redis://fake", connect=self._connect, run=case.dataRun, orphanSeconds=case.orphanSeconds
        )
        self.failures: list[Any] = []
        self.app = RoomApplication(path=path)
        self.harness = RoomHarness(self._makeServer, clock=case.clock)
        self.isKilled = False

    def _connect(self, clock: Any) -> Any:
        connection = self.case.redis.connect()
        self.connections.append(connection)
        return connection

    def _makeServer(self, clock: Any) -> Server:
        server = Server(ServerOptions(), clock=clock, engine=self.engine)
        server.addApplication(self.app)
        self.app.register(self._name, self._roomClass, **self._options).filterBy("mode")
        server.listen(f"tcp:{self._port}")
        server.onEngineFailed = self.failures.append
        return server

    @property
    def node(self) -> ClusterNode:
        """The node, while it runs."""
        node = self.engine.node
        assert node is not None
        return node

    def join(self, name: str = "chat", **options: Any) -> JoinedRoom:
        """A new client joins, which takes some time."""
        (joined,) = self.joining(name, **options)
        assert isinstance(joined, JoinedRoom), joined
        return joined

    def joining(self, name: str = "chat", **options: Any) -> list[Any]:
        """A new client joins; the result once all is settled."""
        results = fired(self.client().joining(name, **options))
        self.case.settle()
        return results

    @property
    def isRunning(self) -> bool:
        """Whether it is in the cluster."""
        return not self.isKilled and self.engine.node is not None

    def client(self) -> RoomClient:
        """A client of this node."""
        return self.harness.client(to=self.harness.server.factory())

    def stop(self) -> None:
        """Stop the server, as long as that takes."""
        stopped = fired(self.harness.server.stopService())
        for _ in range(200):
            if stopped:
                return
            self.case.clock.advance(0.1)
        raise AssertionError("it has not stopped")

    def kill(self) -> None:
        """The process is killed: nothing comes from it any more."""
        self.isKilled = True
        for connection in self.connections:
            connection.stop()
        self.node.lease.stop()
        self.node.adoption.stop()
        self.node.peers.stop()
        self.node.loseRooms()
        for socket in list(self.harness.server.connections):
            socket.terminate()

    def ask(self, room: str, command: Any) -> list[Any]:
        """The server's own code asks a room; the result once all is settled."""
        results = fired(self.app.engine.ask(room, command))
        self.case.settle()
        return results


class NodesTestCase(SynchronousTestCase):
    """Tests of several nodes."""

    roomClass: type[Room] = Chat
    #: See `RedisEngine`.
    orphanSeconds = 86400.0
    #: The argument `run` of the engines.
    dataRun: str | None = None

    def setUp(self) -> None:
        self.clock = MemoryReactor()
        self.redis = FakeRedis(self.clock, Random(1), 0.001)
        self.nodes: list[TestNode] = []

    def start(self, number: int = 2, **options: Any) -> list[TestNode]:
        """Start nodes."""
        new = [
            TestNode(self, 8080 + len(self.nodes) + index, self.roomClass, options) for index in range(number)
        ]
        self.nodes += new
        self.settle()
        return new

    def tearDown(self) -> None:
        for node in self.nodes:
            if not node.isKilled and node.harness.server.running:
                node.stop()

    def settle(self) -> None:
        """Let everything happen that is under way."""
        self.clock.advance(0.1)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    def result(self, deferred: Deferred[Any]) -> Any:
        """What a Deferred fires with once all is settled."""
        results = fired(deferred)
        self.settle()
        self.assertTrue(results, "still pending")
        return results[0]

    def whereIs(self, room: str) -> list[TestNode]:
        """The nodes that have a room."""
        return [node for node in self.nodes if node.isRunning and room in node.node.here]
