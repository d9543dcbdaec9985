"""What command lines name, and errors in one line."""

from __future__ import annotations

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from txroom import Room, RoomApplication
from txroom.process.loading import errorWithPlace, inOneLine, loadAttribute


class LoadingTests(SynchronousTestCase):
    """The rest is tested with the command lines that use it."""

    def test_attribute(self) -> None:
        """An attribute, or an attribute of one."""
        self.assertIs(loadAttribute("--x", f"{__name__}:LoadingTests.run"), LoadingTests.run)

    def test_mistakes(self) -> None:
        """The option is named as it was given, with its value."""
        for name, expected in (
            ("os", "must be module:attribute"),
            (":path", "must be module:attribute"),
            ("nosuch:path", "there is no module 'nosuch'"),
            ("os:nosuch", "module 'os' has no 'nosuch'"),
        ):
            error = self.assertRaises(UsageError, loadAttribute, "--x", name)
            self.assertEqual(str(error), f"--x {name}: {expected}")

    def test_errors(self) -> None:
        """An error without a text has its name, one that was raised its place."""
        self.assertEqual(inOneLine(ValueError("a\n  b")), "a b")
        self.assertEqual(inOneLine(ValueError()), "ValueError")
        self.assertEqual(errorWithPlace(ValueError("a")), "ValueError: a")
        error = self.assertRaises(ZeroDivisionError, lambda: 1 / 0)
        self.assertIn(f"division by zero ({__file__}, line ", errorWithPlace(error))

    def test_ours(self) -> None:
        """What we complain of is shown where it is written, not where we complain."""

        class Chat(Room):
            maxClients = -1

        error = self.assertRaises(ValueError, lambda: RoomApplication().register("chat", Chat))
        self.assertEqual(str(error), "Chat.maxClients=-1: must be a whole number, 0 or more")
        self.assertIn(f"0 or more ({__file__}, line ", errorWithPlace(error))
