"""The Python client on a link of 25 kB/s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.functional.slowlink import SlowLink
from tests.functional.support import Net, reactor
from txroom import Room, Server, message
from txroom.client import Client


class Gallery(Room):
    """A room with a large snapshot, which receives large pictures and asks for large answers."""

    def onCreate(self, options: Mapping[str, Any]) -> None:
        self.sizes: list[int] = []

    def snapshot(self, client: Any) -> str:
        return "s" * 300_000

    @message("picture")
    def picture(self, client: Any, data: str) -> int:
        self.sizes.append(len(data))
        return len(data)


async def test_pythonClient(net: Net) -> None:
    """A room of 300 kB is joined, and 300 kB are sent; each takes longer than every timeout for silence."""
    server = Server()
    server.register("gallery", Gallery)
    await net.start(server)
    link = await SlowLink.to(server.address().port)
    url = f"ws://127.0.0.1:{link.port}/rooms"
    client = Client(url, reactor=reactor(), pingInterval=1, pingTimeout=2, callTimeout=60, minDelay=0.1)
    troubles: list[Any] = []
    for event in ("reconnecting", "disconnected", "error"):
        client.on(event, lambda *args, event=event: troubles.append((event, *args)))
    try:
        room = await client.joinOrCreate("gallery")
        assert len(room.snapshot) == 300_000
        assert await room.call("picture", "p" * 300_000) == 300_000
        assert troubles == []
    finally:
        await client.close()
        await link.close()
