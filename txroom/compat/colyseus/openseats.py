"""
The seats that clients have been told of, and have not taken yet.
"""

from __future__ import annotations

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError

#: The most seats that clients of one address may have been told of, and not have taken.
MAX_OPEN = 256
#: The seconds for which a seat counts that is not taken, or that is taken at another node: the default of
#: `Room.seatSeconds`.
OPEN_SECONDS = 15.0


class OpenSeats:
    """
    Counts the open seats of each client address at one node.

    A seat is a place in a room, which nobody else gets, and costs no connection; so it has this limit in
    place of the one of connections.
    """

    __slots__ = ("_counts", "_seats")

    def __init__(self) -> None:
        #: By address, of the seats that clients ask for and that they were told of.
        self._counts: dict[str, int] = {}
        #: The address of each seat, and until when it counts; the oldest first.
        self._seats: dict[str, tuple[str, float]] = {}

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
            wait = {"retryAfter": OPEN_SECONDS}
            raise RoomError(ErrorCode.RATE_LIMITED, "too many seats are reserved for your address", wait)
        self._counts[address] = count + 1

    def told(self, address: str, seat: str, now: float) -> None:
        """Note the seat of a client that has asked for one."""
        self._seats[seat] = (address, now + OPEN_SECONDS)

    def refused(self, address: str) -> None:
        """Count one seat less: a client gets none."""
        count = self._counts.pop(address) - 1
        if count:
            self._counts[address] = count

    def taken(self, seat: str) -> None:
        """Count a seat no more, for which a client has connected. Seats of other nodes are not known."""
        found = self._seats.pop(seat, None)
        if found is not None:
            self.refused(found[0])

    def _expire(self, now: float) -> None:
        while self._seats:
            seat, (_, until) = next(iter(self._seats.items()))
            if until > now:
                return
            self.taken(seat)
