"""Random histories of a state: a client that follows its patches has it."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.state.histories import EXAMPLES, History, model, seen
from txroom.state import NativeEncoding, NativeReader, View


class Follower:
    """A client: it gets each patch, or catches up now and then."""

    def __init__(self, encoding: NativeEncoding, view: View | None) -> None:
        self.encoding, self.view = encoding, view
        self.reader = NativeReader(encoding.schema())
        self.full()

    def full(self) -> None:
        self.reader.apply(self.encoding.full(self.view))
        self.version = self.encoding.tree.version

    def catchUp(self) -> None:
        data = self.encoding.since(self.version, self.view)
        assert data is not None, "nothing was forgotten yet"
        self.reader.apply(data)
        self.version = self.encoding.tree.version


class HistoryTests(SynchronousTestCase):
    """Clients with and without views, some of which miss patches."""

    @settings(max_examples=EXAMPLES, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 2**32), commits=st.lists(st.integers(0, 12), min_size=1, max_size=30))
    def test_histories(self, seed: int, commits: list[int]) -> None:
        """After each commit, all have what the server has."""
        random = Random(seed)
        errors: list[Exception] = []
        history = History(random, errors.append)
        encoding = NativeEncoding(history.tree, hasHashes=True)
        views = [None, *history.views]
        followers = [Follower(encoding, view) for view in views]
        laggards = [Follower(encoding, view) for view in views]
        for steps in commits:
            for _ in range(steps):
                history.step()
            changes = history.tree.commit()
            if changes is not None:
                shared = encoding.patch(changes)
                for each in followers:
                    own = b"" if each.view is None else encoding.patchOf(changes, each.view)
                    each.reader.apply(shared + own)
            current = [each for each in laggards if random.random() < 0.3]
            for each in current:
                each.catchUp()
            newcomers = [Follower(encoding, view) for view in views] if random.random() < 0.2 else []
            for each in (*followers, *current, *newcomers):
                self.assertEqual(seen(each.reader.root), model(history.game, each.view))
                self.assertEqual(each.reader.hash(), encoding.hash())
        self.assertEqual(errors, [])
