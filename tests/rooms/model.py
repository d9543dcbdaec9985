"""What the models of rooms share: random schedules, and a world in which they are run."""

from __future__ import annotations

import gc
import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import count
from random import Random
from typing import Any, NamedTuple, cast

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.rooms.lagging import LaggingCluster, LaggingEngine
from tests.sortedclock import SortedClock
from txroom import Handshake, Room, RoomApplication
from txroom.core.codes import ReadyState, SendStatus
from txroom.core.message import Prepared
from txroom.engine.memory import MemoryRooms
from txroom.rooms.contract.ports import Journal, Owner
from txroom.rooms.contract.records import Entry
from txroom.rooms.edge.dialect import DIALECTS
from txroom.rooms.edge.framesession import FrameSession
from txroom.rooms.owner.host import Host
from txroom.rooms.owner.logwindow import KeptEntry
from txroom.rooms.owner.messagelog import MessageLog

#: Schedules that each test of a model runs; `make models` runs many.
EXAMPLES = int(os.environ.get("TXROOM_EXAMPLES", "50"))


class Step(NamedTuple):
    """Something that happens: what, to which one, and how much of it (0 to 40)."""

    kind: str
    which: int
    amount: int


def schedules(kinds: str, least: int, most: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """
    A decorator that runs a test with many a `seed` and `steps`.

    There are `least` to `most` steps; a kind that is named twice happens twice as often. They are drawn
    as bytes, which is much faster than to draw a list of tuples, and shrinks as well.
    """
    names = kinds.split()

    def decoded(data: bytes) -> list[Step]:
        triples = zip(*[iter(data)] * 3, strict=False)
        return [Step(names[kind % len(names)], which, amount % 41) for kind, which, amount in triples]

    drawn = given(
        seed=st.integers(0, 2**32),
        steps=st.binary(min_size=3 * least, max_size=3 * most).map(decoded),
    )
    config = settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=False,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def run(self: Any, seed: int, steps: list[Step]) -> None:
            with repeatable(seed):
                test(self, seed, steps)

        return config(drawn(run))

    return decorate


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """
    Let all ids and tokens depend on the seed, so that the same schedule has the same outcome.

    Garbage is collected after the schedule: to do that again and again takes a fifth of the time.
    """
    random = Random(seed)

    def token(size: int) -> str:
        return urlsafe_b64encode(random.randbytes(size)).rstrip(b"=").decode()

    before = secrets.token_urlsafe, secrets.randbits
    secrets.token_urlsafe, secrets.randbits = token, random.getrandbits  # type: ignore[assignment]
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        secrets.token_urlsafe, secrets.randbits = before


class NotedLog:
    """The log of a room, and all that was ever added to the logs of rooms."""

    def __init__(self, log: MessageLog, entries: list[Entry]) -> None:
        self._log = log
        self._entries = entries

    def add(self, entry: Entry) -> KeptEntry:
        self._entries.append(entry)
        return self._log.add(entry)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class NotingEngine(MemoryRooms):
    """The memory engine, and all that was ever logged in its rooms."""

    def __init__(self, maker: Any) -> None:
        super().__init__(maker)
        self.entries: list[Entry] = []

    def claim(self, room: str, owner: Owner) -> Deferred[Journal]:
        host = cast(Host, owner)
        host.broadcaster._log = cast(MessageLog, NotedLog(host.log, self.entries))
        return super().claim(room, owner)


class Socket:
    """A connection, as far as a session needs one, and the client's end of it."""

    user = None
    bufferedAmount = refusedAmount = 0
    handshake = Handshake()

    def __init__(self, world: World, id: str, app: RoomApplication | None = None) -> None:
        self.world = world
        self.id = id
        self.readyState = ReadyState.OPEN
        self.app = app or world.random.choice(world.apps)
        self.session = FrameSession(self.app.services, cast(Any, self), DIALECTS["txroom.v1.msgpack"])
        world.sockets.append(self)

    def write(self, *frame: Any) -> None:
        """The client sends a frame."""
        if self.readyState is ReadyState.OPEN:
            self.session.received(msgspec.msgpack.encode(frame))

    def received(self, frame: list[Any]) -> None:
        """The client gets one."""
        raise NotImplementedError

    def sendFrame(self, prepared: Prepared) -> SendStatus:
        """The server sends one."""
        self.received(msgspec.msgpack.decode(prepared.payload))
        return SendStatus.SENT

    def sendFrames(self, messages: Sequence[Prepared]) -> SendStatus:
        """The server sends several at once."""
        for prepared in messages:
            self.sendFrame(prepared)
        return SendStatus.SENT

    def close(self, code: int, reason: str = "") -> None:
        """The server closes it."""
        self.readyState = ReadyState.CLOSING
        self.world.clock.callLater(0, self.lost, code)

    def lost(self, code: int = 1006) -> None:
        """It is gone."""
        if self.readyState is not ReadyState.CLOSED:
            self.readyState = ReadyState.CLOSED
            self.session.disconnected(code)


class Visit(Socket):
    """A connection of a client of a model, which may look at it no more before it is gone."""

    def __init__(self, client: Any, id: str) -> None:
        super().__init__(client.world, id)
        self.client = client
        #: Whether the client looks at it no more.
        self.isOver = False
        self.isJoined = False

    def received(self, frame: list[Any]) -> None:
        if not self.isOver:
            self.client.got(self, *frame)

    def lost(self, code: int = 1006) -> None:
        self.isOver = True
        super().lost(code)


class World:
    """Rooms on one of the engines, their time, and what was seen to be wrong; the edge is the real one."""

    def __init__(self, seed: int, isLagging: bool, roomClass: type[Room]) -> None:
        self.random = Random(seed)
        self.clock = SortedClock()
        self.isLagging = isLagging
        #: The registry and the engine of each process: of two if the engine lags.
        self.apps: list[RoomApplication] = []
        self.engines: list[Any] = []
        cluster = LaggingCluster(self.clock, self.random, 0.01)
        for _ in range(1 + isLagging):
            app = RoomApplication()
            app.register("model", roomClass)
            engine: Any = NotingEngine(app)
            if isLagging:
                engine = LaggingEngine(app, self.clock, self.random, cluster=cluster)
            app.begin(engine, self.clock)
            self.apps.append(app)
            self.engines.append(engine)
        self.engine = self.engines[0]
        self.attempts = count(1)
        self.sockets: list[Socket] = []
        self.violations: list[str] = []

    def madeRoom(self) -> str:
        """Make a room. Returns its id."""
        made: list[str] = []
        self.engine.create("model", {}).addCallback(made.append)
        self.advance(0.1)
        return made[0]

    def check(self, isTrue: bool, text: str) -> None:
        """It is a violation if not."""
        if not isTrue:
            self.violations.append(text)

    def hosts(self) -> dict[str, Host]:
        """The owners of the rooms, by the ids of those."""
        hosts: dict[str, Host] = self.engine.cluster.hosts if self.isLagging else self.engine._hosts
        return hosts

    def advance(self, seconds: float) -> None:
        """Let time pass, from one delayed call to the next, so that turns are short."""
        end = self.clock.seconds() + seconds
        while True:
            due = self.clock.calls[0].time if self.clock.calls else end
            if due >= end:
                break
            self.clock.advance(max(0.0, due - self.clock.seconds()))
            self.look()
        self.clock.advance(max(0.0, end - self.clock.seconds()))
        self.look()

    def look(self) -> None:
        """Check what must always hold."""

    def hangUp(self, seconds: float) -> None:
        """All connections are lost, and time passes: there is nobody any more."""
        for socket in self.sockets:
            socket.lost()
        self.advance(seconds)
        for app in self.apps:
            self.check(not app.edge.attachments, "an attachment is left")
        for host in self.hosts().values():
            self.check(not host.members and not host.roster.leaving, f"a member is left in {host.room}")

    def loseEdge(self, which: int) -> None:
        """A process is cut off with all its connections, where that can be; its rooms go on."""
        if self.isLagging:
            app = self.apps[which % len(self.apps)]
            self.engines[which % len(self.apps)].loseEdge()
            for socket in self.sockets:
                if socket.app is app:
                    socket.lost()

    def refound(self, room: str) -> None:
        """What is stored of a room is lost, and its owner founds it again, where that can be."""
        if self.isLagging:
            self.engine.refound(room)

    def handOver(self, room: str) -> None:
        """The process of the owner is to stop, where another one can have the room."""
        if self.isLagging:
            self.engine.handOver(room)

    def stall(self, room: str, seconds: float) -> None:
        """Nothing of a room is committed for a while, where that can be."""
        if self.isLagging:
            self.engine.stall(room, seconds)

    def lose(self, room: str, isApplied: bool, isSameEpoch: bool = True) -> None:
        """The owner of a room is lost, where that can be; the next one may begin a new epoch."""
        if self.isLagging and room in self.engine.stored:
            self.engine.loseOwner(room, isApplied)
            if not isSameEpoch:
                self.engine.renewEpoch(room)
