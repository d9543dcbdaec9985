"""Tests for what Redis says of itself."""

from __future__ import annotations

from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis.settings import concerns, readInfo, runOf

NONE = "0" * 40


class RunTests(SynchronousTestCase):
    """`runOf`, with the replies of servers."""

    def test_read(self) -> None:
        """The reply to INFO is read, whatever is in it."""
        reply = b"# Server\r\nredis_version:7.0.15\r\nrun_id:0123ab\r\n\r\n# Other\r\nname:a:b\xff\r\n"
        self.assertEqual(
            readInfo(reply),
            {"redis_version": "7.0.15", "run_id": "0123ab", "name": "a:b\N{REPLACEMENT CHARACTER}"},
        )

    def test_primary(self) -> None:
        """Each start of a primary has another id; that replicas come and go changes nothing."""
        self.assertEqual(runOf({"run_id": "a", "master_replid": "x", "master_replid2": NONE}), "a")
        self.assertEqual(runOf({"run_id": "a", "master_replid": "y", "master_replid2": NONE}), "a")
        self.assertEqual(runOf({"run_id": "a"}), "a")
        self.assertRaises(KeyError, runOf, {})

    def test_promoted(self) -> None:
        """A replica that has become the primary has another id each time, also in the same process."""
        first = runOf({"run_id": "a", "master_replid": "x", "master_replid2": "y"})
        second = runOf({"run_id": "a", "master_replid": "z", "master_replid2": "w"})
        self.assertEqual((first, second), ("a:x", "a:z"))


class ConcernsTests(SynchronousTestCase):
    """`concerns`."""

    def test_fine(self) -> None:
        """Settings that are as they should be are no concern, nor are those that a server doesn't tell."""
        self.assertEqual(list(concerns({"maxmemory_policy": "noeviction", "aof_enabled": "1"}, True)), [])
        self.assertEqual(list(concerns({}, False)), [])

    def test_policy(self) -> None:
        """Redis must not delete rooms."""
        ((level, text),) = concerns({"maxmemory_policy": "allkeys-lru"}, False)
        self.assertIs(level, LogLevel.warn)
        self.assertTrue(text.startswith("maxmemory-policy=allkeys-lru: must be noeviction"), text)

    def test_persistence(self) -> None:
        """Without an append-only file rooms are lost, which breaks the promise of `durable`."""
        for isDurable, expected in ((False, LogLevel.info), (True, LogLevel.warn)):
            ((level, text),) = concerns({"aof_enabled": "0"}, isDurable)
            self.assertEqual((level, text[:14]), (expected, "appendonly=no:"))
