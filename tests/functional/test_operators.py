"""
What an operator of three nodes does: with the shell and curl alone, and with a foreign client of JSON-RPC.

The page does the same in test_admin_page.py.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection

from tests.functional.launched import PATIENCE, Launched, freePort, launched, until
from tests.functional.redisserver import RedisServer
from tests.functional.test_calls import TOKEN, Operator
from tests.functional.test_rpc import shell
from tests.requires import requires

ROOMS = 333  # of each node
GAME = """
from twisted.internet.defer import Deferred
from txroom import Accept, Room, Server, message

class Table(Room):
    autoDispose = False
    handlerTimeout = 600.0

    @message("wait")
    async def wait(self, client, data):
        await Deferred()

    @message("say")
    def say(self, client, data):
        self.broadcast("said", data)

    def save(self):
        return None

    def load(self, data, version):
        pass

def verify(handshake):
    return Accept(handshake.query.get("user"))

def makeServer():
    server = Server()
    server.register("table", Table)
    server.rooms.verifyClient = verify

    @server.rpc("tables.open")
    async def openTables(count: int) -> int:
        for number in range(count):
            await server.rooms.createRoom("table", {"number": number})
        return count

    return server
"""


class Node:
    """A node, and the port of its admin listener."""

    def __init__(self, process: Launched, admin: int) -> None:
        self.process = process
        self.admin = admin
        self.operator = Operator(admin)
        self.id: str = self.operator.call("server.stats")["node"]


@contextmanager
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    """Three nodes that know each other, each with `ROOMS` rooms."""
    (tmp_path / "game.py").write_text(GAME)
    (tmp_path / "secret").write_text(TOKEN)
    (tmp_path / "auth").write_text(f"Authorization: Bearer {TOKEN}")
    with RedisServer(tmp_path) as redis, ExitStack() as stack:
        running: list[Node] = []
        for _ in range(3):
            port = freePort()
            options = ["--app", "game:makeServer", "--redis", redis.url, "--admin", str(port)]
            options += ["--admin-token-file", str(tmp_path / "secret")]
            process = stack.enter_context(launched(("twistd", "-n", "--pidfile="), *options, cwd=tmp_path))
            process.ready()
            running.append(Node(process, port))
            stack.callback(running[-1].operator.close)
        first = running[0].operator
        until(lambda: len(first.call("nodes.list")["nodes"]) == 3, "the nodes don't know each other")
        for node in running:
            assert node.operator.once("tables.open", count=ROOMS) == ROOMS
        until(lambda: Counter(roomsOf(first)) == {node.id: ROOMS for node in running}, "rooms are missing")
        yield running


def roomsOf(operator: Operator) -> list[str]:
    """The node of each room."""
    listed: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = operator.call("rooms.list", limit=1000, cursor=cursor)
        listed += [each["node"] for each in page["rooms"]]
        cursor = page["next"]
    return listed


def stuckAt(node: Node, room: str, user: str) -> ClientConnection:
    """A client of a node that joins a room, and whose message is never answered."""
    client = node.process.connect(f"/rooms?user={user}", subprotocols=["txroom.v1.json"])
    client.send(json.dumps(["joinById", 1, room, {}]))
    received(client, "joined")
    client.send(json.dumps(["send", room, "wait", None, 1]))
    client.send(json.dumps(["send", room, "say", "behind", 2]))
    return client


def received(client: ClientConnection, kind: str) -> list[Any]:
    """The next frame of that kind."""
    while True:
        frame: list[Any] = json.loads(client.recv(PATIENCE))
        if frame[0] == kind:
            return frame


def test_threeNodes(tmp_path: Path) -> None:
    """
    The stuck room among a thousand is found from any node; one sees why and who is in it, and frees it. Then
    a node is drained, and its rooms are seen at the others.
    """
    curl = requires("curl")
    with nodes(tmp_path) as (first, second, third):
        asker = first.admin

        def ask(path: str, *more: str) -> Any:
            """What curl gets."""
            url = f"http://127.0.0.1:{asker}{path}"
            command = [curl, "--silent", "--fail", "-H", f"@{tmp_path / 'auth'}", *more, url]
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True)
            return json.loads(done.stdout) if done.stdout else None

        def found(ownerId: str, count: int = 1) -> list[dict[str, Any]]:
            """The stuck rooms, as the shell finds them."""
            stuck = json.loads(shell(asker, "rooms.stuck", "seconds=0.5", "--json"))
            assert stuck["unanswered"] == []
            return [each for each in stuck["rooms"] if each["node"] == ownerId]

        # With the shell and curl.
        assert found(second.id) == []
        (target,) = second.operator.call("rooms.list", limit=1, order="-age")["rooms"]
        room = target["room"]
        client = stuckAt(second, room, "ada")
        (stuck,) = until(lambda: found(target["node"]), "the room is not found")
        assert (stuck["room"], stuck["what"], stuck["waiting"]) == (room, "wait", 1)
        report = json.loads(shell(asker, "room", room, "--json"))
        (running,) = report["running"]
        assert (running["name"], running["waiting"], report["members"]) == ("wait", 1, 1)
        (member,) = json.loads(shell(asker, "rooms.members", room, "--json"))["members"]
        assert (member["userId"], member["member"]) == ("ada", running["member"])
        assert (member["isBusy"], member["waiting"]) == (True, 1)
        assert "wait" in shell(asker, "rooms.stuck", "seconds=0.5")
        described = ask(f"/api/v1/rooms/{room}")
        assert described["room"] == room
        assert [each["userId"] for each in described["members"]] == ["ada"]
        ask(f"/api/v1/rooms/{room}?reason=stuck", "-X", "DELETE")
        assert received(client, "left")[1:3] == [room, 4008]
        until(lambda: found(target["node"]) == [], "the room is stuck still")

        # With a client that only knows WebSocket and JSON-RPC.
        operator = first.operator
        (target,) = third.operator.call("rooms.list", limit=1)["rooms"]
        room = target["room"]
        other = stuckAt(third, room, "bob")

        def foundAgain() -> list[dict[str, Any]]:
            rooms: list[dict[str, Any]] = operator.call("rooms.stuck", seconds=0.5)["rooms"]
            return rooms

        (stuck,) = until(foundAgain, "the second room is not found")
        assert (stuck["room"], stuck["node"], stuck["what"]) == (room, target["node"], "wait")
        assert operator.call("rooms.get", room=room)["running"][0]["name"] == "wait"
        members = operator.call("rooms.members", room=room)["members"]
        assert [each["userId"] for each in members] == ["bob"]
        operator.call("rooms.dispose", room=room, reason="stuck")
        assert received(other, "left")[1:3] == [room, 4008]
        until(lambda: foundAgain() == [], "the second room is stuck still")

        # A node is drained, and one watches its rooms at the others.
        before = Counter(roomsOf(operator))
        shell(asker, "server.drain", f"node={third.id}")

        def counted() -> dict[str, int]:
            listed = json.loads(shell(asker, "nodes.list", "--json"))["nodes"]
            return {each["node"]: each["rooms"] for each in listed}

        until(lambda: counted().get(third.id) == 0, f"the rooms have not moved: {third.process.output}")
        after = Counter(roomsOf(operator))
        assert third.id not in after
        assert after.total() == before.total() == 3 * ROOMS - 2
        assert all(after[node.id] > before[node.id] for node in (first, second))
        for each in (client, other):
            each.close()
