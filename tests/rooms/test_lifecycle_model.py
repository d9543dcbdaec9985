"""
A model of the lives of rooms and members: hooks that answer, raise, take long or never end, while clients
come, go, drop, resume and are kicked, seats are reserved and expire, rooms are closed. What must hold:

- never more than `maxClients`, and the counts are right;
- onJoin, onLeave and onDispose come exactly once, in order, and for one client never two at a time;
- nothing is called after onDispose, and none of these while a room is told to do something;
- what a hook does, or an error in it costs, whatever the hook, leaves the room in order;
- who waits for the end of a room gets it, and its connection goes on;
- a connection is never two members of one room;
- some time after all connections are gone no room, no member and no attachment is left.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms import model
from tests.rooms.model import Step, schedules
from txroom import Client, LeaveReason, Room, RoomError, message
from txroom.core.codes import CloseCode, ReadyState
from txroom.rooms.owner.host import Host

MAX_CLIENTS = 3


class Trace:
    """What one room was asked to do."""

    def __init__(self, world: World, room: Room) -> None:
        self.world = world
        self.room = room
        self.created = False
        self.disposed = 0
        self.host: Any = None
        #: By client: what ran for it, in order, and what is running.
        self.hooks: dict[str, list[str]] = {}
        self.running: dict[str, str] = {}
        self.joined: set[str] = set()

    def called(self, hook: str, client: Client | None = None) -> Any:
        """A hook is called; how it behaves."""
        check = self.world.check
        check(not self.disposed, f"{hook} after onDispose")
        check(not self.world.isTelling, f"{hook} while the room is told something")
        if hook == "onDispose":
            self.disposed += 1
            check(self.created, "onDispose of what was not created")
            check(not self.running, f"onDispose while {self.running} run")
            missing = [id for id in self.joined if "onLeave" not in self.hooks[id]]
            check(not missing or self.host in self.world.lost, f"{missing} never left")
        if client is not None:
            self.calledFor(hook, client.id)
        return self.behave(hook, client.id if client is not None else "")

    def calledFor(self, hook: str, id: str) -> None:
        check = self.world.check
        before = self.hooks.setdefault(id, [])
        check(id not in self.running, f"{hook} while {self.running.get(id)} runs")
        check("onLeave" not in before, f"{hook} after onLeave")
        if hook in ("onAuth", "onJoin", "onLeave"):
            check(hook not in before, f"{hook} twice")
        if hook == "onJoin":
            check(before == ["onAuth"], f"onJoin after {before}")
        elif hook != "onAuth":
            check(id in self.joined or self.room.isRestored, f"{hook} of a client that has not joined")
        before.append(hook)

    def behave(self, hook: str, id: str) -> Any:
        random = self.world.random.random()
        if random < 0.5:
            return self.finished(hook, id)
        if random < 0.55:
            raise ValueError(hook)
        if random < 0.6:
            raise RoomError("no")
        if random < 0.65 and hook in ("onAuth", "canJoin", "say"):
            return False
        done: Deferred[Any] = Deferred()
        if random < 0.95:
            self.world.clock.callLater(
                self.world.random.uniform(0, 3), lambda: None if done.called else done.callback(True)
            )
        if hook == "canJoin":
            return done
        self.running[id] = hook
        return done.addCallbacks(lambda _: self.finished(hook, id), lambda failure: self.broken(id, failure))

    def asked(self, hook: str, client: Client | None = None) -> None:
        """A question that is answered at once is put; what else happens then."""
        self.world.check(not self.disposed, f"{hook} after onDispose")
        random = self.world.random.random()
        if random < 0.03:
            raise ValueError(hook)
        if random < 0.04:
            self.room.disconnect()
        elif random < 0.06:
            for each in self.room.clients if client is None else [client]:
                each.kick()
        elif random < 0.08:
            self.room.broadcast("asked", hook)

    def finished(self, hook: str, id: str) -> bool:
        self.running.pop(id, None)
        if hook == "onCreate":
            self.created = True
        if hook == "onJoin":
            self.joined.add(id)
        return True

    def broken(self, id: str, failure: Any) -> Any:
        self.running.pop(id, None)
        return failure


class TracedRoom(Room):
    """Behaves as its trace says."""

    world: World
    maxClients = MAX_CLIENTS
    resumeSeconds = 4.0
    presence = True

    def __init__(self) -> None:
        self.trace = Trace(self.world, self)
        self.world.traces.append(self.trace)

    def onCreate(self, options: Any) -> Any:
        self.trace.host = self._host
        if self.world.random.random() < 0.1:
            self.__dict__["linger"] = "1"
        return self.trace.called("onCreate")

    def onRoomError(self, failure: Any, client: Client | None) -> str | None:
        self.world.check(not self.world.isTelling, "onRoomError while the room is told something")
        random = self.world.random.random()
        return "client" if random < 0.1 else "room" if random < 0.15 else None

    def userId(self, user: Any) -> str | None:
        self.trace.asked("userId")
        return super().userId(user)

    def snapshot(self, client: Client) -> Any:
        self.trace.asked("snapshot", client)

    def canJoin(self, options: Any, user: Any) -> Any:
        return self.trace.called("canJoin")

    def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
        return self.trace.called("onAuth", client)

    def onJoin(self, client: Client, options: Any) -> Any:
        self.broadcast("hello", client.id)
        return self.trace.called("onJoin", client)

    @message("say")
    def say(self, client: Client, data: Any) -> Any:
        self.broadcast("said", data)
        return self.trace.called("say", client)

    def onDrop(self, client: Client) -> Any:
        return self.trace.called("onDrop", client)

    def onResume(self, client: Client, recovered: bool) -> Any:
        return self.trace.called("onResume", client)

    def onLeave(self, client: Client, reason: LeaveReason) -> Any:
        return self.trace.called("onLeave", client)

    def onDispose(self) -> Any:
        return self.trace.called("onDispose")


class Visit(model.Socket):
    """A connection, which may be for several rooms."""

    world: World

    def __init__(self, world: World, id: str) -> None:
        super().__init__(world, id)
        #: The member it is, by room.
        self.members: dict[str, str] = {}

    def close(self, code: int, reason: str = "") -> None:
        """The server closes it: not for the end of a room."""
        self.world.check(code == CloseCode.MISUSE, f"closed with {code}")
        super().close(code, reason)

    def received(self, frame: list[Any]) -> None:
        """Note who the client is."""
        if frame[0] == "joined":
            room, joined = frame[2:]
            former = self.members.setdefault(room, joined["member"])
            self.world.check(former == joined["member"], "two members on one connection")
            self.world.tokens.append((room, joined["token"], joined["epoch"], joined["offset"]))
        elif frame[0] == "left":
            self.members.pop(frame[1], None)


class World(model.World):
    """The connections of one edge, and the rooms of one name."""

    def __init__(self, seed: int, isLagging: bool) -> None:
        super().__init__(seed, isLagging, type("TracedRoom", (TracedRoom,), {"world": self}))
        self.traces: list[Trace] = []
        self.visits: list[Visit] = []
        #: What there is to resume with.
        self.tokens: list[tuple[str, str, str, int]] = []
        self.seats: list[tuple[str, str]] = []
        #: Owners whose room was taken from them.
        self.lost: set[Host] = set()
        #: Whether a room is being told to do something.
        self.isTelling = False
        #: Those that wait for the end of a room.
        self.endings: list[Deferred[Any]] = []

    def visit(self, step: Step) -> Visit:
        """A connection to join by: a new one, or one that is there."""
        there = [visit for visit in self.visits if visit.readyState is ReadyState.OPEN]
        if not there or step.amount % 3 == 0:
            self.visits.append(Visit(self, f"v{len(self.visits)}"))
            return self.visits[-1]
        return there[step.which % len(there)]

    def do(self, step: Step) -> None:
        kind, which, amount = step
        hosts = list(self.hosts().values())
        if kind == "wait":
            self.advance(amount / 5)
        elif kind == "join":
            self.visit(step).write("join", 1, "model", {})
        elif kind == "resume" and self.tokens:
            token = self.tokens[which % len(self.tokens)]
            self.visit(step).write("resume", 2, *token, next(self.attempts))
        elif kind == "seat" and self.seats:
            room, seat = self.seats[which % len(self.seats)]
            self.visit(step).write("joinById", 3, room, {"seat": seat})
        elif kind in ("drop", "go", "leave", "say") and self.visits:
            self.visitDoes(kind, self.visits[which % len(self.visits)], amount)
        elif kind == "edge":
            self.loseEdge(which)
        elif hosts:
            self.hostDoes(step, hosts[which % len(hosts)])
        self.look()

    def visitDoes(self, kind: str, visit: Visit, amount: int) -> None:
        if kind in ("drop", "go"):
            visit.lost(CloseCode.NORMAL if kind == "go" else 1006)
        elif visit.members:
            room = list(visit.members)[amount % len(visit.members)]
            if kind == "leave":
                visit.write("leave", 4, room)
            elif amount % 2:
                visit.write("call", 5, room, "say", amount)
            else:
                visit.write("send", room, "say", amount)

    def hostDoes(self, step: Step, host: Host) -> None:
        kind, _, amount = step
        if kind == "joinById":
            visit = self.visit(step)
            for ref in range(6, 7 + amount % 2):
                visit.write("joinById", ref, host.id, {})
        elif kind in ("close", "kick"):
            self.isTelling = True
            if kind == "close":
                self.endings.append(host.room.disconnect())
            elif host.members:
                members = list(host.members.values())
                members[amount % len(members)].client.kick()
            self.isTelling = False
        elif kind == "reserve":
            try:
                self.seats.append((host.id, host._parts.seats.reserve(None, 1 + amount / 10)))
            except (RoomError, ValueError):
                pass
        elif kind in ("lose", "handOver") and self.isLagging and host.id in self.engine.stored:
            self.lost.add(host)
            if kind == "lose":
                self.lose(host.id, bool(amount % 2), amount % 5 > 0)
            else:
                self.handOver(host.id)
        elif kind == "refound":
            self.refound(host.id)

    def look(self) -> None:
        """What must always hold."""
        for host in self.hosts().values():
            taken = len(host.members) + len(host.roster.reservations)
            self.check(taken <= MAX_CLIENTS, f"{taken} in a room for {MAX_CLIENTS}")
            published = host.roomListing.published
            if published is not None and host.life.isOpen:
                self.check(published.clients == taken, "the listing's count is wrong")

    def end(self) -> None:
        """All connections are gone, and time passes; what must hold then."""
        self.hangUp(300.0)
        check = self.check
        check(not self.hosts(), "a room is left")
        check(not self.clock.getDelayedCalls(), f"left over: {self.clock.getDelayedCalls()}")
        check(all(ended.called for ended in self.endings), "somebody waits for the end of a room still")
        for trace in self.traces:
            host = trace.host
            if host is None:
                check(not trace.hooks and not trace.disposed, "hooks of what was never to begin")
                continue
            check(host.findRoom() is trace.room and not hasattr(host, "room"), "an owner keeps its room")
            check(not host.members and not host.roster.leaving, "a member is left")
            check(trace.disposed == trace.created, f"disposed {trace.disposed} times")
            for id, hooks in trace.hooks.items():
                # Those of an earlier owner have not joined here.
                wasMember = id in trace.joined or "onAuth" not in hooks
                left = hooks.count("onLeave")
                isRight = left <= wasMember if host in self.lost else left == wasMember
                check(isRight, f"{hooks} of {wasMember}")


KINDS = (
    "join join join joinById joinById reserve seat drop drop go resume resume leave say say kick close lose "
    "wait wait wait wait wait wait edge refound handOver"
)


class LifecycleModelTests(SynchronousTestCase):
    """Random schedules."""

    def check(self, seed: int, steps: list[Step], isLagging: bool) -> None:
        world = World(seed, isLagging)
        for step in steps:
            world.do(step)
        world.end()
        self.flushLoggedErrors()
        self.assertEqual(world.violations, [])

    @schedules(KINDS, 12, 40)
    def test_memory(self, seed: int, steps: list[Step]) -> None:
        """Everything at once."""
        self.check(seed, steps, False)

    @schedules(KINDS, 12, 40)
    def test_lagging(self, seed: int, steps: list[Step]) -> None:
        """With an engine that lags, and owners that are lost."""
        self.check(seed, steps, True)
