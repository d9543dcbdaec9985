"""
Where the admin listener may listen.

It says no to every endpoint at which somebody could come in who should not, so that a mistake in a
configuration is an error at the start.
"""

from __future__ import annotations

from typing import Any

from ..core.twistedinternet import argumentsOf
from ..service.endpoints import LayeredEndpoint, endpointFrom, isOnLoopback

#: The mode of a UNIX socket: only its owner, and the superuser, can connect.
MODE = 0o600

_TLS = frozenset({"ssl", "tls"})
_TCP = frozenset({"tcp", "tcp6"})
_KINDS = "unix, tcp, tcp6, ssl or tls"


class Door:
    """
    An endpoint that the admin listener may use.

    Args:
        where: A description, as for `Server.listen`, of kind unix, tcp, tcp6, ssl or tls; or a port number,
            which means that port on 127.0.0.1.
        hasSecret: Whether clients need a secret.
        secretName: Where the secret is given, for the text of an error.

    Raises:
        TypeError: `where` is neither.
        ValueError: It must not listen there. The text says why, and what would be right.
    """

    def __init__(self, where: int | str, hasSecret: bool, secretName: str = "token") -> None:
        if isinstance(where, bool) or not isinstance(where, int | str):
            raise TypeError(
                f"{where!r}: must be a description of an endpoint, such as 'unix:/run/admin.sock'"
            )
        #: The description, complete.
        self.where = where if isinstance(where, str) else f"tcp:{where}:interface=127.0.0.1"
        given, named = argumentsOf(self.where)
        kind = given[0]
        #: Whether it is a UNIX socket, to which no page of a browser can connect.
        self.isUnix = kind == "unix"
        if self.isUnix:
            self._makePrivate(given, named)
            return
        if kind not in _TCP | _TLS:
            raise ValueError(f"{where}: the admin listener can only be of the kinds {_KINDS}")
        if not hasSecret:
            raise ValueError(
                f"{where}: a TCP port needs a secret ({secretName}), on a loopback address too; "
                "only a unix: socket goes without"
            )
        if kind in _TCP and not isOnLoopback(self.where):
            raise ValueError(
                f"{where}: needs TLS (ssl: or tls:), or a loopback address such as interface=127.0.0.1"
            )

    def _makePrivate(self, given: list[str], named: dict[str, str]) -> None:
        mode = named.get("mode", given[2] if len(given) > 2 else None)
        if mode is None:
            self.where += f":mode={MODE:o}"
        elif mode.lstrip("0o") != f"{MODE:o}":
            raise ValueError(f"{self.where}: the mode of the socket must be {MODE:o}")
        if (given[1] if len(given) > 1 else named.get("address", "")).startswith("\0"):
            raise ValueError(f"{self.where!r}: must be a socket in the file system, which has a mode")

    def endpoint(self, reactor: Any) -> LayeredEndpoint:
        """Return the endpoint. Raises `ValueError` for a wrong description."""
        return endpointFrom(reactor, self.where)
