"""Groups of links."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis.groups import IDLE_BEATS, MAX_GROUPS, SentGroups


def linksOf(number: int) -> tuple[str, ...]:
    """New links, another object each time."""
    return tuple(f"{number}.{index}" for index in range(10))


class SentGroupsTests(SynchronousTestCase):
    """`SentGroups`."""

    def setUp(self) -> None:
        self.groups = SentGroups()

    def test_identity(self) -> None:
        """The same object has the same number; an equal one is another group."""
        links = linksOf(1)
        self.assertIsNone(self.groups.known(links))
        number = self.groups.add(links)
        self.assertEqual(self.groups.known(links), number)
        self.assertIsNone(self.groups.known(linksOf(1)))
        self.assertEqual(self.groups.linksOf(number), links)
        self.assertEqual(self.groups.linksOf(number + 1), ())

    def test_limit(self) -> None:
        """The number of groups is limited, and so are their numbers."""
        numbers = [self.groups.add(linksOf(number)) for number in range(2 * MAX_GROUPS)]
        self.assertEqual(set(numbers), set(range(MAX_GROUPS)))
        self.assertEqual(len(self.groups), MAX_GROUPS)

    def test_oldest(self) -> None:
        """The group that wasn't used for the longest time is replaced."""
        old = linksOf(0)
        number = self.groups.add(old)
        self.groups.beat()
        for index in range(1, MAX_GROUPS):
            self.groups.add(linksOf(index))
        self.assertEqual(self.groups.add(linksOf(MAX_GROUPS)), number)
        self.assertIsNone(self.groups.known(old))

    def test_idle(self) -> None:
        """A group that isn't used is forgotten after some beats, and its number is used again."""
        used, unused = linksOf(0), linksOf(1)
        self.groups.add(used)
        number = self.groups.add(unused)
        forgotten = []
        for _ in range(IDLE_BEATS + 1):
            self.groups.known(used)
            forgotten += self.groups.beat()
        self.assertEqual(forgotten, [number])
        self.assertIsNone(self.groups.known(unused))
        self.assertEqual(self.groups.add(linksOf(2)), number)
