"""
The room of a client's path, after it has moved: the client has some time to resume on the same connection.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

#: The seconds that a client has to resume.
PATIENCE = 10.0


class PathReturn:
    """
    Waits until a client has resumed the room of its path.

    Args:
        clock: The server's clock.
        room: The room's id.
        over: Called if the client has not resumed in time.
    """

    def __init__(self, clock: IReactorTime, room: str, over: Callable[[], None]) -> None:
        self.room = room
        self._timer = clock.callLater(PATIENCE, over)

    def stop(self) -> None:
        """Wait no longer: the client has resumed, or the connection has ended."""
        if self._timer.active():
            self._timer.cancel()
