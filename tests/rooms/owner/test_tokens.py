"""Tokens that clients show."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.rooms.owner.tokens import digest, markOf, memberOf, newToken, resumeToken


class TokenTests(SynchronousTestCase):
    """They can't be guessed, and only their digests are kept."""

    def test_resume(self) -> None:
        """One for each time, which tells whose it is."""
        tokens = {resumeToken("ada") for _ in range(10)}
        self.assertEqual(len(tokens), 10)
        self.assertEqual({memberOf(token) for token in tokens}, {"ada"})
        self.assertTrue(all(len(token) >= len("ada.") + 22 for token in tokens), "less than 128 bits")
        self.assertEqual(len({newToken() for _ in range(10)}), 10)

    def test_mark(self) -> None:
        """A token may tell of the state, beside that."""
        token = resumeToken("ada", "a-mark")
        self.assertEqual((memberOf(token), markOf(token), markOf(resumeToken("ada"))), ("ada", "a-mark", ""))

    def test_wrong(self) -> None:
        """Whatever a client shows is of some member, or of none."""
        self.assertEqual([memberOf(token) for token in ("", ".", "ada", "ada.b.c")], ["", "", "ada", "ada"])
        self.assertEqual([markOf(token) for token in ("", "..", "ada", "ada.b.c.d")], ["", "", "", "c"])
        self.assertEqual(len({digest(token) for token in ("", "a", "\ud800", "é")}), 4)
        self.assertEqual(len(digest("\ud800")), 32)
