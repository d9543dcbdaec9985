"""Errors while a patch is made: every client has the state of the room again afterwards."""

from __future__ import annotations

from typing import Any
from unittest import mock

from tests.rooms.case import MSGPACK, hostOf, onBothEngines
from tests.rooms.seer import Seer
from tests.rooms.test_state import Pool
from tests.rooms.test_state_recovery import SeerCase
from txroom.state import NativeEncoding, StateTree


@onBothEngines
class LostPatchTests(SeerCase):
    """A patch that is lost by an error."""

    def losing(self, owner: Any, name: str, after: int = 0) -> Any:
        """Let one call of a method fail: the first, or that `after` so many others."""
        right, calls = getattr(owner, name), []

        def failing(*args: Any) -> Any:
            calls.append(args)
            if len(calls) == after + 1:
                raise MemoryError
            return right(*args)

        return mock.patch.object(owner, name, failing)

    def afterwards(self, *seers: Seer) -> None:
        """All have the state, and go on with it by patches."""
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.advance(0.2)
        self.assertSame(*seers)
        before = [len(seer.kinds) for seer in seers]
        seers[0].player.send("score", 50)
        self.advance(0.2)
        self.assertSame(*seers)
        self.assertEqual([seer.kinds[n:] for seer, n in zip(seers, before, strict=True)], [["patch"]] * 2)

    def test_encoding(self) -> None:
        """If what has changed can't be encoded, the clients ask for it at once."""
        self.rooms(Pool)
        ada, bob = self.seer(), self.seer(protocol=MSGPACK)
        self.advance(0.2)
        with self.losing(NativeEncoding, "_part"):
            ada.player.send("score", 1)
            self.advance(0.2)
        self.assertSame(ada, bob)
        self.assertEqual(self.room().state.scores, [1])
        self.afterwards(ada, bob)

    def test_views(self) -> None:
        """With views, only those ask that did not get the patch."""
        self.rooms(Pool)
        ada, bob = self.seer(), self.seer(protocol=MSGPACK)
        ada.player.send("deal", 1)
        self.advance(0.2)
        with self.losing(NativeEncoding, "patchOf"):
            ada.player.send("deal", 2)
            bob.player.send("score", 1)
            self.advance(0.2)
        self.assertEqual([card.rank for card in ada.state.cards.values()], [1, 2])
        self.assertSame(ada, bob)
        self.afterwards(ada, bob)

    def test_held(self) -> None:
        """Commits that were kept for the next patch are lost with it, and are asked for as well."""
        self.rooms(Pool, patchRate=0.0)
        ada, bob = self.seer(), self.seer(protocol=MSGPACK)
        states: Any = hostOf(self.room())._parts.states
        self.assertTrue(states._isHolding)
        with self.losing(NativeEncoding, "_part"):
            self.room().state.title = "lost"
            self.room().patch()
            self.settle()
        self.assertFalse(states._isHolding)
        self.assertSame(ada, bob)
        self.room().state.title = "next"
        self.room().patch()
        self.settle()
        self.assertSame(ada, bob)
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)

    def test_commit(self) -> None:
        """If the commit itself fails, all clients get all of the state."""
        self.rooms(Pool)
        ada, bob = self.seer(), self.seer(protocol=MSGPACK)
        self.advance(0.2)
        with self.losing(StateTree, "_takeCollection"):
            self.room().state.title = "kept"
            ada.player.send("score", 1)
            self.advance(0.2)
        self.assertSame(ada, bob)
        self.assertEqual((ada.kinds[-1], bob.kinds[-1]), ("state", "state"))
        self.afterwards(ada, bob)

    def test_hash(self) -> None:
        """A state whose hash can't be made is sent without it."""
        self.rooms(Pool)
        self.app.tellErrors(True)
        ada = self.seer()
        with mock.patch.object(NativeEncoding, "hash", side_effect=RecursionError) as hash:
            ada.player.send("score", 1)
            self.advance(0.2)
        self.assertSame(ada)
        self.assertEqual(ada.kinds[-1], "patch")
        hash.assert_called()
