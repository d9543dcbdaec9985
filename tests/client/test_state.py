"""The state of a room at the Python client."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.client.case import ClientTestCase, membership
from txroom import RoomError
from txroom.client.codec import NotAFrame
from txroom.client.options import ClientOptions
from txroom.client.stateshapes import ClassShape, ReadOnlyList, ReadOnlyObject, ReadOnlyShape
from txroom.core.validation import OptionError
from txroom.state import Float32, List, Map, NativeEncoding, NativeReader, State, StateTree, private

VECTORS = Path(__file__).parents[1] / "vectors" / "state-v1.json"


class Card(State):
    rank: int = 0


class Player(State):
    name: str = ""
    x: Float32 = 0.0
    hand: List[Card]
    best: Card

    def shout(self) -> str:
        return self.name.upper()


class Game(State):
    players: Map[Player]
    scores: List[int]
    note: str | None = None
    turn: Player | None = private(None)


class Server:
    """The state of a room, and the frames about it."""

    def __init__(self) -> None:
        self.game = Game()
        self.tree = StateTree(self.game, self._failed)
        self.encoding = NativeEncoding(self.tree)

    def _failed(self, error: Exception) -> None:
        raise error

    def joined(self, *, isKnown: bool = False) -> dict[str, Any]:
        schema = {} if isKnown else {"schema": msgspec.msgpack.decode(self.encoding.schema())}
        return {"stateVersion": self.tree.version, **schema}

    def full(self) -> list[Any]:
        self.tree.commit()
        return ["state", "r1", self.tree.version, b64encode(self.encoding.full(None)).decode()]

    def patch(self) -> list[Any]:
        changes = self.tree.commit()
        assert changes is not None
        data = b64encode(self.encoding.patch(changes)).decode()
        return ["patch", "r1", changes.since, changes.version, data]

    def since(self, version: int) -> list[Any]:
        self.tree.commit()
        data = self.encoding.since(version, None)
        assert data is not None
        return ["patch", "r1", version, self.tree.version, b64encode(data).decode()]


class StateCase(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = Server()
        self.server.game.players["ada"] = Player(name="Ada", x=1.5, hand=[Card(rank=7)])
        self.server.game.scores.append(3)
        self.server.tree.commit()

    def joining(self) -> Deferred[Any]:
        """A join that the server has answered, before the state has arrived."""
        joining = self.client.joinOrCreate("chat")
        self.wire.open()
        self.wire.receive("joined", self.wire.take()[-1][1], "r1", membership(**self.server.joined()))
        return joining

    def joined(self) -> Any:
        """A room with the state of the server; `states` has how often it has changed, and its messages."""
        joining = self.joining()
        self.wire.receive(*self.server.full())
        room: Any = self.successResultOf(joining)
        room.log = []
        for name in ("state", "reconnecting", "recovered", "lost"):
            room.on(name, lambda *args, name=name: room.log.append(name))
        self.clock.advance(0)
        return room


class JoinTests(StateCase):
    def test_join(self) -> None:
        """A join has the state when it has succeeded, and messages wait for listeners."""
        joining = self.joining()
        self.assertNoResult(joining)
        self.clock.advance(0.5)
        self.wire.receive(*self.server.full())
        self.wire.receive("msg", "r1", 1, "n", 1)
        room: Any = self.successResultOf(joining)
        seen: list[Any] = []
        room.on("state", lambda state: seen.append(dict(state.players)))
        room.on("n", lambda data, offset: seen.append(data))
        self.assertEqual((room.stateVersion, room.stateTime), (self.server.tree.version, 0.5))
        self.clock.advance(0)
        self.assertEqual(seen, [{"ada": room.state.players["ada"]}, 1])

    def test_readOnly(self) -> None:
        """Fields are attributes, maps are mappings, lists are sequences, and only the server changes them."""
        state = self.joined().state
        ada = state.players["ada"]
        self.assertEqual((list(state.players), ada.name, ada.x, ada.hand[0].rank), (["ada"], "Ada", 1.5, 7))
        self.assertEqual((state.scores, state.scores[-1:], state.note, state.turn), ([3], [3], None, None))
        self.assertEqual((len(ada.hand), list(ada.hand), repr(state.scores)), (1, [ada.hand[0]], "[3]"))
        self.assertNotEqual(state.scores, ada.hand)
        self.assertNotEqual(state.scores, (3,))
        self.assertIn("players=", repr(state))
        for change in (
            lambda: setattr(ada, "x", 2.0),
            lambda: delattr(ada, "x"),
            lambda: state.players.pop("ada"),
            lambda: state.scores.append(1),
        ):
            self.assertRaises(AttributeError, change)
        with self.assertRaises(TypeError):
            state.players["bob"] = ada

    def test_none(self) -> None:
        """A room without state has none."""
        room = self.join()
        self.assertEqual((room.state, room.stateVersion), (None, None))

    def test_shared(self) -> None:
        """A second join that leads to the same room has the same state, and is told of it."""
        room = self.joined()
        joining = self.client.joinById("r1")
        self.wire.receive("joined", self.wire.take()[-1][1], "r1", membership(**self.server.joined()))
        self.wire.receive(*self.server.full())
        two: Any = self.successResultOf(joining)
        told: list[Any] = []
        two.on("state", told.append)
        self.clock.advance(0)
        self.assertEqual(told[-1], room.state)
        self.assertIs(two.state, room.state)

    def test_sharedOnly(self) -> None:
        """The answer to a second join may come without the state: it goes on by patches."""
        room = self.joined()
        state, version = room.state, room.stateVersion
        joining = self.client.joinById("r1")
        self.server.game.scores.append(4)
        patch = self.server.patch()
        answer = membership(**self.server.joined(isKnown=True))
        self.wire.receive("joined", self.wire.take()[-1][1], "r1", answer)
        two: Any = self.successResultOf(joining)
        self.assertIs(two.state, state)
        self.assertEqual((two.stateVersion, room.stateVersion), (version, version))
        self.wire.receive(*patch)
        self.assertEqual((state.scores, room.status, self.wire.closed), ([3, 4], "joined", None))

    def test_lost(self) -> None:
        """A join fails if the connection is lost, or the room ends, before the state has arrived."""
        for code, end in (("unavailable", self.lose), ("roomGone", self.kick)):
            self.begin()
            joining = self.joining()
            end()
            self.assertEqual(self.codeOf(joining), code)
            self.clock.advance(5)
            self.assertEqual(self.client.joined, [])

    def lose(self) -> None:
        self.wire.end()

    def kick(self) -> None:
        self.wire.receive("left", "r1", 4008, "over")

    def test_cancelled(self) -> None:
        """A join that is cancelled while the state is awaited leaves the room."""
        joining = self.joining()
        joining.cancel()
        self.failureResultOf(joining)
        self.wire.receive(*self.server.full())
        self.assertEqual([frame[0] for frame in self.wire.take()], ["leave"])


class PatchTests(StateCase):
    def test_patches(self) -> None:
        """Patches change the same objects; one that the client has already changes nothing."""
        room = self.joined()
        ada = room.state.players["ada"]
        game = self.server.game
        game.players["ada"].x = 2.5
        game.players["bob"] = Player(name="Bob")
        game.players["ada"].hand.append(Card(rank=9))
        game.scores[:] = [1, 2]
        patch = self.server.patch()
        self.clock.advance(1)
        self.wire.receive(*patch)
        self.assertEqual((ada.x, [card.rank for card in ada.hand], room.state.scores), (2.5, [7, 9], [1, 2]))
        self.assertEqual((room.state.players["bob"].name, room.stateTime), ("Bob", 1.0))
        del game.players["ada"]
        self.wire.receive(*self.server.patch())
        self.wire.receive(*patch)
        self.assertEqual((list(room.state.players), room.log), (["bob"], ["state"] * 3))

    def test_away(self) -> None:
        """A client that was away resumes with its version, and gets what it has missed."""
        room = self.joined()
        version, ada = room.stateVersion, room.state.players["ada"]
        self.server.game.players["ada"].name = "Ada L."
        resume = self.reconnect()[0]
        self.assertEqual(resume[-1], {"state": 1, "stateVersion": version})
        patch = self.server.since(version)
        self.resumed(resume, **self.server.joined(isKnown=True))
        self.wire.receive(*patch)
        self.assertEqual((ada.name, room.log), ("Ada L.", ["state", "reconnecting", "recovered", "state"]))

    def test_replaced(self) -> None:
        """If another server has the room, its state replaces the former."""
        room = self.joined()
        resume = self.reconnect()[0]
        self.server = Server()
        self.resumed(resume, **self.server.joined())
        self.assertEqual(list(room.state.players), ["ada"])
        self.wire.receive(*self.server.full())
        self.assertEqual((list(room.state.players), room.stateVersion), ([], 0))

    def test_missing(self) -> None:
        """A client that misses a patch resumes over the same connection with the version that it has."""
        room = self.joined()
        version = room.stateVersion
        for score in (1, 2):
            self.server.game.scores.append(score)
            patch = self.server.patch()
        self.wire.receive(*patch)
        self.assertEqual((room.status, room.state.scores), ("away", [3]))
        self.clock.advance(0.25)
        [resume] = self.wire.take()
        self.assertEqual((resume[0], resume[-1]["stateVersion"]), ("resume", version))
        self.resumed(resume, **self.server.joined(isKnown=True))
        self.wire.receive(*self.server.since(version))
        self.assertEqual((room.state.scores, len(self.wires), self.errors), ([3, 1, 2], 1, []))

    def test_malformed(self) -> None:
        """After malformed data the client closes the connection, and asks for the whole state."""
        for frame in (
            ["patch", "r1", 1, 9, "////"],
            ["state", "r1", 9, "CQ=="],
            ["state", "r1", 9, b64encode(b"\t\3\0\0\xff\xff\xff\xff\x0f").decode()],
            ["state", "r1", 9, b64encode(b"\t\3\0\0\1\7\0").decode()],
            ["state", "r1", 9, "?"],
        ):
            self.begin()
            self.joined()
            self.wire.receive(*frame)
            self.assertEqual(self.wire.closed, (4010, "not a frame"), frame)
            self.nextWire()
            self.wire.open()
            [resume] = self.wire.take()
            isDecoded = frame[-1] != "?"
            self.assertEqual(resume[-1]["stateVersion"] is None, isDecoded, frame)

    def test_unexpected(self) -> None:
        """State that the client has not asked for, or without a schema, is no frame."""
        for joined, frame in (
            ({}, self.server.full()),
            ({}, ["patch", "r1", 0, 1, ""]),
            ({"stateVersion": 1, "schema": 5}, None),
            ({"stateVersion": 1}, None),
        ):
            self.begin()
            joining = self.client.joinOrCreate("chat")
            self.wire.open()
            self.wire.receive("joined", self.wire.take()[-1][1], "r1", membership(**joined))
            if frame is not None:
                self.successResultOf(joining)
                self.wire.receive(*frame)
            self.assertEqual(self.wire.closed, (4010, "not a frame"), joined)
            joining.addErrback(lambda failure: failure.trap(RoomError, NotAFrame))

    def test_handled(self) -> None:
        """The room tells which messages were sent, and which of them the server has handled."""
        self.begin(window=2)
        room = self.joined()
        for n in (1, 2, 3, 4):
            room.send("move", n)
            self.assertEqual(room.sent, n)
        room.send("look", volatile=True)
        self.wire.receive("ack", "r1", 2)
        self.assertEqual((room.sent, room.handled), (4, 2))


class ClassTests(StateCase):
    """The option `states`: the state has the classes of the server."""

    def test_classes(self) -> None:
        """Objects are instances of these classes, with their methods, and follow patches."""
        self.begin(states={"chat": Game})
        room = self.joined()
        game: Game = room.state
        ada = game.players["ada"]
        self.assertEqual((type(game), ada.shout(), ada.hand[0].rank), (Game, "ADA", 7))
        self.assertEqual((game.scores, dict(game.players), game.turn), ([3], {"ada": ada}, None))
        self.server.game.players["bob"] = Player(name="Bob", best=Card(rank=3))
        self.server.game.players["ada"].x = 4.0
        self.server.game.players["ada"].hand.clear()
        self.wire.receive(*self.server.patch())
        self.assertEqual((game.players["bob"].best.rank, ada.x, list(ada.hand)), (3, 4.0, []))

    def test_arguments(self) -> None:
        """`__init__` isn't called, so it may want arguments."""

        class Ball(State):
            x: float
            _seen: list[str] = []

            def __init__(self, x: float) -> None:
                self.x = x

        class Table(State):
            balls: List[Ball]

        tree = StateTree(Table(balls=[Ball(2.5)]), self.fail)
        encoding = NativeEncoding(tree)
        schema = msgspec.msgpack.decode(encoding.schema())
        reader = NativeReader(schema, ClassShape(Table, schema))
        reader.apply(encoding.full(None))
        ball = reader.root.balls[0]
        self.assertEqual((type(ball), ball.x, ball._seen), (Ball, 2.5, []))

    def test_fieldGone(self) -> None:
        """A state that replaces the former has nothing of it, in particular not its fields."""
        for classes in ({}, {"chat": Game}):
            self.begin(states=classes)
            room = self.joined()
            resume = self.reconnect()[0]
            schema = [
                ["object", "Game", [["players", 1]]],
                ["map", 2],
                ["object", "Player", [["name", "str"]]],
            ]
            self.resumed(resume, stateVersion=2, schema=schema)
            game = Game(players={"ada": Player(name="Ada")})
            data = bytes([9, 3, 0, 0, 1, 3, 1, 1, 1, 3, 2, 2, 1, 1, 0, 1, 0, 1, 0, 0, 2])
            data += bytes([1, 2, 1, 0, 1, 2, 0, 3]) + b"Ada" + bytes([4, 1, 1, 3]) + b"ada" + bytes([3])
            self.wire.receive("state", "r1", 2, b64encode(data).decode())
            if classes:
                self.assertEqual(repr(room.state), repr(game))
            else:
                self.assertEqual(vars(room.state), {"players": room.state.players})
                self.assertEqual(vars(room.state.players["ada"]), {"name": "Ada"})

    def test_others(self) -> None:
        """The classes are those of one name of rooms."""
        self.begin(states={"arena": Game})
        self.assertNotIsInstance(self.joined().state, Game)

    def test_mismatch(self) -> None:
        """A join fails if the server has a class or a field that is missing here."""

        class Other(State):
            note: str = ""

        for name, text in (("Other", "class Game, which is unknown"), ("Game", "no field 'players'")):
            Other.__name__ = name
            self.begin(states={"chat": Other})
            joining = self.joining()
            error = self.failureResultOf(joining, RoomError).value
            self.assertEqual(error.code, "invalidData")
            self.assertIn(text, error.message)
            self.wire.receive(*self.server.full())
            self.assertIsNone(self.wire.closed)

    def test_option(self) -> None:
        """Other values of the option are refused."""
        for wrong in ({"chat": int}, {"chat": Game()}, {1: Game}, [Game], {"chat": State}):
            self.assertRaises(OptionError, ClientOptions, states=wrong)


class VectorTests(SynchronousTestCase):
    """The recorded states, as read-only objects."""

    def test_vectors(self) -> None:
        """Each step leads to the recorded state, for clients with and without a view."""
        vectors = json.loads(VECTORS.read_text())
        for who in ("shared", "view"):
            for at, step in enumerate(vectors["steps"]):
                before = vectors["steps"][: step.get("since", at - 1) + 1]
                reader = NativeReader(vectors["schema"], ReadOnlyShape())
                for each in (*before, step):
                    if each[who]["data"]:
                        reader.apply(bytes.fromhex(each[who]["data"]))
                self.assertEqual(recorded(reader.root), step[who]["state"], step["about"])


def recorded(value: Any) -> Any:
    """A state as in the file."""
    if isinstance(value, Mapping):
        return {"map": {key: recorded(each) for key, each in value.items()}}
    if isinstance(value, ReadOnlyList):
        return {"list": [recorded(each) for each in value]}
    if isinstance(value, ReadOnlyObject):
        fields = {key: recorded(each) for key, each in vars(value).items()}
        return {"object": type(value).__name__, "fields": fields}
    return str(value) if isinstance(value, int) and abs(value) > 2**53 else value
