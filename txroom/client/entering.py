"""
Asking to be let into a room, with what `auth` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
from twisted.python.failure import Failure

from ..codes import ErrorCode
from ..connection import isAsync, toDeferred
from ..rooms.credentials import AUTH
from ..rooms.errors import RoomError
from .frames import Joined
from .requests import Done
from .shared import Shared

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


def knock(shared: Shared, entrance: Entrance, done: Done, isWanted: Callable[[], bool]) -> None:
    """Ask to be let in, if that is still wanted when `auth` is known. Within a turn."""
    kind, target, options = _KINDS[entrance.method], entrance.target, entrance.options

    def known(auth: Any) -> None:
        with shared.turn:
            if isWanted():
                full = dict(options) if auth is None or AUTH in options else {**options, AUTH: auth}
                shared.requests.ask(lambda ref: (kind, ref, target, full), done, Joined)

    def failed(failure: Failure) -> None:
        with shared.turn:
            error = RoomError(ErrorCode.UNAUTHORIZED, "auth failed")
            error.__cause__ = failure.value
            done(error, None)

    auth = shared.options.auth
    try:
        auth = auth() if callable(auth) else auth
    except Exception:
        failed(Failure())
    else:
        if isAsync(auth):
            toDeferred(auth).addCallbacks(known, failed)
        else:
            known(auth)
