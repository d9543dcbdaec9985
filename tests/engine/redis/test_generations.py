"""The generations of rooms on other nodes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis.generations import Generations


class GenerationsTests(SynchronousTestCase):
    """`Generations`."""

    def test_older(self) -> None:
        """What comes after a message of a later owner is old."""
        generations = Generations()
        generations.began("r")
        self.assertEqual(
            [generations.isOld("r", each) for each in (1, 1, 3, 2, 3)], [False] * 3 + [True, False]
        )

    def test_forgotten(self) -> None:
        """A room is forgotten with its last link, and isn't noted without one."""
        generations = Generations()
        generations.began("r")
        generations.began("r")
        generations.isOld("r", 3)
        generations.ended("r")
        self.assertTrue(generations.isOld("r", 2))
        generations.ended("r")
        self.assertFalse(generations.isOld("r", 2))
        self.assertEqual(len(generations), 0)
        self.assertFalse(generations.isOld("r", 1))
