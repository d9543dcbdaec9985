"""
A model of states: a room that changes its state, clients that see parts of it, and everything that gets lost,
under random schedules. On the lagging engine there are two processes, and owners are lost.

- Each patch that a client receives fits to the version that it has, and nothing comes before `joined`.
- A client that reads too slowly gets nothing of the state, and is brought up to date when it reads again.
- When all is well, each client has the state of the room, with what its own view shows and nothing else.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms import model
from tests.rooms.model import Step, schedules
from txroom import Client, Room, message
from txroom.core.codes import SendStatus
from txroom.core.message import Prepared
from txroom.state import List, Map, State, private
from txroom.state.reader import NativeReader

#: As many bytes are refused for a client that doesn't read; more than the limit of volatile messages.
REFUSED = 1 << 20


class Unit(State):
    """A unit on the field."""

    x: int = 0
    name: str = ""


class Field(State):
    """The state of the room."""

    round: int = 0
    units: Map[Unit]
    order: List[int]
    hidden: Map[Unit] = private()


class FieldRoom(Room):
    """Changes its state as it is told."""

    state: Field
    autoDispose = False
    resumeSeconds = 1000.0
    saveSeconds = 0.5

    @message("add")
    def add(self, client: Client, n: int) -> None:
        self.state.units[f"u{n % 5}"] = Unit(name=f"{n}")

    @message("move")
    def move(self, client: Client, n: int) -> None:
        unit = self.state.units.get(f"u{n % 5}")
        if unit is not None:
            unit.x = n

    @message("remove")
    def remove(self, client: Client, n: int) -> None:
        self.state.units.pop(f"u{n % 5}", None)

    @message("list")
    def list(self, client: Client, n: int) -> None:
        order = self.state.order
        if n % 3 and order:
            del order[n % len(order)]
        else:
            order.insert(n % (len(order) + 1), n)
        self.state.round += 1

    @message("hide")
    def hide(self, client: Client, n: int) -> None:
        key = f"h{n % 4}"
        unit = self.state.hidden.get(key)
        if unit is None:
            unit = self.state.hidden[key] = Unit(name=f"{n}")
        if n % 3:
            client.view.add(unit)
        else:
            client.view.remove(unit)
        unit.x = n

    @message("patch")
    def now(self, client: Client, n: int) -> None:
        self.patch()


def plain(unit: Any) -> tuple[int, str]:
    """A unit as it is compared."""
    return unit.x, unit.name


def stateOf(root: Any) -> dict[str, Any]:
    """The part of a state that all see."""
    units = {key: plain(unit) for key, unit in root.units.items()}
    return {"round": root.round, "units": units, "order": [*root.order]}


class SlowSocket(model.Visit):
    """A connection whose client may read late: what isn't of the state comes all the same."""

    def __init__(self, client: StateClient, id: str) -> None:
        super().__init__(client, id)
        self._waiters: list[Deferred[None]] = []

    @property
    def refusedAmount(self) -> int:  # type: ignore[override]
        return REFUSED if self.client.isSlow else 0

    def whenSent(self) -> Deferred[None]:
        if not self.client.isSlow:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def sent(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def sendUnlimited(self, prepared: Prepared, mostRefused: int) -> SendStatus | None:
        return None if self.refusedAmount > mostRefused else self.sendFrame(prepared)


class StateClient:
    """A client that follows the state."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.isSlow = False
        self.visits = 0
        self.visit: SlowSocket | None = None
        self.token = self.epoch = self.member = ""
        self.offset = 0
        self.reader: NativeReader | None = None
        self.version: int | None = None

    @property
    def isJoined(self) -> bool:
        return self.visit is not None and not self.visit.isOver and self.visit.isJoined

    def connect(self) -> None:
        if self.visit is not None:
            self.visit.isOver = True
        self.visits += 1
        visit = self.visit = SlowSocket(self, f"{self.name}:{self.visits}")
        if self.token:
            features = {"state": 1, "stateVersion": self.version}
            attempt = next(self.world.attempts)
            visit.write("resume", 0, self.world.room, self.token, self.epoch, self.offset, attempt, features)
        else:
            visit.write("joinById", 0, self.world.room, {}, {"state": 1})

    def drop(self) -> None:
        if self.visit is not None:
            self.visit.lost()

    def setSlow(self, isSlow: bool) -> None:
        self.isSlow = isSlow
        if not isSlow and self.visit is not None:
            self.visit.sent()

    def do(self, kind: str, n: int) -> None:
        if self.isJoined and self.visit is not None:
            self.visit.write("send", self.world.room, kind, n)

    def got(self, visit: SlowSocket, kind: str, *parts: Any) -> None:
        check = self.world.check
        if kind == "joined":
            visit.isJoined = True
            info = parts[2]
            self.token, self.epoch, self.offset = info["token"], info["epoch"], info["offset"]
            self.member = info["member"]
            if "schema" in info:
                self.reader, self.version = NativeReader(info["schema"]), None
            else:
                check(self.version is not None, "no schema, and no state")
        elif kind in ("error", "left"):
            visit.isOver = True
            check(parts[1 if kind == "left" else 2] not in (4010, "forbidden"), f"{kind} {parts}")
        elif kind in ("state", "patch"):
            check(visit.isJoined, f"{kind} before joined")
            self.gotState(kind, *parts[1:])

    def gotState(self, kind: str, *parts: Any) -> None:
        *versions, data = parts
        if self.reader is None:
            self.world.check(False, "state without a schema")
        elif kind == "patch" and (self.version is None or not versions[0] <= self.version < versions[1]):
            self.world.check(False, f"{self.name} has {self.version}, and gets a patch of {versions}")
        else:
            self.reader.apply(data)
            self.version = versions[-1]


class World(model.World):
    """Clients, and a room somewhere."""

    def __init__(self, seed: int, isLagging: bool) -> None:
        super().__init__(seed, isLagging, FieldRoom)
        self.clients = [StateClient(self, name) for name in "abc"]
        self.room = self.madeRoom()

    def do(self, step: Step) -> None:
        kind, which, amount = step
        client = self.clients[which % len(self.clients)]
        if kind == "wait":
            self.advance(amount / 200)
        elif kind == "lose":
            self.lose(self.room, bool(amount % 2), amount % 5 > 0)
        elif kind == "edge":
            self.loseEdge(which)
        elif kind == "stall":
            self.stall(self.room, amount / 8)
        elif kind in ("refound", "handOver"):
            getattr(self, kind)(self.room)
        elif kind in ("connect", "drop"):
            getattr(client, kind)()
        elif kind in ("slow", "fast"):
            client.setSlow(kind == "slow")
        else:
            for n in range(1 + amount % 3):
                client.do(kind, amount + n)

    def heal(self) -> None:
        """No more harm is done, and all come back."""
        for _ in range(8):
            for client in self.clients:
                client.setSlow(False)
                if not client.isJoined:
                    client.connect()
            self.advance(1.0)

    def judge(self) -> None:
        """After healing: each client sees what it should."""
        host = self.hosts()[self.room]
        states: Any = host._parts.states
        for client in self.clients:
            self.check(client.isJoined, f"{client.name} is not in")
            if client.reader is None:
                self.check(False, f"{client.name} has no state")
                continue
            has, root = client.reader.root, states._tree.root
            self.check(
                stateOf(has) == stateOf(root), f"{client.name} has {stateOf(has)}, not {stateOf(root)}"
            )
            view = states._tree.views.get(client.member)
            shown = {key: plain(unit) for key, unit in root.hidden.items() if view and unit in view}
            hidden = {key: plain(unit) for key, unit in has.hidden.items()}
            self.check(hidden == shown, f"{client.name} sees {hidden}, not {shown}")


KINDS = (
    "add add move move move remove list list hide hide hide patch wait wait wait wait connect connect drop "
    "slow fast lose edge refound handOver stall"
)


class StateModelTests(SynchronousTestCase):
    """Random schedules."""

    def check(self, seed: int, steps: list[Step], isLagging: bool) -> None:
        world = World(seed, isLagging)
        for client in world.clients:
            client.connect()
        world.advance(0.2)
        for step in steps:
            world.do(step)
        world.heal()
        world.judge()
        for host in world.hosts().values():
            host.dispose()
        world.advance(60.0)
        self.assertEqual(world.violations, [])

    @schedules(KINDS, 20, 60)
    def test_memory(self, seed: int, steps: list[Step]) -> None:
        """Everything at once."""
        self.check(seed, steps, False)

    @schedules(KINDS, 20, 60)
    def test_lagging(self, seed: int, steps: list[Step]) -> None:
        """Owners that are lost, and journals that lag."""
        self.check(seed, steps, True)
