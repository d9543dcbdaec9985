"""
Which hosts a request may ask for, and from which origins a page may connect.

A browser tells a page only that its connection failed, so the first refusal of each host and origin is
logged, with what to do about it. `upgrade` makes these checks and answers with 421 or 403.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.logger import Logger

from ..core.application import Application
from ..core.handshake import Handshake, UpgradeError
from ..core.options import ServerOptions
from ..core.origin import isAllowedHost, isAllowedOrigin, isLocalHost

#: How many different origins, and how many hosts, are logged: enough to find a mistake, too few to fill a
#: log.
NAMED_ORIGINS = 10


class OriginChecks:
    """
    The checks of the Host and Origin headers of one server.

    Args:
        isLocal: Returns whether the server listens, and only where programs on the same machine can connect.
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
            options: The options that apply, with `allowedHosts`.
            isForeign: Whether the request came through a `Site` of the user's.

        Raises:
            UpgradeError: 421, if the host is not allowed.
        """
        host = handshake.headers.get("host")
        if host is None:  # HTTP/1.0, which no browser sends
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
                "a request for the host {host} was refused: it is not in allowedHosts (--allowed-host); "
                "without that option a server that listens only on loopback addresses accepts only localhost",
                host=ascii(host),
            )
        raise UpgradeError(421, "host")

    async def check(
        self,
        application: Application,
        handshake: Handshake,
        options: ServerOptions,
        callHook: Callable[..., Awaitable[Any]],
    ) -> None:
        """
        Check the origin of a request, by the hook `acceptsOrigin` if the application has it.

        Args:
            application: The application that the client asks for.
            handshake: The request.
            options: The options that apply, with `requireOrigin` and `allowedOrigins`.
            callHook: Calls a hook with arguments and waits for its result.

        Raises:
            UpgradeError: 403, if the origin is not allowed.
        """
        origin = handshake.origin
        if origin is None and options.requireOrigin:
            raise UpgradeError(403, "origin")
        accepts = application.hook("acceptsOrigin")
        if accepts is not None:
            isAllowed = await callHook(accepts, origin)
        else:
            isAllowed = self.isAllowed(origin, handshake.host, options)
        if not isAllowed:
            raise UpgradeError(403, "origin")

    def isAllowed(self, origin: str | None, host: str, options: ServerOptions) -> bool:
        """
        Return whether a page from `origin` may connect to `host`; the default of the `acceptsOrigin` hook.
        """
        if origin is None or isAllowedOrigin(origin, host, options.allowedOrigins):
            return True
        if _isNew(origin, self._origins):
            self._log.warn(
                "a page from {origin} may not connect to {host}: its origin has another host or port, and is "
                "not in allowedOrigins (--allowed-origin)",
                origin=ascii(origin),
                host=ascii(host),
            )
        return False


def _isNew(name: str, known: set[str]) -> bool:
    """Return whether to log a name: only the first time, and only a few names."""
    if name in known or len(known) == NAMED_ORIGINS:
        return False
    known.add(name)
    return True
