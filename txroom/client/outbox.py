"""
What a client has sent to a room, or will.
"""

from __future__ import annotations

from collections import deque

import attrs

from ..protocol.errors import RoomError


@attrs.define(eq=False)
class Parcel:
    """A `send` or `call` of a client, on its way."""

    type: str
    #: In the dialect of the client.
    data: bytes
    #: Of a call: by what its answer is known.
    ref: int | None = None
    #: Its number, once it was sent.
    n: int | None = None
    #: Whether somebody waits for the answer; it is kept as long.
    isAwaited: bool = False
    isAnswered: bool = False

    def acknowledged(self) -> None:
        """It was handled."""

    def failed(self, error: RoomError) -> None:
        """Nobody will know whether it was."""


class Outbox:
    """
    The frames of one membership: those that wait, and those that are sent, with their numbers 1, 2, ...

    A frame gets its number when it is sent, and keeps it. A send is forgotten when it is acknowledged. A
    call is forgotten when it is acknowledged and answered (or nobody waits for the answer any more), so
    that what is held after an acknowledgement has no gap.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._waiting: deque[Parcel] = deque()
        self._held: list[Parcel] = []
        self._last = 0
        self._acknowledged = 0
        #: The last number that is not ours, but of an earlier client of the same membership.
        self._base = 0

    @property
    def waiting(self) -> int:
        """How many wait to be sent."""
        return len(self._waiting)

    @property
    def held(self) -> list[Parcel]:
        """Those that were sent, and may have to be sent again."""
        return list(self._held)

    def add(self, parcel: Parcel) -> None:
        """One more waits."""
        self._waiting.append(parcel)

    def next(self) -> Parcel | None:
        """
        The next one to send, numbered; `None` if none waits or the window is full.

        The window begins at the oldest frame that is held: the server keeps the answers of as many frames,
        and one that was lost on its way must not be forgotten before it is asked for again.
        """
        done = self._acknowledged
        if self._held:
            done = min(done, _numberOf(self._held[0]) - 1)
        if not self._waiting or self._last >= done + self._window:
            return None
        parcel = self._waiting.popleft()
        self._last += 1
        parcel.n = self._last
        self._held.append(parcel)
        return parcel

    def acknowledge(self, n: int) -> bool:
        """The server has handled all up to `n`; whether so many were ever sent."""
        if n > self._last:
            return False
        self._acknowledged = max(self._acknowledged, n)
        self._forget()
        return True

    def answered(self, parcel: Parcel) -> None:
        """A call was answered."""
        parcel.isAnswered = True
        self.abandon(parcel)

    def abandon(self, parcel: Parcel) -> None:
        """Nobody waits for the answer any more; if it was not sent, it won't be."""
        parcel.isAwaited = False
        if parcel.n is None:
            self._waiting = deque(other for other in self._waiting if other is not parcel)
        else:
            self._forget()

    def resume(self, handled: int, accepted: int) -> list[Parcel] | None:
        """
        The server resumes this membership, of which it has handled `handled` frames, and has `accepted`.

        Returns the frames to send again, in order; `None` if those counts can't be ours.
        """
        if not self._acknowledged <= handled <= self._last or accepted < self._base:
            return None
        self.acknowledge(handled)
        return self.held

    def restart(self, handled: int, accepted: int) -> list[Parcel]:
        """
        Another membership begins, or one of which we don't know the beginning.

        Returns the frames that were sent and of which nothing is known.
        """
        unconfirmed = [parcel for parcel in self._held if not parcel.isAnswered]
        self._held = []
        self._acknowledged = handled
        self._last = self._base = accepted
        return unconfirmed

    def clear(self) -> list[Parcel]:
        """Everything, taken out."""
        parcels = [*self._held, *self._waiting]
        self._held = []
        self._waiting.clear()
        return parcels

    def _forget(self) -> None:
        kept: list[Parcel] = []
        done: list[Parcel] = []
        for parcel in self._held:
            isKept = _numberOf(parcel) > self._acknowledged or parcel.isAwaited
            (kept if isKept else done).append(parcel)
        self._held = kept
        for parcel in done:
            parcel.acknowledged()


def _numberOf(parcel: Parcel) -> int:
    return parcel.n or 0
