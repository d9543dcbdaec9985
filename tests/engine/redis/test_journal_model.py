"""
A model of journals: owners of one room on several nodes, and a Redis that is cut, hangs and loses data, under
random schedules, and what must hold.

- Whatever was confirmed is in the log of its epoch, or a new epoch says that it may be lost.
- In one epoch no offset is used for two messages that were confirmed.
- What the last owner has is what the next one loads, exactly.
- Once Redis is well again and time has passed, every owner knows whether it still has the room.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.redis.case import FakeNode, FakeOwner
from tests.engine.redis.fakeredis import FakeRedis
from tests.rooms.model import Step, schedules
from tests.sortedclock import SortedClock
from txroom.engine.redis.keys import Keys
from txroom.rooms.contract.items import Reply
from txroom.rooms.contract.records import Checkpoint, Handled, MemberRecord, MemberRemoved, SeatReserved

KINDS = (
    "say say say say join leave handle seat save turn turn wait cut cut hang wake down up restart flush fail "
    "takeOver takeOver takeOver handOver pause resume long long die"
)
ERRORS = ("OOM command not allowed", "MISCONF disk", "NOSCRIPT no", "READONLY replica", "LOADING x")


class ModelOwner(FakeOwner):
    """An owner that notes what is confirmed."""

    def __init__(self, world: World, node: FakeNode) -> None:
        super().__init__()
        self.world = world
        self.node = node
        self.epoch = ""
        #: The messages that are not confirmed: the number of records with them, epoch, offset and text.
        self.waiting: list[tuple[int, str, int, bytes]] = []

    def say(self, text: str = "hello") -> int:
        offset = super().say(text)
        self.waiting.append((self.written, self.epoch, offset, text.encode()))
        return offset

    def committed(self, count: int) -> None:
        super().committed(count)
        while self.waiting and self.waiting[0][0] <= count:
            _, epoch, offset, text = self.waiting.pop(0)
            self.world.confirmed(epoch, offset, text)

    def lost(self, code: int, reason: str = "") -> None:
        if self.lostCode is None:  # its node hasn't been killed
            super().lost(code, reason)

    def refounded(self, epoch: str) -> None:
        super().refounded(epoch)
        self.epoch = epoch


class World:
    """One room, its owners, and a Redis."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = SortedClock()
        self.server = FakeRedis(self.clock, self.random, 0.01)
        self.nodes = [FakeNode(self.server, name) for name in "abc"]
        self.keys = Keys().room("r")
        self.owners: list[ModelOwner] = []
        #: The confirmed messages of each epoch, by their offsets.
        self.log: dict[str, dict[int, bytes]] = {}
        self.texts = 0
        self.started = 0
        self.violations: list[str] = []
        self.isClaiming = False
        self.renewals = 0.0
        self.advance(0.1)

    def confirmed(self, epoch: str, offset: int, text: bytes) -> None:
        """A message is confirmed, so that clients get it."""
        known = self.log.setdefault(epoch, {}).setdefault(offset, text)
        if known != text:
            self.violations.append(f"{offset} of {epoch} is {known!r} and {text!r}")

    def advance(self, seconds: float) -> None:
        """Let time pass; nodes renew their leases."""
        end = self.clock.seconds() + seconds
        while True:
            if self.clock.seconds() >= self.renewals:
                self.renewals += 2
                for node in self.nodes:
                    if node.isRenewing and node.client.isUp:
                        Deferred.fromCoroutine(node.renew(node.client)).addErrback(lambda failure: None)
            due = min([call.getTime() for call in self.clock.getDelayedCalls()] + [end, self.renewals])
            if due >= end:
                break
            self.clock.advance(max(0.0, due - self.clock.seconds()))
        self.clock.advance(max(0.0, end - self.clock.seconds()))

    @property
    def owner(self) -> ModelOwner | None:
        """The newest owner, if it still has the room as far as it knows."""
        if self.owners and self.owners[-1].lostCode is None and self.owners[-1].journal is not None:
            return self.owners[-1]
        return None

    def claim(self, node: FakeNode) -> None:
        """A node claims the room."""
        token = self.server.fields(self.keys.fields).get(b"tok", b"").decode()
        owner = ModelOwner(self, node)
        _, claimed = node.claim("r", token, owner=owner)

        def begun(journal: Any) -> None:
            owner.epoch = journal.epoch
            self.owners.append(owner)

        claimed.addCallbacks(begun, lambda failure: None)

    # -- steps

    def do(self, step: Step) -> None:
        """Something happens."""
        getattr(self, step.kind)(step.which, step.amount)

    def write(self, record: Any) -> None:
        if self.owner is not None:
            self.owner.write(record)

    def say(self, which: int, amount: int) -> None:
        alive = [owner for owner in self.owners if owner.lostCode is None]
        if alive:  # former owners, too, as long as they don't know
            self.texts += 1
            alive[which % len(alive) if amount < 8 else -1].say(f"text {self.texts}")

    def join(self, which: int, amount: int) -> None:
        self.write(MemberRecord(f"m{which % 4}", amount, "u", ()))

    def leave(self, which: int, amount: int) -> None:
        tokens = (b"t",) if amount % 2 else ()
        self.write(MemberRemoved(f"m{which % 4}", tokens, 1000.0))

    def handle(self, which: int, amount: int) -> None:
        member = f"m{which % 4}"
        if self.owner is not None and member in self.owner.members:
            n = max(self.owner.handled.get(member, {0: None})) + 1
            self.write(Handled(member, n, Reply(n, b"\xc0") if amount % 2 else None))

    def seat(self, which: int, amount: int) -> None:
        self.write(SeatReserved(b"s%d" % (which % 3), None, float(amount % 3)))

    def save(self, which: int, amount: int) -> None:
        self.write(Checkpoint(which % 3, b"%d" % amount))

    def turn(self, which: int, amount: int) -> None:
        self.advance(amount / 2000)

    def wait(self, which: int, amount: int) -> None:
        self.advance(amount / 20)

    def long(self, which: int, amount: int) -> None:
        self.advance(amount / 2)

    def cut(self, which: int, amount: int) -> None:
        self.nodes[which % 3].client.cut(amount % 4)

    def hang(self, which: int, amount: int) -> None:
        self.server.hang()

    def wake(self, which: int, amount: int) -> None:
        self.server.wake()

    def down(self, which: int, amount: int) -> None:
        self.server.down()

    def up(self, which: int, amount: int) -> None:
        if not self.server.isUp:
            self.server.up()

    def restart(self, which: int, amount: int) -> None:
        self.server.wake()
        self.server.restart(amount % 6)

    def flush(self, which: int, amount: int) -> None:
        self.server.store.flush()

    def fail(self, which: int, amount: int) -> None:
        names = ("append", "check", "found", "claim", "handover", "")
        self.server.fail(ERRORS[which % 5], names[amount % 6], 1 + amount % 3)

    def takeOver(self, which: int, amount: int) -> None:
        """Nodes claim a room of an owner that doesn't renew its lease, or of none."""
        holder = self.server.fields(self.keys.fields).get(b"node", b"").decode()
        held = {node.journals.node for node in self.nodes if node.journals.heldSince < float("inf")}
        if holder not in held and (holder or self.owner is None):
            self.claim(self.nodes[which % 3])

    def handOver(self, which: int, amount: int) -> None:
        if self.owner is not None and self.owner.journal is not None:
            self.owner.journal.handOver()

    def pause(self, which: int, amount: int) -> None:
        """A node doesn't renew its lease."""
        self.nodes[which % 3].isRenewing = False

    def resume(self, which: int, amount: int) -> None:
        self.nodes[which % 3].isRenewing = True

    def die(self, which: int, amount: int) -> None:
        """A node is killed, and another one is started."""
        node = self.nodes[which % 3]
        node.client.stop()
        node.journals.stop()
        for owner in self.owners:
            if owner.node is node and owner.lostCode is None:
                owner.lostCode = 0
        self.started += 1
        self.nodes[which % 3] = FakeNode(self.server, f"node{self.started}")

    # -- the end

    def settle(self) -> None:
        """Everything is well again."""
        self.server.wake()
        if not self.server.isUp:
            self.server.up()
        self.server.heal()
        for node in self.nodes:
            node.isRenewing = True
        self.advance(25)
        for node in self.nodes:
            node.journals.verify()
        self.advance(2)

    def check(self) -> None:
        """Compare what is stored with what was confirmed, and with what the owner has."""
        alive = [owner for owner in self.owners if owner.lostCode is None]
        if len(alive) > 1:
            self.violations.append("the room has two owners")
        if not self.server.fields(self.keys.fields):
            if alive:
                self.violations.append("an owner has a room that does not exist")
            return
        self.claim(self.nodes[0])
        self.advance(1)
        heir = self.owners[-1]
        if heir in alive or heir.journal is None:
            self.violations.append("the room can't be claimed")
            return
        offsets = [entry.offset for entry in heir.entries]
        if offsets != sorted(set(offsets)):
            self.violations.append(f"the log has {offsets}")
        found = {entry.offset: entry.data for entry in heir.entries}
        for offset, text in self.log.get(heir.epoch, {}).items():
            if found.get(offset) != text:
                self.violations.append(f"{offset} of {heir.epoch} was {text!r}, and is {found.get(offset)!r}")
        if alive and self.states(alive[0]) != self.states(heir):
            self.violations.append(f"{self.states(heir)} was loaded, not {self.states(alive[0])}")

    @staticmethod
    def states(owner: ModelOwner) -> Any:
        """What an owner has."""
        return (
            owner.epoch,
            owner.offset,
            [(entry.offset, entry.data) for entry in owner.entries],
            owner.members,
            owner.handled,
            owner.seats,
            sorted(owner.removed),
            owner.checkpoint,
        )


class JournalModelTests(SynchronousTestCase):
    """See the module."""

    @schedules(KINDS, 5, 60)
    def test_journals(self, seed: int, steps: list[Step]) -> None:
        """What was confirmed is kept or reported, in its order, once, and is loaded exactly."""
        world = World(seed)
        world.claim(world.nodes[0])
        world.advance(1)
        for step in steps:
            world.do(step)
        world.settle()
        world.check()
        self.flushLoggedErrors()
        self.assertEqual(world.violations, [])
