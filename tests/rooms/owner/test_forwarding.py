"""Tests for passing on what clients have sent while their room moved."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom import RoomError
from txroom.rooms.contract.asks import LateFrame, TakeLate, unanswered
from txroom.rooms.contract.commands import Call, Leave, Send
from txroom.rooms.owner.forwarding import PATIENCE, PAUSE, Forwarding


class Member:
    """The fields of a member that are used."""

    def __init__(self, id: str) -> None:
        self.id, self.link, self.isJSON, self.outlet = id, f"{id}-link", True, None


def send(text: str, n: int | None = None) -> Send:
    """A message."""
    return Send(text, b"", n)


class ForwardingTests(SynchronousTestCase):
    """`Forwarding`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[TakeLate, Deferred[Any]]] = []
        self.ada: Any = Member("ada")
        self.bob: Any = Member("bob")
        self.forwarding = Forwarding("room", self.clock, self.ask)

    def ask(self, room: str, command: Any) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.assertEqual(room, "room")
        self.asked.append((command, answer))
        return answer

    @property
    def passed(self) -> list[list[tuple[str, str]]]:
        """What was passed on: members, and types of messages, or "leaves"."""
        return [
            [(late.member, "leaves" if late.frame is None else late.frame.type) for late in command.frames]
            for command, _ in self.asked
        ]

    def test_order(self) -> None:
        """Each batch waits for the one before it."""
        self.forwarding.take(self.ada, send("b"))
        self.forwarding.take(self.bob, send("c"))
        self.forwarding.takeEarlier(self.ada, [send("a"), send("numbered", 1)])
        self.forwarding.take(self.ada, send("numbered", 2))
        self.assertEqual(self.asked, [])
        self.forwarding.begin([self.ada, self.bob])
        self.forwarding.late("ada-link", send("d"))
        self.forwarding.late("ada-link", Leave(1))
        first = [("ada", "a"), ("ada", "b"), ("bob", "c")]
        self.assertEqual(self.passed, [first])
        self.asked[0][1].callback(None)
        self.assertEqual(self.passed, [first, [("ada", "d"), ("ada", "leaves")]])
        self.asked[1][1].callback(None)
        self.assertEqual(self.asked[0][0].frames[0], LateFrame("ada", True, send("a")))

    def test_late(self) -> None:
        """Nothing is passed on of links that had ended before, of numbered frames, and of calls."""
        self.forwarding.late("ada-link", send("before"))
        self.forwarding.begin([self.ada])
        for link, frame in (
            ("other", send("a")),
            ("ada-link", send("b", 1)),
            ("ada-link", Call(1, "c", b"")),
        ):
            self.forwarding.late(link, frame)
        self.assertEqual(self.asked, [])

    def test_again(self) -> None:
        """The next owner is asked again if it certainly has got nothing, for some time."""
        self.forwarding.take(self.ada, send("a"))
        self.forwarding.begin([self.ada])
        self.asked[0][1].errback(unanswered(False))
        self.clock.advance(PAUSE)
        self.asked[1][1].errback(RoomError("unavailable"))
        self.clock.advance(PAUSE)
        self.asked[2][1].callback(None)
        self.assertEqual(self.passed, [[("ada", "a")]] * 3)
        self.forwarding.late("ada-link", send("b"))
        self.clock.advance(PATIENCE)
        self.asked[3][1].errback(unanswered(False))
        self.assertEqual(len(self.clock.getDelayedCalls()), 0)

    def test_once(self) -> None:
        """It is not asked again if it may have got them, or if the room has ended."""
        for error in (unanswered(True), RoomError("noSuchRoom")):
            self.forwarding.take(self.ada, send("a"))
            self.forwarding.begin([self.ada])
            self.asked[-1][1].errback(error)
            self.assertEqual(len(self.clock.getDelayedCalls()), 0)
        self.forwarding.late("ada-link", send("b"))
        self.assertEqual(self.passed, [[("ada", "a")]] * 2 + [[("ada", "b")]])
