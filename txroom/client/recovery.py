"""
How a membership is recovered after the connection was lost: the client resumes it, or joins the room again.

::

    away --begin--> resume --joined--> recovered
    resume --the server no longer knows the member, and `rejoin` is set--> joinById
    joinById --refused--> joined as at first
    resume, joinById, ... --temporary error--> away, and again after a delay
    resume, joinById, ... --any other error--> left

`connection` decides when the client connects again.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ..core.codes import CloseCode, ErrorCode
from ..protocol.closecodes import ResumeFallback, fallbackAfter, leftCodeOf
from ..protocol.errors import RoomError
from ..protocol.joinoptions import SEAT, without
from ..protocol.serverframes import Joined
from .callqueue import stop
from .connection import ClientState
from .context import ClientContext
from .joinattempt import AuthFailed, JoinRequest, requestJoin
from .requests import Answer, NoAnswer
from .roomstate import RoomState

#: After this many "internal" errors in a row the client gives up, because the server probably has a bug.
_MAX_INTERNAL = 5


class Recoverable(Protocol):
    """A membership that `Recovery` recovers."""

    @property
    def id(self) -> str:
        """The id of its room."""
        ...

    @property
    def token(self) -> str:
        """The token to resume with."""
        ...

    @property
    def epoch(self) -> str:
        """The epoch of the log that the offset belongs to."""
        ...

    @property
    def offset(self) -> int:
        """The offset of the last message received."""
        ...

    @property
    def state(self) -> RoomState:
        """The state of its room."""
        ...

    @property
    def mayRejoin(self) -> bool:
        """Whether the client may join again as another member."""
        ...

    @property
    def isAway(self) -> bool:
        """Whether the client is not in the room, and has not left it either."""
        ...

    def connected(self) -> None:
        """Recover the membership if it is away, because the connection is open."""

    def readmitted(self, joined: Joined, *, isResumed: bool) -> None:
        """Enter the room again, because the server has let the client in."""

    def away(self, code: int, reason: str) -> None:
        """Interrupt the membership for a while."""

    def end(self, code: int, reason: str) -> None:
        """End the membership."""

    def report(self, failure: Failure) -> None:
        """Report an error to the user."""


class Recovery:
    """
    Recovers one membership each time it is away; `request` is how the room was joined at first.

    Each method takes the membership as an argument. If this object kept it, the two would form a reference
    cycle.
    """

    def __init__(self, context: ClientContext, request: JoinRequest) -> None:
        self._context = context
        self._request = request
        #: Counts how often the membership was joined or interrupted. An answer to a request of an earlier
        #: round is ignored.
        self._round = 0
        #: How many temporary errors there were in a row, and how many "internal" errors.
        self._attempts = 0
        self._internal = 0
        #: When the client entered the room; `None`: it is not in the room.
        self._since: float | None = None
        self._timer: IDelayedCall | None = None

    def entered(self) -> None:
        """Note that the client is in the room."""
        self._restart()
        self._internal = 0
        self._since = self._context.queue.clock.seconds()

    def interrupted(self) -> None:
        """Note that the client is not in the room any more."""
        self._restart()
        if self._since is not None:
            if self._context.queue.clock.seconds() - self._since >= self._context.options.stableAfter:
                self._attempts = 0
            self._since = None

    def begin(self, membership: Recoverable) -> None:
        """Resume over the connection that is open."""
        self._restart()
        round = self._round
        requests = self._context.requests
        attempt = requests.nextAttempt()

        def done(error: RoomError | None, joined: Answer | None) -> None:
            requests.skipAttempts(error)
            if isinstance(joined, Joined):
                self._joined(membership, joined, round, isResumed=True)
            elif error is not None and round == self._round:
                if fallbackAfter(error.code) is ResumeFallback.REJOIN and membership.mayRejoin:
                    self._rejoin(membership)
                else:
                    self._refused(membership, error)

        position = (membership.id, membership.token, membership.epoch, membership.offset)
        features = membership.state.features
        requests.ask(lambda ref: ("resume", ref, *position, attempt, features), done, Joined)

    def later(self, membership: Recoverable, code: int, reason: str) -> None:
        """
        Note that the membership is away, with that code and reason, and resume it after a delay, over the
        same connection.
        """
        membership.away(code, reason)
        if membership.isAway:
            delay = self._context.options.delay(self._attempts)
            self._attempts += 1
            self._timer = self._context.queue.later(delay, self._again, membership)

    def _again(self, membership: Recoverable) -> None:
        if self._context.connection.state is ClientState.OPEN:
            membership.connected()

    def _restart(self) -> None:
        stop(self._timer)
        self._round += 1

    def _joined(self, membership: Recoverable, joined: Joined, round: int, *, isResumed: bool) -> None:
        if round == self._round:
            membership.readmitted(joined, isResumed=isResumed)
        else:
            self._context.decline(joined)

    def _rejoin(self, membership: Recoverable) -> None:
        """Join again: the same room if it still exists, otherwise as at first."""
        round = self._round
        first = self._request
        options = without(first.options, SEAT)  # a reserved seat is used once
        ways = deque([JoinRequest("joinById", membership.id, options)])
        if first.method in ("joinOrCreate", "join"):
            ways.append(JoinRequest(first.method, first.target, options))

        def isWanted() -> bool:
            return round == self._round

        def done(error: RoomError | None, joined: Answer | None) -> None:
            if isinstance(joined, Joined):
                self._joined(membership, joined, round, isResumed=False)
            elif error is not None and isWanted():
                if ways and not _isTemporary(error):
                    requestJoin(self._context, ways.popleft(), done, isWanted)
                else:
                    self._refused(membership, error)

        requestJoin(self._context, ways.popleft(), done, isWanted)

    def _refused(self, membership: Recoverable, error: RoomError) -> None:
        self._internal = self._internal + 1 if error.code == ErrorCode.INTERNAL else 0
        if isinstance(error, NoAnswer):
            self._context.connection.drop("no answer")
        elif self._internal >= _MAX_INTERNAL:
            membership.report(Failure(error))
            membership.end(CloseCode.ROOM_CLOSED, error.message or error.code)
        elif _isTemporary(error):
            self.later(membership, CloseCode.ENGINE_UNAVAILABLE, error.message)
        else:
            membership.end(leftCodeOf(error.code), error.message)


def _isTemporary(error: RoomError) -> bool:
    """Return whether to try again after this error."""
    return isinstance(error, AuthFailed) or fallbackAfter(error.code) is ResumeFallback.RETRY
