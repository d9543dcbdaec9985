"""Python's websockets against txroom: `python websockets_client.py URL COMPRESSION SIZE...`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


def message(size: int, isText: bool) -> str | bytes:
    """Something of that size that isn't all the same."""
    if isText:
        return ("aé€😀" * (size // 4 + 1))[:size]
    return (bytes(number * 31 % 251 for number in range(997)) * (size // 997 + 1))[:size]


async def main(url: str, compression: str, *sizes: str) -> dict[str, Any]:
    """Echo messages of each size, ping, and close from both ends; what the test compares."""
    report: dict[str, Any] = {}

    def opening(path: str = "/echo", **more: Any) -> Any:
        return connect(
            url + path,
            compression=None if compression == "disabled" else "deflate",
            max_size=64 * 2**20,
            **more,
        )

    async def closing(connection: ClientConnection) -> tuple[int, str]:
        try:
            async for _ in connection:
                pass
        except ConnectionClosed:
            pass
        assert connection.close_code is not None
        return connection.close_code, connection.close_reason or ""

    async with opening(subprotocols=["unknown", "chat.v2", "chat.v1"]) as connection:
        report["protocol"] = connection.subprotocol
        assert connection.response is not None
        report["extensions"] = connection.response.headers.get("Sec-WebSocket-Extensions", "")
        for size in map(int, sizes):
            for isText in (True, False):
                sent = message(size, isText)
                await connection.send(sent)
                assert await connection.recv() == sent, size
        many = [f"message {number} " + "x" * number for number in range(500)]

        async def send() -> None:
            for one in many:
                await connection.send(one)

        sending = asyncio.create_task(send())
        assert [await connection.recv() for _ in many] == many
        await sending
        await connection.send(iter(["in ", "frag", "ments"]))
        assert await connection.recv() == "in fragments"
        await asyncio.wait_for(await connection.ping("are you there"), 5)
        report["pong"] = "are you there"
        await connection.close(3001, "bye from websockets")
        report["closedByUs"] = [connection.close_code, connection.close_reason]
    report["closedByServer"] = []
    for code in (1000, 1001, 1011, 1012, 1013, 1014, 3000, 4999):
        async with opening(f"/close?code={code}") as connection:
            report["closedByServer"].append(await closing(connection))
    try:
        async with opening("/nowhere"):
            raise AssertionError("let in")
    except InvalidStatus as error:
        report["refused"] = error.response.status_code
    async with opening("/ping") as connection:
        report["ponged"] = await connection.recv()
    return report


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
