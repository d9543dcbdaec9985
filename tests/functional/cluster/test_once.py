"""Commands with a key on several nodes: they are carried out once, whatever dies meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.web.client import Agent, readBody

from tests.functional.cluster.nodes import Node, Nodes
from tests.functional.support import reactor, sleep, until, within
from txroom.client import Client

#: How many messages are published, and after how many the node of the room is killed.
MESSAGES, DEADLY = 60, 20


class Publisher:
    """Publishes messages in a room, and asks another node again for each that was not answered."""

    def __init__(self, room: str) -> None:
        self._room = room
        self._agent = Agent(reactor(), connectTimeout=5)
        #: What was answered for each key, and how often it was asked for.
        self.answers: dict[str, int] = {}
        self.asked: Counter[str] = Counter()
        self.errors: list[Any] = []

    async def publish(self, key: str, nodes: list[Node]) -> None:
        """Ask one node after the other until there is an answer."""
        while key not in self.answers:
            node = nodes[self.asked[key] % len(nodes)]
            self.asked[key] += 1
            answer = await self._once(key, node)
            if isinstance(answer, int):
                self.answers[key] = answer
            else:
                self.errors.append(answer)
                await sleep(0.1)

    async def repeat(self, nodes: list[Node]) -> None:
        """Ask each node for everything once more: nothing changes."""
        for key, offset in self.answers.items():
            assert [await self._once(key, node) for node in nodes] == [offset] * len(nodes)

    async def _once(self, key: str, node: Node) -> Any:
        url = f"http://127.0.0.1:{node.port}/publish?room={self._room}&key={key}"
        try:
            response: Any = await self._agent.request(b"GET", url.encode())
            return json.loads(await readBody(response))
        except Exception as error:  # the node is dead
            return repr(error)


@pytest.mark.filterwarnings("ignore:Using readBody with a transport:DeprecationWarning")
async def test_killed(directory: Path) -> None:
    """
    The node of the room is killed while messages are published: each is in the room once, however often it
    was asked for, and each answer is right.
    """
    async with Nodes(directory, 3) as nodes:
        clients = [Client(url, reactor=reactor(), minDelay=0.05, maxDelay=0.5) for url in nodes.urls]
        try:
            first: Any = await within(clients[0].joinOrCreate("ledger", {"who": "a"}), seconds=20)
            room: Any = await within(clients[1].joinById(first.id, {"who": "b"}), seconds=20)
            heard: list[tuple[int, str]] = []
            room.on("news", lambda data, offset: heard.append((offset, data)))
            publisher = Publisher(room.id)
            waiting: list[Deferred[None]] = []
            everyone = list(nodes)
            for number in range(MESSAGES):
                order = everyone[number % 3 :] + everyone[: number % 3]
                waiting.append(Deferred.fromCoroutine(publisher.publish(f"k{number}", order)))
                if number == DEADLY:
                    nodes[0].kill()
                await sleep(0.005)
            await within(gatherResults(waiting, consumeErrors=True), seconds=60)
            await within(Deferred.fromCoroutine(publisher.repeat(everyone[1:])), seconds=20)
            keys = {f"k{number}" for number in range(MESSAGES)}
            await until(lambda: {key for _, key in heard} == keys, f"heard {heard}", 20)
            assert sorted(heard) == sorted((offset, key) for key, offset in publisher.answers.items())
            assert publisher.asked.total() > MESSAGES
            unsure = sum("'mayHaveHappened': True" in str(each) for each in publisher.errors)
            print(f"asked {publisher.asked.total()} times; {unsure} answers were that it may have happened")
        finally:
            for client in clients:
                await client.close()
