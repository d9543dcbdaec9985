"""Tests for opening rooms at a node, and for taking them over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from txroom import ErrorCode, RoomError
from txroom.engine.redis.here import Here, Owned
from txroom.engine.redis.journals import Claim, Quarantined
from txroom.engine.redis.keys import Keys
from txroom.engine.redis.locating import Orphan, Where
from txroom.engine.redis.owning import AT_ONCE, Owning
from txroom.engine.redis.scripts import Scripts
from txroom.engine.redis.stranded import SHORTEST, StrandedRooms
from txroom.rooms.contract.listing import Listing


class StubJournals:
    """Journals whose claims the test decides."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.answers: list[Deferred[Any]] = []

    def claim(self, claim: Claim, owner: Any) -> Deferred[Any]:
        self.claims.append(claim)
        self.answers.append(Deferred())
        return self.answers[-1]


class StubJournal:
    """A journal that only has a generation."""

    generation = 3

    def __init__(self) -> None:
        self.isReleased = False

    def release(self) -> Deferred[None]:
        self.isReleased = True
        return succeed(None)


class StubHost:
    """An owner that claims its room."""

    def __init__(self, factory: StubFactory, room: str, name: str, options: Mapping[str, Any]) -> None:
        self.factory = factory
        self.id, self.name, self.options = room, name, options

    async def open(self, once: Any = None) -> None:
        await self.factory.owning.claim(self.id, self)  # type: ignore[arg-type]
        if self.factory.error is not None:
            raise self.factory.error


class StubFactory:
    """An application."""

    def __init__(self) -> None:
        self.owning: Owning
        self.error: Exception | None = None
        self.refusal: RoomError | None = None
        self.made: list[StubHost] = []
        self.ended: list[Any] = []

    def makeHost(self, room: str, name: str, options: Mapping[str, Any]) -> Any:
        if self.refusal is not None:
            raise self.refusal
        self.made.append(StubHost(self, room, name, options))
        return self.made[-1]

    def hostEnded(self, host: Any) -> None:
        self.ended.append(host.id)


class OwningTests(SynchronousTestCase):
    """`Owning`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.here = Here()
        self.journals = StubJournals()
        journals: Any = self.journals
        redis: Any = self
        self.stranded = StrandedRooms(
            self.clock, redis, Scripts(), Keys(), 1000.0, lambda: 5000.0 + self.clock.seconds()
        )
        self.sent: list[tuple[Any, ...]] = []
        self.owning = Owning(self.here, journals, self.stranded)
        self.factory = StubFactory()
        self.factory.owning = self.owning
        factory: Any = self.factory
        self.owning.serve("/rooms", factory)
        self.events: list[tuple[str, bool]] = []
        self.owning.onEnded = self.ended

    def ended(self, owned: Owned, isOurs: bool) -> None:
        self.events.append((owned.host.id, isOurs))

    def send(self, reply: Any, *command: Any) -> None:
        """A command for Redis."""
        self.sent.append(command)

    def open(self, room: str = "r") -> list[Any]:
        return fired(Deferred.fromCoroutine(self.owning.openNew(room, "/rooms", "chat", {"a": 1}, 5)))

    def orphan(self, room: str = "r", application: str = "/rooms", isOpen: bool = True) -> Orphan:
        listing = Listing(room, "chat", 2, 0, options={"b": 2}) if isOpen else None
        return Orphan(room, application, "chat", 5, "token", True, listing)

    def take(self, room: str = "r", isAsked: bool = True, **more: Any) -> list[bool]:
        return fired(self.owning.take(room, self.orphan(room, **more), isAsked))

    def test_new(self) -> None:
        """A new room is here while it is being opened, and has its generation once it is claimed."""
        opened = self.open()
        self.assertEqual(self.journals.claims, [Claim("r", "/rooms", "chat", 5)])
        self.assertEqual((opened, "r" in self.here, self.here.generationOf("r")), ([], True, 0))
        self.journals.answers[0].callback(StubJournal())
        self.assertEqual((opened, self.here.generationOf("r")), ([None], 3))
        self.assertEqual(self.factory.made[0].options, {"a": 1})

    def test_notNew(self) -> None:
        """A new room that can't be opened has ended."""
        opened = self.open()
        self.journals.answers[0].errback(RoomError("unavailable"))
        self.assertEqual((opened[0].value.code, "r" in self.here), ("unavailable", False))
        self.assertEqual((self.events, self.factory.ended), ([("r", True)], ["r"]))

    def test_unknown(self) -> None:
        """Only rooms that are being opened can be claimed."""
        owner: Any = None
        self.assertEqual(self.failureResultOf(self.owning.claim("x", owner)).value.code, "unavailable")

    def test_stopping(self) -> None:
        """A node that is stopping opens nothing."""
        self.owning.isStopping = True
        self.assertEqual(self.open()[0].value.code, "unavailable")
        self.assertEqual(self.take(), [False])

    def test_take(self) -> None:
        """A room is taken with the options that it was created with, if its token is still the same."""
        taken = self.take()
        again = self.take()
        self.assertTrue(self.owning.isTaking("r"))
        self.assertEqual(self.journals.claims, [Claim("r", "/rooms", "chat", 5, "token", True)])
        self.journals.answers[0].callback(StubJournal())
        self.assertEqual((taken, again, self.owning.isTaking("r")), ([True], [True], False))
        self.assertEqual(self.factory.made[0].options, {"b": 2})

    def test_slower(self) -> None:
        """If another node is faster, the room isn't here, and may be taken again at once."""
        taken = self.take()
        self.journals.answers[0].errback(RoomError("unavailable"))
        self.assertEqual((taken, self.events), ([False], [("r", False)]))
        self.assertFalse(self.owning.isQuarantined("r"))

    def test_fails(self) -> None:
        """A room that can't be opened is lost to this node, and held back."""
        self.factory.error = RoomError("internal")
        taken = self.take()
        self.journals.answers[0].callback(StubJournal())
        self.assertEqual((taken, self.events), ([False], [("r", False)]))
        self.assertTrue(self.owning.isQuarantined("r"))
        self.assertEqual((self.take(), len(self.journals.claims)), ([False], 1))
        self.clock.advance(SHORTEST)
        self.assertFalse(self.owning.isQuarantined("r"))

    def test_lost(self) -> None:
        """A room that is lost while it is opened is held back, but isn't remembered as stranded."""
        for code, isTold in ((ErrorCode.UNAVAILABLE, False), (ErrorCode.INTERNAL, True)):
            self.factory.error = RoomError(code)
            self.take(code)
            self.journals.answers[-1].callback(StubJournal())
            self.assertEqual((self.owning.isQuarantined(code), bool(self.sent)), (True, isTold))

    def test_cantMake(self) -> None:
        """The same if the application refuses to make it, or if there is no such application."""
        self.factory.refusal = RoomError("noSuchRoom")
        self.assertEqual(self.take(), [False])
        self.assertEqual(self.take("s", application="/other"), [False])
        self.assertEqual([self.owning.isQuarantined(room) for room in "rs"], [True, True])

    def test_quarantined(self) -> None:
        """A room whose owners die too often waits for as long as Redis says."""
        taken = self.take()
        self.journals.answers[0].errback(Quarantined(30))
        self.assertEqual(taken, [False])
        self.clock.advance(29)
        self.assertTrue(self.owning.isQuarantined("r"))
        self.clock.advance(1)
        self.assertFalse(self.owning.isQuarantined("r"))

    def test_quarantineLogged(self) -> None:
        """That a room waits is logged once with its name, and at the level debug when it waits again."""
        with capturedLogs() as events:
            for seconds in (30, 60, 120):
                self.take()
                self.journals.answers[-1].errback(Quarantined(seconds))
                self.clock.advance(seconds)
        self.assertEqual(
            formatEvent(events[0]),
            "room r ('chat'): its owners have died too often; nobody takes it for 30 seconds",
        )
        self.assertEqual(
            [event["log_level"] for event in events], [LogLevel.error, LogLevel.debug, LogLevel.debug]
        )

    def test_neverOpen(self) -> None:
        """A room that was never open is deleted."""
        vanished: list[str] = []
        self.owning.onVanished = vanished.append
        taken = self.take(isOpen=False)
        journal = StubJournal()
        self.journals.answers[0].callback(journal)
        self.assertEqual((taken, journal.isReleased, vanished), ([False], True, ["r"]))

    def test_nothing(self) -> None:
        """A place that is no orphan is not taken."""
        self.assertEqual(fired(self.owning.take("r", Where.UNKNOWN)), [False])

    def test_limit(self) -> None:
        """Only some rooms are taken at the same time, and those that somebody asks for come first."""
        for index in range(AT_ONCE):
            self.take(f"r{index}", isAsked=False)
        self.take("left", isAsked=False)
        self.take("later", isAsked=False)
        self.take("asked")
        self.take("later")
        self.assertEqual(len(self.journals.claims), AT_ONCE)
        for answer in list(self.journals.answers)[:3]:
            answer.callback(StubJournal())
        self.assertEqual([claim.room for claim in self.journals.claims[AT_ONCE:]], ["asked", "later", "left"])

    def test_ended(self) -> None:
        """A room that has ended, or is lost, is not here any more; that is told once."""
        self.open()
        self.journals.answers[0].callback(StubJournal())
        host: Any = self.factory.made[0]
        self.owning.ended(host, True)
        self.owning.ended(host, False)
        self.assertEqual((self.events, self.factory.ended, len(self.here)), ([("r", True)], ["r"], 0))
