"""
Tests for "module:attribute" names and one-line errors.
"""

from __future__ import annotations

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from txroom import Room, RoomApplication
from txroom.process.loading import errorWithPlace, inOneLine, loadAttribute


class LoadingTests(SynchronousTestCase):
    """The rest is tested with the command lines that use it."""

    def test_attribute(self) -> None:
        """The name may be an attribute, or an attribute of an attribute."""
        self.assertIs(loadAttribute("--x", f"{__name__}:LoadingTests.run"), LoadingTests.run)

    def test_mistakes(self) -> None:
        """The error has the option and its value."""
        for name, expected in (
            ("os", "must be module:attribute"),
            (":path", "must be module:attribute"),
            ("nosuch:path", "there is no module 'nosuch'"),
            ("os:nosuch", "module 'os' has no 'nosuch'"),
        ):
            error = self.assertRaises(UsageError, loadAttribute, "--x", name)
            self.assertEqual(str(error), f"--x {name}: {expected}")

    def test_errors(self) -> None:
        """An error without a text is shown by its type; a raised one with its place."""
        self.assertEqual(inOneLine(ValueError("a\n  b")), "a b")
        self.assertEqual(inOneLine(ValueError()), "ValueError")
        self.assertEqual(errorWithPlace(ValueError("a")), "ValueError: a")
        error = self.assertRaises(ZeroDivisionError, lambda: 1 / 0)
        self.assertIn(f"division by zero ({__file__}, line ", errorWithPlace(error))

    def test_ours(self) -> None:
        """The place of an error that txroom raises is that in the user's code."""

        class Chat(Room):
            maxClients = -1

        error = self.assertRaises(ValueError, lambda: RoomApplication().register("chat", Chat))
        self.assertEqual(str(error), "Chat.maxClients=-1: must be a whole number, 0 or more")
        self.assertIn(f"0 or more ({__file__}, line ", errorWithPlace(error))
