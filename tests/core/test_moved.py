"""
Tests for public names in the modules where earlier versions had them.
"""

from __future__ import annotations

import importlib
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

import txroom
from txroom.core.moved import MOVED
from txroom.process.gctuning import relaxCollector
from txroom.process.monotonic import useMonotonicClock
from txroom.service.health import HealthPage


class MovedTests(SynchronousTestCase):
    """Each name still works, with a warning."""

    def test_all(self) -> None:
        """Each name is the same object as in its new module, which the warning names."""
        for module, homes in MOVED.items():
            for name, home in homes.items():
                old = importlib.import_module(f"txroom.{module}")
                found = getattr(old, name)
                self.assertIs(found, getattr(importlib.import_module(home), name))
                (warning,) = self.flushWarnings([self.test_all])
                self.assertIs(warning["category"], DeprecationWarning)
                self.assertEqual(warning["message"], f"txroom.{module} has moved: from {home} import {name}")

    def test_garbage(self) -> None:
        from txroom.garbage import relaxCollector as found  # type: ignore[import-not-found]

        self.assertWarned(found, relaxCollector, self.test_garbage)

    def test_monotonic(self) -> None:
        from txroom.monotonic import useMonotonicClock as found  # type: ignore[import-not-found]

        self.assertWarned(found, useMonotonicClock, self.test_monotonic)

    def test_health(self) -> None:
        from txroom.health import HealthPage as found  # type: ignore[import-not-found]

        self.assertWarned(found, HealthPage, self.test_health)

    def test_codes(self) -> None:
        from txroom.codes import isSendable as found  # type: ignore[import-not-found]

        self.assertWarned(found, txroom.isSendable, self.test_codes)

    def test_handshake(self) -> None:
        from txroom.handshake import Headers as found  # type: ignore[import-not-found]

        self.assertWarned(found, txroom.Headers, self.test_handshake)

    def test_star(self) -> None:
        """`from txroom.codes import *` imports all names, with a warning for each."""
        found: dict[str, object] = {}
        exec("from txroom.codes import *", found)
        for name in MOVED["codes"]:
            self.assertIs(found[name], getattr(txroom, name))
        warnings = self.flushWarnings()
        self.assertEqual([each["category"] for each in warnings], [DeprecationWarning] * len(MOVED["codes"]))

    def test_namespace(self) -> None:
        """The function that keeps the modules is not a public name of the package."""
        self.assertNotIn("keepMovedModules", vars(txroom))

    def test_module(self) -> None:
        """The module can be imported, and other names raise AttributeError."""
        import txroom.rooms.timers as module  # type: ignore[import-not-found]

        self.assertWarned(module.Timer, txroom.Timer, self.test_module)
        error = self.assertRaises(AttributeError, getattr, module, "Clock")
        self.assertEqual(str(error), "module 'txroom.rooms.timers' has no attribute 'Clock'")
        self.assertIn("txroom.RoomClock", module.__doc__)

    def test_shown(self) -> None:
        """The warning is located at the import."""
        program = "from txroom.garbage import relaxCollector"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        text = "<string>:1: DeprecationWarning: txroom.garbage has moved: from txroom.process import"
        # From Python 3.13 on, the line of the program follows.
        self.assertEqual((done.returncode, done.stderr.splitlines()[0]), (0, f"{text} relaxCollector"))

    def assertWarned(self, found: object, expected: object, where: object) -> None:
        """Check that it is that object, and that its import caused one warning in this test."""
        self.assertIs(found, expected)
        (warning,) = self.flushWarnings([where])
        self.assertIs(warning["category"], DeprecationWarning)
