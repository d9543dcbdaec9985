"""Tests for the argument `run` of the engine: the identity of Redis's data."""

from __future__ import annotations

from tests.engine.redis.nodes import NodesTestCase, TestNode
from txroom.engine.redis import RedisEngine


class DefaultRunTests(NodesTestCase):
    """Redis is started again with its data, which by default may lack what it has confirmed last."""

    #: The identity of the data after the start of Redis, if it is another one.
    nextRun: str | None = None

    def epochOf(self, node: TestNode, room: str) -> str:
        """The epoch of a room at its owner."""
        return node.node.journals.journals[room].epoch

    def isEpochKept(self) -> bool:
        """Whether the epoch goes on if Redis is started again and the owner is killed meanwhile."""
        first, second = self.start()
        room = first.join().id
        before = self.epochOf(first, room)
        self.redis.down()
        first.kill()
        if self.nextRun is not None:
            second.engine.dataRenewed(self.nextRun)
        self.redis.up()
        self.advance(25)
        self.assertEqual(self.whereIs(room), [second])
        return self.epochOf(second, room) == before

    def test_epoch(self) -> None:
        """The next owner begins a new epoch."""
        self.assertFalse(self.isEpochKept())

    def test_leases(self) -> None:
        """A lease that has ended while Redis was away does not cost a node its rooms, if it is soon back."""
        first, second = self.start()
        room = first.join().id
        epoch = self.epochOf(first, room)
        for _ in range(2):
            patches = [self.patch(each, "_connect", lambda: None) for each in first.connections]
            self.redis.down()
            self.advance(15)
            self.redis.up()
            self.advance(3)
            for patch, connection in zip(patches, first.connections, strict=True):
                patch.restore()
                connection._connect()
            self.advance(15)
            self.assertEqual((self.whereIs(room), self.epochOf(first, room)), ([first], epoch))
        self.assertEqual(len(second.node.here), 0)


class SameRunTests(DefaultRunTests):
    """With a `run` that stays the same, the data has all that was confirmed."""

    dataRun = "boot"

    def test_epoch(self) -> None:
        """The next owner goes on with the epoch."""
        self.assertTrue(self.isEpochKept())

    def test_renewed(self) -> None:
        """The next owner begins a new epoch if it is told that the data may lack something."""
        self.nextRun = "boot-2"
        self.assertFalse(self.isEpochKept())

    def test_wrong(self) -> None:
        """An empty identity is refused."""
        with self.assertRaises(ValueError) as caught:
            RedisEngine("redis://fake", run="")
        self.assertEqual(str(caught.exception), "run: must be a text that is not empty, or None")
