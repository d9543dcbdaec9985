"""
txroom with its defaults. The role deflate uses shared compression, and rooms have no limit of messages per
second. The garbage collector is set up as under `twistd txroom`.

`--reactor NAME` installs a reactor plugin; `--listen NAME` is the type of the endpoint, instead of "tcp".
`--presence off` switches presence off in the role presence; `--redis URL` makes it a node of a cluster.
With `?history=N` in its URL a room keeps that many messages.
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
from txroom.engine.redis.engine import RedisEngine
from txroom.process import keepFreedMemory, relaxCollector


class Echo(Application):
    """Sends each message back."""

    def onMessage(self, connection: Connection, message: str | bytes) -> None:
        connection.send(message)


class Broadcast(Application):
    """Sends each message to all clients."""

    def onMessage(self, connection: Connection, message: str | bytes) -> None:
        self.broadcast(message)


class Say(Struct):
    """The data of a message."""

    text: str


class ChatRoom(Room):
    """Sends each message with the member's name to all members, and answers a call with its data."""

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


class KeyedRoom(ChatRoom):
    """One of many rooms, which the others can find by its key."""

    @message("find")
    async def find(self, client: Client, data: Say) -> dict[str, str]:
        found = await self.application.query("keyed", {"key": data.text})
        return {**client.meta, "text": found[0].filters["key"]}


class HallRoom(ChatRoom):
    """A room for as many members as the client that creates it says."""

    def onCreate(self, options: Mapping[str, Any]) -> None:
        self.maxClients = int(options["size"])


def makeServer(role: str, hasPresence: bool = True, redis: str | None = None) -> Server:
    """A server in that role. `redis` is the URL of the cluster's Redis."""
    engine = RedisEngine(redis) if redis else None
    options = ServerOptions(compression="shared" if role == "deflate" else "disabled")
    server = Server(options, engine=engine)
    if role in ("rooms", "presence", "cluster"):
        rooms = RoomApplication(messageRate=0, messageBurst=0, createRate=0, joinRate=0)
        for name in ("chat", "other"):
            rooms.register(name, ChatRoom, presence=role == "presence" and hasPresence)
        rooms.register("hall", HallRoom)
        rooms.register("keyed", KeyedRoom, maxRooms=0).filterBy("key")
        server.addApplication(rooms)
    else:
        server.addApplication(Echo() if role in ("echo", "tls") else Broadcast())
    return server


def main() -> None:
    options = arguments(__doc__, "--reactor", "--listen", "--presence", "--redis")
    installReactor(options.reactor or "default")
    from twisted.internet import reactor

    server = makeServer(options.role, options.presence != "off", options.redis)
    kind = options.listen or ("ssl" if options.role == "tls" else "tcp")
    key = f":privateKey={options.certificate}" if options.role == "tls" else ""
    server.listen(f"{kind}:{options.port}:interface=127.0.0.1{key}")
    server.startService()
    keepFreedMemory()
    relaxCollector()
    reactor.run()


if __name__ == "__main__":
    main()
