"""Notifications of two nodes that share a Redis, as processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.functional.cluster.nodes import Nodes
from tests.functional.support import reactor, until, within
from txroom.client import Client


class Device:
    """A device of a user, with one page at a time; it notes what it gets."""

    def __init__(self, user: str) -> None:
        self._user = user
        self.got: list[Any] = []
        self.dropped: list[int] = []
        self.client: Client

    def open(self, url: str) -> None:
        """Open a page at a node."""
        url = f"{url}?user={self._user}"
        self.client = Client(url, reactor=reactor(), device=self._user, minDelay=0.05, maxDelay=0.5)
        self.client.on("notify", lambda type, data: self.got.append(data))
        self.client.on("notifyDropped", self.dropped.append)

    async def has(self, *data: Any) -> None:
        """Wait until it has got exactly this."""
        await until(lambda: len(self.got) >= len(data), f"{self.got} instead of {data}")
        assert self.got == list(data)

    async def close(self) -> None:
        await within(self.client.close())


async def test_nodes(directory: Path) -> None:
    """
    A user who is connected to another node gets a notification at once. One who is away while a node is
    killed gets it on return, once and in order.
    """
    async with Nodes(directory, 2) as nodes:
        sender = Client(nodes.urls[0], reactor=reactor(), minDelay=0.05, maxDelay=0.5)
        ann = Device("ann")
        try:
            room: Any = await within(sender.joinOrCreate("notifying", {}), seconds=20)
            ann.open(nodes.urls[1])
            await within(room.call("notify", ["ann", 1]), seconds=20)
            await within(room.call("notify", ["ann", 2]), seconds=20)
            await ann.has(1, 2)
            nodes[1].kill()
            await within(room.call("notify", ["ann", 3]), seconds=20)
            await ann.close()
            for number in (4, 5):
                await within(room.call("notify", ["ann", number]), seconds=20)
            ann.open(nodes.urls[0])
            await until(lambda: ann.got[-1] == 5, f"{ann.got}")
            assert ann.got[-3:] == [3, 4, 5]
            # What the killed node had not told Redis yet may come again, but only that.
            assert ann.got[:-3] in ([1, 2], [1, 2, 1, 2], [1, 2, 2]), ann.got
            assert ann.dropped == []
        finally:
            await sender.close()
            await ann.close()
