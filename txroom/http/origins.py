"""
Which hosts a request may ask for, and from which pages it may come.

A browser tells a page only that its connection failed. So the first refusal of each host and origin is
logged, with what to do about it. `upgrade` asks, and answers 403 or 421.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from ..core.handshake import Handshake, UpgradeError
from ..core.options import ServerOptions
from ..core.origin import isAllowedHost, isAllowedOrigin, isLocalHost

#: Origins, and hosts, whose first refusal is logged: enough to learn of a mistake, too few to fill a log.
NAMED_ORIGINS = 10


class OriginChecks:
    """
    The checks of the Host and Origin headers of one server.

    Args:
        isLocal: Whether the server listens, and only where programs of this machine can connect.
    """

    _log = Logger()

    def __init__(self, isLocal: Callable[[], bool]) -> None:
        self._isLocal = isLocal
        self._hosts: set[str] = set()
        self._origins: set[str] = set()

    def checkHost(self, handshake: Handshake, options: ServerOptions, isForeign: bool = False) -> None:
        """
        Check the host that a request asks for.

        Args:
            handshake: The request.
            options: Those in force, with `allowedHosts`.
            isForeign: Whether it came by way of a `Site` that isn't ours.

        Raises:
            UpgradeError: 421, for a host that isn't ours.
        """
        host = handshake.headers.get("host")
        if host is None:  # HTTP/1.0; no browser
            return
        if options.allowedHosts:
            isOurs = isAllowedHost(host, options.allowedHosts)
        elif isForeign or options.trustedProxies or not handshake.peer or not self._isLocal():
            return
        else:
            isOurs = isLocalHost(host)
        if isOurs:
            return
        if _isNew(host, self._hosts):
            self._log.warn(
                "a request for {host} is refused: that host is not in allowedHosts (--allowed-host), without "
                "which a server that listens only on loopback addresses takes localhost alone",
                host=ascii(host),
            )
        raise UpgradeError(421, "host")

    def isAllowed(self, origin: str | None, host: str, options: ServerOptions) -> bool:
        """Whether a page from `origin` may connect to `host`, without a hook that decides it otherwise."""
        if origin is None or isAllowedOrigin(origin, host, options.allowedOrigins):
            return True
        if _isNew(origin, self._origins):
            self._log.warn(
                "a page of {origin} may not connect to {host}: it is of another host or port, and not in "
                "allowedOrigins (--allowed-origin)",
                origin=ascii(origin),
                host=ascii(host),
            )
        return False


def _isNew(name: str, known: set[str]) -> bool:
    """Whether a name is to be logged: the first time, and only a few names."""
    if name in known or len(known) == NAMED_ORIGINS:
        return False
    known.add(name)
    return True
