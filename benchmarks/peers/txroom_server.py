"""
txroom at its defaults, but for the role deflate, which switches shared compression on, and for rooms, which
have no limit of messages a second. As under `twistd txroom`, the garbage collector is relaxed.

`--reactor NAME` installs a reactor plugin; `--listen NAME` is the kind of the endpoint, instead of "tcp".
`?history=N` in the address of a room makes it keep so many messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common import arguments
from msgspec import Struct
from twisted.application.reactors import installReactor

from txroom import (
    Application,
    Client,
    Connection,
    History,
    Room,
    RoomApplication,
    Server,
    ServerOptions,
    message,
)
from txroom.process import relaxCollector


class Echo(Application):
    """What one says it hears."""

    def onMessage(self, connection: Connection, message: str | bytes) -> None:
        connection.send(message)


class Broadcast(Application):
    """What one says all hear."""

    def onMessage(self, connection: Connection, message: str | bytes) -> None:
        self.broadcast(message)


class Say(Struct):
    """What is said."""

    text: str


class ChatRoom(Room):
    """What one says all hear, with its name; what one asks comes back."""

    def onCreate(self, options: Mapping[str, Any]) -> None:
        if "history" in options:
            self.history = History(limit=int(options["history"]), size=1 << 26)

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> None:
        client.meta = {"name": str(options["name"])}

    @message("say")
    def say(self, client: Client, data: Say) -> None:
        self.broadcast("said", {**client.meta, "text": data.text})

    @message("ask")
    def ask(self, client: Client, data: Say) -> dict[str, str]:
        return {**client.meta, "text": data.text}

    @message("askAsync")
    async def askAsync(self, client: Client, data: Say) -> dict[str, str]:
        return {**client.meta, "text": data.text}

    @message("askSend")
    def askSend(self, client: Client, data: Say) -> None:
        client.send("answered", {**client.meta, "text": data.text})

    @message("askVolatile")
    def askVolatile(self, client: Client, data: Say) -> None:
        client.send("answered", {**client.meta, "text": data.text}, volatile=True)


class HallRoom(ChatRoom):
    """A room for as many members as the client that creates it says."""

    def onCreate(self, options: Mapping[str, Any]) -> None:
        self.maxClients = int(options["size"])


def makeServer(role: str) -> Server:
    """A server in that role."""
    server = Server(ServerOptions(compression="shared" if role == "deflate" else "disabled"))
    if role == "rooms":
        rooms = RoomApplication(messageRate=0, messageBurst=0, createRate=0, joinRate=0)
        for name in ("chat", "other"):
            rooms.register(name, ChatRoom)
        rooms.register("hall", HallRoom)
        server.addApplication(rooms)
    else:
        server.addApplication(Echo() if role in ("echo", "tls") else Broadcast())
    return server


def main() -> None:
    options = arguments(__doc__, "--reactor", "--listen")
    installReactor(options.reactor or "default")
    from twisted.internet import reactor

    server = makeServer(options.role)
    kind = options.listen or ("ssl" if options.role == "tls" else "tcp")
    key = f":privateKey={options.certificate}" if options.role == "tls" else ""
    server.listen(f"{kind}:{options.port}:interface=127.0.0.1{key}")
    server.startService()
    relaxCollector()
    reactor.run()


if __name__ == "__main__":
    main()
