"""
Upgrades that come by way of twisted.web: under a `Site` of someone else, in Klein, beside WSGI.
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

    Requests for a WebSocket are upgraded, others get the page at their path, or 426 where there are only
    sockets, or 404. Paths are those of the whole request, wherever the resource is mounted.
    """

    isLeaf = True

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self._gateway = gateway

    def render(self, request: Request) -> Any:
        body = self._render(request)
        if request.method != b"HEAD" or not isinstance(body, bytes) or not body:
            return body
        # twisted.web would do the same, but log each time that it has eaten a body.
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
    """Write a refusal as the answer of a request of twisted.web; its body."""
    request.setResponseCode(error.status, HTTPStatus(error.status).phrase.encode())
    request.channel.persistent = False
    for name, value in fieldsOf(error):
        request.setHeader(name, value)
    body = bodyOf(error)
    request.setHeader("Content-Length", str(len(body)))
    return body


def headersOf(request: Request) -> Headers:
    """The headers of a request."""
    return Headers(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, values in request.requestHeaders.getAllRawHeaders()
        for value in values
    )


def handshakeOf(request: Request, options: ServerOptions) -> Handshake:
    """The handshake of a request that came by way of twisted.web."""
    method, target = request.method.decode("latin-1"), request.uri.decode("latin-1")
    return makeHandshake(method, target, headersOf(request), request.channel.transport, options)


def upgrade(
    gateway: Gateway,
    request: Request,
    application: Application | None = None,
    outcome: Deferred[Connection] | None = None,
) -> Any:
    """
    Take the connection of a request of twisted.web, and upgrade it.

    Args:
        gateway: What the requests to the server share.
        request: The request.
        application: Who serves the connection; `None`: whoever is registered for its host and path.
        outcome: Fires with the Connection, or fails with the `UpgradeError`.

    Returns:
        What the `render` of a resource returns: the body of an answer, or `NOT_DONE_YET`.
    """
    error = _unfit(request)
    if error is not None:
        gateway.server.refused(error, None)
        if outcome is not None:
            outcome.errback(error)
        return answer(request, error) if error.status else NOT_DONE_YET
    transport = request.channel.transport
    handshake = handshakeOf(request, gateway.options)
    early = _release(request.channel, transport)
    upgrading = Upgrade(gateway, handshake, gateway.seconds(), early, application, isForeign=True)
    upgrading.outcome = outcome
    upgrading.begin(transport)
    return NOT_DONE_YET


def upgradeRequest(
    gateway: Gateway, request: Request, application: Application | None
) -> Deferred[Connection]:
    """As `upgrade`, for a `render` that returns `NOT_DONE_YET` whatever comes of it."""
    if isinstance(application, ProtocolApplication):
        raise TypeError(f"{application!r}: its protocols speak for themselves, and there is no Connection")
    outcome: Deferred[Connection] = Deferred()
    body = upgrade(gateway, request, application, outcome)
    gateway.clock.callLater(0, _handleRefusal, outcome)
    if isinstance(body, bytes):
        request.write(body)
        request.finish()
    return outcome


def _handleRefusal(outcome: Deferred[Any]) -> None:
    """A refusal that nobody asked about is no error: the client has its answer."""
    if isinstance(getattr(outcome, "result", None), Failure):
        outcome.addErrback(lambda _: None)


def handshakeIfUpgrade(request: Request) -> Handshake | None:
    """What a request asks for, as far as its application is found by it; `None` if it is no WebSocket."""
    headers = headersOf(request)
    if not isUpgrade(headers):
        return None
    return Handshake(target=request.uri.decode("latin-1"), headers=headers, secure=bool(request.isSecure()))


def _unfit(request: Request) -> UpgradeError | None:
    """Why a request can't become a WebSocket; HTTP/2, for one, has no connection of its own to give."""
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
    """Make the channel let go of its transport; the bytes it had read ahead."""
    channel.setTimeout(None)
    transport.unregisterProducer()
    early = takeReadAhead(channel)
    if early:
        transport.resumeProducing()
    # While the request is being rendered the rest of its segment still lies in the channel, which
    # gives it out when the rendering is over, whoever owns the transport then.
    isWrapped = isinstance(transport, ProtocolWrapper)

    def rawDataReceived(data: bytes) -> None:
        owner = transport.wrappedProtocol if isWrapped else transport.protocol
        owner.dataReceived(data)

    channel.__dict__["rawDataReceived"] = rawDataReceived
    return early
