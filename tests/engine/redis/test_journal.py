"""The journal of a room in Redis: what is committed, what happens to it, and what the owner is told."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.engine.redis.case import FakeOwner, JournalTestCase
from txroom.core.codes import CloseCode, ErrorCode
from txroom.engine.redis.batches import NODE_BYTES, ROOM_BYTES
from txroom.engine.redis.journal import RedisJournal
from txroom.engine.redis.journals import Unreadable
from txroom.engine.redis.scripts import NAMES
from txroom.engine.redis.stored import VERSION
from txroom.protocol.errors import RoomError
from txroom.rooms.contract.items import Reply
from txroom.rooms.contract.listing import Listing
from txroom.rooms.contract.records import (
    Checkpoint,
    Entry,
    Handled,
    HistoryKept,
    MemberRecord,
    MemberRemoved,
    SeatReserved,
)

#: Errors that pass: Redis 7's, and one of a script in Redis 6.
PASSING = (
    "MISCONF Errors writing to the AOF file: No space left on device",
    "OOM command not allowed when used memory > 'maxmemory'. script: 0a, on @user_script:26.",
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "NOREPLICAS Not enough good replicas to write.",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "ERR Error running script (call to f_0a): @user_script:26: @user_script: 26: "
    "-OOM command not allowed when used memory > 'maxmemory'. ",
)


def journalOf(owner: FakeOwner) -> RedisJournal:
    """The journal of an owner."""
    assert owner.journal is not None
    return owner.journal


class CommitTests(JournalTestCase):
    """What happens when nothing goes wrong."""

    def test_turn(self) -> None:
        """The records of one turn are one command for each room, and the owner is told their number."""
        first, second = self.own("r"), self.own("q")
        first.say()
        first.say()
        second.say()
        self.pump()
        self.assertEqual(self.server.count("append"), 2)
        self.assertEqual((first.done, second.done), ([2], [1]))

    def test_pipelined(self) -> None:
        """The next turn doesn't wait for the reply to the first one."""
        owner = self.own()
        self.server.hang()
        for _ in range(3):
            owner.say()
            self.pump()
        self.server.wake()
        self.pump()
        self.assertEqual((owner.done, self.server.count("append")), ([1, 2, 3], 3))

    def test_loaded(self) -> None:
        """The next owner gets everything, and the same epoch."""
        owner = self.own()
        owner.say("one")
        owner.write(MemberRecord("m", {"name": "x"}, "u", (b"t" * 32,)))
        owner.write(Handled("m", 3, Reply(7, b"\xc0")))
        owner.write(Handled("m", 4))
        owner.write(SeatReserved(b"s" * 32, "u", 15.0))
        owner.write(Checkpoint(2, b"fields"))
        listing = Listing("r", "chat", 1, 5, metadata={"a": 1}, options={"b": [2]})
        journalOf(owner).write(listing)
        self.pump()
        heir = self.own(node=self.makeNode("b"))
        self.assertEqual(heir.entries, owner.entries)
        self.assertEqual((heir.members, heir.handled), (owner.members, owner.handled))
        self.assertEqual((heir.seats, heir.checkpoint), (owner.seats, owner.checkpoint))
        self.assertEqual(journalOf(heir).loaded.listing, listing)
        self.assertEqual(journalOf(heir).epoch, journalOf(owner).epoch)
        self.assertEqual((journalOf(owner).generation, journalOf(heir).generation), (1, 2))

    def test_counted(self) -> None:
        """An owner is told of its own records, not of those of earlier ones."""
        owner = self.own()
        owner.say()
        self.pump()
        heir = self.own(node=self.makeNode("b"))
        heir.say()
        self.pump()
        self.assertEqual((heir.done, heir.offset, self.field("seq")), ([1], 2, "2"))

    def test_left(self) -> None:
        """Nothing of a member that has left is kept, whichever turns its records came in."""
        owner = self.own()
        for member in ("m", "q"):
            owner.write(MemberRecord(member, None, "u", ()))
            owner.write(Handled(member, 1, Reply(1, b"\xc0")))
        self.pump()
        owner.write(Handled("q", 2, Reply(2, b"\xc0")))
        owner.write(MemberRemoved("m"))
        owner.write(MemberRemoved("q"))
        self.pump()
        names = self.server.fields(self.keys.room("r").fields)
        self.assertEqual([name for name in names if b":" in name], [])

    def test_leftToHeir(self) -> None:
        """The replies to a member that an earlier owner wrote are removed too."""
        owner = self.own()
        owner.write(MemberRecord("m", None, "u", ()))
        owner.write(Handled("m", 1, Reply(1, b"\xc0")))
        self.pump()
        heir = self.own(node=self.makeNode("b"))
        heir.write(MemberRemoved("m"))
        self.pump()
        names = self.server.fields(self.keys.room("r").fields)
        self.assertEqual([name for name in names if b":" in name], [])

    def test_expelled(self) -> None:
        """The tokens of an expelled member are kept as long as they are needed, by Redis's clock."""
        owner = self.own()
        owner.write(MemberRecord("m", None, "u", (b"t" * 32,)))
        owner.write(MemberRemoved("m", (b"t" * 32,), 30.0))
        self.pump()
        self.pass_(10)
        heir = self.own(node=self.makeNode("b"))
        self.assertAlmostEqual(heir.removed["m"].seconds, 20.0, 1)
        self.pass_(25)
        last = self.own(node=self.makeNode("c"))
        self.assertEqual(last.removed, {})
        last.write(MemberRemoved("q"))
        self.pump()
        self.assertEqual(self.field("k:m"), "")

    def test_times(self) -> None:
        """An entry has its time by the clock of the process that reads it."""
        owner = self.own()
        owner.say()
        self.pump()
        node = self.makeNode("b")
        node.journals._holding.shift += 40  # its clock is 40 seconds behind
        heir = self.own(node=node)
        self.assertAlmostEqual(heir.entries[0].at, 12.5 - 40, 3)

    def test_forget(self) -> None:
        """Entries that aren't needed are deleted with the next batch, or some seconds later."""
        owner = self.own()
        for _ in range(6):
            owner.say()
            self.pump()
        journalOf(owner).forget(2)
        owner.say()
        self.pump()
        self.assertEqual(self.offsets(), [3, 4, 5, 6, 7])

    def test_forgetLater(self) -> None:
        """A silent room forgets too, and then nothing is looked after any more."""
        owner = self.own()
        for _ in range(3):
            owner.say()
            self.pump()
        journalOf(owner).forget(2)
        journalOf(owner).forget(1)
        self.pass_(20)
        self.assertEqual((owner.done, self.field("seq")), ([1, 2, 3], "3"))
        self.assertEqual(self.timers(), [])
        self.assertEqual(self.offsets(), [3])

    def test_history(self) -> None:
        """What is kept apart of the history is stored before the log forgets it, in the same command."""
        owner = self.own()
        entries = [Entry(offset, "said", b"x", at=3.0) for offset in range(1, 6)]
        for entry in entries:
            owner.write(entry)
            self.pump()
        owner.write(HistoryKept((entries[0], entries[2])))
        journalOf(owner).forget(3)
        self.pump()
        self.assertEqual(self.server.count("append"), 6)
        self.assertEqual(self.offsets(), [1, 3, 4, 5])

    def test_historyLate(self) -> None:
        """Also if the log is due to be trimmed at that moment."""
        owner = self.own()
        entries = [Entry(offset, "said", b"x", at=3.0) for offset in range(1, 6)]
        for entry in entries:
            owner.write(entry)
            self.pump()

        def forget() -> None:
            owner.write(HistoryKept((entries[1],)))
            journalOf(owner).forget(3)

        journalOf(owner).forget(1)
        self.clock.pump([1.0] * 9)
        self.clock.callLater(0.5, forget)
        self.clock.advance(1.5)  # `look` comes before the end of the turn
        self.pump()
        self.assertEqual(self.server.count("append"), 6)
        self.assertEqual(self.offsets(), [2, 4, 5])


class FenceTests(JournalTestCase):
    """Another owner."""

    def test_fenced(self) -> None:
        """What an owner writes after another one has claimed the room is void, and it is told so."""
        owner = self.own()
        owner.say()
        self.pump()
        heir = self.own(node=self.makeNode("b"))
        owner.say()
        owner.say()
        self.pump()
        self.assertEqual((owner.done, owner.lostCode), ([1], CloseCode.ROOM_MOVED))
        self.assertEqual(heir.offset, 1)
        self.assertEqual(self.node.ended, [("r", False)])
        owner.say()
        journalOf(owner).forget(1)
        self.pump()
        self.assertEqual(self.field("seq"), "1")

    def test_verified(self) -> None:
        """An owner that writes nothing learns it when its node verifies its rooms."""
        owner = self.own()
        self.own(node=self.makeNode("b"))
        self.node.journals.verify()
        self.pump()
        self.assertEqual(owner.lostCode, CloseCode.ROOM_MOVED)

    def test_doubted(self) -> None:
        """An owner is asked when another node says that it has the room."""
        owner, other = self.own(), self.own("q")
        self.own(node=self.makeNode("b"))
        for room in ("r", "q", "unknown"):
            self.node.journals.doubt(room)
        self.pump()
        self.assertEqual((owner.lostCode, other.lostCode), (CloseCode.ROOM_MOVED, None))

    def test_verifying(self) -> None:
        """The node learns when all is known; a Redis that doesn't answer makes it wait."""
        owner, other = self.own(), self.own("q")
        self.own(node=self.makeNode("b"))
        known = self.node.journals.verify()
        self.assertNoResult(known)
        self.server.cut()
        self.assertNoResult(known)
        self.pass_(1)
        self.successResultOf(known)
        self.assertEqual((owner.lostCode, other.lostCode), (CloseCode.ROOM_MOVED, None))
        self.successResultOf(self.makeNode("c").journals.verify())

    def test_release(self) -> None:
        """A former owner can't delete the room."""
        owner = self.own()
        heir = self.own(node=self.makeNode("b"))
        released = journalOf(owner).release()
        self.pump()
        self.successResultOf(released)
        heir.say()
        self.pump()
        self.assertEqual(heir.done, [1])

    def test_twoClaims(self) -> None:
        """Of two nodes that claim a room at the same time, one gets it."""
        other = self.makeNode("b")
        _, first = self.node.claim("r")
        _, second = other.claim("r")
        self.pump()
        self.successResultOf(first)
        self.failureResultOf(second, RoomError)

    def test_sameNode(self) -> None:
        """If a node claims a room that it has, the former owner is told, and the new journal stays."""
        owner = self.own()
        heir = self.own()
        self.assertEqual(owner.lostCode, CloseCode.ROOM_MOVED)
        self.assertIs(self.node.journals.journals["r"], journalOf(heir))
        heir.say()
        self.pump()
        self.assertEqual(heir.done, [1])


class ConnectionTests(JournalTestCase):
    """Connections that are cut."""

    def test_afterCommit(self) -> None:
        """A batch that was written, whose reply is lost, is sent again and not written again."""
        owner = self.own()
        owner.say()
        self.clock.advance(0)
        self.server.cut(executed=1)
        self.pass_(1)
        self.assertEqual((owner.done, self.offsets()), ([1], [1]))

    def test_beforeCommit(self) -> None:
        """A batch that was not written is sent again, before those of later turns."""
        owner = self.own()
        owner.say()
        self.clock.advance(0)
        self.server.cut()
        for _ in range(3):
            owner.say()
            self.clock.advance(0.01)
        self.pass_(1)
        self.assertEqual((owner.done[-1], self.offsets()), (4, [1, 2, 3, 4]))
        self.assertEqual(self.server.count("append"), 4)

    def test_late(self) -> None:
        """Commands that a hung server runs after the client has sent them again do no harm."""
        owner = self.own()
        self.server.hang()
        owner.say()
        self.pass_(6)
        owner.say()
        self.server.wake()
        self.pass_(1)
        self.assertEqual((owner.done[-1], self.offsets()), (2, [1, 2]))

    def test_quiet(self) -> None:
        """Without unconfirmed batches a journal only asks whether it still has the room."""
        owner = self.own()
        owner.say()
        self.pump()
        before = self.server.count("append")
        self.server.cut()
        self.pass_(1)
        self.assertEqual((self.server.count("append"), self.server.count("check")), (before, 1))

    def test_waiting(self) -> None:
        """While the client isn't connected, batches wait, and are written in order."""
        owner = self.own()
        self.server.down()
        for _ in range(3):
            owner.say()
            self.pass_(3)
        self.server.up()
        self.pass_(1)
        self.assertEqual((owner.done[-1], self.offsets()), (3, [1, 2, 3]))


class ErrorTests(JournalTestCase):
    """Errors of Redis."""

    def test_passing(self) -> None:
        """A batch that Redis refuses for a moment is sent again, and those of later turns after it."""
        for error in PASSING:
            owner = self.own("r" + error[:30])
            self.server.fail(error, "append")
            for _ in range(3):
                owner.say()
                self.clock.advance(0)
            self.pass_(1)
            self.assertEqual((owner.done[-1], owner.lostCode), (3, None), error)

    def test_rare(self) -> None:
        """As long as Redis refuses, batches are sent some times a second, not at the speed of replies."""
        owner = self.own()
        self.server.fail(PASSING[0], "append", 1000)
        owner.say()
        before = len(self.server.log)
        self.pass_(2)
        self.assertLess(len(self.server.log) - before, 25)
        self.server.heal()
        self.pass_(1)
        self.assertEqual(owner.done, [1])

    def test_noScript(self) -> None:
        """If Redis has forgotten the scripts, they are loaded once for all rooms."""
        owners = [self.own(name) for name in "abc"]
        self.server.store.execute("SCRIPT", "FLUSH")
        before = self.server.count("SCRIPT")
        for owner in owners:
            owner.say()
        self.pass_(1)
        self.assertEqual([owner.done for owner in owners], [[1]] * 3)
        self.assertEqual(self.server.count("SCRIPT") - before, len(NAMES))

    def test_refused(self) -> None:
        """If Redis refuses the user, the node has to stop, and is told so."""
        for error in (
            "NOPERM this user has no permissions to run the 'evalsha' command",
            "NOAUTH Authentication required.",
            "ERR The user executing the script can't run this command or subcommand script: 0a",
        ):
            owner = self.own("r" + error[:4])
            self.server.fail(error, "append")
            owner.say()
            self.pump()
            self.assertEqual([str(each) for each in self.node.errors], [error])
            self.node.errors.clear()

    def test_other(self) -> None:
        """After an error that has no remedy the room is given up; it stays for the next owner."""
        owner = self.own()
        self.server.fail("ERR wrong number of arguments", "append")
        owner.say()
        self.pump()
        self.assertEqual(owner.lostCode, CloseCode.ENGINE_UNAVAILABLE)
        self.assertEqual(self.field("seq"), "0")

    def test_check(self) -> None:
        """A check that Redis refuses for a moment is repeated."""
        owner = self.own()
        self.server.fail(PASSING[2], "check")
        self.own(node=self.makeNode("b"))
        self.node.journals.verify()
        self.pass_(1)
        self.assertEqual(owner.lostCode, CloseCode.ROOM_MOVED)


class HealingTests(JournalTestCase):
    """A Redis that is started again without what it confirmed last."""

    def test_healed(self) -> None:
        """What it has lost is written again: nobody notices, and the epoch goes on."""
        owner = self.own()
        for _ in range(4):
            owner.say()
            self.pump()
        self.server.restart(forgotten=2)
        self.assertEqual(self.field("seq"), "2")
        self.pass_(1)
        owner.say()
        self.pump()
        self.assertEqual((owner.done, owner.epochs, owner.lostCode), ([1, 2, 3, 4, 5], [], None))
        heir = self.own(node=self.makeNode("b"))
        self.assertEqual([entry.offset for entry in heir.entries], [1, 2, 3, 4, 5])
        self.assertEqual(journalOf(heir).epoch, journalOf(owner).epoch)

    def test_withUnconfirmed(self) -> None:
        """Lost batches are written again before those that were under way."""
        owner = self.own()
        owner.say()
        self.pump()
        owner.say()
        self.clock.advance(0)
        self.server.restart(forgotten=1)
        owner.say()
        self.pass_(1)
        self.assertEqual((owner.done, self.offsets()), ([1, 2, 3], [1, 2, 3]))

    def test_twice(self) -> None:
        """It may happen again while it is being repaired."""
        owner = self.own()
        for _ in range(4):
            owner.say()
            self.pump()
        self.server.restart(forgotten=3)
        self.clock.advance(0.1)
        self.clock.advance(0)
        self.server.restart(forgotten=3)
        self.pass_(1)
        self.assertEqual((owner.done[-1], self.offsets()), (4, [1, 2, 3, 4]))

    def test_outage(self) -> None:
        """What was confirmed shortly before a long outage can still be written again."""
        owner = self.own()
        owner.say()
        self.pump()
        self.server.down()
        self.server.store.rollBack(1)
        self.pass_(15)
        self.server.up()
        self.pass_(1)
        self.assertEqual((owner.epochs, self.offsets()), ([], [1]))

    def test_quiet(self) -> None:
        """Confirmed batches of a quiet room are forgotten after 5 seconds, and no timer is left."""
        owner = self.own()
        owner.say()
        self.pass_(7)
        self.assertEqual(self.node.journals.weight.kept, 0)
        self.assertEqual(self.timers(), [])

    def test_formerWentOn(self) -> None:
        """If a former owner has gone on, because Redis had lost the claim, its records are not ours."""
        former = self.own()
        self.pump()
        owner = self.own(node=self.makeNode("b"), isDead=True)
        self.server.store.rollBack(1)
        former.say("former")
        self.pump()
        self.assertEqual(former.done, [1])
        owner.say("ours")
        self.pass_(1)
        self.assertEqual((len(owner.epochs), owner.lostCode), (1, None))
        heir = self.own(node=self.makeNode("c"))
        self.assertEqual([entry.data for entry in heir.entries], [b"ours"])

    def test_foundAgain(self) -> None:
        """If it has lost more than is known, the room is founded again, with a new epoch and all members."""
        owner = self.own()
        owner.write(MemberRecord("m", None, "u", (b"t" * 32,)))
        owner.say()
        self.pump()
        self.pass_(7)
        owner.say()
        self.pump()
        self.server.restart(forgotten=2)
        self.pass_(1)
        self.assertEqual((len(owner.epochs), owner.lostCode), (1, None))
        owner.say()
        self.pump()
        heir = self.own(node=self.makeNode("b"))
        self.assertEqual(journalOf(heir).epoch, owner.epochs[0])
        self.assertEqual((heir.members, [entry.offset for entry in heir.entries]), (owner.members, [1, 2, 3]))

    def test_flushed(self) -> None:
        """FLUSHALL: the same, at the next batch."""
        owner = self.own()
        owner.write(MemberRecord("m", None, "u", ()))
        owner.write(SeatReserved(b"s" * 32, None, 15.0))
        owner.write(Handled("m", 2, Reply(3, b"\xc0")))
        owner.write(Checkpoint(1, b"x"))
        owner.write(MemberRemoved("q", (b"k" * 32,), 60.0))
        self.pump()
        self.server.store.flush()
        owner.say()
        self.pump()
        self.assertEqual((owner.done[-1], len(owner.epochs)), (6, 1))
        heir = self.own(node=self.makeNode("b"))
        self.assertEqual((heir.members, heir.seats), (owner.members, owner.seats))
        self.assertEqual((heir.handled, heir.checkpoint), (owner.handled, owner.checkpoint))
        self.assertEqual(list(heir.removed), ["q"])
        self.assertEqual(journalOf(heir).epoch, owner.epochs[0])

    def test_flushedTwice(self) -> None:
        """And again, also while it is being founded."""
        owner = self.own()
        self.server.store.flush()
        owner.say()
        self.clock.advance(0)
        self.clock.advance(0)
        self.server.store.flush()
        self.pass_(1)
        self.server.store.flush()
        owner.write(MemberRecord("m", None, "u", ()))
        self.pump()
        self.assertEqual((owner.done[-1], owner.lostCode), (2, None))
        self.assertEqual(self.own(node=self.makeNode("b")).members, owner.members)

    def test_foundingLost(self) -> None:
        """The reply to founding is lost: it isn't founded once more, over what was written after."""
        owner = self.own()
        owner.say()
        self.pump()
        self.server.store.flush()
        self.node.journals.verify()
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(len(owner.epochs), 1)
        owner.say()
        self.clock.advance(0)
        self.server.cut(executed=2)
        self.pass_(1)
        self.assertEqual((len(owner.epochs), self.offsets(), owner.done[-1]), (1, [1, 2], 2))

    def test_foundingRefused(self) -> None:
        """Redis can't take it at first."""
        owner = self.own()
        self.server.store.flush()
        self.server.fail(PASSING[1], "found", 3)
        owner.say()
        self.pass_(2)
        owner.say()
        self.pump()
        self.assertEqual((owner.done[-1], len(owner.epochs), self.offsets()), (2, 1, [1, 2]))

    def test_lapsed(self) -> None:
        """With a lease that has lapsed the room isn't founded again: another node may have had it."""
        owner = self.own()
        owner.say()
        self.node.isRenewing = False
        self.pass_(11)
        self.node.isRenewing = True
        self.pass_(0.1)
        self.server.store.flush()
        owner.say()
        self.pump()
        self.assertEqual((owner.lostCode, owner.epochs), (CloseCode.STATE_LOST, []))
        self.assertEqual(self.field("tok"), "")

    def test_ended(self) -> None:
        """A room that another owner has ended isn't founded again."""
        owner = self.own()
        heir = self.own(node=self.makeNode("b"))
        released = journalOf(heir).release()
        self.pump()
        self.successResultOf(released)
        owner.say()
        self.pump()
        self.assertEqual(owner.lostCode, CloseCode.ROOM_MOVED)
        self.assertEqual(self.field("tok"), "")

    def test_claimLost(self) -> None:
        """If Redis has lost that the room has this owner, that is written again too."""
        former = self.own()
        former.say()
        self.pump()
        self.node.client.stop()
        heir = self.own(node=self.makeNode("b"))
        heir.say()
        self.pump()
        self.server.restart(forgotten=2)
        self.assertEqual(self.field("node"), "a")
        self.pass_(1)
        self.assertEqual((heir.done, heir.epochs, heir.lostCode), ([1], [], None))
        last = self.own(node=self.makeNode("c"))
        self.assertEqual([entry.offset for entry in last.entries], [1, 2])
        self.assertEqual(journalOf(last).epoch, journalOf(heir).epoch)

    def test_claimsAtOnce(self) -> None:
        """Of two nodes that claim a room at once, one gets it, and the other learns that it is taken."""
        former = self.own()
        former.say()
        self.pump()
        seen = self.field("tok")
        nodes = [self.makeNode(name) for name in ("b", "c")]
        claims = [node.claim("r", seen) for node in nodes]
        self.pump()
        (heir, won), (_, lost) = claims
        self.successResultOf(won)
        self.assertEqual(self.failureResultOf(lost, RoomError).value.code, ErrorCode.UNAVAILABLE)
        former.say("from a")
        heir.say("from b")
        self.pump()
        self.assertEqual((former.done, former.lostCode), ([1], CloseCode.ROOM_MOVED))
        self.assertEqual((heir.done, heir.lostCode), ([1], None))
        self.assertEqual(
            [entry.data for entry in self.own(node=self.nodes[-1]).entries], [b"hello", b"from b"]
        )

    def checkDiverged(self, records: int) -> None:
        """Redis lost that the room has a new owner, and the former one has written up to so many records."""
        former = self.own()
        former.say()
        self.pump()
        self.node.client.stop()
        heir = self.own(node=self.makeNode("b"))
        heir.say("mine")
        self.pump()
        self.server.restart(forgotten=2)
        self.server.store.execute("HSET", self.keys.room("r").fields, "seq", records)
        self.pass_(1)
        heir.say("later")
        self.pump()
        self.assertEqual((heir.done, len(heir.epochs), heir.lostCode), ([1, 2], 1, None))
        self.assertEqual(self.field("epoch"), heir.epochs[0])
        last = self.own(node=self.makeNode("c"))
        self.assertEqual([entry.data for entry in last.entries], [b"hello", b"mine", b"later"])

    def test_diverged(self) -> None:
        """
        These records are not this owner's, also if there are as many. The room is founded again with a new
        epoch, so that nothing counts as stored that isn't.
        """
        self.checkDiverged(2)

    def test_divergedFar(self) -> None:
        """The same if there are more records than this owner has written."""
        self.checkDiverged(10)

    def test_moreThanEver(self) -> None:
        """The same if Redis has more records of this owner than it has written."""
        owner = self.own()
        owner.say()
        self.pump()
        self.server.store.execute("HSET", self.keys.room("r").fields, "seq", 5)
        self.node.client.cut()
        self.pass_(1)
        owner.say("later")
        self.pump()
        self.assertEqual((owner.done, len(owner.epochs), owner.lostCode), ([1, 2], 1, None))
        last = self.own(node=self.makeNode("b"))
        self.assertEqual([entry.data for entry in last.entries], [b"hello", b"later"])

    def test_claimTaken(self) -> None:
        """Unless another node has claimed it meanwhile: then there is a new epoch."""
        former = self.own()
        former.say()
        self.pump()
        self.node.client.stop()
        node, other = self.makeNode("b"), self.makeNode("c")
        heir = self.own(node=node)
        heir.say()
        self.pump()
        up, node.client.onUp = node.client.onUp, lambda redis: Deferred()
        self.server.restart(forgotten=2)
        self.pass_(0.5)
        rival = self.own(node=other)
        node.client.onUp = up
        node.client.cut()
        self.pass_(1)
        self.assertEqual(heir.lostCode, CloseCode.ROOM_MOVED)
        self.assertNotEqual(journalOf(rival).epoch, journalOf(heir).epoch)
        self.assertEqual(rival.lostCode, None)

    def test_formerOwner(self) -> None:
        """
        A node was cut off, and another one took its room. Redis loses that. The former owner mustn't go on:
        it would use offsets that clients know already.
        """
        former = self.own()
        former.say()
        self.pump()
        self.node.isRenewing = False
        other = self.makeNode("b")
        self.pass_(12)
        heir = self.own(node=other)
        for _ in range(3):
            heir.say()
            self.pump()
        other.client.stop()
        self.server.restart(forgotten=4)
        self.assertEqual(self.field("node"), "a")
        self.pass_(1)
        self.assertEqual(former.lostCode, CloseCode.ROOM_MOVED)
        last = self.own(node=self.makeNode("c"))
        self.assertNotIn(journalOf(last).epoch, (journalOf(former).epoch, journalOf(heir).epoch))

    def test_longOutage(self) -> None:
        """If Redis itself was away for that long, the same owners go on."""
        owner = self.own()
        owner.say()
        self.pass_(3)
        self.server.down()
        self.pass_(15)
        self.server.up()
        self.pass_(1)
        owner.say()
        self.pump()
        self.assertEqual((owner.done, owner.lostCode, owner.epochs), ([1, 2], None, []))
        heir = self.own(node=self.makeNode("b"))
        self.assertEqual(journalOf(heir).epoch, journalOf(owner).epoch)

    def test_oneAfterAnother(self) -> None:
        """The same for nodes that connect again one after another: the first one renews before the others."""
        other = self.makeNode("b")
        owner, second = self.own("r"), self.own("q", other)
        owner.say()
        second.say()
        self.pass_(4)
        self.server.down()
        self.pass_(15)
        up, self.node.client.onUp = self.node.client.onUp, lambda redis: Deferred()
        self.server.up()
        self.pass_(3)
        self.assertEqual(second.lostCode, None)
        self.node.client.onUp = up
        self.node.client.cut()
        self.pass_(1)
        owner.say()
        self.pump()
        self.assertEqual((owner.lostCode, owner.done, owner.epochs), (None, [1, 2], []))

    def test_leaseBegan(self) -> None:
        """A lease counts from when its renewal was asked for, however late the reply comes."""
        self.node.isRenewing = False
        self.clock.advance(20)
        journals = self.node.journals
        journals.renewed(0.0, self.clock.seconds() - 8)
        self.assertEqual(journals.heldSince, self.clock.seconds())
        self.clock.advance(2.1)
        self.assertEqual(journals.heldSince, float("inf"))

    def test_oldCopy(self) -> None:
        """A copy of the data from before the founding isn't taken for the room."""
        owner = self.own()
        owner.say()
        self.pump()
        key = self.keys.room("r").fields
        copy = self.server.fields(key)
        log = self.server.store.keys[self.keys.room("r").log].copy()
        self.server.store.flush()
        owner.say()
        self.pump()
        self.server.down()
        self.server.store.flush()
        self.server.store.keys[key] = copy
        self.server.store.keys[self.keys.room("r").log] = log
        self.server.up()
        self.pass_(1)
        owner.say()
        self.pump()
        self.assertEqual((len(owner.epochs), owner.lostCode), (2, None))
        heir = self.own(node=self.makeNode("b"))
        self.assertEqual(journalOf(heir).epoch, owner.epochs[1])
        self.assertEqual([entry.offset for entry in heir.entries], [1, 2, 3])


class SuspendedTests(JournalTestCase):
    """
    The machine of a node is suspended, or its virtual machine is paused, and its clock with it: Redis's clock
    is ahead when it goes on.
    """

    def endedElsewhere(self) -> FakeOwner:
        """The owner of a room that has ended at another node meanwhile; its grave is gone by now."""
        owner = self.own()
        owner.say()
        self.pump()
        self.server.store.ahead += 300
        heir = self.own(node=self.makeNode("b"))
        released = journalOf(heir).release()
        self.pump()
        self.successResultOf(released)
        self.server.store.ahead += 300
        return owner

    def check(self, owner: FakeOwner, code: CloseCode) -> None:
        self.pump()
        self.assertEqual((owner.lostCode, owner.epochs[1:]), (code, []))
        self.assertEqual(self.field("tok"), "")

    def test_atOnce(self) -> None:
        """A room that has ended isn't founded again, though the lease of the node hasn't been renewed yet."""
        owner = self.endedElsewhere()
        owner.say()
        self.check(owner, CloseCode.ROOM_MOVED)

    def test_renewed(self) -> None:
        """After the renewal the node knows that it may have had no lease for a time."""
        owner = self.endedElsewhere()
        self.pass_(0.1)
        self.assertEqual(self.node.journals.heldSince, self.clock.seconds())
        owner.say()
        self.check(owner, CloseCode.STATE_LOST)
        self.assertEqual(owner.epochs, [])

    def test_connected(self) -> None:
        """It also knows it when it connects again, before the renewal, also if Redis was restarted."""
        for restart in (False, True):
            owner = self.endedElsewhere()
            self.server.restart() if restart else self.node.client.cut()
            self.pass_(1)
            owner.say()
            self.check(owner, CloseCode.ROOM_MOVED if restart else CloseCode.STATE_LOST)
            self.assertEqual(owner.epochs, [])

    def test_formerOwner(self) -> None:
        """Redis has lost that another node took the room meanwhile: the former owner must not go on."""
        owner = self.own()
        owner.say()
        self.pump()
        self.server.store.ahead += 300
        other = self.makeNode("b")
        heir = self.own(node=other)
        heir.say()
        self.pump()
        other.client.stop()
        self.server.restart(forgotten=2)
        self.assertEqual(self.field("node"), "a")
        self.pass_(1)
        self.assertEqual(owner.lostCode, CloseCode.ROOM_MOVED)

    def test_short(self) -> None:
        """If it was for less than the rest of the lease, no other node can have had the room."""
        owner = self.own()
        owner.say()
        self.pump()
        self.server.store.ahead += 6
        self.pass_(0.1)
        self.server.store.flush()
        owner.say()
        self.pump()
        self.assertEqual((owner.lostCode, len(owner.epochs), owner.done), (None, 1, [1, 2]))

    def test_sinceThen(self) -> None:
        """A room that the node has claimed since then is founded again as usual."""
        self.server.store.ahead += 300
        self.pass_(2.1)
        owner = self.own()
        owner.say()
        self.pump()
        self.server.store.flush()
        owner.say()
        self.pump()
        self.assertEqual((owner.lostCode, len(owner.epochs), owner.done), (None, 1, [1, 2]))

    def test_together(self) -> None:
        """If Redis was stopped all the time, or its clock was set, the leases of all nodes are as old."""
        owner = self.own()
        owner.say()
        self.pump()
        self.server.down()
        self.server.store.ahead += 300
        self.pass_(5)
        self.server.up()
        self.pass_(1)
        owner.say()
        self.pump()
        self.assertEqual((owner.lostCode, owner.epochs, owner.done), (None, [], [1, 2]))


class EpochTests(JournalTestCase):
    """A Redis that was started again may have lost its newest data."""

    def restarted(self, isDurable: bool = False) -> tuple[FakeOwner, FakeOwner]:
        """An owner that is away during a restart of Redis, and its heir."""
        owner = self.own()
        owner.say()
        self.pump()
        self.node.client.stop()
        self.server.restart(forgotten=1)
        return owner, self.own(node=self.makeNode("b", isDurable))

    def test_new(self) -> None:
        """So the next owner begins a new epoch: no offset is used twice."""
        owner, heir = self.restarted()
        self.assertEqual(heir.offset, 0)
        self.assertNotEqual(journalOf(owner).epoch, journalOf(heir).epoch)

    def test_durable(self) -> None:
        """Unless Redis is said to lose nothing."""
        owner, heir = self.restarted(isDurable=True)
        self.assertEqual(journalOf(owner).epoch, journalOf(heir).epoch)

    def test_verified(self) -> None:
        """The owner has found that nothing is lost: the next one continues the epoch."""
        owner = self.own()
        owner.say()
        self.pump()
        self.server.restart()
        self.pass_(1)
        heir = self.own(node=self.makeNode("b"))
        self.assertEqual(journalOf(owner).epoch, journalOf(heir).epoch)

    def test_notVerified(self) -> None:
        """The owner dies before it could write again what Redis has lost."""
        former = self.own()
        former.say()
        self.pump()
        self.node.client.stop()
        node = self.makeNode("b")
        heir = self.own(node=node)
        heir.say()
        self.pump()
        self.server.restart(forgotten=2)
        self.server.slowest = 0.01
        while self.field("node") == "a":
            self.clock.advance(0.001)
        self.assertEqual((self.field("node"), self.field("seq")), ("b", "1"))
        node.client.stop()
        self.server.slowest = 0
        last = self.own(node=self.makeNode("c"))
        self.assertNotEqual(journalOf(last).epoch, journalOf(heir).epoch)


class UnstorableTests(JournalTestCase):
    """Records that can't be encoded."""

    def test_neighbours(self) -> None:
        """The room is given up, before anything that depends on the record is sent. Others lose nothing."""
        first, second, third = self.own("a"), self.own("b"), self.own("c")
        first.say()
        second.write(MemberRecord("m", {"x": 2**70}, "u", ()))
        third.say()
        self.pump()
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)
        self.assertEqual((first.done, third.done), ([1], [1]))
        self.assertEqual((second.done, second.lostCode), ([], CloseCode.ENGINE_UNAVAILABLE))
        second.say()
        self.pump()
        self.assertEqual(self.field("seq", "b"), "0")

    def test_handOver(self) -> None:
        """The others are handed over as well."""
        first, second = self.own("a"), self.own("b")
        first.write(MemberRecord("m", {"x": 2**70}, "u", ()))
        second.say()
        given = self.node.journals.handOverAll()
        self.pump()
        self.successResultOf(given)
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)
        self.assertEqual((second.done, self.field("node", "b")), ([1], ""))

    def test_founding(self) -> None:
        """A room whose state can't be stored anew is lost."""
        owner = self.own()
        owner.members["m"] = MemberRecord("m", {"x": 2**70}, "u", ())
        self.server.store.flush()
        owner.say()
        self.pump()
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)
        self.assertEqual(owner.lostCode, CloseCode.STATE_LOST)

    def test_listeners(self) -> None:
        """An owner that raises when it is told of its loss costs the others nothing."""
        first, second = self.own("a"), self.own("b")
        self.own("a", self.makeNode("other"))
        self.own("b", self.makeNode("another"))
        self.patch(first, "lost", lambda *args: 1 // 0)
        self.node.journals.verify()
        self.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(second.lostCode, CloseCode.ROOM_MOVED)


class FullTests(JournalTestCase):
    """A Redis whose memory is full."""

    def test_write(self) -> None:
        """A batch that also frees memory is written as a whole, later."""
        owner = self.own()
        owner.write(MemberRecord("m", None, "u", ()))
        self.pump()
        self.server.store.isFull = True
        owner.write(MemberRemoved("m"))
        owner.write(Handled("q", 1))
        self.pass_(1)
        fields = self.keys.room("r").fields
        self.assertEqual((owner.done, b"m:m" in self.server.fields(fields)), ([1], True))
        self.server.store.isFull = False
        self.pass_(1)
        self.assertEqual((owner.done, b"m:m" in self.server.fields(fields)), ([1, 3], False))

    def test_release(self) -> None:
        """Rooms can end."""
        owner = self.own()
        self.server.store.isFull = True
        released = journalOf(owner).release()
        self.pump()
        self.successResultOf(released)
        self.assertEqual(self.field("tok"), "")

    def test_trim(self) -> None:
        """Logs can be trimmed, and a room that writes nothing isn't given up."""
        owner = self.own()
        for _ in range(3):
            owner.say()
            self.pump()
        self.server.store.isFull = True
        journalOf(owner).forget(2)
        self.pass_(40)
        self.server.store.isFull = False
        self.assertEqual((owner.lostCode, self.offsets()), (None, [3]))


class StallTests(JournalTestCase):
    """Redis doesn't confirm."""

    def test_seconds(self) -> None:
        """After 20 seconds the room is given up."""
        owner = self.own()
        self.server.down()
        owner.say()
        self.pass_(19)
        self.assertEqual(owner.lostCode, None)
        self.pass_(2)
        self.assertEqual(owner.lostCode, CloseCode.ENGINE_UNAVAILABLE)
        self.assertEqual(self.node.journals.weight.unconfirmed, 0)

    def test_idle(self) -> None:
        """A room that writes nothing outlives any outage."""
        owner = self.own()
        owner.say()
        self.pump()
        self.server.down()
        self.pass_(60)
        self.server.up()
        self.pass_(1)
        owner.say()
        self.pump()
        self.assertEqual((owner.done, owner.lostCode), ([1, 2], None))

    def test_roomBytes(self) -> None:
        """Nor may too many bytes of one room wait."""
        owner, other = self.own("r"), self.own("q")
        self.server.down()
        other.say()
        for _ in range(3):
            owner.say("x" * (ROOM_BYTES // 2))
            self.clock.advance(0)
        self.assertEqual((owner.lostCode, other.lostCode), (CloseCode.ENGINE_UNAVAILABLE, None))

    def test_burst(self) -> None:
        """As long as Redis confirms in time, a big turn is no stall."""
        owner = self.own()
        for _ in range(3):
            owner.say("x" * ROOM_BYTES)
            self.clock.advance(0)
        self.pump()
        self.assertEqual((owner.done[-1], owner.lostCode), (3, None))

    def test_nodeBytes(self) -> None:
        """Nor of all rooms of a node; confirmed batches are forgotten first."""
        owners = [self.own(f"r{index}") for index in range(20)]
        size = NODE_BYTES // 18
        for owner in owners[:4]:
            owner.say("x" * size)
        self.pump()
        weight = self.node.journals.weight
        self.assertGreater(weight.kept, 3 * size)
        self.server.down()
        for owner in owners:
            owner.say("x" * size)
            self.clock.advance(0)
            owner.say()
            self.clock.advance(0)
        self.assertEqual(weight.kept, 0)
        self.assertLess(weight.unconfirmed, NODE_BYTES + 2 * size)
        given = [owner.lostCode for owner in owners].count(CloseCode.ENGINE_UNAVAILABLE)
        self.assertIn(given, (1, 2, 3))

    def test_keptBytes(self) -> None:
        """The bytes that are kept for healing are limited for each room."""
        owner = self.own()
        for _ in range(8):
            owner.say("x" * (1 << 20))
            self.pump()
        self.assertLess(self.node.journals.weight.kept, 4 << 20)


class HandOverTests(JournalTestCase):
    """A planned stop."""

    def test_handOver(self) -> None:
        """What was written is committed, then the room is for the next node, and the owner is told."""
        owner = self.own()
        owner.say()
        given = self.node.journals.handOverAll()
        self.pump()
        self.successResultOf(given)
        self.assertEqual((owner.done, owner.lostCode), ([1], CloseCode.ROOM_MOVED))
        self.assertEqual(self.field("node"), "")
        heir = self.own(node=self.makeNode("b"))
        self.assertEqual(heir.offset, 1)
        self.assertEqual(journalOf(heir).epoch, journalOf(owner).epoch)

    def test_written(self) -> None:
        """What is written after that is dropped."""
        owner = self.own()
        given = journalOf(owner).handOver()
        owner.say()
        self.pump()
        self.successResultOf(given)
        self.assertEqual((owner.done, self.field("seq")), ([], "0"))

    def test_replyLost(self) -> None:
        """If the reply is lost, it is asked once more."""
        owner = self.own()
        given = journalOf(owner).handOver()
        self.server.cut(executed=1)
        self.pass_(1)
        self.successResultOf(given)
        self.assertEqual((owner.lostCode, self.field("node")), (CloseCode.ROOM_MOVED, ""))

    def test_healed(self) -> None:
        """What Redis has lost is written again before."""
        owner = self.own()
        owner.say()
        self.pump()
        owner.say()
        given = journalOf(owner).handOver()
        self.server.restart(forgotten=1)
        self.pass_(1)
        self.successResultOf(given)
        self.assertEqual(self.offsets(), [1, 2])

    def test_down(self) -> None:
        """It doesn't wait for ever; other nodes take the room when the lease ends."""
        owner = self.own()
        owner.say()
        self.server.down()
        given = journalOf(owner).handOver()
        self.pass_(21)
        self.successResultOf(given)
        self.assertNotEqual(owner.lostCode, None)
        self.assertEqual(self.node.ended, [("r", False)])

    def test_fenced(self) -> None:
        """The room has another owner already."""
        owner = self.own()
        heir = self.own(node=self.makeNode("b"))
        given = journalOf(owner).handOver()
        self.pump()
        self.successResultOf(given)
        heir.say()
        self.pump()
        self.assertEqual(heir.done, [1])
        self.successResultOf(journalOf(owner).handOver())


class ReleaseTests(JournalTestCase):
    """The room has ended."""

    def test_release(self) -> None:
        """Nothing is left of it."""
        owner = self.own()
        owner.say()
        self.pump()
        released = journalOf(owner).release()
        self.assertEqual(self.node.ended, [("r", True)])
        self.pump()
        self.successResultOf(released)
        left = {self.keys.nodes, self.keys.run, self.keys.room("r").grave}
        self.assertEqual(set(self.server.store.keys), left)
        self.pass_(10)
        self.assertEqual((owner.lostCode, self.timers()), (None, []))

    def test_replyLost(self) -> None:
        """If the reply is lost, it is asked once more."""
        owner = self.own()
        released = journalOf(owner).release()
        self.server.cut(executed=1)
        self.pass_(1)
        self.successResultOf(released)
        self.assertEqual(self.field("tok"), "")

    def test_down(self) -> None:
        """A Redis that is down gets it later."""
        owner = self.own()
        self.server.down()
        released = journalOf(owner).release()
        self.pass_(8)
        self.server.up()
        self.pass_(1)
        self.successResultOf(released)
        self.assertEqual(self.field("tok"), "")

    def test_tooLong(self) -> None:
        """Nobody waits for ever."""
        owner = self.own()
        self.server.down()
        released = journalOf(owner).release()
        self.pass_(21)
        self.successResultOf(released)
        self.assertEqual(owner.lostCode, None)

    def test_lateClaim(self) -> None:
        """A claim that a hung server runs late doesn't create the room again."""
        self.server.hang()
        _, claimed = self.node.claim("r")
        self.pass_(6)
        self.failureResultOf(claimed, RoomError)
        late, self.server._late = self.server._late, []
        self.server.wake()
        self.pass_(1)
        owner = self.own()
        released = journalOf(owner).release()
        self.pump()
        self.successResultOf(released)
        for job in (each for jobs in late for each in jobs):
            self.server.run(job.args)
        self.assertEqual(self.field("tok"), "")


class StopTests(JournalTestCase):
    """The node has stopped."""

    def test_timers(self) -> None:
        """Replies that are lost with the connection begin no timers any more."""
        owner = self.own()
        owner.say()
        self.clock.advance(0)
        owner.say()
        self.node.journals.stop()
        self.node.client.stop()
        self.clock.advance(0)
        self.assertEqual(self.timers(), [])


class ClaimTests(JournalTestCase):
    """Becoming the owner of a room."""

    def test_unreadable(self) -> None:
        """A room whose data can't be read is kept, for a version that can read it."""
        owner = self.own()
        owner.write(MemberRecord("m", None, "u", ()))
        self.pump()
        self.server.store.execute("HSET", self.keys.room("r").fields, "m:m", b"\xc1")
        _, claimed = self.makeNode("b").claim("r", self.field("tok"))
        self.pump()
        error = self.failureResultOf(claimed, Unreadable).value
        self.assertIn("the data of the room can't be read", error.why)
        self.assertEqual((self.field("node"), self.field("seq")), ("", "1"))

    def test_version(self) -> None:
        """Data of a version that is no neighbour isn't claimed. A later neighbour's stays what it is."""
        self.own()
        fields = self.keys.room("r").fields
        before = self.field("tok")
        for version in (VERSION + 2, VERSION - 2):
            self.server.store.execute("HSET", fields, "v", version)
            _, claimed = self.makeNode(f"b{version}").claim("r", before)
            self.pump()
            error = self.failureResultOf(claimed, Unreadable).value
            self.assertIn(f"has version {version}", error.why)
            self.assertEqual((self.field("tok"), self.field("node")), (before, "a"))
        for version, left in ((VERSION + 1, VERSION + 1), (VERSION - 1, VERSION)):
            self.server.store.execute("HSET", fields, "v", version)
            self.own(node=self.makeNode(f"c{version}"))
            self.assertEqual(self.field("v"), str(left))

    def lostClaim(self) -> None:
        """A claim of a room that exists, whose reply is lost."""
        self.own(node=self.makeNode("former"))
        _, claimed = self.node.claim("r", self.field("tok"))
        self.server.cut(executed=1)
        self.failureResultOf(claimed, RoomError)
        self.assertEqual(self.field("node"), "a")

    def test_lost(self) -> None:
        """If the connection is lost meanwhile, the claim fails. The room is for any node that asks then."""
        self.lostClaim()
        self.pass_(1)
        self.assertEqual(self.field("node"), "")
        self.assertEqual(journalOf(self.own()).generation, 3)

    def test_lostAgain(self) -> None:
        """The same, if that is lost too."""
        self.lostClaim()
        self.server.fail(PASSING[0], "handover")
        self.pass_(0.5)
        self.server.cut()
        self.pass_(1)
        self.assertEqual(self.field("node"), "")

    def test_lostNew(self) -> None:
        """A new room that may have been claimed is deleted, since nobody else would look for it."""
        _, claimed = self.node.claim("r")
        self.server.cut(executed=1)
        self.failureResultOf(claimed, RoomError)
        self.assertEqual(self.field("node"), "a")
        self.pass_(1)
        self.assertEqual(self.field("tok"), "")

    def test_notRead(self) -> None:
        """The same, if the room is claimed, but can't be read."""
        self.own(node=self.makeNode("former"))
        self.server.fail(PASSING[2], "XRANGE")
        _, claimed = self.node.claim("r", self.field("tok"))
        self.pump()
        self.failureResultOf(claimed, RoomError)
        self.assertEqual(self.field("node"), "")

    def test_notConnected(self) -> None:
        """A claim doesn't wait for the client: it would reach another Redis than that whose run it names."""
        self.server.down()
        _, claimed = self.node.claim("r")
        self.failureResultOf(claimed, RoomError)

    def test_notLoaded(self) -> None:
        """If Redis has forgotten the scripts, the claim fails, and the next one succeeds."""
        self.server.store.execute("SCRIPT", "FLUSH")
        _, claimed = self.node.claim("r")
        self.pump()
        self.failureResultOf(claimed, RoomError)
        self.own()

    def test_quarantine(self) -> None:
        """A room whose owners died three times in a minute waits, each time longer, up to five minutes."""
        self.own()
        for _ in range(2):
            self.own(isDead=True)
            self.pass_(5)
        waits = []
        for _ in range(6):
            _, claimed = self.node.claim("r", self.field("tok"), isDead=True)
            self.pump()
            waits.append(round(self.failureResultOf(claimed).value.seconds))
            self.pass_(waits[-1] - 1)
            _, claimed = self.node.claim("r", self.field("tok"), isDead=True)
            self.pump()
            self.failureResultOf(claimed, RoomError)
            self.pass_(1.1)
            self.own(isDead=True)
        self.assertEqual(waits, [30, 60, 120, 240, 300, 300])

    def test_calm(self) -> None:
        """An owner that lives for a minute, or hands the room over, ends that."""
        self.own()
        for _ in range(4):
            self.own(isDead=True)
            self.pass_(31)
        for _ in range(4):
            owner = self.own(isDead=True)
            given = journalOf(owner).handOver()
            self.pump()
            self.successResultOf(given)

    def test_notDead(self) -> None:
        """Owners that gave it up don't count."""
        for _ in range(6):
            self.own()
