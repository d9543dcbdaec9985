"""
The playground of a server for developers: a page at "/_dev" that joins rooms and sends their messages.

It is the playground of the operators' page, without operators: the page connects to the server itself, as any
client does. Besides its files it reads which rooms there are and which messages they take.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ..core.origin import isLocalHost
from ..protocol.errors import RoomError
from .builtin.registered import RegisteredCalls
from .calls import Calls
from .guard import Caller
from .logs import encode
from .page import html, pageAssets, readPage
from .ports import AdminServer
from .problems import problemOf
from .secrets import Role

PATH = "/_dev"


class DevPage(Resource):
    """
    The page; below it are its files, and the answers of ``rooms.names`` and ``rooms.schema``.

    It is answered only at localhost and loopback addresses, since everybody who can connect gets it.

    Args:
        server: The server.
        clock: The clock.
    """

    def __init__(self, server: AdminServer, clock: IReactorTime) -> None:
        super().__init__()
        self._body = readPage("dev.html")
        calls = Calls(RegisteredCalls(server).calls(), clock)
        for call in calls:
            self.putChild(call.name.encode(), DevAnswer(calls, call.name))
        for name, asset in pageAssets().items():
            self.putChild(name.encode(), asset)

    def render_GET(self, request: Request) -> Any:
        """Answer with the page."""
        return html(request, self._body) if _isLocal(request) else _refused(request)


class DevAnswer(Resource):
    """
    The answer of a call, whose arguments are in the query.

    Args:
        calls: The calls.
        name: The name of the call.
    """

    isLeaf = True

    def __init__(self, calls: Calls, name: str) -> None:
        super().__init__()
        self._calls = calls
        self._name = name

    def render_GET(self, request: Request) -> Any:
        """Make the call."""
        if not _isLocal(request):
            return _refused(request)
        args = {_text(name): _text(values[-1]) for name, values in (request.args or {}).items()}
        self._calls.dispatch(Caller(Role.READ, ""), self._name, args).addCallbacks(
            lambda answer: _write(request, encode(answer)), lambda failure: _failed(request, failure)
        )
        return NOT_DONE_YET


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _isLocal(request: Request) -> bool:
    return isLocalHost(_text((request.requestHeaders.getRawHeaders(b"Host") or [b""])[0]))


def _refused(request: Request) -> bytes:
    request.setResponseCode(403)
    request.setHeader("Content-Type", "text/plain; charset=utf-8")
    return b"This page is only at localhost.\n"


def _write(request: Request, body: bytes) -> None:
    request.setHeader("Content-Type", "application/json")
    request.setHeader("X-Content-Type-Options", "nosniff")
    request.setHeader("Cache-Control", "no-store")
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()


def _failed(request: Request, failure: Failure) -> None:
    error = failure.value
    assert isinstance(error, RoomError)
    problem = problemOf(error)
    request.setResponseCode(problem.status)
    _write(request, problem.encoded())
