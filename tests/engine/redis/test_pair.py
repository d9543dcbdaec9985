"""The numbers of a pair; the table in the module is tested row by row."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis.packets import Drop, Packet
from txroom.engine.redis.pair import Pair, Verdict

THEIRS, OTHER = 501, 502


class PairTests(SynchronousTestCase):
    """`Pair.judge`."""

    def setUp(self) -> None:
        self.pair = Pair()

    def judge(self, seq: int, pair: int = THEIRS, to: int = 0, isBeat: bool = False) -> Verdict:
        messages = () if isBeat else (Drop("l", False),)
        return self.pair.judge(Packet(1, "n", pair, to, seq, messages), {OTHER + 1})

    def opened(self) -> None:
        self.assertIs(self.judge(1), Verdict.TAKEN)

    def test_numbers(self) -> None:
        """Numbers are random, and never 0, which means unknown."""
        numbers = {Pair().number for _ in range(100)}
        self.assertEqual(len(numbers), 100)
        self.assertNotIn(0, numbers)

    def test_former(self) -> None:
        """What is meant for a former pair, or belongs to one, counts in no state."""
        for _ in range(2):
            self.assertIs(self.judge(1, to=self.pair.number + 1), Verdict.FORMER)
            self.assertIs(self.judge(1, pair=OTHER + 1), Verdict.FORMER)
            self.pair.theirs, self.pair.received = THEIRS, 1

    def test_opening(self) -> None:
        """The first packet opens the pair, whether the sender knows our number or not."""
        for to in (0, self.pair.number):
            self.pair.theirs = self.pair.received = 0
            self.assertIs(self.judge(1, to=to), Verdict.TAKEN)
            self.assertEqual((self.pair.theirs, self.pair.received), (THEIRS, 1))

    def test_openingLost(self) -> None:
        """If any other packet comes first, the first is lost."""
        self.assertIs(self.judge(2), Verdict.LOST)
        self.assertIs(self.judge(1, isBeat=True), Verdict.LOST)
        self.assertEqual(self.pair.theirs, 0)

    def test_order(self) -> None:
        """Packets count once and in order."""
        self.opened()
        verdicts = [self.judge(seq) for seq in (2, 2, 1, 3)]
        wanted = [Verdict.TAKEN, Verdict.REPEATED, Verdict.REPEATED, Verdict.TAKEN]
        self.assertEqual(verdicts, wanted)

    def test_gap(self) -> None:
        """A gap is a loss, and is not counted."""
        self.opened()
        self.assertIs(self.judge(3), Verdict.LOST)
        self.assertEqual(self.pair.received, 1)

    def test_beats(self) -> None:
        """A beat tells whether the last packet was lost."""
        self.opened()
        self.judge(2)
        self.assertIs(self.judge(2, isBeat=True), Verdict.REPEATED)
        self.assertIs(self.judge(1, isBeat=True), Verdict.REPEATED)  # it was late
        self.assertIs(self.judge(3, isBeat=True), Verdict.LOST)

    def test_anew(self) -> None:
        """The first packet of another pair: they have begun anew. Any other of it: its first one is lost."""
        self.opened()
        self.assertIs(self.judge(1, OTHER), Verdict.ANEW)
        self.assertIs(self.judge(2, OTHER), Verdict.LOST)
        self.assertIs(self.judge(1, OTHER, isBeat=True), Verdict.LOST)
