"""Rooms that declare a state, and clients that ask for it."""

from __future__ import annotations

from typing import Any

from tests.rooms.case import MSGPACK, NotingRoom, RoomTestCase, onBothEngines
from tests.rooms.seer import Seer
from txroom import Client, message
from txroom.state import Float32, List, Map, State, private


class Ball(State):
    x: Float32 = 0.0
    owner: str = ""


class Card(State):
    rank: int = 0


class Game(State):
    title: str = "pool"
    balls: Map[Ball]
    scores: List[int]
    cards: Map[Card] = private()


class Pool(NotingRoom):
    """Changes its state when it is told to."""

    state: Game
    patchRate = 20.0
    saveSeconds = 0.0
    autoDispose = False

    def onJoin(self, client: Client, options: Any) -> None:
        self.state.balls[client.id] = Ball(owner=options.get("name", ""))
        super().onJoin(client, options)

    def onLeave(self, client: Client, reason: Any) -> None:
        del self.state.balls[client.id]

    @message("move")
    def move(self, client: Client, x: float) -> None:
        self.state.balls[client.id].x = x

    @message("score")
    def score(self, client: Client, points: int) -> None:
        self.state.scores.append(points)

    @message("deal")
    def deal(self, client: Client, rank: int) -> None:
        key = str(len(self.state.cards))
        self.state.cards[key] = card = Card(rank=rank)
        client.view.add(card)

    @message("now")
    def now(self, client: Client) -> None:
        self.patch()


class Ticking(Pool):
    """Ticks as often as it is patched."""

    tickRate = 20.0

    def onTick(self, seconds: float) -> None:
        self.state.scores.append(len(self.state.scores))


@onBothEngines
class JoiningTests(RoomTestCase):
    """Who gets the state, and when."""

    def seer(self, name: str = "", protocol: str | None = None, path: str = "/rooms") -> Seer:
        """A client that has joined and asked for the state."""
        seer = Seer(self.player(protocol=protocol))
        self.assertEqual(seer.join(name=name)[0], "joined")
        self.assertTrue(seer.isComplete)
        return seer

    def test_full(self) -> None:
        """A client that asks gets all of the state right after `joined`, in both dialects."""
        self.rooms(Pool)
        for protocol in (None, MSGPACK):
            seer = self.seer("ada", protocol)
            self.assertEqual(seer.state.title, "pool")
            self.assertEqual(seer.kinds, ["joined", "state"])
            kinds = [frame[0] for frame in seer.player.frames]
            self.assertEqual(kinds[kinds.index("joined") + 1], "state")

    def test_patch(self) -> None:
        """What changes comes within an interval, in one patch, to all."""
        self.rooms(Pool)
        ada, bob = self.seer(), self.seer("bob", MSGPACK)
        ada.player.send("move", 2.5)
        ada.player.send("score", 7)
        self.advance(0.1)
        me = ada.player.joined["member"]
        for seer in (ada, bob):
            self.assertEqual(seer.state.balls[me].x, 2.5)
            self.assertEqual(seer.state.scores, [7])
        self.assertEqual(ada.version, bob.version)
        self.assertEqual(bob.kinds, ["joined", "state", "patch"] if not self.isLagging else bob.kinds)

    def test_notAsked(self) -> None:
        """A client that doesn't ask gets nothing of it; nor does one of a room that has no state."""
        self.rooms(Pool, NotingRoom)
        ada = self.joined()
        self.seer()
        self.advance(1)
        self.assertEqual({frame[0] for frame in ada.frames} & {"state", "patch"}, set())
        self.assertNotIn("stateVersion", ada.joined)
        stateless = Seer(self.player())
        self.assertNotIn("stateVersion", stateless.join("NotingRoom")[3])

    def test_byPath(self) -> None:
        """A client that joins by its path asks with an option that the room doesn't get."""
        self.rooms(Pool)
        seer = Seer(self.player("/rooms/chat?name=ada&txroom.state=1"))
        self.advance(0.1)
        self.assertEqual(seer.state.title, "pool")
        self.assertEqual(self.named("join"), [{"name": "ada"}])

    def test_joinById(self) -> None:
        """All ways to join take the features; unknown ones are ignored."""
        self.rooms(Pool)
        ada = self.seer()
        for kind, where in (("joinById", ada.player.room), ("joinOnly", "chat"), ("create", "chat")):
            player = self.player()
            answer = player.ask(kind, where, {}, {"state": 1, "later": {}})
            self.assertIn("schema", answer[3], kind)
        self.assertNotIn("schema", self.player().ask("join", "chat", {}, {"state": 0})[3])

    def test_again(self) -> None:
        """A second join on the same socket is answered with all of the state again."""
        self.rooms(Pool)
        ada = self.seer()
        ada.join()
        self.assertTrue(ada.isComplete)
        self.assertEqual(ada.kinds[-2:], ["joined", "state"])

    def test_ownPatch(self) -> None:
        """`Room.patch` sends at once what has changed."""
        self.rooms(Pool, patchRate=0.0)
        ada = self.seer()
        ada.player.send("score", 1)
        self.advance(5)
        self.assertEqual(ada.state.scores, [])
        ada.player.send("now")
        self.assertEqual(ada.state.scores, [1])

    def test_ticks(self) -> None:
        """With the same rate, each patch comes right after `onTick`."""
        self.rooms(Ticking)
        ada = self.seer()
        before, patches = len(ada.state.scores), ada.kinds.count("patch")
        for _ in range(10):
            self.harness.advance(0.05)
        self.settle()
        self.assertEqual(ada.state.scores, list(range(len(ada.state.scores))))
        self.assertGreaterEqual(len(ada.state.scores), before + 9)
        self.assertEqual(ada.kinds.count("patch") - patches, len(ada.state.scores) - before)

    def test_acks(self) -> None:
        """Before a patch come the acknowledgements that are due: it has these frames in it, and no others."""
        self.rooms(Pool)
        ada = self.seer()
        seen: list[tuple[int, int]] = []
        ada.onChange = lambda acked: seen.append((acked, len(ada.root.scores)))
        for n in range(1, 40):
            ada.player.send("score", n, n)
            self.harness.advance(0.03)
        self.advance(0.2)
        self.assertEqual(ada.state.scores, list(range(1, 40)))
        self.assertGreater(len(seen), 10)
        self.assertEqual([acked for acked, _ in seen], [count for _, count in seen])

    def test_acksAndViews(self) -> None:
        """So it is in a patch that members with a view get because another client joins."""
        self.rooms(Pool)
        ada = self.seer()
        ada.player.send("deal", 1, 1)
        self.advance(0.2)
        seen: list[tuple[int, int]] = []
        ada.onChange = lambda acked: seen.append((acked, len(ada.root.scores)))
        for n in range(2, 8):
            ada.player.send("score", n, n)
            self.seer()
        self.assertEqual(ada.state.scores, list(range(2, 8)))
        self.assertEqual([acked for acked, _ in seen], [1 + count for _, count in seen])

    def test_leaving(self) -> None:
        """A client that has left or is away gets nothing; the others see that it is gone."""
        self.rooms(Pool)
        ada, bob = self.seer(), self.seer()
        bob.player.write("leave", 99, bob.player.room)
        self.advance(0.2)
        self.assertEqual(list(ada.state.balls), [ada.player.joined["member"]])
        ada.player.client.drop()
        self.settle()
        self.advance(1)
        self.assertEqual(list(self.room().state.balls), [ada.player.joined["member"]])


class CrowdTests(RoomTestCase):
    """Many clients that join at once."""

    def test_patches(self) -> None:
        """What changes when others join comes with the next patch, and not with one for each of them."""
        self.rooms(Pool)
        seers = [Seer(self.player()) for _ in range(10)]
        for number, seer in enumerate(seers):
            seer.join()
            self.assertEqual(len(seer.state.balls), number + 1)
        self.room().state.title = "full"
        self.advance(0.1)
        for seer in seers:
            self.assertEqual((seer.state.title, len(seer.state.balls)), ("full", 10))
            self.assertEqual(seer.kinds, ["joined", "state", "patch"])
        self.assertEqual(len({seer.version for seer in seers}), 1)
