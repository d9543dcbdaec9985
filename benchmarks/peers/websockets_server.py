"""The asyncio server of websockets; `--loop uvloop` runs it on uvloop."""

from __future__ import annotations

import asyncio

from common import arguments, tlsContext, useLoop
from websockets.asyncio.server import ServerConnection, broadcast, serve

connected: set[ServerConnection] = set()


async def echo(connection: ServerConnection) -> None:
    """Send each message back."""
    async for message in connection:
        await connection.send(message)


async def tellAll(connection: ServerConnection) -> None:
    """Send each message to all clients."""
    connected.add(connection)
    try:
        async for message in connection:
            broadcast(connected, message)
    finally:
        connected.remove(connection)


async def main() -> None:
    handler = echo if options.role in ("echo", "tls") else tellAll
    compression = "deflate" if options.role == "deflate" else None
    server = await serve(
        handler,
        "127.0.0.1",
        options.port,
        compression=compression,
        ssl=tlsContext(options),
        backlog=511,
    )
    await server.serve_forever()


if __name__ == "__main__":
    options = arguments(__doc__, "--loop")
    useLoop(options.loop)
    asyncio.run(main())
