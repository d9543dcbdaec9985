"""
Vacancy: the end of a room that has been empty for a while.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall

from .context import Lifecycle, RoomContext


class Vacancy:
    """Ends one room when it has been empty for long enough."""

    __slots__ = ("_call", "_context", "_lifecycle")

    def __init__(self, context: RoomContext, lifecycle: Lifecycle) -> None:
        self._context = context
        self._lifecycle = lifecycle
        #: The delayed call that ends the room.
        self._call: IDelayedCall | None = None

    def check(self) -> None:
        """If the room is empty, end it in `linger` seconds, unless a client comes."""
        if self._call is None and self._context.roster.isEmpty:
            self.wait(self._context.room.linger)

    def wait(self, seconds: float) -> None:
        """End the room in so many seconds, unless a client comes."""
        self.stop()
        if self._context.room.autoDispose:
            self._call = self._context.clock.callLater(seconds, self._due)

    def stop(self) -> None:
        """Let the room stay."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _due(self) -> None:
        self._call = None
        context = self._context
        if context.life.isOpen and context.room.autoDispose and context.roster.isEmpty:
            self._lifecycle.dispose(text="empty")
