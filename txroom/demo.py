"""
What `twistd txroom` serves without `--app`: a page, an echo, a broadcast and the health page.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Coroutine
from hashlib import sha256
from importlib.resources import files
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.web.resource import Resource
from twisted.web.server import Request

from .application import Application
from .codes import SendStatus
from .connection import Connection
from .options import ServerOptions
from .server import Server


def makeDemo(options: ServerOptions | None = None, clock: Any = None) -> Server:
    """
    A server with a page at `/` in which two browser windows talk, `/echo`, `/broadcast` and `/healthz`.

    `options` and `clock` are those of `Server`.
    """
    server = Server(options, clock)
    server.addPage("/", Page("index.html"))
    server.addHealthPage()
    server.addApplication(Echo(), path="/echo")
    server.addApplication(Broadcast(), path="/broadcast")
    return server


class Echo(Application):
    """
    Sends every message back, text as text and binary as binary, and loses none.

    It stops reading from a client that doesn't read its answers.
    """

    def onMessage(self, connection: Connection, message: str | bytes) -> Coroutine[Any, Any, None] | None:
        status = connection.send(message)
        if status is SendStatus.BACKPRESSURE:
            connection.pause()
        elif status is SendStatus.DROPPED:  # too long for what still waits; alone it isn't
            return self._sendLater(connection, message)
        return None

    def onDrain(self, connection: Connection) -> None:
        connection.resume()

    async def _sendLater(self, connection: Connection, message: str | bytes) -> None:
        try:
            await connection.whenSent()
        except ConnectionLost:
            return
        if connection.send(message) is SendStatus.BACKPRESSURE:
            connection.pause()


class Broadcast(Application):
    """Sends every message to all who are connected, the sender too."""

    def onMessage(self, connection: Connection, message: str | bytes) -> None:
        self.broadcast(message)


class Page(Resource):
    """A page of `txroom/web` that may run and load nothing but what is written in it."""

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self._body = files("txroom").joinpath("web", name).read_bytes()
        self._policy = contentPolicy(self._body)

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("Content-Type", "text/html; charset=utf-8")
        request.setHeader("Content-Security-Policy", self._policy)
        request.setHeader("X-Content-Type-Options", "nosniff")
        request.setHeader("Referrer-Policy", "no-referrer")
        request.setHeader("Cache-Control", "no-cache")
        return self._body


def contentPolicy(page: bytes) -> str:
    """A Content-Security-Policy under which the page's own script and style run, and it may reach us."""

    def hashes(tag: bytes) -> str:
        found = re.findall(rb"<%b\b[^>]*>(.*?)</%b>" % (tag, tag), page, re.DOTALL)
        return " ".join(f"'sha256-{b64encode(sha256(text).digest()).decode()}'" for text in found) or "'none'"

    return (
        f"default-src 'none'; script-src {hashes(b'script')}; style-src {hashes(b'style')}; "
        "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
