"""`twistd txroom --dev`: changed code is loaded while a client is in a room."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.functional.launched import PATIENCE, freePort, launched
from tests.functional.support import until
from tests.requires import CLIENTS, requires, requiresNode
from txroom import RoomError
from txroom.client import Client

GAME = """
from txroom import Room, Server, message

class Count(Room):
    resumeSeconds = 60.0

    def onCreate(self, options):
        self.count = 0

    @message("add")
    def add(self, client, data: int):
        self.count += data
        return self.count

    @message("broken")
    def broken(self, client):
        raise KeyError("no such player")

def makeServer():
    server = Server()
    server.register("count", Count)
    return server
"""
#: The same with a declared state.
STATED = GAME.replace(
    "class Count(Room):",
    """
from txroom.state import List, State

class Added(State):
    numbers: List[int]

class Count(Room):
    state: Added""",
).replace("        self.count += data", "        self.count += data\n        self.state.numbers.append(data)")
SAVED = """
    def save(self):
        return {"count": self.count}

    def load(self, data, version):
        self.count = data["count"]

    @message("add")
"""


def test_playground(tmp_path: Path) -> None:
    """
    The page at /_dev joins a room in a browser, calls handlers by their forms, and shows the state; no error
    is in it.
    """
    node, chromium = requiresNode(), requires("chromium")
    (tmp_path / "game.py").write_text(STATED)
    port = freePort()
    options = ("--dev", "--app", "game:makeServer", "--app-dir", str(tmp_path), "--port", str(port))
    with launched(("twistd", "-n"), *options, cwd=tmp_path, port=port) as server:
        server.ready()
        url = f"http://127.0.0.1:{port}/_dev"
        done = subprocess.run(
            [node, CLIENTS / "dev.mjs", chromium, url],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    seen = json.loads(done.stdout)
    assert seen == {
        "errors": [],
        "origins": [f"http://127.0.0.1:{port}"],
        "types": ["add", "broken", "Another message"],
        "answer": "7",
        "state": ["numbers1 item", "07"],
        "problem": "The server had an error; its log says more. "
        "(Count.broken raised KeyError: 'no such player')",
    }


async def test_changes(tmp_path: Path) -> None:
    """
    A room and its member go on with the changed code. Code that can't be imported changes nothing. Clients
    are told the texts of errors, and developers which fields are not kept.
    """
    requires("redis-server")
    game = tmp_path / "game.py"
    game.write_text(GAME)
    port = freePort()
    options = ("--dev", "--app", "game:makeServer", "--app-dir", str(tmp_path), "--port", str(port))
    with launched(("twistd", "-n"), *options, cwd=tmp_path, port=port) as server:

        async def wrote(text: str) -> None:
            await until(lambda: text in server.output, f"not logged: {text}", PATIENCE)

        await wrote("listening: http://127.0.0.1:")
        client = Client(f"ws://127.0.0.1:{port}/rooms")
        room = await client.joinOrCreate("count")
        assert await room.call("add", 5) == 5
        await wrote('"add",5,')
        with pytest.raises(RoomError, match=r"Count\.broken raised KeyError: 'no such player'"):
            await room.call("broken")

        game.write_text("def makeServer(: # not yet complete")
        await wrote("the reload is given up")
        assert "SyntaxError" in server.output
        assert await room.call("add", 1) == 6

        game.write_text(
            GAME.replace('    @message("add")', SAVED.rstrip()).replace("+= data", "+= 10 * data")
        )
        await wrote("has no save() and load(), so these fields are not kept: count")
        await wrote("the new worker serves")
        assert await room.call("add", 1) == 10

        game.write_text(game.read_text().replace("10 * data", "100 * data"))
        await until(lambda: server.output.count("the new worker serves") == 2, "not loaded", PATIENCE)
        assert await room.call("add", 1) == 110
        await client.close()
