"""The commands, the program and the configuration in docs/howto/cluster.rst."""

from __future__ import annotations

import re
import shlex
import textwrap
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.functional.cluster.nodes import Node
from tests.functional.redisserver import RedisServer
from tests.functional.support import ROOT, reactor, within
from txroom.client import Client
from txroom.process.tap import Options

pytestmark = pytest.mark.skipif(not hasattr(Options, "opt_redis"), reason="nodes have no Redis yet")

PAGE = (ROOT / "docs" / "howto" / "cluster.rst").read_text("utf-8")
EXAMPLE = ROOT / "docs" / "examples" / "cluster"


def configuration() -> list[str]:
    """The documented configuration as options of redis-server, but for the address."""
    options = []
    for line in (EXAMPLE / "redis.conf").read_text("utf-8").splitlines():
        name, _, value = line.partition(" ")
        if line and not line.startswith("#") and name not in ("bind", "port"):
            options += [f"--{name}", *shlex.split(value)] if value != '""' else [f"--{name}", ""]
    return options


def commands() -> list[list[str]]:
    """The options of `twistd txroom` in the page's first commands."""
    text = PAGE.replace("\\\n", "")
    return [line.split()[4:] for line in re.findall(r"\$ (twistd -n --pidfile= txroom .*--redis.*)", text)]


def program() -> str:
    """The program that the page saves as chat.py."""
    found = re.search(r"Save this program as ``chat.py``.*?code-block:: python\n\n(.*?)\n\S", PAGE, re.DOTALL)
    assert found is not None
    return textwrap.dedent(found[1])


def nodeOf(directory: Path, options: list[str], url: str) -> Node:
    """A node that is started with these options, on a port of its own and with another Redis."""
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given.pop("--redis") == "redis://localhost"
    del given["--port"]
    return Node(
        directory, url, *(word for pair in given.items() for word in pair), "--app-dir", str(directory)
    )


async def test_page(directory: Path) -> None:
    """
    Clients of all three nodes meet in one room, and a user of Redis with no more rights than documented is
    enough for the nodes.
    """
    assert len(commands()) == 3
    async with AsyncExitStack() as stack:
        (directory / "chat.py").write_text(program(), "utf-8")
        redis = RedisServer(directory, *configuration())
        stack.enter_context(redis)
        nodes = [nodeOf(directory, options, f"unix://txroom:secret@{redis.socket}") for options in commands()]
        for node in nodes:
            stack.callback(node.kill)
            node.begin()
        for node in nodes:
            await node.ready()
        clients = [Client(node.url, reactor=reactor()) for node in nodes]
        stack.push_async_callback(closed, clients)
        rooms: list[Any] = [
            await within(client.joinOrCreate("chat", {"topic": "tea"}), seconds=20) for client in clients
        ]
        assert len({room.id for room in rooms}) == 1
        heard: list[Deferred[Any]] = [Deferred() for _ in rooms]
        for room, deferred in zip(rooms, heard, strict=True):
            room.on("said", lambda data, offset, deferred=deferred: deferred.callback(data))
        rooms[2].send("say", "hello")
        for deferred in heard:
            assert await within(deferred, seconds=20) == "hello"


async def closed(clients: list[Client]) -> None:
    """Close clients."""
    for client in clients:
        await client.close()
