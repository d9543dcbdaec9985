"""
A small application as a strict project would write it: type checkers look at all of it.

It has rooms with typed handlers, a history, an ``auth`` of its own, a bot that uses the client, and a test
with the harness.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.static import File

from txroom import (
    Accept,
    Client,
    Deny,
    Handshake,
    History,
    Room,
    RoomApplication,
    Server,
    ServerOptions,
    message,
)
from txroom import client as bots
from txroom.testing import MemoryReactor, RoomHarness


class Answer(Struct):
    """What a player answers."""

    question: int
    text: str


class Quiz(Room):
    """Questions, answers and points."""

    maxClients = 8
    presence = True
    history = History(limit=20, onJoin=5)

    def onCreate(self, options: Mapping[str, Any]) -> None:
        self.points: dict[str, int] = {}
        self.title = str(options.get("title", "quiz"))

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> None:
        self.points[client.id] = 0

    def snapshot(self, client: Client) -> dict[str, int]:
        return self.points

    @message("answer")
    def answer(self, client: Client, data: Answer) -> bool:
        isRight = data.text == "42"
        self.points[client.id] += isRight
        self.broadcast("answered", {"who": client.id, "isRight": isRight}, exclude=client)
        return isRight

    @message("ready")
    async def ready(self, client: Client) -> str:
        name: str = await client.call("name")
        return f"welcome, {name}"


class Application(RoomApplication):
    """Whoever has the word is let in."""

    def verifyClient(self, handshake: Handshake) -> Accept | Deny:
        if handshake.headers.get("x-word") == "please":
            return Accept(user="guest")
        return Deny(401, body="say please")


def makeServer(clock: MemoryReactor) -> Server:
    """The server, on the clock of a test."""
    server = Server(clock=clock)
    application = Application()
    application.register("quiz", Quiz, title="tonight")
    server.addApplication(application, path="/rooms")
    server.addPage("/", File("pages"))
    return server


def serve(reactor: Any) -> bots.Client:
    """It where people find it, and a client that goes there."""
    server = Server(ServerOptions(maxConnections=100), clock=reactor)
    server.listen(TCP4ServerEndpoint(reactor, 8080))
    server.listen("tcp:8081")
    return bots.Client("ws://localhost/rooms", endpoint=TCP4ClientEndpoint(reactor, "localhost", 8080))


class Bot:
    """A player that has studied."""

    def __init__(self, client: bots.Client) -> None:
        self.client = client
        self.heard: list[str] = []
        self.here = 0

    async def play(self) -> bool:
        """Answer the first question."""
        room = await self.client.joinOrCreate("quiz", {"level": 1})
        room.on("answered", lambda data, offset: self.heard.append(str(data["who"])))
        room.on("left", self.left)
        room.on("lost", lambda loss: self.heard.append(f"lost {loss.offset}"))
        room.onPresence(lambda members, joined, left: self.count(members))
        room.onMessage("*", lambda type, data, offset: self.heard.append(type))
        room.handle("name", lambda data: "bot")
        self.client.on("reconnecting", lambda code, reason, attempt, delay: self.heard.append(reason))
        isRight: bool = await room.call("answer", Answer(1, "42"))
        room.send("answer", {"question": 2, "text": "?"})
        await room.leave()
        return isRight

    def count(self, members: list[bots.Member]) -> None:
        """How many are here."""
        self.here = len(members)

    def left(self, code: int, reason: str) -> None:
        """It is over."""
        self.heard.append(f"{code} {reason}")


class QuizTests(SynchronousTestCase):
    """The rooms, in memory."""

    def setUp(self) -> None:
        self.harness = RoomHarness(makeServer)
        self.addCleanup(self.harness.stop)

    def test_points(self) -> None:
        """A right answer counts."""
        ada = self.harness.client(headers={"x-word": "please"}).join("quiz")
        ada.handle("name", lambda data: "ada")
        self.assertEqual(ada.call("ready"), "welcome, ada")
        self.assertEqual(ada.call("answer", {"question": 1, "text": "42"}), True)
        quiz = self.harness.roomOf(ada, Quiz)
        self.assertEqual((quiz.title, quiz.points[ada.member]), ("tonight", 1))

    def test_bot(self) -> None:
        """The bot knows it."""
        options: dict[str, Any] = {"headers": {"x-word": "please"}}
        client = bots.Client(
            "ws://localhost", endpoint=self.harness.endpoint(), reactor=self.harness.clock, **options
        )
        playing = Deferred.fromCoroutine(Bot(client).play())
        self.harness.advance(1.0)
        self.assertEqual(self.successResultOf(playing), True)
        client.close()
        self.harness.flush()
