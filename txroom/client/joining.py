"""
Asking to be let into a room, with what `auth` gives.
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
from .context import Shared
from .requests import Done
from .sendable import checkMapping, checkName, checkOptions, shownError

Method = Literal["joinOrCreate", "join", "create", "joinById"]

#: The first element of the frame by which each method joins.
_KINDS: dict[Method, str] = {
    "joinOrCreate": "join",
    "join": "joinOnly",
    "create": "create",
    "joinById": "joinById",
}


@attrs.frozen
class Entrance:
    """A way in: the client's method, the name or id of the room, and the options."""

    method: Method
    target: str
    options: Mapping[str, Any]

    def mayLeadTo(self, name: str, id: str) -> bool:
        """Whether the room of that name and id can be where it leads."""
        if self.method == "joinById":
            return self.target == id
        return self.method != "create" and self.target == name


def entranceOf(method: Method, target: str, options: Mapping[str, Any] | None) -> tuple[Entrance, bytes]:
    """An entrance, and its options in JSON. Raises `RoomError` for what can't be sent."""
    checkName("id" if method == "joinById" else "name", target)
    checkMapping("options", options)
    entrance = Entrance(method, target, dict(options or {}))
    return entrance, checkOptions("options", entrance.options)


class AuthFailed(RoomError):
    """The client's own `auth` has failed, again and again; nobody was refused."""


def knock(
    shared: Shared, entrance: Entrance, done: Done, isWanted: Callable[[], bool], *, isFirst: bool = False
) -> None:
    """
    Ask to be let in, if that is still wanted when `auth` is known. Within a turn.

    `isFirst`: by the user, not on the way back to a room.
    """
    Knock(shared, entrance, done, isWanted, isFirst).begin()


class Knock:
    """
    A request to be let in, from asking for `auth` on.

    An `auth` that fails is asked again after a while, as long as `requestTimeout` lasts; a `RoomError` that
    it raises is meant, and the end.
    """

    def __init__(
        self, shared: Shared, entrance: Entrance, done: Done, isWanted: Callable[[], bool], isFirst: bool
    ) -> None:
        self._shared = shared
        self._entrance = entrance
        self._done = done
        self._isWanted = isWanted
        self._isFirst = isFirst
        self._attempts = 0
        self._until = 0.0
        self._isOver = False
        self._trouble: BaseException | None = None
        self._authenticating: Deferred[Any] | None = None
        #: Of the whole, and of the pause before `auth` is asked again.
        self._deadline: IDelayedCall | None = None
        self._pause: IDelayedCall | None = None

    def begin(self) -> None:
        """Do it."""
        shared = self._shared
        shared.requests.prepare(self)
        self._until = shared.turn.clock.seconds() + shared.options.requestTimeout
        self._deadline = shared.turn.later(shared.options.requestTimeout, self._late)
        if shared.options.auth is None or AUTH in self._entrance.options:
            self._ask(self._entrance.options)
        else:
            self._authenticate()

    def fail(self, error: RoomError) -> None:
        """Nothing can come of it."""
        if not self._isOver:
            self._end()
            self._done(error, None)

    def _end(self) -> None:
        self._isOver = True
        stop(self._deadline)
        stop(self._pause)
        self._shared.requests.prepared(self)
        self._trouble = None  # its traceback holds this
        authenticating, self._authenticating = self._authenticating, None
        if authenticating is not None:
            authenticating.cancel()

    def _late(self) -> None:
        seconds = self._shared.options.requestTimeout
        if self._trouble is None:
            self.fail(AuthFailed(ErrorCode.TIMEOUT, f"auth has given nothing within {seconds:g} s"))
        else:
            error = AuthFailed(ErrorCode.UNAUTHORIZED, f"auth failed: {shownError(self._trouble)}")
            error.__cause__ = self._trouble
            self.fail(error)

    # -- asking for `auth`

    def _authenticate(self) -> None:
        if not self._isWanted():
            self._end()
            return
        auth = self._shared.options.auth
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
        with self._shared.turn:
            if not self._isOver:
                options = self._entrance.options
                self._ask(options if auth is None else {**options, AUTH: auth})

    def _failed(self, failure: Failure) -> None:
        self._authenticating = None
        with self._shared.turn:
            if self._isOver:
                return
            if isinstance(failure.value, RoomError):
                self.fail(failure.value)
                return
            self._trouble = failure.value
            delay = self._shared.options.delay(self._attempts)
            self._attempts += 1
            self._pause = self._shared.turn.later(delay, self._authenticate)

    def _ask(self, options: Mapping[str, Any]) -> None:
        self._end()
        if not self._isWanted():
            return
        kind, target = _KINDS[self._entrance.method], self._entrance.target
        self._shared.requests.ask(
            lambda ref: (kind, ref, target, self._shared.codec.options("options", options)),
            self._done,
            Joined,
            timeout=max(0.0, self._until - self._shared.turn.clock.seconds()),
            mayRepeat=self._isFirst,
        )
