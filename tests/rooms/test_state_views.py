"""Views of single clients, the limits of states, and errors in them."""

from __future__ import annotations

from typing import Any
from unittest import mock

from tests.rooms.case import MSGPACK, NotingRoom, hostOf, onBothEngines
from tests.rooms.test_state import Ball, Card, Game, Pool
from tests.rooms.test_state_recovery import SeerCase
from txroom import Client, RoomError, message
from txroom.state import NativeEncoding, State


class Dealing(Pool):
    """Deals cards, which only their owner sees."""

    @message("hide")
    def hide(self, client: Client, key: str) -> None:
        client.view.remove(self.state.cards[key])

    @message("change")
    def change(self, client: Client, data: dict[str, Any]) -> None:
        self.state.cards[data["key"]].rank = data["rank"]


@onBothEngines
class ViewTests(SeerCase):
    """`Client.view`."""

    def cards(self, seer: Any) -> dict[str, int]:
        """The cards that a client sees."""
        return {key: card.rank for key, card in seer.state.cards.items()}

    def test_own(self) -> None:
        """Each client sees the public part and what is in its own view, in one patch."""
        self.rooms(Dealing)
        ada, bob, eve = self.seer(), self.seer(protocol=MSGPACK), self.seer()
        ada.player.send("deal", 7)
        bob.player.send("deal", 8)
        bob.player.send("score", 1)
        self.advance(0.1)
        self.assertSame(ada, bob, eve)
        self.assertEqual([self.cards(each) for each in (ada, bob, eve)], [{"0": 7}, {"1": 8}, {}])
        ada.player.send("change", {"key": "1", "rank": 9})
        self.advance(0.1)
        self.assertEqual([self.cards(each) for each in (ada, bob, eve)], [{"0": 7}, {"1": 9}, {}])
        bob.player.send("hide", "1")
        self.advance(0.1)
        self.assertEqual([self.cards(each) for each in (ada, bob, eve)], [{"0": 7}, {}, {}])

    def test_quiet(self) -> None:
        """Of what only others see, a client gets no frames, and loses no step."""
        self.rooms(Dealing)
        ada, bob, eve = self.seer(), self.seer(), self.seer()
        bob.player.send("deal", 1)
        self.advance(0.1)
        before = [len(each.kinds) for each in (ada, bob, eve) if each.state]
        for rank in range(5):
            ada.player.send("deal", rank)
            self.advance(0.1)
        self.assertEqual(
            [len(each.kinds) - n for each, n in zip((bob, eve), before[1:], strict=True)], [0, 0]
        )
        eve.player.send("deal", 5)  # its first view, after commits that it was not told of
        ada.player.send("score", 1)
        self.advance(0.1)
        self.assertSame(ada, bob, eve)
        self.assertEqual([len(self.cards(each)) for each in (ada, bob, eve)], [5, 1, 1])

    def test_inOnJoin(self) -> None:
        """What `onJoin` shows a client comes with all of the state."""

        class Early(Dealing):
            def onJoin(self, client: Client, options: Any) -> None:
                super().onJoin(client, options)
                self.deal(client, 5)

        self.rooms(Early)
        ada, bob = self.seer(), self.seer()
        self.assertEqual((self.cards(ada), self.cards(bob)), ({"0": 5}, {"1": 5}))
        self.assertEqual(bob.kinds, ["joined", "state"])

    def test_resumed(self) -> None:
        """A client that comes back is brought up to date in its view, too."""
        self.rooms(Dealing)
        ada, bob = self.seer(), self.seer()
        ada.player.send("deal", 1)
        ada.player.send("deal", 2)
        self.advance(0.1)
        self.assertEqual(self.cards(ada), {"0": 1, "1": 2})
        ada.player.client.drop()
        bob.player.send("change", {"key": "0", "rank": 6})
        self.advance(0.1)
        again = self.back(ada)
        self.assertEqual(self.cards(again), {"0": 6, "1": 2})
        self.assertEqual(again.kinds, ["joined", "patch"])
        bob.player.send("change", {"key": "1", "rank": 4})
        self.advance(0.1)
        self.assertEqual(self.cards(again), {"0": 6, "1": 4})

    def test_left(self) -> None:
        """The view of a member that has left is forgotten."""
        self.rooms(Dealing)
        ada, bob = self.seer(), self.seer()
        bob.player.send("deal", 1)
        self.advance(0.1)
        bob.player.write("leave", 99, bob.player.room)
        self.advance(0.1)
        self.seer()
        states: Any = hostOf(self.room())._parts.states
        tree = states._tree
        self.assertEqual(len(tree.views), 0)
        self.assertSame(ada)

    def test_withoutState(self) -> None:
        """A client that gets no state may have a view; one of a room without state has none."""
        self.rooms(Dealing, NotingRoom)
        ada = self.joined()
        ada.send("deal", 3)
        self.advance(0.1)
        self.assertEqual({frame[0] for frame in ada.frames} & {"patch", "state"}, set())
        other = self.joined("NotingRoom")
        client = self.room(other).clients[0]
        error = self.assertRaises(TypeError, lambda: client.view)
        self.assertIn("declares no state", str(error))

    def test_ended(self) -> None:
        """After the end of the room there is no view."""
        self.rooms(Dealing)
        self.seer()
        room = self.room()
        client = room.clients[0]
        self.result(room.disconnect())
        self.assertRaises(RoomError, lambda: client.view)
        room.patch()


@onBothEngines
class LimitTests(SeerCase):
    """What a state can't be."""

    def test_tooLarge(self) -> None:
        """A client that would get more than `maxState` can't join or resume, and the room is told."""
        told: list[Any] = []

        class Telling(Pool):
            def onRoomError(self, failure: Any, client: Any) -> None:
                told.append(str(failure.value))

        self.rooms(Telling, maxState=5_000)
        ada = self.seer()
        self.room().state.title = "x" * 6_000
        self.advance(0.1)
        self.assertEqual(len(ada.state.title), 6_000, "a patch has no limit of its own")
        self.assertEqual(self.player().ask("join", "chat", {}, {"state": 1})[0], "error")
        self.assertEqual(self.player().ask("join", "chat", {})[0], "joined")
        ada.player.client.drop()
        self.settle()
        ada.version = None
        again = self.player()
        again.room = ada.player.room
        token, epoch = ada.player.joined["token"], ada.player.joined["epoch"]
        answer = again.ask("resume", ada.player.room, token, epoch, 0, 0, {"state": 1})
        self.assertEqual(answer[3], "internal")
        self.assertEqual(len(told), 2, told)
        self.assertIn("maxState=5000", told[0])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        self.room().state.title = "short"
        self.assertEqual(self.player().ask("join", "chat", {}, {"state": 1})[0], "joined")

    def test_tooLargeAgain(self) -> None:
        """
        A client that joins again on the same connection, when the whole state can't be sent, keeps what it
        has, and goes on by patches. The room is told.
        """
        self.rooms(Pool, maxState=5_000)
        ada, bob = self.seer(), self.seer()
        bob.player.send("deal", 4)
        self.advance(0.1)
        self.room().state.title = "x" * 6_000
        self.advance(0.1)
        for points, seer in enumerate((ada, bob, ada)):
            self.room().state.scores.append(points)
            before = seer.version
            answer = seer.join()
            self.assertEqual((answer[0], seer.kinds.count("state")), ("joined", 1))
            self.assertNotIn("schema", answer[3])
            self.assertGreaterEqual(answer[3]["stateVersion"], before)
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
            self.advance(0.1)
            self.assertTrue(seer.isComplete)
            self.assertSame(ada, bob)
        self.room().state.title = "short"
        ada.join()
        self.assertEqual((ada.isComplete, ada.kinds[-2:]), (True, ["joined", "state"]))
        self.assertSame(ada)

    def test_failedAgain(self) -> None:
        """The same if the state can't be encoded."""
        self.rooms(Pool)
        ada = self.seer()
        with mock.patch.object(NativeEncoding, "full", side_effect=RuntimeError("no")):
            answer = ada.join()
        self.assertIn("stateVersion", answer[3])
        self.assertNotIn("schema", answer[3])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        ada.player.send("score", 1)
        self.advance(0.1)
        self.assertSame(ada)

    def test_replaced(self) -> None:
        """`onCreate` may assign another instance; when the room is open that is an error."""

        class Replacing(Pool):
            def onCreate(self, options: Any) -> None:
                self.state = Game(title="mine")
                self.state = self.state

        self.rooms(Replacing)
        ada = self.seer()
        self.assertEqual(ada.state.title, "mine")
        room = self.room()
        self.assertRaises(RuntimeError, setattr, room, "state", Game())
        self.assertEqual(room.state.title, "mine")
        room.state.title = "changed"
        self.advance(0.1)
        self.assertEqual(ada.state.title, "changed")

    def test_wrongClass(self) -> None:
        """An instance of another class than the declared one is an error; the room isn't made."""

        class Wrong(Pool):
            def onCreate(self, options: Any) -> None:
                self.state = Card()  # type: ignore[assignment]

        self.rooms(Wrong)
        self.assertEqual(self.player().join()[0], "error")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_otherUse(self) -> None:
        """A room that declares none may use the name `state` for anything."""

        class Plain(NotingRoom):
            state = "waiting"

        class Late(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.state = {"round": 1}

        self.rooms(Plain, Late)
        for name in ("chat", "Late"):
            answer = self.player().ask("join", name, {}, {"state": 1})
            self.assertEqual(answer[0], "joined")
            self.assertNotIn("stateVersion", answer[3])
        room: Any = next(each for each in self.app.rooms.values() if isinstance(each, Late))
        self.assertEqual(room.state, {"round": 1})
        error = self.assertRaises(TypeError, room.patch)
        self.assertIn("state: Game", str(error))

    def test_undeclared(self) -> None:
        """A state without an annotation is an error that tells the annotation; so is one of another class."""

        class Shared(NotingRoom):
            state = Game()

        class SharedAndDeclared(NotingRoom):
            state: Game = Game()

        class Unknown(NotingRoom):
            state: Missing  # type: ignore[name-defined]  # noqa: F821

        class Plain(NotingRoom):
            state: dict[str, int]

        class Below(Plain):
            pass

        for kind, text in (
            (Shared, "`state: Game`"),
            (SharedAndDeclared, "`state: Game`"),
            (Unknown, "'Missing': must be a State class"),
            (Plain, "must be a State class"),
            (Below, "Plain.state"),
        ):
            error = self.assertRaises(TypeError, self.rooms, kind)
            self.assertIn(text, str(error))

    def test_undeclaredAssigned(self) -> None:
        """Nor can an undeclared state be assigned, in a hook or in the constructor; the room isn't made."""

        class InHook(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.state = Game()

        class InConstructor(NotingRoom):
            def __init__(self) -> None:
                super().__init__()
                self.state = Game()

        for kind in (InHook, InConstructor):
            self.rooms(kind)
            self.assertEqual(self.player().join()[0], "error")
            (failure,) = self.flushLoggedErrors(TypeError)
            self.assertIn(f"{kind.__name__}.state=", str(failure.value))
            self.assertIn("`state: Game`", str(failure.value))

    def test_declared(self) -> None:
        """The class is found in subclasses, in functions, and as the name of a class that comes later."""

        class Local(State):
            title: str = "local"

        class Near(NotingRoom):
            state: Local

        class Below(Pool):
            pass

        for kind, title in ((Near, "local"), (Below, "pool"), (Later, "later")):
            self.rooms(kind)
            seer = self.seer()
            self.assertEqual(seer.state.title, title)

    def test_inConstructor(self) -> None:
        """The constructor of a room may make its state."""

        class Made(NotingRoom):
            state: Game

            def __init__(self) -> None:
                super().__init__()
                self.state = Game(title="early")
                self.state.balls["a"] = Ball(x=1)

        self.rooms(Made)
        self.assertEqual(list(self.seer().state.balls), ["a"])

    def test_exact(self) -> None:
        """`exact` takes a state, without `save` and `load`."""

        class Exact(Pool):
            exact = True

        self.rooms(Exact)
        self.assertTrue(self.seer().isComplete)

    def test_stopped(self) -> None:
        """A room that ends sends no more patches, and leaves no timer."""
        self.rooms(Pool)
        self.seer()
        states: Any = hostOf(self.room())._parts.states
        self.assertIsNotNone(states._due)
        self.result(self.room().disconnect())
        self.assertIsNone(states._due)


class Later(NotingRoom):
    """Declares a class that comes later."""

    state: Afterwards


class Afterwards(State):
    """A state."""

    title: str = "later"
