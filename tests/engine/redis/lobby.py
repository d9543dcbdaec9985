"""
The rooms of the model of a cluster that come and go: clients of all nodes ask for a room at the same time,
the server creates rooms of which there may be only a few, and rooms are ended.

- Clients that ask for the same key at the same time meet: of the rooms that they get, at most one has a seat
  left. This holds if nothing fails meanwhile but the process that creates the room.
- Each request is answered.
- Unless Redis has lost data, there are never more rooms than `maxRooms`.
- A room that has ended is gone everywhere, and in the end everything that exists is listed, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.python.failure import Failure

from txroom import Room, RoomApplication
from txroom.engine.redis.keys import Keys
from txroom.rooms.contract.asks import Dispose

KEYS = Keys()
#: The seats of a match, and the most rooms of the name "few".
SEATS, FEW = 3, 3
#: The kinds of steps; see `Lobby`.
KINDS = "meet meet leave spawn spawn end"
#: After so many seconds without a fault all nodes know the same rooms.
CALM = 6.0
#: The most seconds that a request takes if nothing but its maker fails, and after how many to look.
ANSWER, WAIT = 40.0, 0.25


class Hall(Room):
    """Takes any number of clients, and some time to be created, if they want so. It ends when it is empty."""

    resumeSeconds = 0

    async def onCreate(self, options: Any) -> None:
        await self.clock.sleep(options.get("seconds", 0))


class Match(Hall):
    """Takes a few clients."""

    maxClients = SEATS


class Kept(Room):
    """Doesn't end by itself."""

    autoDispose = False


def register(app: RoomApplication) -> None:
    """Register the rooms."""
    app.register("match", Match).filterBy("key")
    app.register("hall", Hall).filterBy("key")
    app.register("few", Kept, maxRooms=FEW)


class World(Protocol):
    """The world of the model, as its lobby sees it."""

    random: Any
    server: Any
    hasLostData: bool
    #: The number of faults so far, without deaths, and since when there was none.
    faults: int
    calmSince: float

    @property
    def now(self) -> float: ...
    @property
    def running(self) -> list[Any]: ...
    @property
    def nodes(self) -> list[Any]: ...
    def check(self, isTrue: bool, text: str) -> None: ...
    def advance(self, seconds: float) -> None: ...
    def replace(self, node: Any) -> None: ...
    def newGuest(self, lobby: Lobby, node: Any, name: str, options: dict[str, Any]) -> Any: ...


class Guest:
    """What a client that asks for a room has got; a `model.Socket` without that."""

    lobby: Lobby
    #: The room that it has joined, or the code of the error.
    joined = ""
    code = ""
    #: Whether its connection has ended, or it has been made to leave.
    isOver = False

    @property
    def isAnswered(self) -> bool:
        return bool(self.joined or self.code or self.isOver)

    def received(self, frame: list[Any]) -> None:
        """A frame has come."""
        if self.isOver:
            return
        kind, *parts = frame
        if kind == "joined":
            self.joined = parts[1]
            self.lobby.seated[self.joined] += 1
        elif kind == "error":
            self.code = parts[2]
        elif kind == "left":
            self.isOver = True


class Meeting:
    """Requests for one key at the same time."""

    def __init__(self, world: World, name: str, key: str, guests: list[Any]) -> None:
        self.name = name
        self.key = key
        self.guests = guests
        self.began = world.now
        self.faults = world.faults if world.now - world.calmSince >= CALM else -1


class Lobby:
    """The rooms; its methods with two arguments are steps."""

    def __init__(self, world: World) -> None:
        self.world = world
        #: How many clients have joined each room.
        self.seated: Counter[str] = Counter()
        self.pending: list[Meeting] = []
        self.guests: list[Any] = []
        self.ended: set[str] = set()
        self.mayHaveEnded: set[str] = set()

    # -- steps

    def meet(self, which: int, amount: int) -> None:
        """Clients of all nodes ask for a room with the same key."""
        name = ("match", "hall")[which // 2 % 2]
        self.ask(name, "xy"[which % 2], (0, 0, 0.5, 4)[amount % 4], 1 + amount % 3)

    def ask(self, name: str, key: str, seconds: float, number: int) -> Meeting:
        """So many clients of each node ask for a room, which takes some time to be created."""
        world, options = self.world, {"key": key, "seconds": seconds}
        nodes = [node for node in world.running for _ in range(number)]
        guests = [world.newGuest(self, node, name, options) for node in nodes]
        meeting = Meeting(world, name, key, guests)
        self.pending.append(meeting)
        return meeting

    def leave(self, which: int, amount: int) -> None:
        """Some of those that were there have gone."""
        for guest in self.guests[: 1 + amount % 4]:
            guest.lost()
        del self.guests[: 1 + amount % 4]

    def spawn(self, which: int, amount: int) -> None:
        """The server creates rooms."""
        for node in self.world.running[: 1 + which % 3]:
            node.rooms.create("few", {}).addErrback(self.refused)

    def refused(self, failure: Failure) -> None:
        """A room could not be created."""
        code = getattr(failure.value, "code", "")
        self.world.check(code in ("full", "unavailable"), f"a room could not be created: {failure.value!r}")

    def end(self, which: int, amount: int) -> None:
        """The server ends a room."""
        rooms = sorted(room for name in ("few", "match", "hall") for room in self.existing(name))
        if rooms and self.world.running:
            self.dispose(rooms[which % len(rooms)])

    def dispose(self, room: str) -> None:
        """Any node ends a room."""
        asked = self.world.random.choice(self.world.running).rooms.ask(room, Dispose())
        self.mayHaveEnded.add(room)
        asked.addCallbacks(lambda _: self.ended.add(room), lambda failure: None)

    def failing(self) -> None:
        """Something is about to fail, and so may the ends of rooms that are only beginning."""
        for name in ("few", "match", "hall"):
            self.ended.difference_update(self.existing(name))

    # -- what must hold

    def existing(self, name: str) -> list[str]:
        """The rooms of a name that Redis has."""
        wanted = name.encode()
        return [
            key[key.index(b"{") + 1 : -1].decode()
            for key, value in self.world.server.store.keys.items()
            if key.endswith(b"}") and value.get(b"name") == wanted
        ]

    def look(self) -> None:
        """After each step."""
        few = self.existing("few")
        self.world.check(len(few) <= FEW or self.world.hasLostData, f"there are {len(few)} rooms")
        for meeting in list(self.pending):
            if all(guest.isAnswered for guest in meeting.guests):
                self.pending.remove(meeting)
                self.judgeMeeting(meeting)
                self.guests += meeting.guests

    def judgeMeeting(self, meeting: Meeting) -> None:
        """All requests have been answered."""
        world = self.world
        if meeting.faults != world.faults:
            return
        check, what = world.check, f"requests for {meeting.name} {meeting.key} at {meeting.began:.1f}"
        codes = {guest.code for guest in meeting.guests} - {""}
        check(not codes, f"{what} were refused: {codes}")
        check(world.now - meeting.began < ANSWER, f"{what} took {world.now - meeting.began:.1f} s")
        rooms = {guest.joined for guest in meeting.guests} - {""} - self.mayHaveEnded
        short = [room for room in rooms if meeting.name == "hall" or self.seated[room] < SEATS]
        # Seats were kept for clients of a node that has died.
        dead = sum(not guest.joined for guest in meeting.guests) if meeting.name == "match" else 0
        check(len(short) <= 1 + dead, f"{what} got {sorted(short)}")

    def judge(self) -> None:
        """When all is well again."""
        self.look()
        check, world = self.world.check, self.world
        waiting = [guest.id for each in self.pending for guest in each.guests if not guest.isAnswered]
        check(not waiting, f"{waiting} wait for an answer")
        if world.hasLostData:
            return
        for name in ("few", "match", "hall"):
            rooms = set(self.existing(name))
            check(not rooms & self.ended, f"{rooms & self.ended} have ended, and are still there")
            self.judgeListings(name, rooms)

    def judgeListings(self, name: str, rooms: set[str]) -> None:
        """The rooms that exist are those that are listed, and those that nodes have."""
        check, server = self.world.check, self.world.server
        listed = {room.decode() for room in server.fields(KEYS.listings("/rooms", name))}
        check(listed == rooms, f"{listed} are listed, not {rooms}")
        owned = self.owned(name)
        check(owned == Counter(rooms), f"nodes have {owned}, not {rooms}")
        for node in self.world.nodes:
            known = set(node.engine.node.finder.index.named("/rooms", name))
            check(known == rooms, f"a node knows {known}, not {rooms}")

    def owned(self, name: str) -> Counter[str]:
        """The rooms of a name that nodes have."""
        hosts: Iterable[Any] = (each.host for node in self.world.nodes for each in node.engine.node.here)
        return Counter(host.id for host in hosts if host.name == name)

    # -- the end

    def finish(self) -> None:
        """When all is well: clients meet, perhaps while the process that makes their room dies. All ends."""
        world = self.world
        world.advance(min(CALM, max(0.0, world.calmSince + CALM - world.now)))
        amount = world.random.randrange(100)
        meeting = self.ask(("match", "hall")[amount % 2], "last", 0.5, 2)
        world.advance(0.3)
        if amount < 20:
            world.replace((self.makers() or world.nodes)[0])
        self.wait(lambda: meeting not in self.pending)
        world.check(meeting not in self.pending, "the last meeting has not ended")
        for guest in self.guests:
            guest.lost()
        for seconds in (*[0.5] * 8, *[4] * 9):
            for room in self.existing("few") + self.existing("model"):
                self.dispose(room)
            world.advance(seconds)
            if not self.left():
                break
        # What had ended before may be there again if Redis has lost that. It is found later.
        left = [] if world.hasLostData else self.left()
        world.check(not left, f"there is left: {left}")

    def makers(self) -> list[Any]:
        """The nodes that are creating a match or a hall."""
        return [
            node
            for node in self.world.nodes
            for owned in node.engine.node.here
            if owned.host.name != "model" and node.engine.node.finder.index.get(owned.host.id) is None
        ]

    def wait(self, isDone: Callable[[], bool]) -> None:
        """Let time pass until something is so."""
        for _ in range(int(ANSWER / WAIT)):
            self.look()
            if isDone():
                break
            self.world.advance(WAIT)

    def left(self) -> list[Any]:
        """What is left of rooms."""
        keys = [
            key for key in self.world.server.store.keys if key.endswith((b"}", b":log")) or b":list:" in key
        ]
        nodes = [node.engine.node for node in self.world.nodes]
        rooms = [known for node in nodes for known in (*node.here, *node.finder.index._known)]
        return [
            *keys,
            *rooms,
            *(room for node in nodes for room in (*node.finder._waiting, *node.journals.journals)),
        ]
