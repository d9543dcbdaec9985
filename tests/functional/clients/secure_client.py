"""
Python's websockets and aiohttp over TLS: `python secure_client.py AUTHORITY URL...`.

Each URL is that of a page, with its socket at /ws beside it. Prints one JSON object: for each URL what the
page and the sockets said.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

import aiohttp
from websockets.asyncio.client import connect


async def main(authority: str, *urls: str) -> dict[str, Any]:
    """What the test compares."""
    trusting = ssl.create_default_context(cafile=authority)
    offering = ssl.create_default_context(cafile=authority)
    offering.set_alpn_protocols(["h2", "http/1.1"])
    report: dict[str, Any] = {}
    for url in urls:
        report[url] = {
            "websockets": [await withWebsockets(url, context) for context in (trusting, offering)],
            "aiohttp": [await withAiohttp(url, context) for context in (trusting, offering)],
        }
    return report


async def withWebsockets(url: str, context: ssl.SSLContext) -> list[Any]:
    """What the socket said at first, and when it was spoken to."""
    async with connect(url.replace("https:", "wss:") + "ws", ssl=context) as socket:
        first = json.loads(await socket.recv())
        await socket.send("hello")
        return [first, await socket.recv()]


async def withAiohttp(url: str, context: ssl.SSLContext) -> list[Any]:
    """The same, and the page before it."""
    async with aiohttp.ClientSession() as session:
        async with session.get(url, ssl=context) as answer:
            status, page = answer.status, await answer.text()
        async with session.ws_connect(url + "ws", ssl=context) as socket:
            first = await socket.receive_json()
            await socket.send_str("hello")
            return [status, page, first, await socket.receive_str()]


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
