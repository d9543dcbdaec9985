"""Browsers with the demo on workers and nodes, which are killed, cut off, replaced and stopped meanwhile."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from twisted.internet.threads import deferToThread

from tests.functional.cluster.nodes import Nodes
from tests.functional.cluster.parent import Workers
from tests.functional.support import sleep, until
from tests.requires import CLIENTS, requires, requiresNode

APP = ("--app", "txroom.demo:makeDemo")
#: How many seconds a reload may take.
PATIENCE = 60.0


class Tabs:
    """Tabs of browsers; see `chatting.mjs`."""

    def __init__(self, process: Popen[str]) -> None:
        self._process = process
        self._count = 0
        self.said: list[str] = []

    async def _tell(self, *command: Any) -> Any:
        def told() -> str:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            return self._process.stdout.readline()

        line = await deferToThread(told)
        assert line, f"{command}: the browsers have ended"
        return json.loads(line)

    async def open(self, url: str) -> None:
        """Open another tab."""
        self._count += 1
        await self._tell("open", url, f"Person {self._count}")

    async def say(self, text: str) -> None:
        """Type a message in the tab whose turn it is."""
        await self._tell("say", len(self.said) % self._count, text)
        self.said.append(text)

    async def heard(self) -> None:
        """Wait until all tabs show the last message."""
        await self._tell("heard", self.said[-1])

    async def check(self) -> None:
        """All have every message once and in order, and nobody was told that anything is lost."""
        shown = await self._tell("shown")
        assert shown["errors"] == []
        for tab in shown["tabs"]:
            assert tab["said"] == self.said
            assert set(tab["notes"]) <= {
                "The connection is lost.",
                "The connection is back, and no message was lost.",
                "The room is not available at the moment.",
                "The room is back, and no message was lost.",
            }


@contextmanager
def browsers() -> Iterator[Tabs]:
    """A process that opens tabs; all are closed at the end."""
    command = [str(each) for each in (requiresNode(), CLIENTS / "chatting.mjs", requires("chromium"))]
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True) as process:
        yield Tabs(process)


async def test_workers(directory: Path) -> None:
    """
    Workers and the store are killed, the code is deployed anew, and everything is stopped and started again,
    while people on different workers chat.
    """
    with browsers() as tabs:
        async with Workers(directory, 3, *APP) as nodes:
            await openOnTwo(nodes, tabs)
            for number in connected(nodes)[:2]:
                nodes[number].kill()
                await tabs.say(f"worker {number} is killed")
                await tabs.heard()
                await nodes[number].start()
            nodes.redis.kill()
            await tabs.say("the store is killed")
            await tabs.heard()
            await reloaded(nodes, tabs)
            await nodes.parent.stop()
            await tabs.say("all is stopped")
            await nodes.parent.start()
            await tabs.heard()
            await tabs.check()


def connected(nodes: Workers) -> list[int]:
    """Which workers have connections of the browsers."""
    return [number for number, each in enumerate(nodes) if nodes.parent.connections(each.pid)]


async def openOnTwo(nodes: Workers, tabs: Tabs) -> None:
    """Open tabs until they are on different workers; the workers take turns as they like."""
    for _ in range(20):
        await tabs.open(f"http://127.0.0.1:{nodes.parent.port}/")
        if len(connected(nodes)) > 1:
            break
    assert len(connected(nodes)) > 1
    await tabs.say("all is well")
    await tabs.heard()


async def reloaded(nodes: Workers, tabs: Tabs) -> None:
    """Let new workers take over."""
    parent = nodes.parent
    await parent.complete(3)
    parent.signal(signal.SIGHUP)
    await tabs.say("the code is new")
    await until(lambda: "reload: the new workers serve" in parent.output, "no reload", PATIENCE)
    await tabs.say("the code was new")
    await tabs.heard()
    await until(lambda: len(parent.workers) == 3, "old workers are left", PATIENCE)


async def test_nodes(directory: Path) -> None:
    """Nodes and Redis are killed, paused and cut off, while people on three nodes chat."""
    with browsers() as tabs:
        async with Nodes(directory, 3, nodeOptions=APP) as nodes:
            for url in nodes.urls:
                await tabs.open(url.replace("ws:", "http:").removesuffix("rooms"))
            await tabs.say("all is well")
            await tabs.heard()
            for number, node in enumerate(nodes):
                node.kill()
                await tabs.say(f"node {number} is killed")
                await tabs.heard()
                await node.start()
            nodes[0].pause()
            await tabs.say("node 0 is paused")
            await sleep(4)
            nodes[0].resume()
            await tabs.heard()
            nodes.links[1].hold()
            await tabs.say("node 1 is cut off")
            await sleep(2)
            nodes.links[1].release()
            await tabs.heard()
            nodes.redis.kill()
            await tabs.say("Redis is killed")
            nodes.redis.start()
            await tabs.heard()
            await tabs.check()
