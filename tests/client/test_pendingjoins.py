"""Simultaneous joins: two of one room, one while the room is being left, one from a listener of "left"."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.case import HarnessTestCase
from tests.client.case import DEFAULTS, ClientTestCase, membership
from txroom import Room, RoomError, message
from txroom.client import ClientState
from txroom.client.listeners import Unheard


class FakeLog:
    """Keeps the warnings."""

    def __init__(self, types: list[str]) -> None:
        self._types = types

    def warn(self, text: str, **fields: Any) -> None:
        self._types.append(fields["type"])


class HandleTests(ClientTestCase):
    """Each join has its own handle of a shared membership."""

    def both(self, **options: Any) -> tuple[Any, Any]:
        """Two joins that lead to the same room."""
        self.begin(**options)
        one = self.join("r1")
        joining = self.client.joinById("r1")
        self.wire.receive("joined", self.wire.take()[0][1], "r1", membership(token="t5", snapshot="newer"))
        two: Any = self.successResultOf(joining)
        two.log = []
        two.onMessage("*", lambda type, data, offset: two.log.append(data))
        two.on("left", lambda code, reason: two.log.append(("left", code, reason)))
        self.clock.advance(0)
        return one, two

    def test_two(self) -> None:
        """Both receive the room's messages, each with its own listeners; the newest token is used."""
        one, two = self.both()
        self.assertIsNot(one, two)
        self.assertEqual((one.id, one.member), (two.id, two.member))
        self.assertEqual((one.snapshot, two.snapshot), (None, "newer"))
        self.assertEqual(self.client.joined, [one, two])
        self.wire.receive("msg", "r1", 1, "said", "hi")
        two.off("*")
        self.wire.receive("msg", "r1", 2, "said", "ho")
        self.assertEqual(([data for _, data, _ in one.log], two.log), (["hi", "ho"], ["hi"]))
        self.assertEqual(self.reconnect()[0][3], "t5")

    def test_leaveOne(self) -> None:
        """Leaving one ends that one only; the membership ends with the last."""
        for first, second in ((0, 1), (1, 0)):
            rooms = self.both()
            going, staying = rooms[first], rooms[second]
            call = going.call("roll")
            ref = self.wire.take()[0][1]
            self.successResultOf(going.leave())
            self.successResultOf(going.leave())
            self.assertEqual(self.wire.take(), [])
            self.assertEqual((going.status, staying.status), ("left", "joined"))
            self.assertEqual(going.log, [("left", 1000, "left")])
            self.assertEqual((going.reconnectionToken, self.client.joined), (None, [staying]))
            self.assertEqual(self.assertRaises(RoomError, going.send, "say").code, "roomGone")
            self.assertEqual(self.codeOf(going.call("say")), "roomGone")
            self.wire.receive("msg", "r1", 1, "said", 1)
            self.assertEqual((len(going.log), len(staying.log)), (1, 1))
            self.wire.receive("reply", ref, 6)
            self.assertEqual(self.successResultOf(call), 6)
            staying.send("say", "still here")
            self.assertEqual(self.wire.take(), [["send", "r1", "say", "still here", 2]])
            leaving = staying.leave()
            [[kind, ref, _]] = self.wire.take()
            self.assertEqual(kind, "leave")
            self.wire.receive("reply", ref, None)
            self.successResultOf(leaving)
            self.assertEqual(staying.status, "left")

    def test_handlers(self) -> None:
        """A call of the room is answered once, by the one that has a handler."""
        one, two = self.both()
        two.handle("double", lambda data: data * 2)
        self.wire.receive("call", 1, "r1", "double", 4)
        one.handle("double", lambda data: "first")
        self.wire.receive("call", 2, "r1", "double", 4)
        self.wire.receive("call", 3, "r1", "other", 4)
        self.assertEqual(
            [frame[:4] for frame in self.wire.take()],
            [["reply", "r1", 1, 8], ["reply", "r1", 2, "first"], ["error", "r1", 3, "unknownType"]],
        )

    def test_ended(self) -> None:
        """Both are told when the room ends, and when messages were lost."""
        one, two = self.both()
        losses: list[Any] = []
        two.on("lost", losses.append)
        self.resumed(self.reconnect()[0], recovered=False, snapshot="s", offset=7)
        self.assertEqual((one.snapshot, two.snapshot, len(losses)), ("s", "s", 1))
        self.wire.receive("left", "r1", 4008, "over")
        self.assertEqual((one.log[-1], two.log[-1]), (("left", 4008, "over"),) * 2)
        self.assertEqual(self.client.joined, [])

    def test_errors(self) -> None:
        """A refused message is reported to all that listen to errors, or to the client if none does."""
        one, two = self.both()
        told: list[Any] = []
        self.wire.receive("error", None, "r1", "unknownType", "", None)
        self.assertEqual(len(self.errors), 1)
        for room in (one, two):
            room.on("error", told.append)
        self.wire.receive("error", None, "r1", "unknownType", "", None)
        self.assertEqual((len(told), len(self.errors)), (2, 1))

    def test_unheard(self) -> None:
        """A message without any listener is logged once for each type."""
        warnings: list[str] = []
        self.patch(Unheard, "_log", FakeLog(warnings))
        one, two = self.both()
        two.off("*")
        two.onMessage("said", lambda data, offset: None)
        self.wire.receive("msg", "r1", 1, "said", 1)
        self.wire.receive("msg", "r1", 2, "other", 1)
        self.assertEqual(warnings, [])
        one.off("*")
        for offset in (3, 4):
            self.wire.receive("msg", "r1", offset, "other", 1)
        self.assertEqual(warnings, ["other"])


class StrictModeTests(ClientTestCase):
    """Join, leave and join again, as React's StrictMode does, with the answers in any order."""

    def joining(self, id: str = "r1") -> Deferred[Any]:
        """A join, and its connection."""
        joining = self.client.joinOrCreate("chat", {"name": "ada"})
        if self.client.state is ClientState.CONNECTING:
            self.wire.open()
        return joining

    def test_sameTurn(self) -> None:
        """Two equal joins are one request and two rooms; leaving one does not end the other."""
        left: list[Any] = []
        one = self.joining().addCallback(lambda room: room.leave().addCallback(lambda _: left.append(room)))
        two = self.joining()
        [[_, ref, *_]] = self.wire.take()
        self.wire.receive("joined", ref, "r1", membership())
        self.successResultOf(one)
        room = self.successResultOf(two)
        self.assertEqual((left[0].status, room.status), ("left", "joined"))
        room.send("say", "alive")
        self.assertEqual([frame[0] for frame in self.wire.take()], ["send"])

    def test_otherOptions(self) -> None:
        """A room is not left while a pending join could lead to it."""
        one = self.join("r1")
        joining = self.client.joinById("r1")
        ref = self.wire.take()[0][1]
        leaving = one.leave()
        self.assertEqual(self.wire.take(), [])
        self.wire.receive("joined", ref, "r1", membership())
        two = self.successResultOf(joining)
        self.successResultOf(leaving)
        self.assertEqual((one.status, two.status, self.wire.take()), ("left", "joined", []))
        two.send("say", 1)
        self.assertEqual(len(self.wire.take()), 1)

    def test_otherRoom(self) -> None:
        """If that join leads to another room, the first room is left then."""
        one = self.join("r1")
        joining = self.client.join("chat")
        ref = self.wire.take()[0][1]
        leaving = one.leave()
        self.wire.receive("joined", ref, "r2", membership(member="m2"))
        [[kind, ref, target]] = self.wire.take()
        self.assertEqual((kind, target), ("leave", "r1"))
        self.wire.receive("reply", ref, None)
        self.successResultOf(leaving)
        self.assertEqual(self.client.joined, [self.successResultOf(joining)])

    def test_slowJoin(self) -> None:
        """`leave` fires after `leaveTimeout` even so, and the membership goes to the other join."""
        for isSame in (True, False):
            self.begin(pingInterval=0)
            one = self.join("r1")
            joining = self.client.joinById("r1") if isSame else self.client.join("chat")
            ref = self.wire.take()[0][1]
            leaving = one.leave()
            self.clock.advance(DEFAULTS.leaveTimeout)
            self.successResultOf(leaving)
            self.assertEqual((one.status, self.client.joined), ("left", []))
            id = "r1" if isSame else "r2"
            self.wire.receive("joined", ref, id, membership(member="m1" if isSame else "m2"))
            two = self.successResultOf(joining)
            self.assertEqual((two.id, two.status), (id, "joined"))
            self.assertEqual([frame[0] for frame in self.wire.take()], [] if isSame else ["leave"])

    def test_joinWhileLeaving(self) -> None:
        """A join waits until the room is left, and is a new member."""
        one = self.join("r1")
        leaving = one.leave()
        [[_, ref, _]] = self.wire.take()
        joining, again = self.joining(), self.joining()
        self.assertEqual(self.wire.take(), [])
        self.wire.receive("reply", ref, None)
        self.wire.receive("left", "r1", 1000, "")
        self.successResultOf(leaving)
        [[_, ref, *_]] = self.wire.take()
        self.wire.receive("joined", ref, "r1", membership(member="m2"))
        self.assertEqual(self.successResultOf(joining).member, "m2")
        self.assertEqual(self.successResultOf(again).member, "m2")

    def test_creates(self) -> None:
        """Each `create` makes a room of its own."""
        for _ in range(2):
            self.client.create("chat")
        self.wire.open()
        self.assertEqual([frame[0] for frame in self.wire.take()], ["create", "create"])

    def test_alike(self) -> None:
        """Options that are equal in Python but not in JSON are different joins."""
        for value in (1, True, 1.0, "1"):
            self.client.join("chat", {"level": value})
        self.wire.open()
        self.assertEqual(len(self.wire.take()), 4)

    def test_cancelled(self) -> None:
        """Cancelling one of two equal joins does not cancel the other."""
        one, two = self.joining(), self.joining()
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.wire.receive("joined", self.wire.take()[0][1], "r1", membership())
        self.assertEqual(self.successResultOf(two).status, "joined")
        three = self.joining()
        three.cancel()
        self.failureResultOf(three, CancelledError)
        four = self.joining()
        [[_, first, *_], [_, second, *_]] = self.wire.take()
        self.wire.receive("joined", first, "r1", membership())
        self.wire.receive("joined", second, "r1", membership())
        self.assertEqual(self.successResultOf(four).status, "joined")

    def test_refused(self) -> None:
        """If the request is refused, all equal joins fail."""
        one, two = self.joining(), self.joining()
        self.refuse(self.wire.take()[0][1], "full")
        self.assertEqual((self.codeOf(one), self.codeOf(two)), ("full", "full"))


class LeftThenJoinTests(ClientTestCase):
    """A user that joins the lobby when a room ends."""

    def test_sameSocket(self) -> None:
        """A join from a listener of "left" uses the same connection."""
        room = self.join("r1")
        joining: list[Deferred[Any]] = []
        room.on("left", lambda *args: joining.append(self.client.joinOrCreate("lobby")))
        self.wire.receive("left", "r1", 4008, "game over")
        [[_, ref, name, *_]] = self.wire.take()
        self.assertEqual(name, "lobby")
        self.wire.receive("joined", ref, "r2", membership(name="lobby"))
        self.assertEqual(self.successResultOf(joining[0]).name, "lobby")
        self.assertEqual(len(self.wires), 1)

    def test_socketGoesToo(self) -> None:
        """If the server then closes the connection with the code of that room, the other rooms reconnect."""
        for code in (4001, 4003, 4004, 4008, 4010):
            self.begin()
            room, other = self.join("r1"), self.join("r2", member="m2")
            asked = self.client.joinById("r9")
            self.wire.take()
            joining: list[Deferred[Any]] = []
            room.on("left", lambda *args, to=joining: to.append(self.client.joinOrCreate("lobby")))
            self.wire.receive("left", "r1", code, "over")
            self.wire.end(code, "over")
            self.assertEqual((self.codeOf(asked), other.status), ("unavailable", "away"))
            self.nextWire()
            self.wire.open()
            [resume, join] = self.wire.take()
            self.resumed(resume, member="m2")
            self.assertEqual((join[0], join[2], other.status), ("join", "lobby", "joined"))
            self.wire.receive("joined", join[1], "r3", membership(name="lobby", member="m3"))
            self.successResultOf(joining[0])

    def test_underWay(self) -> None:
        """Errors for messages that were on their way to a room that has ended are ignored."""
        room = self.join("r1")
        room.send("say", 1)
        self.wire.receive("left", "r1", 4008, "over")
        self.wire.receive("error", None, "r1", "noSuchRoom", "not in that room", None)
        self.wire.receive("error", None, "r1", "roomGone", "", None)
        self.assertEqual(self.errors, [])
        self.wire.receive("error", None, "r1", "rateLimited", "", None)
        self.assertEqual([error.code for error in self.errors], ["rateLimited"])


class Game(Room):
    @message("end")
    def end(self, client: Any) -> None:
        self.disconnect("game over")

    @message("kick")
    def kickOut(self, client: Any) -> None:
        client.kick("bad")


class ServerTests(HarnessTestCase):
    """The same with a real server."""

    def test_backToTheLobby(self) -> None:
        """However a room ended, a join from a listener of "left" succeeds."""
        for kind in ("end", "kick"):
            harness = self.serve({"game": Game, "lobby": Room})
            client = harness.client()
            room = client.join("game")
            joining: list[Deferred[Any]] = []
            session = client.client
            session.on("error", self.fail)
            enter = partial(session.joinOrCreate, "lobby")
            room.room.on("left", lambda *args, to=joining, enter=enter: to.append(enter()))
            room.send(kind)
            harness.advance(5)
            self.assertEqual(self.successResultOf(joining[0]).name, "lobby")

    def test_strictMode(self) -> None:
        """
        After join, leave and join in one turn, the last join is a member whose messages the room receives.
        """
        heard: list[Any] = []

        class Chat(Room):
            def onMessage(self, client: Any, type: str, data: Any) -> None:
                heard.append((client.id, data))

        harness = self.serve({"chat": Chat})
        session = harness.client().client
        for options in ({}, {"other": 1}):
            one = session.joinOrCreate("chat").addCallback(lambda room: room.leave())
            two = session.joinOrCreate("chat", options)
            harness.advance(1)
            self.successResultOf(one)
            room = self.successResultOf(two)
            room.send("say", "alive")
            harness.advance(1)
            self.assertEqual(heard.pop(), (room.member, "alive"))
            room.leave()
            harness.advance(1)
