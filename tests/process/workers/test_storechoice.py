"""
Tests for the Redis that workers share.
"""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.process.workers.processes import ProcessReactor
from txroom.process.workers.storechoice import makeStore
from txroom.process.workers.storeerror import StoreError


class MakeStoreTests(SynchronousTestCase):
    """`makeStore`."""

    def test_made(self) -> None:
        """It makes the store of the package."""
        from txroom.process.workers.store import Store

        self.assertIsInstance(makeStore(ProcessReactor(), "/state", "no", None, -1), Store)

    def test_notInstalled(self) -> None:
        """If the client of Redis isn't installed, the error says how to install it."""
        for name in [name for name in sys.modules if name.startswith("txroom.engine.redis.")]:
            self.patchModule(name)
        for name in (
            "txroom.engine.redis",
            "txroom.process.workers.store",
            "txroom.process.workers.storeprocess",
        ):
            self.patchModule(name)
        self.addCleanup(sys.modules.__setitem__, "hiredis", sys.modules["hiredis"])
        sys.modules["hiredis"] = None  # type: ignore[assignment]
        error = self.assertRaises(StoreError, makeStore, ProcessReactor(), None, "no", None, None)
        self.assertIn("pip install 'txroom[workers]'", str(error))

    def patchModule(self, name: str) -> None:
        """Forget a module until the end of the test."""
        module = sys.modules.pop(name, None)
        if module is not None:
            self.addCleanup(sys.modules.__setitem__, name, module)
