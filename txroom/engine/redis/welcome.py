"""
The first commands on a connection: the client authenticates and checks whether it can use the server.
"""

from __future__ import annotations

from typing import Any

from .address import RedisAddress
from .resp import Commands, RedisError

#: The oldest version of Redis.
OLDEST = (6, 2)

#: How the errors begin that trying again does not mend.
_NO_ACCESS = ("NOAUTH", "WRONGPASS", "NOPERM", "DENIED")
_TOO_OLD = ("ERR unknown command", "ERR Unknown command", "NOPROTO")
_NO_DATABASE = ("ERR DB index", "ERR invalid DB index", "ERR SELECT is not allowed")


class RedisRefused(Exception):
    """The server refuses the client, or txroom cannot use it. Trying again would not help."""


class NotReady(Exception):
    """The server cannot be used yet."""


def refusal(error: Exception) -> RedisRefused | None:
    """Return why the server refuses the client, or `None` if trying again may help."""
    if isinstance(error, RedisRefused):
        return error
    text = str(error)
    if not isinstance(error, RedisError):
        return None
    if text.startswith(_TOO_OLD):
        return RedisRefused(_tooOld(f"it says: {text}"))
    return RedisRefused(text) if text.startswith(_NO_ACCESS) else None


def _tooOld(found: str) -> str:
    return f"txroom needs Redis {OLDEST[0]}.{OLDEST[1]} or newer, or valkey; {found}"


async def welcome(redis: Commands, address: RedisAddress, name: str) -> dict[str, Any]:
    """
    Authenticate, name the connection, check the server, and select the database.

    Args:
        redis: The connection.
        address: Who the client is, and which database it uses.
        name: The name of the connection.

    Returns:
        What the server says about itself: `server`, `version`, `mode`, `role` and more.

    Raises:
        RedisRefused: The server cannot be used.
        RedisError: The server refuses the client; `refusal` tells whether trying again may help.
        NotReady: The server is a replica.
    """
    who = () if address.password is None else ("AUTH", address.user, address.password)
    hello = _texts(await redis.ask("HELLO", 3, *who, "SETNAME", name))
    _check(hello)
    await redis.ask("PING")  # the first command that a server refuses while it loads its data
    if address.database:
        try:
            await redis.ask("SELECT", address.database)
        except RedisError as error:
            if str(error).startswith(_NO_DATABASE):
                raise RedisRefused(f"database {address.database}: {error}") from None
            raise
    return hello


def _texts(hello: dict[bytes, Any]) -> dict[str, Any]:
    return {
        key.decode(): value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for key, value in hello.items()
    }


def _check(hello: dict[str, Any]) -> None:
    version = str(hello.get("version"))
    numbers = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    if len(numbers) == 2 and tuple(numbers) < OLDEST:
        raise RedisRefused(_tooOld(f"this is {version}"))
    mode = hello.get("mode", "standalone")
    if mode != "standalone":
        raise RedisRefused(f"the server runs in {mode} mode; txroom needs one that runs in standalone mode")
    if hello.get("role") in ("replica", "slave"):
        raise NotReady("the server is a replica")
