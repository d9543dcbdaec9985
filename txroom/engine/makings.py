"""
Makings: rooms that one process is creating, and the requests that wait for them.

A request for a room that can't be found creates one, or waits for one that is being created for another
request with the same name and key. If the room is created, each of those that have waited then tries to take
a seat in it.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from ..protocol.errors import RoomError
from ..rooms.contract.ports import Made


class Making:
    """
    A room that is being created for one request, and the other requests that wait for it.

    Args:
        seats: The number of clients that it is expected to take; 0: any number. All of them but one may wait.
    """

    def __init__(self, seats: int) -> None:
        self._seats = seats
        self._waiters: list[Deferred[Made]] = []

    @property
    def hasPlace(self) -> bool:
        """Whether one more request may wait."""
        return not self._seats or len(self._waiters) + 1 < self._seats

    def wait(self) -> Deferred[Made]:
        """Fire when the room has been created, or could not be."""
        waiter: Deferred[Made] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def finished(self, room: str | None) -> None:
        """The room has been created, or could not be (`None`)."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(Made(room, False))


class Makings:
    """All rooms of one application that this process is creating, by their names and keys."""

    def __init__(self) -> None:
        self._pending: dict[tuple[str, str], list[Making]] = {}

    def make(
        self,
        name: str,
        key: str | None,
        seats: int,
        mayCreate: Callable[[], None],
        create: Callable[[], Deferred[str]],
    ) -> Deferred[Made]:
        """
        Create a room, or wait for one; see `Engine.make`.

        Args:
            name: The name of the room.
            key: See `Engine.make`.
            seats: See `Engine.make`.
            mayCreate: Called before `create`.
            create: Creates the room.
        """
        pending = [] if key is None else self._pending.get((name, key), [])
        waitedFor = next((each for each in pending if each.hasPlace), None)
        if waitedFor is not None:
            return waitedFor.wait()
        try:
            mayCreate()
        except RoomError as error:
            return fail(error)
        making = Making(seats)
        if key is not None:
            self._pending.setdefault((name, key), []).append(making)
        outcome: Deferred[Made] = Deferred()

        def finished(result: str | Failure) -> None:
            if key is not None:
                self._remove((name, key), making)
            if isinstance(result, Failure):
                outcome.errback(result)
                making.finished(None)
            else:
                outcome.callback(Made(result, True))  # the first seat is for this client
                making.finished(result)

        create().addBoth(finished)
        return outcome

    def _remove(self, place: tuple[str, str], making: Making) -> None:
        makings = self._pending[place]
        makings.remove(making)
        if not makings:
            del self._pending[place]
