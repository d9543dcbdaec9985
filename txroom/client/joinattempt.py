"""
Requests to join a room, with the credentials that the option `auth` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ..core.awaitables import isAsync, toDeferred
from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..protocol.joinoptions import AUTH
from ..protocol.serverframes import Joined
from .callqueue import stop
from .context import ClientContext
from .encoding import checkMapping, checkName, checkOptions, shownError
from .requests import Done
from .roomstate import FEATURES

Method = Literal["joinOrCreate", "join", "create", "joinById"]

#: The first element of the frame with which each method joins.
_KINDS: dict[Method, str] = {
    "joinOrCreate": "join",
    "join": "joinOnly",
    "create": "create",
    "joinById": "joinById",
}


@attrs.frozen
class JoinRequest:
    """What the user asked for: the method, the name or id of the room, and the options."""

    method: Method
    target: str
    options: Mapping[str, Any]

    def mayLeadTo(self, name: str, id: str) -> bool:
        """Return whether the server could answer this request with the room of that name and id."""
        if self.method == "joinById":
            return self.target == id
        return self.method != "create" and self.target == name


def joinRequestOf(
    method: Method, target: str, options: Mapping[str, Any] | None
) -> tuple[JoinRequest, bytes]:
    """Return a request, and its options in JSON. Raises `RoomError` for what the client cannot send."""
    checkName("id" if method == "joinById" else "name", target)
    checkMapping("options", options)
    request = JoinRequest(method, target, dict(options or {}))
    return request, checkOptions("options", request.options)


class AuthFailed(RoomError):
    """The option `auth` has failed repeatedly; the server has not refused anything."""


def requestJoin(
    context: ClientContext,
    request: JoinRequest,
    done: Done,
    isWanted: Callable[[], bool],
    *,
    isFirst: bool = False,
) -> None:
    """
    Get the credentials, then ask the server to join. Called within `with queue:`.

    Args:
        context: The parts of the client.
        request: What to ask for.
        done: Called once with an error, or with the server's answer.
        isWanted: Asked when the credentials are known; if it returns False, the server is not asked.
        isFirst: Whether the user asks to join, in contrast to a membership that joins again.
    """
    JoinAttempt(context, request, done, isWanted, isFirst).begin()


class JoinAttempt:
    """
    A request to join, which gets the credentials first.

    If `auth` fails, it is called again after a delay until `requestTimeout` has passed. If it raises a
    `RoomError`, the join fails with that error at once. ::

        authenticating --auth known--> asked: one of `PendingRequests`, which ends it
        authenticating --auth failed--> paused --delay over--> authenticating
        authenticating, paused --RoomError of auth, requestTimeout, fail()--> failed
    """

    def __init__(
        self,
        context: ClientContext,
        request: JoinRequest,
        done: Done,
        isWanted: Callable[[], bool],
        isFirst: bool,
    ) -> None:
        self._context = context
        self._request = request
        self._done = done
        self._isWanted = isWanted
        self._isFirst = isFirst
        self._attempts = 0
        self._until = 0.0
        self._isOver = False
        self._trouble: BaseException | None = None
        self._authenticating: Deferred[Any] | None = None
        #: The time limit of the attempt, and the timer until `auth` is called again.
        self._deadline: IDelayedCall | None = None
        self._pause: IDelayedCall | None = None

    def begin(self) -> None:
        """Get the credentials, if there is the option `auth`, then ask the server."""
        context = self._context
        context.requests.prepare(self)
        self._until = context.queue.clock.seconds() + context.options.requestTimeout
        self._deadline = context.queue.later(context.options.requestTimeout, self._late)
        if context.options.auth is None or AUTH in self._request.options:
            self._ask(self._request.options)
        else:
            self._authenticate()

    def fail(self, error: RoomError) -> None:
        """Fail the join, unless it has ended."""
        if not self._isOver:
            self._end()
            self._done(error, None)

    def _end(self) -> None:
        self._isOver = True
        stop(self._deadline)
        stop(self._pause)
        self._context.requests.prepared(self)
        self._trouble = None  # its traceback refers to this object
        authenticating, self._authenticating = self._authenticating, None
        if authenticating is not None:
            authenticating.cancel()

    def _late(self) -> None:
        seconds = self._context.options.requestTimeout
        if self._trouble is None:
            self.fail(AuthFailed(ErrorCode.TIMEOUT, f"the option auth returned nothing within {seconds:g} s"))
        else:
            error = AuthFailed(ErrorCode.UNAUTHORIZED, f"the option auth failed: {shownError(self._trouble)}")
            error.__cause__ = self._trouble
            self.fail(error)

    # -- getting the credentials

    def _authenticate(self) -> None:
        if not self._isWanted():
            self._end()
            return
        auth = self._context.options.auth
        try:
            auth = auth() if callable(auth) else auth
        except Exception:
            self._failed(Failure())
            return
        if isAsync(auth):
            self._authenticating = toDeferred(auth)
            self._authenticating.addCallbacks(self._known, self._failed)
        else:
            self._known(auth)

    def _known(self, auth: Any) -> None:
        self._authenticating = None
        with self._context.queue:
            if not self._isOver:
                options = self._request.options
                self._ask(options if auth is None else {**options, AUTH: auth})

    def _failed(self, failure: Failure) -> None:
        self._authenticating = None
        with self._context.queue:
            if self._isOver:
                return
            if isinstance(failure.value, RoomError):
                self.fail(failure.value)
                return
            self._trouble = failure.value
            delay = self._context.options.delay(self._attempts)
            self._attempts += 1
            self._pause = self._context.queue.later(delay, self._authenticate)

    def _ask(self, options: Mapping[str, Any]) -> None:
        self._end()
        if not self._isWanted():
            return
        kind, target = _KINDS[self._request.method], self._request.target
        self._context.requests.ask(
            lambda ref: (kind, ref, target, self._context.codec.options("options", options), FEATURES),
            self._done,
            Joined,
            timeout=max(0.0, self._until - self._context.queue.clock.seconds()),
            isResentIfUnhandled=self._isFirst,
        )
