"""The built-in calls of a server with real workers, as an operator makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.functional.launched import PATIENCE, freePort, launched, until
from tests.functional.redisserver import RedisServer

TOKEN = "0123456789abcdef" * 2
GAME = """
from txroom import Room, Server, message

class Chat(Room):
    autoDispose = False

    def inspect(self):
        return {"id": self.id}

    def save(self):
        return None

    def load(self, data, version):
        pass

def makeServer():
    server = Server()
    server.register("chat", Chat)
    return server
"""


class Operator:
    """A client that makes calls in JSON-RPC, and connects again when its worker is replaced."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: ClientConnection | None = None
        self._id = 0

    def call(self, method: str, **params: Any) -> Any:
        """Make a call that may be repeated."""
        answers: list[Any] = []
        until(lambda: self._tried(answers, method, params), f"no answer to {method}")
        return answers[0]

    def _tried(self, answers: list[Any], method: str, params: dict[str, Any]) -> bool:
        try:
            answers.append(self.once(method, **params))
        except (ConnectionClosed, OSError):
            self._socket = None
        return bool(answers)

    def once(self, method: str, **params: Any) -> Any:
        """Make a call once."""
        if self._socket is None:
            url = f"ws://127.0.0.1:{self._port}/rpc"
            headers = {"Authorization": f"Bearer {TOKEN}"}
            protocols: Any = ["jsonrpc"]
            self._socket = connect(url, subprotocols=protocols, additional_headers=headers)
        self._id += 1
        request = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}
        self._socket.send(json.dumps(request))
        answer = json.loads(self._socket.recv(PATIENCE))
        assert answer["id"] == self._id, answer
        assert "error" not in answer, answer
        return answer["result"]

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


def test_drain(tmp_path: Path) -> None:
    """An operator drains a worker: a new process takes its place and its rooms, and nothing is lost."""
    (tmp_path / "game.py").write_text(GAME)
    secret = tmp_path / "secret"
    secret.write_text(TOKEN)
    port = freePort()
    admin = ("--admin", f"tcp:{port}:interface=127.0.0.1", "--admin-token-file", str(secret))
    options = ("--workers", "2", "--app", "game:makeServer", *admin)
    with (
        RedisServer(tmp_path) as redis,
        launched(("twistd", "-n"), *options, "--redis", redis.url, cwd=tmp_path) as server,
    ):
        server.ready()
        operator = Operator(port)
        until(lambda: len(operator.call("nodes.list")["nodes"]) == 2, "the nodes don't know each other")
        rooms = {operator.call("rooms.create", name="chat")["room"] for _ in range(5)}
        before = operator.call("rooms.list")["rooms"]
        (node,) = {each["node"] for each in before}
        until(
            lambda: {each["state"] for each in operator.call("workers.list")} == {"ready"},
            "not all workers are ready",
        )
        workers = {each["slot"]: each for each in operator.call("workers.list")}
        (drained,) = (each for each in workers.values() if each["node"] == node)

        operator.call("server.drain", node=node)

        def moved() -> bool:
            listed = operator.call("rooms.list")["rooms"]
            gone = all(each["node"] != node for each in operator.call("nodes.list")["nodes"])
            return (
                gone
                and {each["room"] for each in listed} == rooms
                and node not in {each["node"] for each in listed}
            )

        until(moved, f"the rooms have not moved: {server.output}")
        after = {each["slot"]: each for each in operator.call("workers.list") if each["state"] == "ready"}
        assert after.keys() == workers.keys()
        for slot, worker in workers.items():
            assert (after[slot]["pid"] == worker["pid"]) == (slot != drained["slot"])
        listed = operator.call("rooms.list")["rooms"]
        assert {each["node"] for each in listed} == {after[drained["slot"]]["node"]}
        for room in rooms:
            assert operator.call("rooms.get", room=room)["inspect"] == {"id": room}
        assert f"server.drain node={node} done" in server.output

        level = operator.call("server.logLevel", level="debug")
        assert level == {"level": "debug", "unanswered": []}
        pids = {each["pid"] for each in operator.call("nodes.list")["nodes"]}
        operator.call("server.reload")
        until(
            lambda: pids.isdisjoint(each["pid"] for each in operator.call("nodes.list")["nodes"]),
            f"not reloaded: {server.output}",
        )
        assert {each["room"] for each in operator.call("rooms.list")["rooms"]} == rooms
        operator.close()
