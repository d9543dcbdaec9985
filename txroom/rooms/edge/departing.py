"""
Departing: how a session ends whose client goes on at another process, because this one is replaced.

::

    JOINING --no join is waited for, or JOINING_SECONDS are over--> AWAY
    AWAY --the client has resumed in all its rooms, or AWAY_SECONDS are over--> OVER
    AWAY --the client closed the connection with 1000--> OVER

In JOINING nothing has changed for the client. On the way to AWAY it gets `Bye`, and the connection is closed.
The rooms keep their links to the session until the client resumes. They end them then, so that this process
knows that the client is back. In the other case they end as if the connection was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...core.codes import ErrorCode
from ..contract.items import Bye, Error, Item
from .attachment import Attachment

#: For how many seconds at most a client that is joining keeps its connection, and those between two looks.
JOINING_SECONDS, LOOK = 10.0, 0.1
#: For how many seconds a client is expected to resume.
AWAY_SECONDS = 2.0


def goodbye(attachments: Iterable[Attachment], code: int, retryAfter: float) -> Iterator[Item]:
    """
    Yield what a client gets before its connection is closed: an answer to each request to join or to resume
    that has none, and then `Bye`. So the client knows that the requests without an answer were not read.
    """
    text, details = "the server closes the connection", {"mayHaveHappened": True}
    for attachment in attachments:
        if not attachment.isJoined and attachment.error is None:
            for each in (attachment, *attachment.others):
                if each.ref is not None:
                    yield Error(each.ref, None, ErrorCode.UNAVAILABLE, text, details)
    yield Bye(code, retryAfter)


class Departure:
    """
    The departure of one session; see the module. It takes the place of the session in its attachments.

    Args:
        clock: The clock.
        forget: Forgets an attachment by its id; nothing of its room arrives from then on.
    """

    #: See `AttachedSession`.
    isGone = True

    def __init__(self, clock: IReactorTime, forget: Callable[[str], object]) -> None:
        #: Fires when the departure is over.
        self.over: Deferred[None] = Deferred()
        self._clock = clock
        self._forget = forget
        self._attachments: dict[str, Attachment] = {}
        self._timer: IDelayedCall | None = None

    def whenJoined(self, isJoining: Callable[[], bool], leave: Callable[[], Iterable[Attachment]]) -> None:
        """Call `leave`, which closes the connection and returns what is kept, when no join is waited for."""
        until = self._clock.seconds() + JOINING_SECONDS

        def look() -> None:
            if isJoining() and self._clock.seconds() < until:
                self._clock.callLater(LOOK, look)
            else:
                self._leave(leave())

        look()

    def _leave(self, attachments: Iterable[Attachment]) -> None:
        for attachment in attachments:
            attachment.session = self
            self._attachments[attachment.id] = attachment
        self._timer = self._clock.callLater(AWAY_SECONDS, self.end)
        self._check()

    def _check(self) -> None:
        if not self._attachments:
            self.end()

    def end(self, hasLeft: bool = False) -> None:
        """End what is left: the client is not waited for any more, or `hasLeft` its rooms."""
        attachments, self._attachments = self._attachments, {}
        for attachment in attachments.values():
            attachment.isEnded = True
            self._forget(attachment.id)
            link = attachment.link
            if link is not None:
                (link.leave if hasLeft else link.drop)()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if not self.over.called:
            self.over.callback(None)

    # -- as the session of its attachments

    def joined(self, attachment: Attachment, isRecovered: bool) -> None:
        """Do nothing: the client has joined before."""

    def say(self, item: Item, isVolatile: bool = False) -> None:
        """Send nothing: the client gets what it has missed when it resumes."""

    def ended(self, attachment: Attachment, code: int, reason: str) -> None:
        """The client has resumed elsewhere, or the room has ended its membership."""
        attachment.isEnded = True
        self._attachments.pop(attachment.id, None)
        self._check()

    def broken(self, attachment: Attachment) -> None:
        """Do nothing: nothing is sent."""

    def close(self, code: int, reason: str) -> None:
        """Do nothing: the connection is closed."""
