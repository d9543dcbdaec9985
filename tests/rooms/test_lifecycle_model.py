"""
A model of the lives of rooms and members: hooks that answer, raise, take long or never end, while clients
come, go, drop, resume and are kicked, seats are reserved and expire, rooms are closed. What must hold:

- never more than `maxClients`, and the counts are right;
- onJoin, onLeave and onDispose come exactly once, in order, and for one client never two at a time;
- nothing is called after onDispose;
- in the end no room is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms import model
from tests.rooms.model import Step, schedules
from txroom import Client, LeaveReason, Room, RoomError, message
from txroom.rooms import payload
from txroom.rooms.matchmaker import How, Matchmaker
from txroom.rooms.seam import Call, Item, Join, Joined, Leave, Refused, Resume, Send

MAX_CLIENTS = 3


class Trace:
    """What one room was asked to do."""

    def __init__(self, world: World, room: Room) -> None:
        self.world = world
        self.room = room
        self.created = False
        self.disposed = 0
        #: By client: what ran for it, in order, and what is running.
        self.hooks: dict[str, list[str]] = {}
        self.running: dict[str, str] = {}
        self.joined: set[str] = set()

    def called(self, hook: str, client: Client | None = None) -> Any:
        """A hook is called; how it behaves."""
        check = self.world.check
        check(not self.disposed, f"{hook} after onDispose")
        if hook == "onDispose":
            self.disposed += 1
            check(self.created, "onDispose of what was not created")
            check(not self.running, f"onDispose while {self.running} run")
            missing = [id for id in self.joined if "onLeave" not in self.hooks[id]]
            check(not missing or self.room._host.outbox._isOver, f"{missing} never left")
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
            check(id in self.joined or self.room.isRestored, f"{hook} of who has not joined")
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
        return self.trace.called("onCreate")

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


class Visit:
    """One connection."""

    def __init__(self, link: str) -> None:
        self.link = link
        self.target: Any = None
        self.joined: Joined | None = None
        self.isOver = False
        self.room = ""


class World(model.World):
    """An edge, and the rooms of one name."""

    def __init__(self, seed: int, isLagging: bool) -> None:
        super().__init__(seed, isLagging, type("TracedRoom", (TracedRoom,), {"world": self}))
        self.traces: list[Trace] = []
        self.matchmaker = Matchmaker(self.engine, {"model": self.maker.registration})
        self.edge: dict[str, Visit] = {}
        self.visits: list[Visit] = []
        self.seats: list[tuple[str, str]] = []

    # -- the outlet

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        for link in links:
            visit = self.edge.get(link)
            if visit is not None and isinstance(item, Joined):
                self.check(visit.joined is None, "joined twice")
                visit.joined = item
                visit.room = item.room

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        for link in links:
            visit = self.edge.pop(link, None)
            if visit is not None:
                visit.isOver = True

    # -- what happens

    def begin(self) -> Visit:
        visit = Visit(f"v{len(self.visits)}")
        self.visits.append(visit)
        self.edge[visit.link] = visit
        return visit

    def settle(self, visit: Visit, result: Any) -> None:
        if not isinstance(result, Refused) and hasattr(result, "submit"):
            visit.target = result
            if visit.isOver:
                result.drop()
        else:
            visit.isOver = True
            self.edge.pop(visit.link, None)

    def join(self, room: str | None = None, seat: str | None = None) -> None:
        visit = self.begin()
        options = {} if seat is None else {"seat": seat}

        def attach(room: str, isMaker: bool = False) -> Deferred[Any]:
            join = Join(
                link=visit.link,
                session=visit.link,
                room=room,
                options=options,
                isJSON=False,
                isMaker=isMaker,
            )
            asked: Deferred[Any] = self.engine.attach(self, join)
            return asked

        if room is not None:
            asked = attach(room)
        else:
            place = self.matchmaker.place(How.JOIN_OR_CREATE, "model", {}, None, attach)
            asked = Deferred.fromCoroutine(place)
        asked.addBoth(lambda result: self.settle(visit, result))

    def resume(self, former: Visit) -> None:
        if former.joined is None:
            return
        joined = former.joined
        visit = self.begin()
        visit.joined = None
        self.edge.pop(former.link, None)
        resume = Resume(
            link=visit.link,
            session=visit.link,
            room=joined.room,
            token=joined.token,
            epoch=joined.epoch,
            offset=joined.offset,
            isJSON=False,
        )
        self.engine.attach(self, resume).addBoth(lambda result: self.settle(visit, result))

    def do(self, step: Step) -> None:
        kind, which, amount = step
        visit = self.visits[which % len(self.visits)] if self.visits else None
        hosts = list(self.hosts().values())
        host = hosts[which % len(hosts)] if hosts else None
        if kind == "wait":
            self.advance(amount / 10)
        elif kind == "join":
            self.join()
        elif kind == "joinById" and host is not None:
            self.join(host.id)
        elif kind == "close" and host is not None:
            host.room.disconnect().addErrback(lambda _: None)
        elif kind == "reserve" and host is not None:
            try:
                self.seats.append((host.id, host.admission.reserve(None, 1 + amount / 10)))
            except RoomError:
                pass
        elif kind == "seat" and self.seats:
            self.join(*self.seats[which % len(self.seats)])
        elif kind == "kick" and host is not None and host.members:
            members = list(host.members.values())
            members[amount % len(members)].client.kick()
        elif kind == "lose" and host is not None:
            self.lose(host.id, bool(amount % 2))
        elif visit is not None:
            self.visitDoes(kind, visit, amount)
        self.look()

    def visitDoes(self, kind: str, visit: Visit, amount: int) -> None:
        if kind == "drop":
            visit.isOver = True
            self.edge.pop(visit.link, None)
            if visit.target is not None:
                visit.target.drop()
        elif kind == "resume":
            self.resume(visit)
        elif visit.target is not None and visit.joined is not None and not visit.isOver:
            if kind == "leave":
                visit.target.submit(Leave(1))
            elif kind == "say":
                data = payload.encode(amount)
                visit.target.submit(Call(1, "say", data) if amount % 2 else Send("say", data))

    def look(self) -> None:
        """What must always hold."""
        for host in self.hosts().values():
            taken = len(host.members) + len(host.admission._reservations)
            self.check(taken <= MAX_CLIENTS, f"{taken} in a room for {MAX_CLIENTS}")
            if host._listing is not None and host.life == host.life.OPEN:
                self.check(host._listing.clients == taken, "the listing's count is wrong")

    def end(self) -> None:
        """Everything is closed; what must hold then."""
        for _ in range(3):
            for host in list(self.hosts().values()):
                host.dispose()
            self.advance(60.0)
        self.check(not self.hosts(), "a room is left")
        for trace in self.traces:
            host = trace.room._host
            self.check(not host.members and not host.leaving, "a member is left")
            self.check(trace.disposed == trace.created, f"disposed {trace.disposed} times")
            for id, hooks in trace.hooks.items():
                isOver = hooks.count("onLeave") == (id in trace.joined)
                wasLost = host.isRestored or (host.life == host.life.DISPOSED and host.outbox._isOver)
                self.check(isOver or (self.isLagging and wasLost), f"{hooks} of {id in trace.joined}")
        late = [call for call in self.clock.getDelayedCalls() if call.getTime() > self.clock.seconds() + 30]
        self.check(not late, f"left over: {late}")


KINDS = (
    "join join join joinById joinById reserve seat drop drop resume resume leave say say kick close lose "
    "wait wait"
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
