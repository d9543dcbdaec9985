"""
How a membership comes back over a new connection: it resumes, or joins anew where it was forgotten.

::

    away --begin--> resume --joined--> back
    resume --forgotten, and the client may join anew--> joinById --refused--> as it was joined at first
    resume, joinById, ... --refused for now--> away, and again a little later
    resume, joinById, ... --refused for good--> left

When the client connects again is decided in `connection`.
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

#: After so many "internal" errors in a row the client gives up: the server's mistake doesn't pass.
_MAX_INTERNAL = 5


class Recoverable(Protocol):
    """The membership that comes back."""

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
        """Which log the offset is of."""
        ...

    @property
    def offset(self) -> int:
        """The offset of the last message received."""
        ...

    @property
    def mayRejoin(self) -> bool:
        """Whether it may join anew, as another member."""
        ...

    @property
    def isAway(self) -> bool:
        """Whether it isn't in the room, and has not left either."""
        ...

    def connected(self) -> None:
        """There is a connection: come back if it is away."""

    def readmitted(self, joined: Joined, *, isResumed: bool) -> None:
        """The server has let it in."""

    def away(self, code: int, reason: str) -> None:
        """It isn't in the room for a while."""

    def end(self, code: int, reason: str) -> None:
        """It has left the room."""

    def report(self, failure: Failure) -> None:
        """Tell the users of an error."""


class Recovery:
    """
    Brings one membership back, as often as it is away; `request` is how it was joined at first.

    It is given the membership with each call: if it held it, the two would form a reference cycle.
    """

    def __init__(self, context: ClientContext, request: JoinRequest) -> None:
        self._context = context
        self._request = request
        #: Goes up when the membership comes or goes, so that answers to earlier requests are ignored.
        self._round = 0
        #: How often in a row it was refused for now, and how often of these for a mistake of the server's.
        self._attempts = 0
        self._internal = 0
        #: When it came into the room; `None`: it isn't there.
        self._since: float | None = None
        self._timer: IDelayedCall | None = None

    def entered(self) -> None:
        """The membership is in the room."""
        self._restart()
        self._internal = 0
        self._since = self._context.queue.clock.seconds()

    def interrupted(self) -> None:
        """The membership isn't in the room any more."""
        self._restart()
        if self._since is not None:
            if self._context.queue.clock.seconds() - self._since >= self._context.options.stableAfter:
                self._attempts = 0
            self._since = None

    def begin(self, membership: Recoverable) -> None:
        """Resume over the connection there is."""
        self._restart()
        round = self._round

        def done(error: RoomError | None, joined: Answer | None) -> None:
            if isinstance(joined, Joined):
                self._joined(membership, joined, round, isResumed=True)
            elif error is not None and round == self._round:
                if fallbackAfter(error.code) is ResumeFallback.REJOIN and membership.mayRejoin:
                    self._rejoin(membership)
                else:
                    self._refused(membership, error)

        self._context.requests.ask(
            lambda ref: (
                "resume", ref, membership.id, membership.token, membership.epoch, membership.offset
            ),
            done,
            Joined,
        )  # fmt: skip

    def later(self, membership: Recoverable, code: int, reason: str) -> None:
        """The membership is away because of that; begin a little later, over the connection there is."""
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
        """Join anew: the same room if it is still there, else as at first."""
        round = self._round
        first = self._request
        options = without(first.options, SEAT)  # which is for once
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
    """Whether it is worth to try again."""
    return isinstance(error, AuthFailed) or fallbackAfter(error.code) is ResumeFallback.RETRY
