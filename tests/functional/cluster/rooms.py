"""The rooms of the nodes."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from txroom import Client, Room, Server, message


class Ledger(Room):
    """
    A room that tells everybody what it handles.

    Its messages name the process that runs the room. The room forgets its fields when another process takes
    it over, so whether it handled something twice shows in what the clients receive.
    """

    resumeSeconds = 60
    #: Whether it can't be opened by another process; there is a file "broken" when the server is made.
    isBroken = False

    def onCreate(self, options: Mapping[str, Any]) -> None:
        if self.isBroken and self.isRestored:
            raise ValueError("a new version with a fault")
        self.clock.every(0.5, self.tick)

    def tick(self) -> None:
        """Tell who runs the room; such a message may get lost."""
        self.broadcast("tick", os.getpid(), volatile=True)

    @message("add")
    def add(self, client: Client, i: int) -> int:
        who = client.options["who"]
        self.broadcast("added", [who, i, os.getpid()])
        if not i % 10:
            client.send("receipt", [who, i])
        return i * 2


class Account(Room):
    """A room that counts, and saves the count with each message."""

    resumeSeconds = 60
    exact = True
    balance = 0

    def save(self) -> Any:
        return {"balance": self.balance}

    def load(self, data: Any, version: int) -> None:
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


def makeServer() -> Server:
    """The server of a node."""
    server = Server()
    Ledger.isBroken = Path("broken").exists()
    server.register("ledger", Ledger)
    server.register("account", Account)
    server.register("deadly", Deadly)
    server.register("pair", Pair).filterBy("match")
    server.addHealthPage()
    return server
