"""The names of keys."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis.keys import Keys


class KeysTests(SynchronousTestCase):
    """`Keys`."""

    def test_room(self) -> None:
        """The keys of a room have its id as their hash tag."""
        keys = Keys("txr").room("r1")
        self.assertEqual(keys, (b"txr:{r1}", b"txr:{r1}:log", b"txr:{r1}:grave"))

    def test_distinct(self) -> None:
        """Names with colons and other signs don't collide."""
        keys = Keys()
        pairs = [("/a:b", "c"), ("/a", "b:c"), ("/a", "b%3Ac"), ("/a", "b c"), ("/a", "b+c"), ("/ä", "")]
        self.assertEqual(len({keys.listings(*pair) for pair in pairs}), len(pairs))
        makings = [("/a", "b", "c:d"), ("/a", "b:c", "d"), ("/a:b", "c", "d")]
        self.assertEqual(len({keys.making(*each) for each in makings}), len(makings))

    def test_prefix(self) -> None:
        """All begin with the prefix; it has no signs that mean something in patterns or hash tags."""
        keys = Keys("my.app-1")
        names = (keys.nodes, keys.ages, keys.run, keys.gone, keys.changed, keys.to("n"), *keys.room("r"))
        self.assertTrue(all(name.startswith(b"my.app-1:") for name in names))
        for wrong in ("", "a*", "a{b}", "a b", "x" * 65, "ä"):
            self.assertRaises(ValueError, Keys, wrong)
