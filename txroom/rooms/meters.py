"""
What the rooms of one application count, at both of their sides, for metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Sized
from typing import Any

from ..core.codes import ErrorCode
from ..core.meters import COUNTS, Histogram

#: The result of a join, and of a resume, that succeeded; of the latter with and without all missed messages.
OK, RECOVERED, NOT_RECOVERED = "ok", "recovered", "notRecovered"
#: The result for a code that an application has chosen itself.
OTHER = "other"
#: How a client asks to resume, as in `Attachment.asked`.
RESUME = "resume"

_CODES = frozenset(ErrorCode)


class RoomMeters:
    """
    The counters of one application's rooms in this process, since its start.

    The results of joins and resumes are `OK`, `RECOVERED`, `NOT_RECOVERED`, the codes of errors, and `OTHER`.
    """

    def __init__(self) -> None:
        self.joins: Counter[str] = Counter()
        self.resumes: Counter[str] = Counter()
        #: The clients whose connection was closed with 4102, because they read too slowly.
        self.slowConsumers = 0
        #: The volatile messages that were dropped because a client read too slowly.
        self.volatileDropped = 0
        #: The events in the lives of rooms and members, by the names that `LifecycleLog` gives them.
        self.lives: Counter[str] = Counter()
        #: The messages that were sent again to clients that resumed, and the bytes of their data.
        self.messagesRecovered = self.bytesRecovered = 0
        #: Whether handlers are timed and recipients counted, in rooms that are made from now on.
        self.isTiming = False
        #: The seconds that handlers took, by the name of the room and the type of message.
        self.handlerTimes: dict[tuple[str, str], Histogram] = {}
        #: The connected clients that each broadcast was sent to; `None`: they aren't counted.
        self.recipients: Histogram | None = None
        #: The handlers that are timed, by the name of the room.
        self.timed: dict[str, Any] = {}

    def startTiming(self) -> None:
        """Time handlers, and count recipients, from now on."""
        self.isTiming = True
        if self.recipients is None:
            self.recipients = Histogram(COUNTS)

    def countRecipients(self, audience: Sequence[tuple[object, Sized]]) -> None:
        """Count the clients of a broadcast; `audience` are their links by the edge they are on."""
        if self.recipients is not None:
            isOne = len(audience) == 1  # nearly always, and quicker
            count = len(audience[0][1]) if isOne else sum([len(links) for _, links in audience])
            self.recipients.observe(count)

    def timeOf(self, name: str, type: str) -> Histogram:
        """Return the histogram of a handler."""
        return self.handlerTimes.setdefault((name, type), Histogram())

    def joined(self, how: str, isRecovered: bool) -> None:
        """
        Count a client that has joined or resumed.

        Args:
            how: How it asked.
            isRecovered: Whether it gets all messages that it has missed.
        """
        if how == RESUME:
            self.resumes[RECOVERED if isRecovered else NOT_RECOVERED] += 1
        else:
            self.joins[OK] += 1

    def refused(self, how: str, code: str) -> None:
        """Count a client that was refused with the code of an error."""
        counted = self.resumes if how == RESUME else self.joins
        counted[str(code) if code in _CODES else OTHER] += 1
