"""Clients that have ended and rooms that were left are freed without the garbage collector."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.case import HarnessTestCase
from txroom import Accept, Room, RoomError, message
from txroom.client import Client
from txroom.client import Room as JoinedRoom


class Chat(Room):
    presence = True

    @message("say")
    def say(self, client: Any, data: Any) -> Any:
        self.broadcast("said", data)
        return data

    @message("ask")
    async def ask(self, client: Any) -> Any:
        return await client.call("what")


def ours() -> Counter[str]:
    """The objects of ``txroom.client`` that exist, by their classes."""
    kinds = (type(each) for each in gc.get_objects())
    return Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).startswith("txroom.client."))


class CycleTests(HarnessTestCase):
    """No objects of the client form reference cycles."""

    def setUp(self) -> None:
        self.harness = self.serve({"chat": Chat})
        self.harness.server.rooms.verifyClient = lambda handshake: Accept(user="ada")
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def client(self, **options: Any) -> Client:
        """A client."""
        endpoint = self.harness.endpoint()
        return Client("ws://localhost:8080", endpoint=endpoint, reactor=self.harness.clock, **options)

    def joined(self, client: Client) -> JoinedRoom:
        """A room in which everything was used once, with listeners that refer to it."""
        joining = client.joinOrCreate("chat", {"name": "ada"})
        self.harness.flush()
        room: JoinedRoom = self.successResultOf(joining)
        for name in ("said", "left", "presence", "error"):
            room.on(name, lambda *args: (room, client))
        room.handle("what", lambda data: room.id)
        call, answer = room.call("say", 1), room.call("ask")
        room.send("say", 2)
        with contextlib.suppress(RoomError):
            room.send("say", object())
        room.call("say", 3).addErrback(lambda failure: None).cancel()
        self.harness.advance(30.0)
        self.successResultOf(call)
        self.successResultOf(answer)
        return room

    def left(self, act: Callable[[], object]) -> Counter[str]:
        """The objects that remain after an act; the act was done before, so that caches are filled."""
        act()
        gc.collect()
        before = ours()
        act()
        return ours() - before

    def test_closed(self) -> None:
        """A client that was closed while in a room is freed."""

        def act() -> None:
            client = self.client()
            client.on("disconnected", lambda *args: client)
            client.on("notify", lambda *args: client)
            self.harness.notify("ada", "gift", 1)
            self.joined(client)
            client.close()
            self.harness.advance(5.0)

        self.assertEqual(self.left(act), Counter())

    def test_dropped(self) -> None:
        """A client whose connection was lost and opened again is freed."""

        def act() -> None:
            client = self.client()
            room = self.joined(client)
            for connection in self.harness.server.connections:
                connection.terminate()
            self.harness.advance(2.0)
            self.assertEqual(room.status, "joined")
            client.close()
            self.harness.advance(5.0)

        self.assertEqual(self.left(act), Counter())

    def test_rooms(self) -> None:
        """Rooms are freed that ended, or that were left by a client that remains."""
        client = self.client()
        self.joined(client)

        def leave() -> None:
            room = self.joined(client)
            room.leave()
            self.harness.advance(2.0)

        def end() -> None:
            room = self.joined(client)
            member = self.harness.rooms[0].client(room.member)
            assert member is not None
            member.kick("out")
            self.harness.advance(2.0)
            self.assertEqual(room.status, "left")

        for act in (leave, end):
            self.assertEqual(self.left(act), Counter(), act.__name__)
        client.close()
        self.harness.advance(5.0)

    def test_refused(self) -> None:
        """Joins are freed that were refused after `auth` had failed, or that had no connection."""
        attempts: list[int] = []

        def auth() -> Deferred[str]:
            attempts.append(1)
            if len(attempts) % 2:
                raise ZeroDivisionError
            waiting: Deferred[str] = Deferred()
            self.harness.clock.callLater(1.0, waiting.callback, "secret")
            return waiting

        def refused() -> None:
            client = self.client(auth=auth)
            joining = client.joinById("nowhere")
            self.harness.advance(3.0)
            self.failureResultOf(joining)
            client.close()
            self.harness.advance(5.0)

        def unreachable() -> None:
            nowhere = self.harness.endpoint()
            nowhere.isOnline = False
            client = Client("ws://localhost", endpoint=nowhere, reactor=self.harness.clock)
            joining = client.join("chat")
            self.harness.advance(60.0)
            self.failureResultOf(joining)
            client.close()
            self.harness.advance(5.0)

        for act in (refused, unreachable):
            self.assertEqual(self.left(act), Counter(), act.__name__)
