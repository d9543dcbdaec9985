"""picows on uvloop, as in its authors' benchmarks."""

from __future__ import annotations

import asyncio

from common import arguments, tlsContext, useLoop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

connected: set[WSTransport] = set()


class Echo(WSListener):
    """Sends each message back."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, frame.get_payload_as_memoryview())


class Broadcast(WSListener):
    """Sends each message to all clients."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        connected.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        connected.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            payload = frame.get_payload_as_bytes()
            for each in connected:
                each.send(WSMsgType.TEXT, payload)


async def main() -> None:
    def listener(request: WSUpgradeRequest) -> WSListener:
        return Echo() if options.role in ("echo", "tls") else Broadcast()

    server = await ws_create_server(listener, "127.0.0.1", options.port, ssl=tlsContext(options), backlog=511)
    await server.serve_forever()


if __name__ == "__main__":
    options = arguments(__doc__)
    useLoop("uvloop")
    asyncio.run(main())
