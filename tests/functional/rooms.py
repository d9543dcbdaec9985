"""The rooms for the tests of both clients."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_urlsafe
from typing import Any, cast

import msgspec
from twisted.internet.defer import Deferred

from txroom import CallError, Client, CloseCode, History, Room, RoomError, Server, message
from txroom.rooms.owner.host import Host


class Roll(msgspec.Struct):
    """How many sides the dice has."""

    sides: int


class Parlour(Room):
    """A room that uses every kind of frame."""

    presence = True
    history = History(limit=100, onJoin=1)

    def onCreate(self, options: Mapping[str, Any]) -> None:
        self.said = 0

    def onAuth(self, client: Client, options: Mapping[str, Any], handshake: Any) -> bool:
        return bool(options.get("auth") == "open sesame")

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> None:
        client.meta = {"name": options["name"]}
        client.send("welcome", options["name"])

    def snapshot(self, client: Client) -> Any:
        return {"said": self.said}

    @message("say")
    def say(self, client: Client, text: str) -> None:
        self.said += 1
        self.broadcast("said", {"text": text, "by": client.id})

    @message("roll")
    def roll(self, client: Client, roll: Roll) -> int:
        return roll.sides

    @message("fail")
    def fail(self, client: Client) -> None:
        raise ZeroDivisionError("secret")

    @message("refuse")
    def refuse(self, client: Client) -> None:
        raise RoomError("notNow", "later", {"field": "time"})

    @message("ask")
    def ask(self, client: Client, n: int) -> Deferred[Any]:
        return client.call("double", n)

    @message("askBadly")
    async def askBadly(self, client: Client) -> Any:
        try:
            return await client.call("unheard")
        except CallError as error:
            raise RoomError(error.code, error.message) from None

    @message("whisper")
    def whisper(self, client: Client, text: str) -> None:
        client.send("whispered", text)

    @message("typing")
    def typing(self, client: Client, isTyping: bool) -> None:
        self.broadcast("typing", isTyping, volatile=True)

    @message("mood")
    def mood(self, client: Client, mood: str) -> None:
        client.meta = {**client.meta, "mood": mood}

    @message("move")
    def move(self, client: Client, isKept: bool) -> None:
        """Let go of all clients, as if the room had moved to another process, with its messages or not."""
        self.clock.callLater(0, self._moved, isKept)

    def _moved(self, isKept: bool) -> None:
        host = cast(Host, self._host)
        if not isKept:
            host.refounded(token_urlsafe(6))
        for outlet, links in host.roster.everyone:
            outlet.detach(links, CloseCode.ROOM_MOVED)
            host.edgeGone(outlet)

    @message("kick")
    def throwOut(self, client: Client) -> None:
        client.kick("enough")


class Vault(Parlour):
    """A room that keeps bytes."""

    binary = True

    @message("say")
    def say(self, client: Client, data: bytes) -> None:  # type: ignore[override]
        self.broadcast("said", {"text": data})


class Ledger(Room):
    """A room that records what it handles."""

    handled: list[tuple[int, int]]

    def onCreate(self, options: Mapping[str, Any]) -> None:
        self.handled = []

    @message("add")
    def add(self, client: Client, i: int) -> int:
        self.handled.append((client.options["who"], i))
        self.broadcast("added", self.handled[-1])
        return i * 2


def makeServer(parlour: type[Parlour] = Parlour, ledgers: list[Ledger] | None = None) -> Server:
    """A server with all of these rooms; its ledgers are added to `ledgers`."""
    server = Server()
    server.register("parlour", parlour)
    server.register("fleeting", parlour, resumeSeconds=0.2)
    server.register("empty", parlour)
    server.register("vault", Vault)
    server.register("ledger", Ledger).on("create", ([] if ledgers is None else ledgers).append)
    return server
