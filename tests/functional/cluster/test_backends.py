"""Back ends that use the HTTP API of two nodes, as processes: a view of Django, and curl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from tests.functional.cluster.nodes import Node, Nodes
from tests.functional.cluster.test_notifications import Device
from tests.functional.support import PATIENCE, ROOT, environment, reactor, until, within
from tests.requires import CLIENTS, requires, requiresModule, requiresNode
from txroom.client import Client

TOKEN = "0123456789abcdef" * 2
EXAMPLES = ROOT / "docs" / "examples" / "http_api"

SHIP = """
import sys
import django
from django.conf import settings
from django.test import RequestFactory

settings.configure(ALLOWED_HOSTS=["*"])
django.setup()
from views import ship

print(ship(RequestFactory().post("/", {"customer": "ada"}), int(sys.argv[1])).content.decode())
"""


async def run(*command: str, **variables: str) -> str:
    """What a command prints; it must end well."""
    play = partial(
        subprocess.run,
        command,
        cwd=EXAMPLES,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    done: subprocess.CompletedProcess[str] = await deferToThread(play)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def ship(node: Node, order: int) -> bool:
    """Let the view of Django ship an order of ada; return whether she is connected."""
    api = f"http://127.0.0.1:{node.admin}/api/v1"
    variables = {"TXROOM_ADMIN_TOKEN": TOKEN, "TXROOM_API": api, "PYTHONDONTWRITEBYTECODE": "1"}
    seen: bool = json.loads(await run(sys.executable, "-c", SHIP, str(order), **variables))["seen"]
    return seen


class Page:
    """
    A page of ada's in the JavaScript client.

    Args:
        directory: Where its output goes.
        device: The id of the device.
        url: The URL of the rooms.
    """

    def __init__(self, directory: Path, device: str, url: str) -> None:
        self._output = directory / f"page-{os.urandom(4).hex()}"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [requiresNode(), CLIENTS / "notify_page.mjs", f"{url}?user=ada", device],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._opened = 0

    @property
    def events(self) -> list[Any]:
        """What has happened to it."""
        lines = self._output.read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def orders(self) -> list[int]:
        """The orders that it was told of."""
        told = [each for each in self.events if each[0] in ("told", "dropped", "error")]
        assert all(each[:2] == ["told", "shipped"] for each in told), told
        return [data["order"] for _, _, data in told]

    async def ready(self) -> None:
        """Wait until it listens."""
        self._opened += 1
        await until(lambda: self.events.count(["ready"]) == self._opened, f"{self._output}")

    async def has(self, *orders: int) -> None:
        """Wait until it was told of exactly these, and has acknowledged them."""
        await until(lambda: ["acknowledged", orders[-1]] in self.events, f"{self.events}")
        assert self.orders == list(orders)

    async def reload(self) -> None:
        """Open it anew."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        await self.ready()

    async def close(self) -> None:
        """Close it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await until(lambda: self._process.poll() is not None, "a page does not close")

    def kill(self) -> None:
        """End its process."""
        self._process.kill()
        self._process.wait()


def adminOf(directory: Path) -> tuple[str, ...]:
    """The options for nodes with an HTTP API."""
    (directory / "token").write_text(TOKEN)
    (directory / "auth").write_text(f"Authorization: Bearer {TOKEN}")
    return ("--admin", "{admin}", "--admin-token-file", str(directory / "token"))


async def test_django(directory: Path) -> None:
    """
    A view of Django at one node notifies a user at another: in each tab, on each device, and once also if a
    page is reloaded. When she is away, the node that takes a notification is killed right after its answer,
    and she gets it once on return, on each device.
    """
    requiresModule("django")
    requiresModule("requests")
    async with Nodes(directory, 2, nodeOptions=adminOf(directory)) as nodes:
        phone = Device("ada")
        pages = [Page(directory, "laptop", nodes.urls[1]) for _ in range(2)]
        try:
            for page in pages:
                await page.ready()
            phone.open(nodes.urls[1])
            await within(phone.client.ping())  # the answer to its subscription came before
            assert await ship(nodes[0], 1)
            for page in pages:
                await page.has(1)
            await phone.has({"order": 1})
            await pages[0].reload()
            assert await ship(nodes[0], 2)
            for page in pages:
                await page.has(1, 2)
            await phone.has({"order": 1}, {"order": 2})
            for page in pages:
                await page.close()
            await phone.close()
            assert not await ship(nodes[0], 3)
            nodes[0].kill()
            await nodes[0].start()
            laptop = Page(directory, "laptop", nodes.urls[0])
            pages.append(laptop)
            phone.open(nodes.urls[1])
            await laptop.has(3)
            await phone.has(*({"order": order} for order in (1, 2, 3)))
            tab = Page(directory, "laptop", nodes.urls[1])
            pages.append(tab)
            await tab.ready()
            assert await ship(nodes[1], 4)
            await laptop.has(3, 4)
            await tab.has(4)  # its device had the third one
            await phone.has(*({"order": order} for order in (1, 2, 3, 4)))
            assert phone.dropped == []
        finally:
            for page in pages:
                page.kill()
            await phone.close()


async def test_curl(directory: Path) -> None:
    """curl asks two nodes to publish the same message with one key: it is published once."""
    curl = requires("curl")
    async with Nodes(directory, 2, nodeOptions=adminOf(directory)) as nodes:
        client = Client(nodes.urls[1], reactor=reactor(), minDelay=0.05, maxDelay=0.5)
        heard: list[Any] = []
        try:
            room: Any = await within(client.joinOrCreate("notifying", {}), seconds=20)
            room.on("news", lambda data, offset: heard.append((data, offset)))

            async def publish(node: Node, key: str) -> Any:
                url = f"http://127.0.0.1:{node.admin}/api/v1/rooms/{room.id}/publish"
                headers = ("-H", f"@{directory / 'auth'}", "-H", f"Idempotency-Key: {key}")
                body = ("--json", '{"type": "news", "data": "hello"}')
                return json.loads(await run(curl, "-sS", "--fail-with-body", *headers, *body, url))

            answers = [await publish(node, "first") for node in (nodes[0], nodes[0], nodes[1])]
            assert answers == [answers[0]] * 3
            nodes[0].kill()
            await nodes[0].start()
            assert await publish(nodes[0], "first") == answers[0]
            last = await publish(nodes[0], "second")
            await until(lambda: ("hello", last["offset"]) in heard, f"{heard}")
            assert heard == [("hello", answers[0]["offset"]), ("hello", last["offset"])]
        finally:
            await client.close()
