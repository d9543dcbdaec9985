"""
txroom with its defaults. The role deflate uses shared compression, and rooms have no limit of messages per
second. The garbage collector is set up as under `twistd txroom`.

`--reactor NAME` installs a reactor plugin; `--listen NAME` is the type of the endpoint, instead of "tcp".
`--presence off` switches presence off in the role presence; `--redis URL` makes it a node of a cluster.
`--operated on` gives it an admin listener with an open page, metrics that are read, and a log as JSON.
With `?history=N` in its URL a room keeps that many messages.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from common import arguments
from msgspec import Struct
from twisted.application.reactors import installReactor
from twisted.logger import globalLogBeginner, textFileLogObserver
from txroom_world import HiddenRoom, WorldRoom

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
from txroom.process.jsonlog import logAsJSON


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


def makeRooms(hasPresence: bool = False) -> RoomApplication:
    """The rooms, without limits of messages and joins."""
    rooms = RoomApplication(messageRate=0, messageBurst=0, createRate=0, joinRate=0)
    for name in ("chat", "other"):
        rooms.register(name, ChatRoom, presence=hasPresence)
    rooms.register("hall", HallRoom)
    rooms.register("state", WorldRoom)
    rooms.register("views", HiddenRoom)
    rooms.register("keyed", KeyedRoom, maxRooms=0).filterBy("key")
    return rooms


def makeServer(role: str, hasPresence: bool = True, redis: str | None = None) -> Server:
    """A server in that role. `redis` is the URL of the cluster's Redis."""
    engine = RedisEngine(redis) if redis else None
    options = ServerOptions(compression="shared" if role == "deflate" else "disabled")
    server = Server(options, engine=engine)
    if role in ("rooms", "presence", "cluster", "state", "views"):
        server.addApplication(makeRooms(role == "presence" and hasPresence))
        server.addColyseus("/")
    else:
        server.addApplication(Echo() if role in ("echo", "tls") else Broadcast())
    return server


def operate(server: Server, reactor: Any) -> None:
    """Let the server log as JSON, and operators watch it, when it runs."""
    nowhere = open(os.devnull, "w")  # noqa: SIM115 - as long as the process runs
    globalLogBeginner.beginLoggingTo([textFileLogObserver(nowhere)], redirectStandardIO=False)
    logAsJSON()
    token = token_hex(16)

    def watch(port: Any) -> None:
        program = os.path.join(os.path.dirname(__file__), "txroom_operator.py")
        number = str(port.getHost().port)
        reactor.callInThread(subprocess.run, [sys.executable, program, number, token], check=True)

    server.addAdmin("tcp:0:interface=127.0.0.1", token=token).addCallback(watch)


def main() -> None:
    options = arguments(__doc__, "--reactor", "--listen", "--presence", "--redis", "--operated")
    installReactor(options.reactor or "default")
    from twisted.internet import reactor

    server = makeServer(options.role, options.presence != "off", options.redis)
    kind = options.listen or ("ssl" if options.role == "tls" else "tcp")
    key = f":privateKey={options.certificate}" if options.role == "tls" else ""
    server.listen(f"{kind}:{options.port}:interface=127.0.0.1{key}")
    if options.operated:
        operate(server, reactor)
    server.startService()
    keepFreedMemory()
    relaxCollector()
    reactor.run()


if __name__ == "__main__":
    main()
