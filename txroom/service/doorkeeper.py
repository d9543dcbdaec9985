"""
The checks of plain HTTP requests of clients that ask for a seat in a room: those of an upgrade.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.server import Request

from ..core.application import Application
from ..core.awaitables import isAsync, toDeferred
from ..core.handshake import Handshake, UpgradeError, accepted
from ..core.options import ServerOptions
from ..http.admission import RETRY_AFTER
from ..http.forwarded import peerNetwork
from ..http.gateway import Gateway
from ..http.resource import handshakeOf


class Doorkeeper:
    """
    Checks requests for an application; see `compat.colyseus.matchmaking.Doorkeeper`.

    Args:
        gateway: The server's gateway.
        application: The application, with its hooks and options.
    """

    def __init__(self, gateway: Gateway, application: Application) -> None:
        self._gateway = gateway
        self._application = application

    @property
    def _options(self) -> ServerOptions:
        return self._gateway.negotiatorFor(self._application).options

    async def admit(self, request: Request) -> Handshake:
        """Check the host and the origin of a request, and that the server isn't stopping."""
        gateway, options = self._gateway, self._options
        handshake = handshakeOf(request, options)
        gateway.origins.checkHost(handshake, options, request.site is not gateway.pages.site)
        gateway.untrustedProxyWarning.check(handshake, options)
        if gateway.server.isDraining:
            raise UpgradeError(503, "draining", headers=[("Retry-After", RETRY_AFTER)])
        handshake.peerNetwork = peerNetwork(handshake, options)
        await gateway.origins.check(self._application, handshake, options, self._callHook)
        return handshake

    async def verify(self, handshake: Handshake) -> Any:
        """Return the user that `verifyClient` accepts."""
        verify = self._application.hook("verifyClient")
        return None if verify is None else accepted(await self._callHook(verify, handshake)).user

    async def _callHook(self, hook: Callable[..., Any], *args: Any) -> Any:
        """Return the result of a hook, which has `handshakeTimeout`."""
        result = hook(*args)
        if not isAsync(result):
            return result
        waiting: Deferred[Any] = toDeferred(result)
        timeout = self._options.handshakeTimeout
        if timeout:
            waiting.addTimeout(timeout, self._gateway.clock, _tooLate)
        return await waiting


def _tooLate(result: object, timeout: float) -> Any:
    """A hook has not answered in time."""
    if isinstance(result, Failure):
        raise UpgradeError(503, "timeout")
    return result
