"""
Plain data that crosses from edges to the owners of rooms: users and options.

Owners may run in another process. So that rooms see the same data wherever they run, it is converted in a
single process too: tuples become lists, and instances of dataclasses and msgspec's Structs become mappings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.codes import ErrorCode
from ..core.handshake import Handshake
from ..protocol import payload
from ..protocol.errors import RoomError
from ..protocol.limits import MAX_FIELDS, MAX_OPTIONS


def plainUser(user: Any) -> Any:
    """
    Return a user as plain data; bytes are allowed.

    Raises:
        TypeError: A part of the user is not plain data; the error names it.
        ValueError: The user is nested too deep, or has a string with lone surrogates.
        OverflowError: The user has an integer of more than 64 bits.
    """
    if user is None or (type(user) is str and user.isascii()):
        return user
    return payload.plain(user, mayHaveBytes=True, name="user")


def idOfUser(user: Any) -> str | None:
    """
    Return the id of a user, unless a hook says another one: the user itself if that is a string or a whole
    number, or its "id" if it is a mapping; else `None`.
    """
    if isinstance(user, Mapping):
        user = user.get("id")
    return str(user) if isinstance(user, str | int) and not isinstance(user, bool) else None


def plainOptions(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of options as plain data; bytes are allowed. Raises as `plainUser`."""
    if not options:
        return {}
    copy: dict[str, Any] = payload.plain(dict(options), mayHaveBytes=True, name="options")
    return copy


def queryOptions(handshake: Handshake) -> dict[str, Any]:
    """
    Return the query string of a request as options.

    Raises:
        RoomError: The query string is too long, or has too many fields (`badRequest`).
    """
    query = handshake.target.partition("?")[2]
    if len(query) > MAX_OPTIONS or query.count("&") >= MAX_FIELDS:
        most = f"at most {MAX_FIELDS} options, and {MAX_OPTIONS} bytes of them"
        raise RoomError(ErrorCode.BAD_REQUEST, most, {"field": "options"})
    return dict(handshake.query)
