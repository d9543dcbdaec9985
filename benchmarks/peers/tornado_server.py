"""Tornado."""

from __future__ import annotations

import asyncio
from typing import Any

from common import arguments, tlsContext
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler

connected: set[WebSocketHandler] = set()


class Handler(WebSocketHandler):
    """Sends each message back, or to all clients."""

    def get_compression_options(self) -> dict[str, Any] | None:
        return {} if options.role == "deflate" else None

    def open(self) -> None:
        connected.add(self)

    def on_close(self) -> None:
        connected.discard(self)

    def on_message(self, message: str | bytes) -> None:
        if options.role in ("echo", "tls"):
            self.write_message(message, isinstance(message, bytes))
            return
        for each in connected:
            each.write_message(message, isinstance(message, bytes))


async def main() -> None:
    server = HTTPServer(Application([("/", Handler)]), ssl_options=tlsContext(options))
    server.add_sockets(bind_sockets(options.port, "127.0.0.1", backlog=511))
    await asyncio.Event().wait()


if __name__ == "__main__":
    options = arguments(__doc__)
    asyncio.run(main())
