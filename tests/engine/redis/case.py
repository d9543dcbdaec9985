"""What the tests of journals share: a node on a fake Redis, and owners that note what they are told."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.redis.fakeredis import FakeRedis
from txroom.engine.redis.journal import RedisJournal
from txroom.engine.redis.journals import Claim, Journals
from txroom.engine.redis.keys import Keys
from txroom.engine.redis.resp import Commands
from txroom.engine.redis.scripts import Scripts
from txroom.engine.redis.settings import readInfo, runOf
from txroom.rooms.contract.records import (
    Checkpoint,
    Entry,
    Handled,
    Loaded,
    MemberRecord,
    MemberRemoved,
    SeatReserved,
)

#: How many messages an owner shows to newcomers, and keeps in a new epoch.
HISTORY = 2


class FakeOwner:
    """An owner: it keeps the state of its room, and notes what its journal says."""

    def __init__(self) -> None:
        self.journal: RedisJournal | None = None
        self.done: list[int] = []
        self.lostCode: int | None = None
        self.lostReason = ""
        self.epochs: list[str] = []
        self.written = 0
        self.offset = 0
        self.entries: list[Entry] = []
        self.members: dict[str, MemberRecord] = {}
        self.handled: dict[str, dict[int, Handled]] = {}
        self.seats: dict[bytes, SeatReserved] = {}
        self.removed: dict[str, MemberRemoved] = {}
        self.checkpoint: Checkpoint | None = None

    def start(self, journal: RedisJournal) -> None:
        """Begin with what an earlier owner has left."""
        self.journal = journal
        loaded = journal.loaded
        self.offset = loaded.offset
        self.entries = list(loaded.entries)
        for record in (*loaded.removed, *loaded.members, *loaded.handled, *loaded.reserved):
            self.apply(record)
        self.checkpoint = loaded.checkpoint

    def write(self, record: Any) -> None:
        """Change the state, and write it down."""
        assert self.journal is not None
        self.apply(record)
        self.written += 1
        self.journal.write(record)

    def say(self, text: str = "hello") -> int:
        """Log a message."""
        self.write(Entry(self.offset + 1, "said", text.encode(), at=12.5))
        return self.offset

    def apply(self, record: Any) -> None:
        """Change the state by a record."""
        if isinstance(record, Entry):
            self.entries.append(record)
            self.offset = record.offset
        elif isinstance(record, MemberRecord):
            self.members[record.member] = record
        elif isinstance(record, MemberRemoved):
            self.members.pop(record.member, None)
            self.handled.pop(record.member, None)
            if record.tokens:
                self.removed[record.member] = record
        elif isinstance(record, Handled):
            of = self.handled.setdefault(record.member, {})
            for n in [n for n, each in of.items() if each.reply is None or n <= record.n - 64]:
                del of[n]
            of[record.n] = record
        elif isinstance(record, SeatReserved):
            self.seats.pop(record.seat, None)
            if record.seconds:
                self.seats[record.seat] = record
        elif isinstance(record, Checkpoint):
            self.checkpoint = record

    # -- for the journal

    def committed(self, count: int) -> None:
        self.done.append(count)

    def lost(self, code: int, reason: str = "") -> None:
        assert self.lostCode is None
        self.lostCode, self.lostReason = code, reason

    def refounded(self, epoch: str) -> None:
        self.epochs.append(epoch)
        self.entries = self.entries[-HISTORY:]

    def everything(self) -> Loaded:
        return Loaded(
            offset=self.offset,
            entries=tuple(self.entries),
            members=tuple(self.members.values()),
            handled=tuple(each for of in self.handled.values() for _, each in sorted(of.items())),
            reserved=tuple(self.seats.values()),
            removed=tuple(self.removed.values()),
            checkpoint=self.checkpoint,
        )


class FakeNode:
    """A node, as far as its journals are concerned: a client of Redis, and turns."""

    def __init__(self, server: FakeRedis, name: str, isDurable: bool = False) -> None:
        self.server = server
        self.clock = server.clock
        self.client = server.connect()
        self.scripts = Scripts()
        self.keys = Keys()
        self.journals = Journals(self.clock, self.client, self.scripts, self.keys, name, self, isDurable)
        #: Whether it renews its lease while time passes.
        self.isRenewing = True
        self.ended: list[tuple[str, bool]] = []
        self.errors: list[Exception] = []
        self.client.onUp = self._up
        self.client.start()

    async def _up(self, redis: Commands) -> None:
        await self.scripts.load(redis)
        run = runOf(readInfo(await redis.ask("INFO")))
        names = (self.keys.nodes, self.keys.run)
        leases = await self.scripts.ask(redis, "restarted", names, (self.journals.node, run))
        self.journals.up(run, leases, run != self.journals.run)
        await self.renew(redis)

    async def renew(self, redis: Commands) -> None:
        """Renew the lease."""
        args = (self.journals.node, 10_000, 60_000)
        began = self.clock.seconds()
        _, now, _ = await self.scripts.ask(redis, "renew", (self.keys.nodes,), args)
        self.journals.renewed(now / 1000, began)

    def claim(
        self, room: str, seen: str = "", isDead: bool = False, owner: FakeOwner | None = None
    ) -> tuple[FakeOwner, Deferred[Any]]:
        """Claim a room."""
        owner = owner or FakeOwner()
        claimed = self.journals.claim(Claim(room, "/rooms", "chat", 1, seen, isDead), cast(Any, owner))

        def begin(journal: RedisJournal) -> RedisJournal:
            owner.start(journal)
            return journal

        return owner, claimed.addCallback(begin)

    def scheduleFlush(self) -> None:
        self.clock.callLater(0, self.journals.flush)

    def journalEnded(self, journal: RedisJournal, isOurs: bool) -> None:
        self.ended.append((journal.room, isOurs))

    def refused(self, error: Exception) -> None:
        self.errors.append(error)


class JournalTestCase(SynchronousTestCase):
    """Tests of journals on a fake Redis."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeRedis(self.clock)
        self.keys = Keys()
        self.nodes: list[FakeNode] = []
        self.node = self.makeNode("a")

    def makeNode(self, name: str, isDurable: bool = False) -> FakeNode:
        """A node, connected."""
        node = FakeNode(self.server, name, isDurable)
        self.nodes.append(node)
        self.addCleanup(node.client.stop)
        self.addCleanup(node.journals.stop)
        self.pump()
        return node

    def pump(self) -> None:
        """Let everything that is on its way arrive."""
        self.clock.advance(0)

    def pass_(self, seconds: float) -> None:
        """Let time pass; nodes that are connected renew their leases."""
        for step in range(int(seconds * 10)):
            self.clock.advance(0.1)
            if step % 20 == 0:
                for node in self.nodes:
                    if node.isRenewing and node.client.isUp:
                        Deferred.fromCoroutine(node.renew(node.client)).addErrback(lambda failure: None)
            self.pump()

    def timers(self) -> list[Any]:
        """The delayed calls of the node."""
        return [call for call in self.clock.getDelayedCalls() if "FakeClient" not in str(call)]

    def field(self, name: str, room: str = "r") -> str:
        """A field of a room, as it is stored."""
        return self.server.fields(self.keys.room(room).fields).get(name.encode(), b"").decode()

    def own(self, room: str = "r", node: FakeNode | None = None, isDead: bool = False) -> FakeOwner:
        """The owner of a room, which is new or is taken over."""
        owner, claimed = (node or self.node).claim(room, self.field("tok", room), isDead)
        self.pump()
        self.successResultOf(claimed)
        return owner

    def offsets(self, room: str = "r") -> list[int]:
        """The offsets in the log, as a next owner would load them."""
        return [entry.offset for entry in self.own(room, self.makeNode("reader")).entries]
