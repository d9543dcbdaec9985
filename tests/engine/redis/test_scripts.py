"""The scripts as commands: their texts are in the package, and Redis may forget them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.redis.fakeredis import FakeRedis
from txroom.engine.redis.keys import Keys
from txroom.engine.redis.resp import Lost, RedisError
from txroom.engine.redis.scripts import NAMES, Scripts, milliseconds, textOf


class MillisecondsTests(SynchronousTestCase):
    """Durations as arguments."""

    def test_rounded(self) -> None:
        """They are whole numbers that Lua can have, and only 0 seconds are 0."""
        for seconds, expected in (
            (0.0, 0), (5e-324, 1), (0.0005, 1), (0.0015, 2), (0.29, 290), (1.1, 1100), (86400.0, 86_400_000),
            (1.7e308, 1 << 53), (10**400, 1 << 53),
        ):  # fmt: skip
            self.assertEqual(milliseconds(seconds), expected)


class ScriptsTests(SynchronousTestCase):
    """`Scripts`, over a fake Redis."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeRedis(self.clock)
        self.client = self.server.connect()
        self.scripts = Scripts()
        self.client.onUp = self.scripts.load
        self.client.start()
        self.pump()
        self.addCleanup(self.client.stop)

    def pump(self) -> None:
        """Let everything that is on its way arrive."""
        self.clock.pump([0] * 20)

    def create(self, room: str, most: int = 0) -> Deferred[Any]:
        """Run a script."""
        keys = Keys()
        names = (keys.listings("/rooms", "chat"), keys.ages)
        return self.scripts.ask(self.client, "create", names, (room, "", most, 0))

    def test_loaded(self) -> None:
        """All scripts are loaded for each connection."""
        self.assertTrue(self.client.isUp)
        self.assertEqual(self.server.count("SCRIPT"), len(NAMES))
        self.server.restart()
        self.clock.pump([0.1] * 3)
        self.assertEqual(self.server.count("SCRIPT"), 2 * len(NAMES))

    def test_notLoaded(self) -> None:
        """If a script can't be loaded, the error is passed on."""
        self.server.fail("NOPERM this user has no permissions", "SCRIPT")
        loading = self.scripts.load(self.client)
        self.pump()
        self.assertIn("NOPERM", str(self.failureResultOf(loading, RedisError).value))

    def test_run(self) -> None:
        """A script is run with its keys and arguments."""
        asked = self.create("r1", 1)
        self.pump()
        self.assertEqual(self.successResultOf(asked), [1, 1])

    def test_forgotten(self) -> None:
        """If Redis has forgotten the scripts (SCRIPT FLUSH), they are loaded again, and the script is run."""
        self.server.store.execute("SCRIPT", "FLUSH")
        asked = self.create("r1")
        self.pump()
        self.assertEqual(self.successResultOf(asked), [1, 1])

    def test_error(self) -> None:
        """Other errors are passed on."""
        self.server.fail("OOM command not allowed", "create")
        asked = self.create("r1")
        self.pump()
        self.failureResultOf(asked, RedisError)

    def test_lost(self) -> None:
        """A lost connection is passed on: the script may have been run."""
        asked = self.create("r1")
        self.server.cut(executed=1)
        self.failureResultOf(asked, Lost)
        self.assertEqual(self.server.fields(Keys().listings("/rooms", "chat")), {b"r1": b""})

    def test_heads(self) -> None:
        """The head of each script names its keys and arguments, all that it uses and no others."""
        for name in NAMES:
            lines = textOf(name).splitlines()
            head = [line for line in lines if line.startswith("--")]
            body = [line for line in lines if not line.startswith("--")]
            for kind in ("KEYS", "ARGV"):
                for number in range(1, 20):
                    used = f"{kind}[{number}]" in "\n".join(body)
                    told = f"-- {kind}[{number}]" in "\n".join(head)
                    isRest = f"-- {kind}[{number}]…" in "\n".join(head)
                    self.assertTrue(used == told or isRest, f"{name}: {kind}[{number}]")
