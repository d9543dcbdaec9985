"""`StateTree`, views, and what of the past an encoding can tell."""

from __future__ import annotations

import gc
import weakref
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from txroom.state import List, Map, NativeEncoding, NativeReader, State, StateTree, private
from txroom.state import changes as changesModule
from txroom.state import native as nativeModule
from txroom.state import tree as treeModule
from txroom.state import views as viewsModule
from txroom.state.reader import PlainShape
from txroom.state.schema import SchemaEncoding


class Card(State):
    rank: int


class Player(State):
    name: str
    score: int
    hand: List[Card] = private()
    secret: Card | None = private()
    cards: Map[Card] = private()


class Game(State):
    players: Map[Player]
    hidden: Map[Player] = private()
    words: List[str]
    scores: Map[int]


class Link(State):
    number: int
    next: Link | None = None
    more: List[Link]
    named: Map[Link]


class Case(SynchronousTestCase):
    """A state with one player."""

    def setUp(self) -> None:
        self.errors: list[Exception] = []
        self.game = Game()
        self.ada = self.game.players["ada"] = Player(name="Ada")
        self.tree = StateTree(self.game, self.errors.append)
        self.encoding = NativeEncoding(self.tree)
        self.reader = self.newReader()

    def newReader(self) -> NativeReader:
        reader = NativeReader(self.encoding.schema())
        reader.apply(self.encoding.full(None))
        return reader

    def follow(self) -> bytes:
        changes = self.tree.commit()
        assert changes is not None
        data = self.encoding.patch(changes)
        self.reader.apply(data)
        return data


class VersionTests(Case):
    """Versions and commits."""

    def test_versions(self) -> None:
        """Each commit that finds something adds 1; others add nothing."""
        self.assertEqual((self.tree.version, self.tree.commit()), (0, None))
        self.ada.score = 5
        changes = self.tree.commit()
        assert changes is not None
        self.assertEqual((changes.since, changes.version, self.tree.version), (0, 1, 1))
        self.assertEqual((self.tree.commit(), self.tree.version), (None, 1))

    def test_nothing(self) -> None:
        """What came and went between two commits, and what is as before, is nothing."""
        self.game.players["bob"] = Player()
        self.game.scores["a"] = 1
        self.game.words.append("x")
        del self.game.players["bob"], self.game.scores["a"], self.game.words[0]
        self.assertEqual((self.tree.commit(), self.tree.version), (None, 0))

    def test_once(self) -> None:
        """An encoding encodes changes once."""
        self.ada.score = 5
        changes = self.tree.commit()
        assert changes is not None
        self.assertIs(self.encoding.patch(changes), self.encoding.patch(changes))
        self.assertIs(self.encoding.full(None), self.encoding.full(None))

    def test_uncommitted(self) -> None:
        """Clients join at a version, so what is not committed can't be there."""
        self.ada.score = 5
        self.assertRaises(RuntimeError, self.encoding.full, None)
        self.assertRaises(RuntimeError, self.encoding.since, 0, None)

    def test_roots(self) -> None:
        """A root is a State that is in no other state."""
        self.assertRaises(TypeError, StateTree, {}, self.fail)
        for taken in (self.game, self.ada):
            self.assertRaises(ValueError, StateTree, taken, self.fail)

    def test_wide(self) -> None:
        """Rooms that live long have numbers of more than 16 bits."""
        self.tree.nextId = 65530
        self.game.players["bob"] = bob = Player(name="Bob")
        self.follow()
        self.tree.nextId = 2**31
        self.game.players["eve"] = eve = Player(name="Eve")
        self.follow()
        self.tree.nextId = 2**47
        for name in ("cid", "dan"):
            self.game.players[name] = Player(name=name)
            self.follow()
            self.tree.nextId += 2**20
        for names in (("ada", "bob", "eve"), ("bob",), ("eve",), ("ada", "cid"), ("cid", "dan")):
            for name in names:
                self.game.players[name].score += 1
            self.follow()
        for reader in (self.reader, self.newReader()):
            scores = {key: player.score for key, player in reader.root.players.items()}
            self.assertEqual(scores, {"ada": 2, "bob": 2, "eve": 2, "cid": 2, "dan": 1})
        self.assertEqual((bob.score, eve.score), (2, 2))

    def test_wideView(self) -> None:
        """So have the objects whose fields only a view sees."""
        self.tree.nextId = 2**47
        self.game.players["bob"] = bob = Player(name="Bob")
        self.tree.commit()
        view = self.tree.view("m")
        view.add(bob.hand)
        bob.secret = Card(rank=5)
        view.add(bob.secret)
        self.tree.commit()
        self.reader.apply(self.encoding.full(view))
        self.assertEqual(self.reader.root.players["bob"].secret.rank, 5)


class DepthTests(SynchronousTestCase):
    """Objects in objects in objects."""

    def setUp(self) -> None:
        self.root = Link()
        self.tree = StateTree(self.root, self.fail)

    def chain(self, count: int) -> Link:
        """So many objects, each in the one before."""
        link = Link()
        for _ in range(count - 1):
            link = Link(next=link)
        return link

    def test_deepest(self) -> None:
        """What is as deep as can be is encoded, saved, loaded, and taken out."""
        self.root.next = self.chain(treeModule.MAX_DEPTH - 1)
        self.tree.commit()
        encoding = NativeEncoding(self.tree, hasHashes=True)
        reader = NativeReader(encoding.schema())
        reader.apply(encoding.full(None))
        end: Any = self.root
        while end.next is not None:
            end = end.next
        self.assertGreater(len(SchemaEncoding(self.tree).full(None)), treeModule.MAX_DEPTH)
        end.number = 5
        changes = self.tree.commit()
        assert changes is not None
        reader.apply(encoding.patch(changes))
        loaded = StateTree.load(Link, self.tree.save(), self.fail)
        self.assertEqual({**loaded.save(), "nextId": 0}, {**self.tree.save(), "nextId": 0})
        self.root.next = None
        self.assertEqual(len(self.tree.nodes), 3)

    def test_tooDeep(self) -> None:
        """What would be deeper is refused, wherever it is put, and nothing has changed."""
        self.root.next = self.chain(treeModule.MAX_DEPTH - 1)
        self.tree.commit()
        before = self.tree.save()
        end: Any = self.root
        while end.next.next is not None:
            end = end.next
        self.assertRaises(ValueError, setattr, end.next, "next", Link())
        self.assertRaises(ValueError, setattr, end, "next", self.chain(2))
        self.assertRaises(ValueError, end.more.append, Link())
        self.assertRaises(ValueError, end.named.__setitem__, "a", Link())
        for links in (self.chain(treeModule.MAX_DEPTH + 1), self.chain(2000)):
            error = self.assertRaises(ValueError, setattr, self.root, "next", links)
            self.assertIn("Link: ", str(error))
            self.assertRaises(ValueError, self.root.more.append, links)
            self.assertRaises(ValueError, setattr, self.root, "more", [links])
        self.assertEqual((self.tree.save(), self.tree.isChanged), (before, False))

    def test_root(self) -> None:
        """A state that is too deep already can't be that of a room."""
        root = self.chain(2000)
        self.assertRaises(ValueError, StateTree, root, self.fail)
        root.next = None
        self.assertEqual(len(StateTree(root, self.fail).nodes), 3)


class ViewTests(Case):
    """`View`."""

    def test_wrong(self) -> None:
        """A view takes what is private by itself, and is in the state."""
        view = self.tree.view("a")
        hidden = self.game.hidden["h"] = Player()
        for node in (
            self.game,
            self.ada,
            self.game.players,
            self.game.hidden,
            Player(),
            hidden.hand,
        ):
            self.assertRaises(ValueError, view.add, node)
            view.remove(node)
        for wrong in (None, "ada"):
            self.assertRaises(TypeError, view.add, wrong)
            view.remove(wrong)
        error = self.assertRaises(ValueError, view.add, self.game.hidden)
        self.assertIn("each of its items", str(error))
        view.add(hidden)
        view.add(hidden.hand)
        self.assertTrue(hidden in view and hidden.hand in view)
        self.assertFalse(self.ada in view or self.ada.hand in view or None in view)

    def test_twice(self) -> None:
        """To add what is seen, or to add and remove it again, is nothing."""
        view = self.tree.view("a")
        self.assertIs(self.tree.view("a"), view)
        view.add(self.ada.hand)
        view.add(self.ada.hand)
        self.assertIsNotNone(self.tree.commit())
        view.add(self.ada.hand)
        view.remove(self.ada.hand)
        view.add(self.ada.hand)
        self.assertIsNone(self.tree.commit())

    def test_dropped(self) -> None:
        """A view that is dropped holds nothing, and nothing holds it."""
        view = self.tree.view("a")
        view.add(self.ada.hand)
        self.tree.commit()
        self.ada.hand.append(Card())
        view.remove(self.ada.hand)
        self.tree.dropView("a")
        self.tree.dropView("a")
        self.assertEqual((self.ada.hand._txWatch, self.tree.views, view.seen), ({}, {}, {}))
        changes = self.tree.commit()
        assert changes is not None
        self.assertEqual((self.encoding.patch(changes), self.encoding.patchOf(changes, view)), (b"", b""))

    def test_encodedOnce(self) -> None:
        """However many views see an object, its row is made once."""
        self.game.hidden["h"] = hidden = Player(name="H")
        views = [self.tree.view(str(number)) for number in range(3)]
        for view in views:
            view.add(hidden)
        self.tree.commit()
        made: list[int] = []
        encoded = self.encoding._encoded

        def counted(*arguments: Any) -> list[bytes]:
            rows = encoded(*arguments)
            made.append(len(rows))
            return rows

        self.patch(self.encoding, "_encoded", counted)
        hidden.score = 7
        changes = self.tree.commit()
        assert changes is not None
        parts = {self.encoding.patchOf(changes, view) for view in views}
        self.assertEqual((len(parts), made, self.encoding.patch(changes)), (1, [1], b""))


class PastTests(Case):
    """`NativeEncoding.since` tells what it knows, and that is bounded."""

    def test_range(self) -> None:
        """A version that the tree never had can't be brought up to date."""
        self.ada.score = 1
        self.follow()
        self.assertEqual(self.encoding.since(1, None), b"")
        self.assertIsNone(self.encoding.since(2, None))
        self.assertIsNone(self.encoding.since(-1, None))

    def test_bounded(self) -> None:
        """The numbers of what is gone are kept for so many objects only."""
        self.patch(treeModule, "MAX_GONE", 20)
        for _ in range(10):
            self.game.players["bob"] = Player()
            self.follow()
            del self.game.players["bob"]
            self.follow()
        self.assertLessEqual(sum(len(ids) for _, ids in self.tree.gone), 20)
        self.assertEqual((self.tree.floor, self.tree.version), (8, 20))
        self.assertIsNone(self.encoding.since(7, None))
        self.assertIsNotNone(self.encoding.since(8, None))

    def test_failed(self) -> None:
        """After a commit that has failed halfway, only all of the state brings clients up to date."""
        self.game.words.append("a")
        with mock.patch.object(self.tree, "_takeDirty", side_effect=MemoryError):
            self.assertRaises(MemoryError, self.tree.commit)
        self.assertEqual((self.tree.version, self.tree.commit()), (1, None))
        self.assertIsNone(self.encoding.since(0, None))
        self.reader = self.newReader()
        self.game.words.append("b")
        self.ada.score = 3
        self.follow()
        seen = self.reader.root
        self.assertEqual((seen.words, seen.players["ada"].score), (["a", "b"], 3))

    def test_keys(self) -> None:
        """If too many keys of a map are gone, the map is sent anew."""
        self.patch(changesModule, "MAX_GONE", 3)
        self.game.scores = {f"k{number}": number for number in range(9)}  # type: ignore[assignment]
        self.follow()
        old = self.newReader()
        for number in range(8):
            del self.game.scores[f"k{number}"]
            self.follow()
        data = self.encoding.since(1, None)
        assert data is not None
        old.apply(data)
        self.assertEqual(old.root.scores, {"k8": 8})
        self.assertLessEqual(len(self.game.scores._txGone), 3)

    def test_keysOutside(self) -> None:
        """A map that is in no state keeps nothing of the keys that it had."""
        player = self.game.players["bob"] = Player()
        self.follow()
        del self.game.players["bob"]
        scores: Map[int] = Map()
        for number in range(100):
            player.cards[f"k{number}"] = Card()
            scores[f"k{number}"] = number
            del player.cards[f"k{number}"], scores[f"k{number}"]
        self.assertEqual((player.cards._txOps, scores._txOps), ({}, {}))
        scores["last"] = 5
        self.game.scores = scores
        self.follow()
        self.assertEqual(self.reader.root.scores, {"last": 5})

    def test_views(self) -> None:
        """What was hidden from a view is kept so often only."""
        self.patch(viewsModule, "MAX_HIDDEN", 4)
        view = self.tree.view("a")
        for _ in range(5):
            view.add(self.ada.hand)
            self.tree.commit()
            view.remove(self.ada.hand)
            self.tree.commit()
        self.assertEqual((len(view.hidden), view.floor), (4, 2))
        self.assertIsNone(self.encoding.since(1, view))
        self.assertIsNotNone(self.encoding.since(2, view))

    def test_hiddenGone(self) -> None:
        """What was hidden from a view, and what it was in, isn't kept in memory when it is gone."""
        view = self.tree.view("a")
        self.game.hidden["h"] = Player()
        for node in (self.game.hidden["h"], self.ada.hand):
            view.add(node)
        self.tree.commit()
        gone = [weakref.ref(node) for node in (self.game.hidden["h"], self.ada, self.ada.hand)]
        view.remove(self.ada.hand)
        self.tree.commit()
        del self.game.hidden["h"], self.game.players["ada"], self.ada, node
        self.tree.commit()
        gc.collect()
        self.assertEqual([each() for each in gone], [None, None, None])
        self.assertIsNotNone(self.encoding.since(1, view))

    def test_laterView(self) -> None:
        """A client that got its view later has nothing of it yet."""
        self.ada.score = 1
        self.tree.commit()
        view = self.tree.view("a")
        view.add(self.ada.hand)
        self.tree.commit()
        self.assertIsNone(self.encoding.since(0, view))
        self.assertIsNotNone(self.encoding.since(1, view))


class FailureTests(Case):
    """A value that can't be encoded, which no assignment lets in."""

    def test_field(self) -> None:
        """It is reported once with class and field; clients keep what they have until it is good again."""
        self.ada.score = 5
        self.follow()
        self.ada.name = "Lovelace"
        self.ada.score = 6
        self.ada._txf_score = "six"  # type: ignore[attr-defined]
        self.follow()
        seen = self.reader.root.players["ada"]
        self.assertEqual((seen.name, seen.score, len(self.errors)), ("Lovelace", 5, 1))
        self.assertIn("Player.score at Game.players['ada']", str(self.errors[0]))
        self.encoding.full(None)
        self.encoding.since(0, None)
        self.assertEqual(len(self.errors), 1)
        self.ada.name = "Countess"
        self.follow()
        self.assertEqual((seen.name, len(self.errors)), ("Countess", 1))
        self.ada.score = 7
        self.follow()
        self.assertEqual((seen.score, len(self.errors)), (7, 1))

    def test_schema(self) -> None:
        """The encoding for Colyseus's clients leaves it out, too; it is reported once for both."""
        encoding = SchemaEncoding(self.tree)
        self.ada.name, self.ada.score = "Lovelace", 6
        self.ada._txf_score = "six"  # type: ignore[attr-defined]
        changes = self.tree.commit()
        assert changes is not None
        self.assertIn(b"Lovelace", encoding.patch(changes))
        self.encoding.patch(changes)
        self.assertIn(b"Lovelace", encoding.full(None))
        self.assertEqual(len(self.errors), 1)

    def test_others(self) -> None:
        """Other objects, entries and items are sent."""
        self.game.players["bob"] = bob = Player(name="Bob")
        self.follow()
        self.ada.name, bob.name = "A", "B"
        self.ada._txf_name = None  # type: ignore[attr-defined]
        self.game.scores.update(a=1, b=2)
        self.game.scores._txData["a"] = "x"
        self.game.words.extend(["a", "b"])
        self.game.words._txData[0] = 3
        self.follow()
        root = self.reader.root
        self.assertEqual((root.players["ada"].name, root.players["bob"].name), ("Ada", "B"))
        self.assertEqual((root.scores, root.words, len(self.errors)), ({"b": 2}, ["", "b"], 3))

    def test_view(self) -> None:
        """What only views see fails in the same way."""
        hidden = self.game.hidden["h"] = Player(name="H", score=1)
        view = self.tree.view("a")
        view.add(hidden)
        self.tree.commit()
        hidden.name, hidden.score = "I", 2
        hidden._txf_score = None  # type: ignore[attr-defined]
        changes = self.tree.commit()
        assert changes is not None
        reader = self.newReader()
        reader.apply(self.encoding.full(view))
        self.assertEqual((reader.root.hidden["h"].name, reader.root.hidden["h"].score), ("I", 0))
        self.assertIn(b"I", self.encoding.patchOf(changes, view))
        self.assertEqual(len(self.errors), 1)


class ReaderTests(Case):
    """`NativeReader` and data that is no part of its state."""

    def test_cut(self) -> None:
        """Data that ends within a section, or belongs to another state, is a ValueError."""
        self.game.words.append("hello")
        self.game.players["bob"] = Player(name="Bob", score=2**40)
        data = self.follow()
        refused = 0
        for size in range(len(data)):
            reader = NativeReader(self.encoding.schema())
            try:
                reader.apply(data[:size])
            except ValueError:
                refused += 1
        self.assertGreater(refused, len(data) // 2)

    def test_hash(self) -> None:
        """In debug mode a client notices that its state differs."""
        self.encoding = NativeEncoding(self.tree, hasHashes=True)
        self.reader.root.players["ada"].score = 99
        self.game.words.append("x")
        changes = self.tree.commit()
        assert changes is not None
        error = self.assertRaises(ValueError, self.reader.apply, self.encoding.patch(changes))
        self.assertIn("hashes", str(error))

    def test_classes(self) -> None:
        """A client may make the objects of its own."""

        class Mine:
            name = ""

        class Shape(PlainShape):
            def make(self, kind: str, name: str) -> tuple[Any, Any]:
                mine = Mine()
                return (mine, mine) if kind == "object" else super().make(kind, name)

        reader = NativeReader(self.encoding.schema(), Shape())
        reader.apply(self.encoding.full(None))
        self.assertIsInstance(reader.root.players["ada"], Mine)
        self.assertEqual(reader.root.players["ada"].name, "Ada")

    def test_long(self) -> None:
        """A number that never ends is refused at once."""
        self.assertRaises(ValueError, self.reader.apply, bytes((nativeModule.REMOVED,)) + b"\xff" * 10)

    def test_unknown(self) -> None:
        """Sections of another kind are refused, so that a later version can have them."""
        self.assertRaises(ValueError, self.reader.apply, bytes((nativeModule.HASH + 1,)))
