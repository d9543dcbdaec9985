"""
Requests that come through twisted.web: under a `Site` of the user's, in Klein, beside WSGI.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ..core.application import Application
from ..core.connection import Connection
from ..core.handshake import Handshake, UpgradeError
from ..core.headers import Headers
from ..core.options import ServerOptions
from .forwarded import makeHandshake
from .gateway import Gateway
from .pages import childOf, findPage
from .protocolfactories import ProtocolApplication
from .request import isUpgrade
from .response import bodyOf, fieldsOf, noPageError
from .twistedweb import takeReadAhead
from .upgrade import Upgrade


class ServerResource(Resource):
    """
    The sockets and pages of a server, as a resource for any twisted.web tree.

    A request for a WebSocket is upgraded. Any other request gets the page at its path, or 426 if only a
    WebSocket is served there, or 404. Paths are those of the whole request, wherever the resource is mounted.
    """

    isLeaf = True

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self._gateway = gateway

    def render(self, request: Request) -> Any:
        body = self._render(request)
        if request.method != b"HEAD" or not isinstance(body, bytes) or not body:
            return body
        # twisted.web would discard the body too, but log each time that it did.
        request.setHeader("Content-Length", str(len(body)))
        return b""

    def _render(self, request: Request) -> Any:
        gateway = self._gateway
        if isUpgrade(headersOf(request)):
            return upgrade(gateway, request)
        if request.site is gateway.pages.site:
            request.responseHeaders.removeHeader(b"Server")
        found = findPage(gateway.pages, request.path.decode("latin-1"))
        if found is not None:
            return childOf(found[0], request, found[1]).render(request)
        return answer(
            request, noPageError(gateway.server.applicationFor(handshakeOf(request, gateway.options)))
        )


def answer(request: Request, error: UpgradeError) -> bytes:
    """Write a refusal as the answer of a twisted.web request, and return its body."""
    request.setResponseCode(error.status, HTTPStatus(error.status).phrase.encode())
    request.channel.persistent = False
    for name, value in fieldsOf(error):
        request.setHeader(name, value)
    body = bodyOf(error)
    request.setHeader("Content-Length", str(len(body)))
    return body


def headersOf(request: Request) -> Headers:
    """Return the headers of a twisted.web request."""
    return Headers(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, values in request.requestHeaders.getAllRawHeaders()
        for value in values
    )


def handshakeOf(request: Request, options: ServerOptions) -> Handshake:
    """Return the handshake of a twisted.web request."""
    method, target = request.method.decode("latin-1"), request.uri.decode("latin-1")
    return makeHandshake(method, target, headersOf(request), request.channel.transport, options)


def upgrade(
    gateway: Gateway,
    request: Request,
    application: Application | None = None,
    outcome: Deferred[Connection] | None = None,
    handshake: Handshake | None = None,
) -> Any:
    """
    Take over the connection of a twisted.web request, and upgrade it.

    Args:
        gateway: The server's gateway.
        request: The request.
        application: The application that serves the connection; by default the one that is registered for its
            host and path.
        outcome: Fires with the `Connection`, or fails with `UpgradeError`.
        handshake: What hooks get; by default that of the request.

    Returns:
        The value for `Resource.render` to return: the body of an answer, or `NOT_DONE_YET`.
    """
    error = _unfit(request)
    if error is not None:
        gateway.server.refused(error, None)
        if outcome is not None:
            outcome.errback(error)
        return answer(request, error) if error.status else NOT_DONE_YET
    transport = request.channel.transport
    handshake = handshake or handshakeOf(request, gateway.options)
    early = _release(request.channel, transport)
    if request.content is not None:
        request.content.close()  # twisted.web does this when a request is answered, and this one never is
    upgrading = Upgrade(gateway, handshake, gateway.seconds(), early, application, isForeign=True)
    upgrading.outcome = outcome
    upgrading.begin(transport)
    return NOT_DONE_YET


def upgradeRequest(
    gateway: Gateway, request: Request, application: Application | None
) -> Deferred[Connection]:
    """
    Upgrade a request as `upgrade` does, for a `render` method that always returns `NOT_DONE_YET`.

    Raises:
        TypeError: The application is a `ProtocolApplication`, which has no `Connection`.
    """
    if isinstance(application, ProtocolApplication):
        raise TypeError(
            f"{application!r}: its protocols answer the upgrade themselves, so there is no Connection"
        )
    outcome: Deferred[Connection] = Deferred()
    body = upgrade(gateway, request, application, outcome)
    gateway.clock.callLater(0, _handleRefusal, outcome)
    if isinstance(body, bytes):
        request.write(body)
        request.finish()
    return outcome


def _handleRefusal(outcome: Deferred[Any]) -> None:
    """
    Mark a refusal as handled, because the client has been answered and the user need not look at the
    Deferred.
    """
    if isinstance(getattr(outcome, "result", None), Failure):
        outcome.addErrback(lambda _: None)


def handshakeIfUpgrade(request: Request) -> Handshake | None:
    """
    Return as much of a request's handshake as is needed to find its application; `None` if it asks for no
    WebSocket.
    """
    headers = headersOf(request)
    if not isUpgrade(headers):
        return None
    return Handshake(target=request.uri.decode("latin-1"), headers=headers, secure=bool(request.isSecure()))


def _unfit(request: Request) -> UpgradeError | None:
    """
    Return why a request cannot become a WebSocket, or `None` if it can.

    One reason is HTTP/2, in which a request does not have its connection to itself.
    """
    channel: object = request.channel
    if channel is None:
        return UpgradeError(0, "left")
    if not isinstance(channel, HTTPChannel):
        return UpgradeError(426, "http2")
    if request.clientproto != b"HTTP/1.1":
        return UpgradeError(505, "version")
    if not isUpgrade(headersOf(request)):
        return UpgradeError(426, "noUpgrade")
    return None


def _release(channel: HTTPChannel, transport: Any) -> bytes:
    """Detach the channel from its transport, and return the bytes that it had read ahead."""
    channel.setTimeout(None)
    transport.unregisterProducer()
    early = takeReadAhead(channel)
    if early:
        transport.resumeProducing()
    # During rendering, the channel still holds the rest of the segment. It passes that on afterwards, and
    # must pass it to the transport's new protocol.
    isWrapped = isinstance(transport, ProtocolWrapper)

    def rawDataReceived(data: bytes) -> None:
        owner = transport.wrappedProtocol if isWrapped else transport.protocol
        owner.dataReceived(data)

    channel.__dict__["rawDataReceived"] = rawDataReceived
    return early
