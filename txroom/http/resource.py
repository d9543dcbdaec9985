"""
Upgrades that come by way of twisted.web: under a `Site` of someone else, in Klein, beside WSGI.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.protocols.policies import ProtocolWrapper
from twisted.web.http import NOT_FOUND, HTTPChannel
from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import NOT_DONE_YET, Request

from ..core.application import Application
from ..core.connection import Connection
from ..core.handshake import UpgradeError
from ..core.headers import Headers
from .factory import WireFactory
from .forwarded import describe
from .pages import findPath, missing
from .request import isUpgrade
from .response import bodyOf, fieldsOf
from .upgrade import Upgrade


class ServerResource(Resource):
    """
    The sockets and pages of a server, as a resource for any twisted.web tree.

    Requests for a WebSocket are upgraded, others get the page at their path, or 426 where there are only
    sockets, or 404. Paths are those of the whole request, wherever the resource is mounted.
    """

    isLeaf = True

    def __init__(self, factory: WireFactory) -> None:
        super().__init__()
        self._factory = factory

    def render(self, request: Request) -> Any:
        body = self._render(request)
        if request.method != b"HEAD" or not isinstance(body, bytes) or not body:
            return body
        # twisted.web would do the same, but log each time that it has eaten a body.
        request.setHeader("Content-Length", str(len(body)))
        return b""

    def _render(self, request: Request) -> Any:
        if isUpgrade(headersOf(request)):
            return upgrade(self._factory, request)
        if request.site is self._factory.site:
            request.responseHeaders.removeHeader(b"Server")
        found = findPage(self._factory.pages, request.path.decode("latin-1"))
        if found is not None:
            return _child(found[0], request, found[1]).render(request)
        transport, options = request.channel.transport, self._factory.options
        method, target = request.method.decode("latin-1"), request.uri.decode("latin-1")
        handshake = describe(method, target, headersOf(request), transport, options)
        return answer(request, missing(self._factory, handshake))


def findPage(pages: Mapping[str, IResource], path: str) -> tuple[IResource, list[str]] | None:
    """
    The page at `path`, or the nearest above it that is no leaf, with the segments left to go.

    `None` if there is none.
    """
    found = findPath(pages, path)
    if found is None:
        return None
    rest = path[len(found) :].removeprefix("/") if found != "/" else path[1:]
    return pages[found], [] if found == path else rest.split("/")


def _child(page: IResource, request: Request, rest: list[str]) -> IResource:
    """What lies below `page`, as twisted.web looks for it."""
    if not rest and (request.path != b"/" or page.isLeaf):
        return page
    # "/" is what lies below the root under no name at all; a page without children is it itself.
    segments = request.path.split(b"/")[1:]
    below = len(rest) or 1
    request.prepath = [unquote_to_bytes(segment) for segment in segments[:-below]]
    request.postpath = [unquote_to_bytes(segment) for segment in segments[-below:]]
    child: IResource = getChildForRequest(page, request)
    return page if not rest and getattr(child, "code", 200) == NOT_FOUND else child


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


def upgrade(
    factory: WireFactory,
    request: Request,
    application: Application | None = None,
    outcome: Deferred[Connection] | None = None,
) -> Any:
    """
    Take the connection of a request of twisted.web, and upgrade it; what its `render` returns.

    `outcome` is told the Connection, or the `UpgradeError`.
    """
    error = _unfit(request)
    if error is not None:
        factory.owner.refused(error, None)
        if outcome is not None:
            outcome.errback(error)
        return answer(request, error) if error.status else NOT_DONE_YET
    channel = request.channel
    transport = channel.transport
    handshake = describe(
        request.method.decode("latin-1"),
        request.uri.decode("latin-1"),
        headersOf(request),
        transport,
        factory.options,
    )
    early = _release(channel, transport)
    upgrading = Upgrade(factory, handshake, factory.clock.seconds(), early, application, isForeign=True)
    upgrading.outcome = outcome
    upgrading.begin(transport)
    return NOT_DONE_YET


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
    early = b"".join(channel._dataBuffer)
    channel._dataBuffer = []
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
