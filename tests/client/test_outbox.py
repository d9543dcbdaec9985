"""What a client holds until the server has handled it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.client.outbox import Outbox, Pending


class OutboxTests(SynchronousTestCase):
    """What is held, and for how long."""

    def make(self, count: int, window: int = 64) -> tuple[Outbox, list[Pending]]:
        outbox, parcels = Outbox(window), [Pending("t", b"1") for _ in range(count)]
        for parcel in parcels:
            outbox.add(parcel)
        return outbox, parcels

    def test_windowOfCalls(self) -> None:
        """The window begins at the oldest frame that is held, acknowledged or not."""
        outbox, parcels = self.make(4, window=2)
        parcels[0].isAwaited = True
        self.assertEqual([outbox.next(), outbox.next(), outbox.next()], [*parcels[:2], None])
        outbox.acknowledge(2)
        self.assertEqual(outbox.held, [parcels[0]])
        self.assertIsNone(outbox.next())
        outbox.answered(parcels[0])
        self.assertEqual([outbox.next(), outbox.next(), outbox.next()], [*parcels[2:], None])

    def test_counts(self) -> None:
        """A count that can't be ours is noticed."""
        outbox, parcels = self.make(3)
        outbox.next(), outbox.next()
        self.assertFalse(outbox.acknowledge(3))
        self.assertTrue(outbox.acknowledge(1))
        self.assertEqual((outbox.resume(0, 0), outbox.resume(3, 3)), (None, None))
        self.assertEqual(outbox.resume(1, 1), [parcels[1]])
        self.assertEqual(outbox.restart(0, 0), [parcels[1]])
        self.assertIs(outbox.next(), parcels[2])
        self.assertEqual(parcels[2].n, 1)
        self.assertEqual((outbox.clear(), outbox.waiting), ([parcels[2]], 0))

    def test_base(self) -> None:
        """A server that has forgotten what an earlier client sent can't go on with ours."""
        outbox, parcels = self.make(1)
        self.assertEqual(outbox.restart(3, 5), [])
        self.assertIs(outbox.next(), parcels[0])
        self.assertEqual(parcels[0].n, 6)
        self.assertTrue(outbox.acknowledge(4))
        self.assertEqual(outbox.resume(4, 5), parcels)
        self.assertIsNone(outbox.resume(4, 4))
