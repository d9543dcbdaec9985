"""The frames that a client keeps until the server has handled them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.client.sendqueue import Pending, SendQueue


class SendQueueTests(SynchronousTestCase):
    """Which frames are kept, and how long."""

    def make(self, count: int, window: int = 64) -> tuple[SendQueue, list[Pending]]:
        queue, parcels = SendQueue(window), [Pending("t", b"1") for _ in range(count)]
        for parcel in parcels:
            queue.add(parcel)
        return queue, parcels

    def test_windowOfCalls(self) -> None:
        """The window begins at the oldest frame that is held, acknowledged or not."""
        queue, parcels = self.make(4, window=2)
        parcels[0].isAwaited = True
        self.assertEqual([queue.next(), queue.next(), queue.next()], [*parcels[:2], None])
        queue.acknowledge(2)
        self.assertEqual(queue.held, [parcels[0]])
        self.assertIsNone(queue.next())
        queue.answered(parcels[0])
        self.assertEqual([queue.next(), queue.next(), queue.next()], [*parcels[2:], None])

    def test_counts(self) -> None:
        """Counts that cannot be of this client are noticed."""
        queue, parcels = self.make(3)
        queue.next(), queue.next()
        self.assertFalse(queue.acknowledge(3))
        self.assertTrue(queue.acknowledge(1))
        self.assertEqual((queue.resume(0, 0), queue.resume(3, 3)), (None, None))
        self.assertEqual(queue.resume(1, 1), [parcels[1]])
        self.assertEqual(queue.restart(0, 0), [parcels[1]])
        self.assertIs(queue.next(), parcels[2])
        self.assertEqual(parcels[2].n, 1)
        self.assertEqual((queue.clear(), queue.waiting), ([parcels[2]], 0))

    def test_base(self) -> None:
        """If the server has forgotten frames of an earlier client, the membership cannot be resumed."""
        queue, parcels = self.make(1)
        self.assertEqual(queue.restart(3, 5), [])
        self.assertIs(queue.next(), parcels[0])
        self.assertEqual(parcels[0].n, 6)
        self.assertTrue(queue.acknowledge(4))
        self.assertEqual(queue.resume(4, 5), parcels)
        self.assertIsNone(queue.resume(4, 4))
