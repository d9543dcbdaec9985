"""aiohttp; `--loop uvloop` runs it on uvloop."""

from __future__ import annotations

from aiohttp import WSMsgType, web
from common import arguments, tlsContext, useLoop

connected: set[web.WebSocketResponse] = set()


async def serve(request: web.Request) -> web.WebSocketResponse:
    """Send each message back, or to all clients."""
    socket = web.WebSocketResponse(compress=options.role == "deflate")
    await socket.prepare(request)
    connected.add(socket)
    isEcho = options.role in ("echo", "tls")
    try:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            if isEcho:
                await socket.send_str(message.data)
                continue
            for each in list(connected):
                await each.send_str(message.data)
    finally:
        connected.remove(socket)
    return socket


def main() -> None:
    application = web.Application()
    application.router.add_get("/", serve)
    web.run_app(
        application,
        host="127.0.0.1",
        port=options.port,
        ssl_context=tlsContext(options),
        backlog=511,
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    options = arguments(__doc__, "--loop")
    useLoop(options.loop)
    main()
