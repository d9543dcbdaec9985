"""What the tests of rooms share: rooms that take notes, and clients that speak the protocol."""

from __future__ import annotations

import os
import sys
from random import Random
from typing import Any, TypeVar, cast

import msgspec
from twisted.internet.defer import Deferred

from tests.case import HarnessTestCase
from tests.rooms.lagging import LaggingEngine
from tests.rooms.redisrooms import RedisOverFake
from txroom import Client as RoomClient
from txroom import LeaveReason, Room, RoomApplication, Server, message
from txroom.engine.memory import MemoryRooms
from txroom.rooms.owner.host import Host
from txroom.testing import Client, MemoryReactor, RoomHarness

MSGPACK = "txroom.v1.msgpack"
Case = TypeVar("Case", bound=type["RoomTestCase"])
#: The engines on which tests are run besides the one in memory.
ENGINES = os.environ.get("TXROOM_ENGINES", "lagging redis").split()


def hostOf(room: Room) -> Host:
    """What runs a room."""
    return cast(Host, room._host)


class NotingRoom(Room):
    """Notes its hooks in `events`, which all rooms of a test share."""

    events: list[tuple[Any, ...]] = []

    def onCreate(self, options: Any) -> Any:
        self.events.append(("create", dict(options)))

    def onJoin(self, client: RoomClient, options: Any) -> Any:
        self.events.append(("join", dict(options)))

    def onDrop(self, client: RoomClient) -> Any:
        self.events.append(("drop", client.id))

    def onResume(self, client: RoomClient, recovered: bool) -> Any:
        self.events.append(("resume", recovered))

    def onLeave(self, client: RoomClient, reason: LeaveReason) -> Any:
        self.events.append(("leave", reason.value))

    def onDispose(self) -> Any:
        self.events.append(("dispose", self.id))

    @message("say")
    def say(self, client: RoomClient, data: Any) -> Any:
        return self.broadcast("said", data)

    @message("tell")
    def tell(self, client: RoomClient, data: Any) -> Any:
        return client.send("told", data)


class Player:
    """A client of a harness that speaks the room protocol."""

    def __init__(self, case: RoomTestCase, client: Client) -> None:
        self.case = case
        self.client = client
        self.isJSON = client.protocolInUse != MSGPACK
        self._seen = 0
        self._lastRef = 0
        #: The last `joined`, and its room.
        self.joined: dict[str, Any] = {}
        self.room = ""

    def write(self, *frame: Any) -> None:
        """Send a frame."""
        data = list(frame)
        self.client.send(msgspec.json.encode(data).decode() if self.isJSON else msgspec.msgpack.encode(data))
        self.case.settle()

    @property
    def frames(self) -> list[list[Any]]:
        """All frames that came."""
        decode: Any = msgspec.json.decode if self.isJSON else msgspec.msgpack.decode
        frames: list[list[Any]] = [decode(each) for each in self.client.received]
        for frame in frames:
            if frame[0] == "joined":
                self.room, self.joined = frame[2], frame[3]
        return frames

    def take(self, kind: str | None = None) -> list[list[Any]]:
        """The frames that came since the last call, of one kind or of all."""
        new = self.frames[self._seen :]
        self._seen += len(new)
        return [frame for frame in new if kind in (None, frame[0])]

    @property
    def endings(self) -> list[int]:
        """The codes with which rooms have let it go; its connection goes on, else they are nothing."""
        return [frame[2] for frame in self.frames if frame[0] == "left"] if self.client.isOpen else []

    def said(self) -> list[Any]:
        """The data of the messages that came since."""
        return [frame[4] for frame in self.take("msg")]

    def ask(self, kind: str, *rest: Any) -> list[Any]:
        """Make a request; its answer."""
        self._lastRef += 1
        before = len(self.client.received)
        self.write(kind, self._lastRef, *rest)
        for frame in self.frames[before:]:
            if frame[0] in ("joined", "reply", "error") and frame[1] == self._lastRef:
                return frame
        raise AssertionError(f"no answer to {kind}: {self.frames[before:]}")

    def join(self, name: str = "chat", /, **options: Any) -> list[Any]:
        """Join by a frame; the answer."""
        return self.ask("join", name, options)

    def call(self, type: str, data: Any = None, *n: int) -> list[Any]:
        """A call; its answer."""
        return self.ask("call", self.room, type, data, *n)

    def send(self, type: str, data: Any = None, *n: int) -> None:
        """A message."""
        self.write("send", self.room, type, data, *n)

    def resume(
        self, former: Player, offset: int | None = None, attempt: int | None = None, **changes: Any
    ) -> list[Any]:
        """Resume what another connection had joined; by default from the last message it got."""
        joined = {**former.joined, **changes}
        if offset is None:
            offsets = [frame[2] for frame in former.frames if frame[0] == "msg" and frame[2]]
            offset = max([joined["offset"], *offsets])
        numbered = () if attempt is None else (attempt,)
        return self.ask("resume", former.room, joined["token"], joined["epoch"], offset, *numbered)


class RoomTestCase(HarnessTestCase):
    """Tests of rooms, on one engine."""

    isLagging = False
    #: Whether the engine is `RedisEngine`; then `isLagging` too, since it takes its time.
    isOnRedis = False
    #: The ref of a room's first call to a client.
    firstRef = 1
    harness: RoomHarness
    app: RoomApplication
    engine: Any

    def rooms(self, *classes: type[Room], app: RoomApplication | None = None, **options: Any) -> None:
        """Serve room classes, the first as "chat", the others by their class names."""
        self.events: list[tuple[Any, ...]] = []
        self.app = app or RoomApplication()
        for index, each in enumerate(classes or (NotingRoom,)):
            each.events = self.events  # type: ignore[attr-defined]
            self.app.register("chat" if not index else each.__name__, each, **options)
        clock = MemoryReactor()
        if self.isOnRedis:
            self.engine = RedisOverFake(self.app, clock, Random(self.id()))
        elif self.isLagging:
            self.engine = LaggingEngine(self.app, clock, Random(self.id()))
        else:
            self.engine = MemoryRooms(self.app, now=clock.seconds)
        self.app.begin(self.engine, clock)
        self.harness = self.serve(self.serverOnRedis if self.isOnRedis else self.app, clock=clock)
        self.settle()

    def serverOnRedis(self, clock: Any) -> Server:
        """A server that starts and stops the engine."""
        server = Server(clock=clock, engine=self.engine.service)
        server.addApplication(self.app)
        return server

    def waitingRooms(self, type: str, **options: Any) -> Deferred[Any]:
        """Serve rooms with one more message, whose handler waits for what this gives."""
        gate: Deferred[Any] = Deferred()

        class Chat(NotingRoom):
            @message(type)
            def wait(self, client: RoomClient) -> Any:
                return gate

        self.rooms(Chat, **options)
        return gate

    def settle(self) -> None:
        """Let everything happen that is under way."""
        if self.isLagging:
            self.harness.advance(0.2)
        else:
            self.harness.flush()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.harness.advance(seconds)
        self.settle()

    def player(self, path: str = "/rooms", protocol: str | None = None, **more: Any) -> Player:
        """A client that is connected."""
        protocols = [] if protocol is None else [protocol]
        client = self.harness.connect(path, protocols=protocols, **more)
        self.settle()
        return Player(self, client)

    def joined(self, name: str = "chat", /, protocol: str | None = None, **options: Any) -> Player:
        """A client that has joined; what came with that isn't taken yet, but `joined`."""
        player = self.player(protocol=protocol)
        answer = player.join(name, **options)
        self.assertEqual(answer[0], "joined", answer)
        player.take()
        return player

    def room(self, player: Player | None = None) -> Any:
        """The room of a player, or the only one."""
        if player is not None:
            return self.app.rooms[player.room]
        (room,) = self.app.rooms.values()
        return room

    def named(self, kind: str) -> list[Any]:
        """What came with the events of that kind."""
        return [event[1] if len(event) == 2 else event[1:] for event in self.events if event[0] == kind]

    def kinds(self) -> list[str]:
        """The kinds of the events."""
        return [event[0] for event in self.events]

    def result(self, deferred: Deferred[Any]) -> Any:
        """What a Deferred fires with once all is settled."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.settle()
        self.assertTrue(results, "still pending")
        return results[0]


#: What the engines that take their time have in common.
_SLOW = {"isLagging": True, "firstRef": (1 << 32) + 1}


def _addClass(case: type[RoomTestCase], ending: str, **more: Any) -> None:
    """Add a class with the same tests to the module."""
    name = case.__name__ + ending
    more |= {"__module__": case.__module__, "__doc__": case.__doc__}
    setattr(sys.modules[case.__module__], name, type(name, (case,), more))


def onRedisToo(case: Case) -> Case:
    """Run the tests of a class on Redis too: adds a second class to its module."""
    if "redis" in ENGINES:
        _addClass(case, "OnRedis", **_SLOW, isOnRedis=True)
    return case


def onBothEngines(case: Case) -> Case:
    """Run the tests of a class on the lagging engine and on Redis too: adds two classes to its module."""
    if "lagging" in ENGINES:
        _addClass(case, "OnLaggingEngine", **_SLOW)
    return onRedisToo(case)
