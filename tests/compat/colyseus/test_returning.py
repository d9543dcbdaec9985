"""Clients of Colyseus that come back by themselves and keep their state, to a room with another owner."""

from __future__ import annotations

from typing import Any
from unittest import mock

from tests.compat.colyseus.case import ColyseusTestCase, Player
from tests.rooms.case import NotingRoom, onBothEngines
from txroom.compat.colyseus.codes import Kind
from txroom.compat.colyseus.numbers import readInteger
from txroom.rooms.contract.asks import Inspect
from txroom.rooms.owner.statesync import StateSync
from txroom.state import Map, State
from txroom.testing.restarting import restart


class Game(State):
    title: str = ""
    points: Map[int]


class Changed(State):
    """What `Game` has become: the numbers of the fields are others."""

    leader: str = ""
    title: str = ""
    points: Map[int]


class Pool(NotingRoom):
    """Has a state."""

    state: Game
    patchRate = 20.0


class ReturningCase(ColyseusTestCase):
    """What the tests share."""

    def begin(self) -> Player:
        """A client in a room with a state."""
        self.rooms(Pool)
        ada = self.colyseus()
        self.room().state.points["a"] = 1
        self.room().checkpoint()
        self.settle()
        return ada

    def next(self, stateClass: type[State] = Game) -> None:
        """The room gets another owner, whose class of the room may have another state."""
        self.app.registrations["chat"].stateClass = stateClass
        room = self.room()
        if self.isLagging:
            self.engine.loseOwner(room.id, True)
        else:
            restart(room)
        self.advance(1)
        self.result(self.engine.ask(room.id, Inspect()))  # so that there is one

    def back(self, former: Player, isConfirming: bool = True) -> Player:
        """A client as it comes back by itself."""
        more = f"&reconnectionToken={former.token}&skipHandshake=true"
        player = Player(self, former.seat, more)
        if isConfirming and player.ending is None:
            player.confirm()
            self.advance(0.2)
        return player


@onBothEngines
class ClassTests(ReturningCase):
    """The next owner has other classes."""

    def test_changed(self) -> None:
        """
        A client that would read the state by its former classes is told that it has left, with the reason.
        The room doesn't notice it.
        """
        ada = self.begin()
        self.next(Changed)
        self.assertEqual(ada.ending, 4010)
        again = self.back(ada)
        (error,) = again.take()
        code, end = readInteger(error, 1)
        self.assertEqual((error[0], code), (Kind.ERROR, 526))
        self.assertTrue(error[end:].endswith(b"the state of the room has other classes than before"))
        self.assertEqual((again.ending, again.client.closeInfo.reason), (4003, "stateChanged"))  # type: ignore[union-attr]
        self.assertEqual((self.named("resume"), self.named("leave")), ([], []))

    def test_anew(self) -> None:
        """It is still a member, and the application may let it come back with nothing."""
        ada = self.begin()
        self.next(Changed)
        self.back(ada)
        seat = self.seat("reconnect", ada.seat["roomId"], reconnectionToken=ada.token)
        again = Player(self, seat, f"&reconnectionToken={ada.token}")
        (joined,) = again.take(Kind.JOIN_ROOM)
        self.assertIn(b"leader", joined)
        again.confirm()
        self.assertEqual(len(again.take(Kind.ROOM_STATE)), 1)
        self.assertEqual([each.id for each in self.room().clients], [ada.seat["sessionId"]])
        self.assertEqual(self.back(again).take()[0][0], Kind.JOIN_ROOM)

    def test_skipped(self) -> None:
        """What counts are the classes that the client has, whatever owners there were meanwhile."""
        ada = self.begin()
        self.next(Changed)
        self.next(Game)
        again = self.back(ada)
        self.assertEqual([each[0] for each in again.take()], [Kind.JOIN_ROOM, Kind.ROOM_STATE_PATCH])
        self.next(Changed)
        self.assertEqual(self.back(again).ending, 4003)

    def test_earlier(self) -> None:
        """A token that was told before tokens told of the classes is valid."""
        with mock.patch.object(StateSync, "mark", lambda *_: ""):
            ada = self.begin()
        self.assertEqual(ada.token.count("."), 1)
        self.next()
        again = self.back(ada)
        self.assertEqual((again.ending, again.token.count(".")), (None, 2))

    def test_stateless(self) -> None:
        """Nor does a client keep a state that the room doesn't have any more."""
        ada = self.begin()
        registration: Any = self.app.registrations["chat"]
        registration.roomClass = NotingRoom
        self.next(None)  # type: ignore[arg-type]
        self.assertEqual(self.back(ada).ending, 4003)


@onBothEngines
class AnewTests(ReturningCase):
    """Maps and lists that go and come again, since a client may have what the next owner doesn't know."""

    def isAnew(self, player: Player) -> bool:
        """Whether the state that came begins maps anew."""
        (data,) = player.take(Kind.ROOM_STATE_PATCH)
        points = self.room().state.points
        self.assertIn(b"\xa1a\x01", data)
        return b"\xff" + bytes((points._txId,)) + b"\x0a" in data

    def test_once(self) -> None:
        """That is so for the first return to an owner, and not for later ones."""
        ada = self.begin()
        seen = []
        for _ in range(2):
            self.next()
            for _ in range(3):
                ada = self.back(ada)
                seen.append(self.isAnew(ada))
        self.assertEqual(seen, [True, False, False] * 2)

    def test_notReceived(self) -> None:
        """A client that was lost before it had the state has what it had before."""
        ada = self.begin()
        self.next()
        ada = self.back(ada, isConfirming=False)
        self.assertEqual(ada.take(Kind.ROOM_STATE_PATCH), [])
        ada.client.drop()
        again = Player(self, ada.seat, f"&reconnectionToken={ada.token}&skipHandshake=true")
        again.client.freeze()  # it sends a frame, and no pong
        again.confirm()
        self.advance(0.2)
        self.assertTrue(self.isAnew(again))
        again.client.drop()
        self.assertTrue(self.isAnew(self.back(again)))

    def test_newcomer(self) -> None:
        """A client that has joined at this owner has nothing of an earlier one."""
        self.begin()
        self.next()
        bob = self.back(self.colyseus())
        self.assertFalse(self.isAnew(bob))
        self.next()
        self.assertTrue(self.isAnew(self.back(bob)))

    def test_ping(self) -> None:
        """The ping by which the edge finds out goes to those that come back, and have a state."""
        ada = self.begin()
        self.assertEqual(ada.client.pings, [])
        self.assertEqual(self.back(ada).client.pings, [b"state"])

    def test_pong(self) -> None:
        """Other pongs mean nothing."""
        ada = self.begin()
        self.next()
        again = Player(self, ada.seat, f"&reconnectionToken={ada.token}&skipHandshake=true")
        again.client.freeze()
        bob, probe = self.colyseus(), self.harness.connect("/")
        for client, payload in ((again.client, b"state"), (bob.client, b"state"), (probe, b"state")):
            client.protocol.sendPong(payload)
        again.confirm()
        self.advance(0.2)
        again.client.protocol.sendPong(b"other")
        self.settle()
        self.assertTrue(self.isAnew(again))
        again.client.drop()
        self.assertTrue(self.isAnew(self.back(again)))
