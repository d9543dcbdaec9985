"""The operators' page in a real browser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.functional.launched import freePort, launched
from tests.requires import CLIENTS, requires, requiresNode

MANAGE, READ = "manage-0123456789abcdef" * 2, "read-0123456789abcdef" * 2

APP = """
import msgspec
from twisted.internet.defer import Deferred
from txroom import Accept, History, Room, Server, message
from txroom.state import List, Map, State, private

class Say(msgspec.Struct):
    text: str

class Player(State):
    name: str
    said: int = 0

class Talk(State):
    players: Map[Player]
    secret: List[str] = private()
    words: List[int]

class Table(Room):
    state: Talk
    autoDispose = False
    history = History(limit=1, onJoin=0)

    def onCreate(self, options):
        self.setMetadata({"topic": options.get("topic", "hay")})
        self.state.secret.append("hush")
        self.state.words.extend(range(1500))

    def onJoin(self, client, options):
        client.meta = {"seat": client.userId}
        self.state.players.setdefault(client.userId, Player(name=client.userId))

    def inspect(self):
        return {"kind": "needles", "count": 1}

    @message("say")
    def say(self, client, data: Say):
        "Say something to all members."
        self.broadcast("said", {"by": client.userId, "text": data.text})
        self.state.players[client.userId].said += 1
        return len(data.text)

    @message("hang")
    async def hang(self, client):
        await Deferred()

class Game(Server):
    def startService(self):
        super().startService()
        self.clock.callLater(0, self.fill)

    def fill(self):
        for number in range(300):
            self.cluster.create("table", {})
        self.cluster.create("table", {"topic": "the <b>needle</b> the needle"})

def makeServer(clock=None):
    server = Game(clock=clock)
    server.register("table", Table)
    server.rooms.verifyClient = lambda handshake: Accept(user=handshake.query.get("user", "page"))
    return server
"""


def test_page(tmp_path: Path) -> None:
    """
    With the page alone one logs in, finds the stuck room among 300, sees who is in it and what is said, and
    manages it; nothing is loaded from elsewhere, and the Content-Security-Policy is never violated.
    """
    node, chromium = requiresNode(), requires("chromium")
    (tmp_path / "game.py").write_text(APP)
    port = freePort()
    options = ["--app", "game:makeServer", "--admin", str(port)]
    for name, secret in (("admin-token-file", MANAGE), ("admin-read-token-file", READ)):
        (tmp_path / name).write_text(secret)
        options += [f"--{name}", str(tmp_path / name)]
    with launched(("twistd", "-n"), *options, cwd=tmp_path) as process:
        process.ready()
        url = f"http://127.0.0.1:{port}/"
        rooms = f"ws://127.0.0.1:{process.port}/rooms"
        browser = subprocess.Popen(
            [node, CLIENTS / "admin.mjs", chromium, url, rooms, tmp_path, MANAGE, READ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert browser.stdout is not None
        try:
            assert browser.stdout.readline() == "stop\n"
            assert process.output.count("Traceback") == 1  # of the handler that hangs
            process.process.terminate()
            process.wait()
            out, _ = browser.communicate(timeout=200)
        finally:
            browser.kill()
    check(json.loads(out), url)
    logged = process.output
    for line in ("rooms.kick", "rooms.lock", "rooms.broadcast", "rooms.dispose"):
        assert f"admin: manage from 127.0.0.1: {line}" in logged
    assert "admin: read from 127.0.0.1: logged in" in logged


def check(seen: dict[str, object], url: str) -> None:
    """What the page has shown."""
    assert seen["errors"] == []
    assert seen["origins"] == [url.rstrip("/")]
    assert seen["wrong"] == "This is not one of the secrets of this server."
    assert (seen["role"], seen["cookie"]) == ("manage", "")
    assert (seen["page"], seen["pager"]) == (50, "50 of 301 rooms · page 1")
    assert seen["fields"] == ["needles", "1"]
    assert seen["metadata"] == '{"topic":"the <b>needle</b> the needle"}'
    assert seen["state"] == [
        '<b>bob</b>: name: "<b>bob</b>", said: 0',
        'ann: name: "ann", said: 0',
        "players: ",
        "secret: 1 item",
        "words: 1,500 items",
    ]
    assert (seen["lines"], seen["more"]) == (200, "… 1,307 more")
    assert seen["changed"] == ["said: 1"]
    assert (seen["names"], seen["hidden"]) == (["table"], "secret: []")
    assert seen["members"] == ["<b>bob</b>", "ann"]
    assert (seen["before"], seen["messages"]) == (0, ["said", "said", "said"])
    assert str(seen["invalid"]).startswith("The data is not JSON: ")
    assert seen["news"] == ["news", {"text": "soon"}]
    assert seen["locked"] == "locked"
    assert seen["kicked"] == [4003, "be nice"]
    assert seen["connection"] == "ann"
    assert str(seen["slow"]).startswith("300 ms ± 50 ms, 0 % lost; ")
    assert seen["answer"] == "13"
    assert (seen["overflow"], seen["broken"]) == ([], [])
    assert seen["disposed"] == [4008, "over"]
    assert seen["reader"] == {"role": "read", "buttons": ["Find", "Measure"]}
    assert str(seen["line"]).startswith("The connection to the server is lost.")
