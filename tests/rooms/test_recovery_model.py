"""
A model of recovery: clients, rooms, journals, owners and edges under random schedules, and what must hold. On
the lagging engine there are two processes, each with an edge and rooms, and requests arrive in any order.

- What was acknowledged was handled, once, whatever owner is lost.
- Messages come in the order of their offsets, none of them twice.
- After `recovered` nothing is missing; what may be missing is announced.
- Nothing comes before `joined`, and a client that has a token is never turned away, though requests to
  resume that were lost on the way come late.
- A connection that a client uses is not replaced by an earlier one.
- What is answered was asked on the same connection.
- A command with a key is carried out once, and its answer is the same each time.
- Nobody is told by it of what was before its time, and some time after all are gone nobody is left.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms import model
from tests.rooms.backend import Backend
from tests.rooms.model import Step, schedules
from txroom import Client, History, Room, RoomError, message
from txroom.protocol import payload
from txroom.rooms.contract.records import Entry
from txroom.rooms.hooks import HookTimeout


class ModelRoom(Room):
    """Says again what it is told, in every way there is."""

    autoDispose = False
    recoveryLimit = 8
    history = History(limit=6, onJoin=3)

    @message("say")
    def say(self, client: Client, data: str) -> int | None:
        return self.broadcast("said", data)

    @message("shout")
    def shout(self, client: Client, data: str) -> int | None:
        return self.broadcast("said", data, exclude=client)

    @message("tell")
    def tell(self, client: Client, data: str) -> int | None:
        return client.send("said", data)

    @message("flash")
    def flash(self, client: Client, data: str) -> None:
        self.broadcast("flashed", data, volatile=True)
        self.broadcast("said", data)

    @message("slow")
    def slow(self, client: Client, data: str) -> Any:
        done: Deferred[None] = Deferred()
        self.clock.callLater(0.02, done.callback, None)
        return done.addCallback(lambda _: self.broadcast("said", data))

    @message("slowly")
    async def slowly(self, client: Client, data: str) -> str:
        await self.clock.sleep(0.02)
        return data

    @message("refuse")
    def refuse(self, client: Client, data: str) -> None:
        raise RoomError("no")


class Visit(model.Visit):
    """One connection of a client."""

    def __init__(self, client: ModelClient, id: str) -> None:
        super().__init__(client, id)
        #: The numbers of the calls that were made on it, by their refs, `None` without one.
        self.asked: dict[int, int | None] = {}


class ModelClient:
    """What a good client does."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        #: Whether it numbers its attempts to resume. If not, they must arrive in order.
        self.isNumbered = world.isLagging or name != "c"
        self.visits = 0
        self.visit: Visit | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew, as another member."""
        self.token = ""
        self.member = ""
        self.epoch = ""
        self.offset = 0
        self.isKicked = False
        #: Its last requests to resume, and how often one of the earlier ones may come late.
        self.requests: list[tuple[Any, ...]] = []
        self.late = 0
        self.lastRef = 0
        #: The token before, which is good until the new one, or any frame, has come from here.
        self.formerToken = ""
        self.n = 0
        #: Frames that are not acknowledged, and calls that are not answered.
        self.held: dict[int, tuple[Any, ...]] = {}
        self.acked = 0
        #: The offset after which nothing may be missing, and what came since.
        self.since = self.shownUntil = 0
        #: The offset with which it joined first; of what was before it may not be told.
        self.floor: int | None = None
        self.received: list[tuple[int, str]] = []

    @property
    def isJoined(self) -> bool:
        return self.visit is not None and not self.visit.isOver and self.visit.isJoined

    def newVisit(self, id: str) -> Visit:
        return Visit(self, id)

    def connect(self) -> None:
        """A new connection, while the old one may be there still."""
        former = self.visit
        self.late = 0
        self.visits += 1
        visit = self.visit = self.newVisit(f"{self.name}:{self.visits}")
        self.formerToken = ""
        if former is not None:
            # Whatever comes by the old one is not looked at any more.
            former.isOver = True
        if self.token:
            numbered = (next(self.world.attempts),) if self.isNumbered else ()
            request = ("resume", 0, self.world.room, self.token, self.epoch, self.offset, *numbered)
            self.requests = [*self.requests[-3:], request]
            visit.write(*request)
        else:
            visit.write("joinById", 0, self.world.room, {})

    def drop(self) -> None:
        if self.visit is not None:
            self.visit.lost()

    def refused(self, code: str) -> None:
        if code in ("unauthorized", "forbidden"):
            self.world.check(self.isKicked, f"{self.name} has a token, and is refused")
            self.forget()

    def say(self, kind: str) -> None:
        if not self.isJoined or len(self.held) >= 60:
            return
        self.n += 1
        value = f"{self.name}{self.member}-{self.n}"
        isCall = self.world.random.random() < 0.3
        room = self.world.room
        frame = ("call", 0, room, kind, value, self.n) if isCall else ("send", room, kind, value, self.n)
        self.held[self.n] = frame
        self.submit(frame)

    def sayAgain(self) -> None:
        """What is not acknowledged, though nobody has asked."""
        if self.isJoined:
            for n in sorted(self.held):
                self.submit(self.held[n])

    def submit(self, frame: tuple[Any, ...]) -> None:
        assert self.visit is not None
        self.formerToken = ""
        if frame[0] == "call":
            # Each connection counts from 1, so that refs of different ones are the same numbers.
            ref = len(self.visit.asked) + 1
            self.visit.asked[ref] = frame[5] if len(frame) > 5 else None
            frame = ("call", ref, *frame[2:])
        self.visit.write(*frame)

    def ask(self) -> None:
        """A call without a number, for which nothing is promised but that no other is answered."""
        if self.isJoined:
            self.submit(("call", 0, self.world.room, "slowly", f"{self.name}:{self.visits}"))

    def comeLate(self, which: int) -> None:
        """A request to resume that was made before arrives, by a connection that the client has given up."""
        former = self.requests[:-1]
        if former and self.late < 2:
            self.late += 1
            visit = self.newVisit(f"{self.name}:late:{len(self.world.sockets)}")
            visit.isOver = True
            visit.write(*former[-1 - which % len(former)])

    def goBack(self, count: int) -> None:
        """The page was loaded again from what it knew a while ago; `joined` had not come yet."""
        if count and self.received:
            del self.received[-count:]
            self.offset = self.received[-1][0] if self.received else self.since
        self.token = self.formerToken or self.token

    def pretend(self, amount: int) -> None:
        """To know another epoch, or more or less than it does."""
        if amount % 4 == 0:
            self.epoch = "another"
        self.offset = self.since = self.offset + amount % 21 - 15
        self.received = []

    # -- what comes

    def got(self, visit: Visit, kind: str, *parts: Any) -> None:
        check = self.world.check
        if kind == "joined":
            check(not visit.isJoined, "joined twice")
            visit.isJoined = True
            self.joined(parts[2])
        elif kind == "error" and not visit.isJoined:
            visit.isOver = True
            self.refused(parts[2])
        elif kind == "left":
            visit.isOver = True
            check(parts[1] != 4010, f"misuse: {parts[2]}")
            check(parts[1] != 4005 or not self.isNumbered, "an earlier attempt took its place")
        else:
            check(visit.isJoined, f"{kind} before joined")
            self.gotOf(visit, kind, *parts)

    def gotOf(self, visit: Visit, kind: str, *parts: Any) -> None:
        """Something of the room that it has joined."""
        check = self.world.check
        if kind == "msg":
            offset, data = parts[1], parts[3]
            if offset is not None:
                check(offset > self.offset, f"{offset} after {self.offset}")
                self.offset = offset
                self.received.append((offset, data))
        elif kind == "ack":
            check(parts[1] <= self.n, "acknowledged what was not sent")
            self.acknowledged(parts[1])
        elif kind in ("reply", "error") and parts[0] is not None:
            # It may be answered again, when it was sent again while its answer was on its way.
            check(kind == "reply" or parts[2] not in ("replyLost", "noSuchRoom"), f"answered {parts}")
            check(parts[0] in visit.asked, f"answered {parts} of another connection")
            n = visit.asked.get(parts[0])
            if n is not None:
                self.held.pop(n, None)
            elif kind == "reply":
                check(parts[1] == visit.id, f"answered {parts} on {visit.id}")

    def acknowledged(self, n: int) -> None:
        self.acked = max(self.acked, n)
        for each in [each for each, frame in self.held.items() if each <= n and frame[0] == "send"]:
            del self.held[each]

    def joined(self, joined: dict[str, Any]) -> None:
        self.formerToken, self.token = self.token, joined["token"]
        if self.member != joined["member"]:
            self.world.check(not self.member, "became another member")
            self.member = joined["member"]
        if joined["recovered"]:
            self.world.check(joined["offset"] == self.offset, "recovered at another offset")
            self.world.check(0 <= joined["offset"] <= len(self.world.log), "recovered what never was")
            self.world.check(joined["epoch"] == self.epoch, "recovered another epoch")
            self.world.check(
                self.floor is not None and joined["offset"] >= self.floor, "recovered what was before"
            )
        else:
            self.offset = self.since = joined["offset"]
            self.received = []
            # What newcomers are shown of the past has nothing that was for single members.
            self.shownUntil = len(self.world.log)
            self.floor = joined["offset"] if self.floor is None else min(self.floor, joined["offset"])
        self.epoch = joined["epoch"]
        handled = joined["handled"]
        self.world.check(handled >= self.acked, f"handled {handled} of {self.acked}")
        self.acknowledged(handled)
        self.sayAgain()


class World(model.World):
    """An edge with its clients, a back end, and a room somewhere."""

    mayForget = False

    def __init__(self, seed: int, isLagging: bool, clients: int = 3) -> None:
        super().__init__(seed, isLagging, ModelRoom)
        self.clients = [ModelClient(self, name) for name in "abc"[:clients]]
        self.room = self.madeRoom()
        self.backend = Backend(self)

    # -- what happens

    def do(self, step: Step) -> None:
        kind, which, amount = step
        client = self.clients[which % len(self.clients)]
        if kind == "wait":
            self.advance(amount / 1000)
        elif kind == "lose":
            self.lose(self.room, bool(amount % 2), amount % 5 > 0)
        elif kind == "edge":
            self.loseEdge(which)
        elif kind == "refound":
            self.refound(self.room)
        elif kind == "handOver":
            self.handOver(self.room)
        elif kind == "stall":
            self.stall(self.room, amount / 8)
        elif kind == "connect":
            client.connect()
        elif kind == "back":
            client.drop()
            client.goBack(amount % 4)
            client.connect()
        elif kind == "pretend":
            client.drop()
            client.pretend(amount)
            client.connect()
        elif kind == "late":
            client.comeLate(amount)
        elif kind == "ask":
            client.ask()
        elif kind == "again":
            client.sayAgain()
        elif kind == "drop":
            client.drop()
        elif kind == "kick":
            self.kick(client)
        elif kind in ("order", "repeat"):
            getattr(self.backend, kind)(self.engines[amount % len(self.engines)])
        else:
            for _ in range(1 + amount % 3):
                client.say(kind)

    def kick(self, client: ModelClient) -> None:
        host = self.hosts().get(self.room)
        member = host.members.get(client.member) if host is not None else None
        if member is not None and member.isPresent:
            client.isKicked = True
            member.client.kick()

    def heal(self) -> None:
        """No more harm is done: all come back, and what is held gets through."""
        for _ in range(8):
            for client in self.clients:
                if not client.isJoined:
                    client.connect()
            self.backend.repeat(self.engine)
            self.advance(1.0)
        for client in self.clients:
            self.check(client.isJoined, f"{client.name} is not in")
            self.check(not client.held, f"{client.name} still holds {sorted(client.held)}")

    @property
    def log(self) -> list[Entry]:
        """All that is committed."""
        entries: list[Entry] = (self.engine.stored[self.room] if self.isLagging else self.engine).entries
        return entries

    def judge(self) -> None:
        """After healing: who got what."""
        log = self.log
        check = self.check
        check([entry.offset for entry in log] == list(range(1, len(log) + 1)), "offsets have gaps")
        said = Counter(payload.decode(entry.data) for entry in log)
        twice = [value for value, count in said.items() if count > 1]
        check(not twice, f"handled twice: {twice}")
        self.backend.judge(log)
        for client in self.clients:
            expected = [
                (entry.offset, payload.decode(entry.data))
                for entry in log
                if entry.offset > client.since and entry.isFor(client.member)
            ]
            alone = {entry.offset for entry in log if entry.to is not None}
            got = client.received
            missing = [
                each
                for each in expected
                if each not in got and not (each[0] in alone and each[0] <= client.shownUntil)
            ]
            check(not missing, f"{client.name} since {client.since} misses {missing}")
            check(set(got) <= set(expected), f"{client.name} got what is not in the log")


KINDS = (
    "say say say tell shout flash slow refuse wait wait wait connect connect drop back "
    "pretend again lose lose kick late late ask edge refound handOver stall order order repeat"
)


class RecoveryModelTests(SynchronousTestCase):
    """Random schedules."""

    def check(self, seed: int, steps: list[Step], isLagging: bool) -> None:
        world = World(seed, isLagging)
        for step in steps:
            world.do(step)
        world.heal()
        world.judge()
        world.hangUp(60.0)
        self.flushLoggedErrors(HookTimeout)  # `slow` waits for a timer of an owner that is lost
        self.assertEqual(world.violations, [])

    @schedules(KINDS, 20, 60)
    def test_memory(self, seed: int, steps: list[Step]) -> None:
        """Everything at once."""
        self.check(seed, steps, False)

    @schedules(KINDS, 20, 60)
    def test_lagging(self, seed: int, steps: list[Step]) -> None:
        """Journals that lag, owners that are lost."""
        self.check(seed, steps, True)
