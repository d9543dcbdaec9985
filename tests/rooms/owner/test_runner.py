"""The runner: it calls what users wrote."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txroom import Client, LeaveReason, Room
from txroom.rooms import hooks
from txroom.rooms.owner.member import Member
from txroom.rooms.owner.runner import FAILED, Runner


class Strict(Room):
    """A room in which errors cost what `cost` says."""

    cost: Any = None

    def __init__(self) -> None:
        self.errors: list[tuple[Failure, Client | None]] = []

    def onRoomError(self, failure: Failure, client: Client | None) -> str | None:
        self.errors.append((failure, client))
        if self.cost == "error":
            raise ValueError("policy")
        return cast(str | None, self.cost)


class Owner:
    """Notes what it is told to do; and listens."""

    id = "r"
    name = "strict"

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def kick(self, member: Any, text: str) -> None:
        self.done.append(("kick", member, text))

    def dispose(
        self, code: int = 0, reason: LeaveReason = LeaveReason.CLOSED, text: str = ""
    ) -> Deferred[None]:
        self.done.append(("dispose", text))
        return succeed(None)

    def hasListeners(self, event: str) -> bool:
        return event == "join"

    tellsErrors = False

    def tell(self, event: str, *args: Any) -> None:
        self.done.append((event, *args))


class RunnerTests(SynchronousTestCase):
    """What is called, and what it costs."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.room = Strict()
        self.owner = Owner()
        self.runner = Runner(self.room, self.owner, self.clock, self.owner)
        self.member = Member("m", None, "m", {})
        self.member.client = Client(cast(Any, self.owner), self.member)

    def test_toldError(self) -> None:
        """Clients are told the text of an error only while debugging is on."""
        error = self.runner.report(Failure(KeyError("x")), self.member, "say")
        self.assertEqual((error.code, error.message), ("internal", FAILED))
        self.owner.tellsErrors = True
        error = self.runner.report(Failure(ValueError("y" * 1000)), self.member, "say")
        self.assertEqual(error.message, f"Strict.say raised ValueError: {'y' * 1000}"[:500])
        self.assertEqual(len(self.flushLoggedErrors(KeyError, ValueError)), 2)

    def raised(self, member: Member | None = None) -> None:
        """Something raises."""
        self.runner.report(Failure(KeyError("x")), member, "say")
        self.assertEqual((self.room.errors, self.owner.done), ([], []), "asked at once")
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_call(self) -> None:
        """A hook is called inside of its owner, and may take its time, but no more."""
        self.room.handlerTimeout = 2.0
        owner = self.successResultOf(self.runner.call(hooks.currentOwner.get))
        self.assertIs(owner, self.owner)
        self.assertIsNone(hooks.currentOwner.get())
        hanging = self.runner.call(lambda: Deferred())
        self.clock.advance(1.9)
        self.assertNoResult(hanging)
        self.clock.advance(0.2)
        self.failureResultOf(hanging, hooks.HookTimeout)

    def test_userId(self) -> None:
        """A user without an id, or with one that can't be told, is the one that is given."""
        self.assertEqual(self.runner.userId({"id": 7}, "nobody"), "7")
        self.assertEqual(self.runner.userId(None, "nobody"), "nobody")
        self.room.userId = lambda user: 1 / 0  # type: ignore[assignment,method-assign,return-value]
        self.assertEqual(self.runner.userId(None, "nobody"), "nobody")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_policy(self) -> None:
        """`onRoomError` is asked in the next turn, and what it says is done then."""
        for cost, member, done in (
            (None, self.member, []),
            ("client", self.member, [("kick", self.member, "failed")]),
            ("client", None, []),
            ("room", None, [("dispose", "failed")]),
        ):
            self.room.cost = cost
            self.raised(member)
            [(failure, client)] = self.room.errors
            self.assertIs(failure.type, KeyError)
            self.assertIs(client, None if member is None else member.client)
            self.assertEqual(self.owner.done, done)
            self.room.errors, self.owner.done = [], []

    def test_policyRaises(self) -> None:
        """An error in it costs nothing."""
        self.room.cost = "error"
        self.raised(self.member)
        self.assertEqual(self.owner.done, [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_closed(self) -> None:
        """When the room has ended an error is logged, and nobody is asked what it costs."""
        self.runner.close()
        self.raised(self.member)
        self.assertEqual(self.room.errors, [])

    def test_tell(self) -> None:
        """Those who listen are told in the next turn, in order; nothing is posted for those who don't."""
        self.runner.tell("leave", 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.runner.tell("join", 1)
        self.runner.post(self.owner.done.append, ("posted",))
        self.assertEqual(self.owner.done, [])
        self.runner.flush()
        self.assertEqual(self.owner.done, [("join", 1), ("posted",)])
        self.assertEqual(self.clock.getDelayedCalls(), [])
