"""
The seats that clients have been told of, and have not taken yet.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError

#: The most seats that clients of one address may have been told of, and not have taken.
MAX_OPEN = 256
#: The seconds for which a seat counts if its room doesn't tell them: the default of `Room.seatSeconds`.
OPEN_SECONDS = 15.0
#: So many ends may be kept of seats that are taken already.
MAX_TAKEN = 1000


class OpenSeats:
    """
    Counts the open seats of each client address at one node.

    A seat is a place in a room, which nobody else gets, and costs no connection; so it has this limit in
    place of the one of connections.
    """

    __slots__ = ("_counts", "_ends", "_seats", "_told")

    def __init__(self) -> None:
        #: By address, of the seats that clients ask for and that they were told of.
        self._counts: dict[str, int] = {}
        #: The address of each seat, and until when it counts.
        self._seats: dict[str, tuple[str, float]] = {}
        #: The seats that clients of each address were told of.
        self._told: dict[str, set[str]] = {}
        #: Until when each seat counts, as a heap; those that are taken too, see `MAX_TAKEN`.
        self._ends: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return sum(self._counts.values())

    def ask(self, address: str, now: float) -> None:
        """
        Count a seat that a client asks for; "" is an unknown address, which has no limit.

        Raises:
            RoomError: The address has too many (`rateLimited`).
        """
        self._expire(now)
        count = self._counts.get(address, 0)
        if address and count >= MAX_OPEN:
            ends = [self._seats[seat][1] for seat in self._told.get(address, ())]
            wait = {"retryAfter": min(ends) - now if ends else OPEN_SECONDS}
            raise RoomError(ErrorCode.RATE_LIMITED, "too many seats are reserved for your address", wait)
        self._counts[address] = count + 1

    def told(self, address: str, seat: str, now: float, seconds: float = OPEN_SECONDS) -> None:
        """
        Note the seat of a client that has asked for one, and for how many seconds it is reserved. It counts
        until then if it is not taken, or is taken at another node.
        """
        self._seats[seat] = (address, now + seconds)
        self._told.setdefault(address, set()).add(seat)
        heappush(self._ends, (now + seconds, seat))

    def refused(self, address: str) -> None:
        """Count one seat less: a client gets none."""
        count = self._counts.pop(address) - 1
        if count:
            self._counts[address] = count

    def taken(self, seat: str) -> None:
        """Count a seat no more, for which a client has connected. Seats of other nodes are not known."""
        found = self._seats.pop(seat, None)
        if found is None:
            return
        address = found[0]
        self.refused(address)
        told = self._told[address]
        told.discard(seat)
        if not told:
            del self._told[address]
        if len(self._ends) - len(self._seats) > MAX_TAKEN + len(self._seats):
            self._ends = [(until, each) for each, (_, until) in self._seats.items()]
            heapify(self._ends)

    def _expire(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            self.taken(heappop(self._ends)[1])
