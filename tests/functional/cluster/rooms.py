"""The rooms of the nodes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from txroom import Accept, Client, Handshake, LeaveReason, Room, RoomError, Server, message
from txroom.protocol import payload
from txroom.rooms.contract.asks import Once, SendTo
from txroom.state import Map, State

#: The seconds between the ticks of a ledger.
TICK = 0.5


class Ledger(Room):
    """
    A room that tells everybody what it handles.

    Its messages name the process that runs the room. The room forgets its fields when another process takes
    it over, so whether it handled something twice shows in what the clients receive.
    """

    resumeSeconds = 60
    handlerTimeout = 600

    def onCreate(self, options: Mapping[str, Any]) -> None:
        self.openedAt = time.time()
        self.clock.every(TICK, self.tick)

    async def onJoin(self, client: Client, options: Mapping[str, Any]) -> None:
        if "home" in options:
            await self._sleepAt(options["home"], options["seconds"], options["who"])

    async def _sleepAt(self, home: int, seconds: float, who: str) -> None:
        """Tell that it has begun here, and sleep again and again as long as this is that process."""
        self.broadcast("begun", [who, os.getpid()])
        while os.getpid() == home:
            await self.clock.sleep(seconds)

    def tick(self) -> None:
        """Tell who runs the room, and since when; such a message may get lost."""
        self.broadcast("tick", [os.getpid(), self.openedAt], volatile=True)

    @message("add")
    def add(self, client: Client, i: int) -> int:
        who = client.options["who"]
        self.broadcast("added", [who, i, os.getpid()])
        if not i % 10:
            client.send("receipt", [who, i])
        return i * 2

    @message("owner")
    def owner(self, client: Client) -> int:
        return os.getpid()

    @message("sleep")
    async def sleep(self, client: Client, data: tuple[int, float, str]) -> int:
        await self._sleepAt(*data)
        return os.getpid()


class Account(Room):
    """A room that counts, and saves the count with each message."""

    resumeSeconds = 60
    exact = True
    balance = 0
    #: Whether it can't be loaded; there is a file "broken" when the server is made.
    isBroken = False

    def save(self) -> Any:
        return {"balance": self.balance}

    def load(self, data: Any, version: int) -> None:
        if self.isBroken:
            raise ValueError("a new version with a fault")
        self.balance = data["balance"]

    @message("pay")
    def pay(self, client: Client, amount: int) -> None:
        self.balance += amount
        self.broadcast("balance", self.balance)


class Deadly(Room):
    """A room that kills its process."""

    @message("die")
    def die(self, client: Client) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Pair(Room):
    """A room for two."""

    maxClients = 2


class Notifying(Room):
    """A room that notifies users."""

    def onCreate(self, options: Mapping[str, Any]) -> None:
        self.notify = options["notify"]

    @message("notify")
    async def send(self, client: Client, data: list[Any]) -> int:
        user, what = data
        result = await self.notify(user, "news", what)
        number: int = result.n
        return number


class Score(State):
    """The points of a player."""

    points: int = 0


class Scores(State):
    """What the clients of an `Arena` see."""

    total: int = 0
    players: Map[Score]


class Arena(Room):
    """A room with a state, which is saved with each message."""

    resumeSeconds = 60
    exact = True
    state: Scores

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> None:
        self.state.players[client.id] = Score()

    def onLeave(self, client: Client, reason: LeaveReason) -> None:
        del self.state.players[client.id]

    @message("score")
    def score(self, client: Client, points: int) -> int:
        self.state.players[client.id].points += points
        self.state.total += points
        return os.getpid()

    @message("die")
    def die(self, client: Client) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def userOf(handshake: Handshake) -> Accept:
    """Accept everybody, as the user of the query string."""
    return Accept(user=handshake.query.get("user"))


class Publish(Resource):
    """Publishes a message in a room, once for each key."""

    isLeaf = True

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def render_GET(self, request: Request) -> int:
        """Answer with the offset of the message, or with the error."""
        room, key = (request.args[name][0].decode() for name in (b"room", b"key"))

        async def answer() -> None:
            try:
                news = SendTo("news", payload.encode(key))
                found: Any = await self._server.cluster.ask(room, news, Once(key, b"digest"))
            except RoomError as error:
                found = {"code": error.code, "details": error.details}
            request.write(json.dumps(found).encode())
            request.finish()

        request.notifyFinish().addErrback(lambda failure: None)
        Deferred.fromCoroutine(answer())
        return NOT_DONE_YET


def makeServer() -> Server:
    """The server of a node."""
    server = Server()
    Account.isBroken = Path("broken").exists()
    server.register("notifying", Notifying, notify=server.notify)
    server.rooms.verifyClient = userOf
    server.register("ledger", Ledger)
    server.register("account", Account)
    server.register("deadly", Deadly)
    server.register("arena", Arena)
    server.register("pair", Pair).filterBy("match")
    server.addColyseus()
    server.addHealthPage()
    server.addPage("/publish", Publish(server))
    return server
