"""websockets, its asyncio server: `--loop uvloop` for another loop."""

from __future__ import annotations

import asyncio

from common import arguments, tlsContext, useLoop
from websockets.asyncio.server import ServerConnection, broadcast, serve

connected: set[ServerConnection] = set()


async def echo(connection: ServerConnection) -> None:
    """What one says it hears."""
    async for message in connection:
        await connection.send(message)


async def tellAll(connection: ServerConnection) -> None:
    """What one says all hear."""
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
