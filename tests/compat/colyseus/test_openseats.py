"""The count of the seats that clients have been told of."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom import RoomError
from txroom.compat.colyseus import openseats
from txroom.compat.colyseus.openseats import MAX_TAKEN, OPEN_SECONDS, OpenSeats


class OpenSeatsTests(SynchronousTestCase):
    """`OpenSeats`."""

    def setUp(self) -> None:
        self.seats = OpenSeats()

    def tell(self, seat: str, now: float, seconds: float, address: str = "a") -> None:
        """A client asks for a seat and gets one."""
        self.seats.ask(address, now)
        self.seats.told(address, seat, now, seconds)

    def test_order(self) -> None:
        """Each seat counts for as long as it is reserved, whichever was told first."""
        for seat, seconds in (("long", 300.0), ("short", 2.0), ("middle", 15.0)):
            self.tell(seat, 0, seconds)
        counts = []
        for now in (1.0, 2.0, 15.0, 299.0, 300.0):
            self.seats.ask("b", now)
            self.seats.refused("b")
            counts.append(len(self.seats))
        self.assertEqual(counts, [3, 2, 1, 1, 0])

    def test_retry(self) -> None:
        """A client with too many is told when the first of its own ends."""
        self.patch(openseats, "MAX_OPEN", 2)
        self.seats.ask("b", 0)
        self.seats.ask("b", 0)
        error = self.assertRaises(RoomError, self.seats.ask, "b", 0)
        self.assertEqual(error.details, {"retryAfter": OPEN_SECONDS})
        self.tell("other", 0, 1, "c")
        self.tell("first", 0, 60)
        self.tell("second", 5, 15)
        error = self.assertRaises(RoomError, self.seats.ask, "a", 10)
        self.assertEqual(error.details, {"retryAfter": 10})
        self.seats.taken("second")
        self.seats.ask("a", 10)
        self.seats.ask("", 10)

    def test_taken(self) -> None:
        """Seats that are taken leave nothing for long, also if they were reserved for days."""
        for number in range(MAX_TAKEN * 3):
            self.tell(str(number), 0, 1e6 - number)
            if number % 100:
                self.seats.taken(str(number))
        self.seats.taken("unknown")
        self.assertEqual((len(self.seats), len(self.seats._told["a"])), (30, 30))
        self.assertLess(len(self.seats._ends), MAX_TAKEN + 100)
        self.seats.ask("a", 1e6)
        self.assertEqual((len(self.seats), self.seats._told, self.seats._seats), (1, {}, {}))
