"""Unmodified clients of Colyseus, of three generations, in txroom's rooms."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from twisted.internet.threads import deferToThread
from twisted.web.static import Data

from tests.functional.support import ROOT, Net, reactor
from tests.functional.test_js_client import portOf, run
from tests.requires import CLIENTS, requires, requiresNode, requiresPackage
from txroom import Client, LeaveReason, Room, RoomError, Server, message
from txroom.state import Float32, List, Map, State, Uint8, private
from txroom.testing.restarting import restart


class Sum(Struct):
    a: int
    b: int


class Lab(Room):
    """Answers what clients of all systems send."""

    binary = True
    maxClients = 2

    def onCreate(self, options: Any) -> None:
        self.hooks: list[str] = []

    def canJoin(self, options: Any, user: Any) -> bool:
        return bool(options.get("mode") != "refused")

    def onJoin(self, client: Client, options: Any) -> None:
        if options.get("mode") == "failed":
            raise RoomError("notNow", "come back later")
        client.data["options"] = dict(options)

    def onDrop(self, client: Client) -> None:
        self.hooks.append("drop")

    def onResume(self, client: Client, recovered: bool) -> None:
        self.hooks.append(f"resume {recovered}")

    @message("options")
    def tellOptions(self, client: Client) -> None:
        client.send("options", client.data["options"])

    @message("id")
    def tellId(self, client: Client) -> None:
        client.send("id", client.id)

    @message("hooks")
    def tellHooks(self, client: Client) -> None:
        client.send("hooks", self.hooks)

    @message("echo")
    def echo(self, client: Client, data: Any) -> None:
        client.send("echoed", data)

    @message("7")
    def numbered(self, client: Client, data: Any) -> None:
        self.broadcast("7", data)

    @message("raw")
    def raw(self, client: Client, data: bytes) -> None:
        client.send("raw", data)

    @message("add")
    def add(self, client: Client, data: Sum) -> int:
        return data.a + data.b

    @message("refuse")
    def refuse(self, client: Client, data: Any) -> None:
        raise RoomError("forbidden", str(data))

    @message("raise")
    def fail(self, client: Client, data: Any) -> None:
        raise RoomError("internal", "it failed")

    @message("kick")
    def kicked(self, client: Client) -> None:
        client.kick("go")

    @message("close")
    def closes(self, client: Client) -> None:
        self.disconnect()


class Closed(Room):
    """Lets only those in who know the secret."""

    def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
        given = (options.get("auth"), handshake.headers.get("authorization"))
        return {"name": "ada"} if given == ("secret", "Bearer secret") else False

    @message("who")
    def who(self, client: Client) -> None:
        client.send("who", client.user)


class Place(State):
    x: Float32 = 0.0
    y: Float32 = 0.0


class Being(State):
    name: str = ""
    place: Place


class Monster(Being):
    rage: Uint8 = 0


class Card(State):
    face: str = ""


class Game(State):
    round: int = 0
    title: str | None = None
    isOver: bool = False
    players: Map[Being]
    monsters: Map[Monster]
    scores: List[int]
    cards: Map[Card] = private()


class Arena(Room):
    """A room with a state, whose steps the clients of a test choose."""

    state: Game
    patchRate = 50.0

    def onJoin(self, client: Client, options: Any) -> None:
        self.state.players[client.id] = Being(name=options["name"])

    def onLeave(self, client: Client, reason: LeaveReason) -> None:
        del self.state.players[client.id]

    @message("do")
    def do(self, client: Client, what: str) -> None:
        getattr(self, f"step_{what}")(client)

    def step_primitives(self, client: Client) -> None:
        self.state.round, self.state.title, self.state.isOver = 70_000, "hi", True

    def step_list(self, client: Client) -> None:
        self.state.scores.extend([1, 2, 3])
        del self.state.scores[0]

    def step_nested(self, client: Client) -> None:
        self.state.players[client.id].place.x = 1.5

    def step_inherited(self, client: Client) -> None:
        self.state.monsters["a"] = Monster(name="orc", rage=7)

    def step_unset(self, client: Client) -> None:
        self.state.title = None
        del self.state.monsters["a"]

    def step_show(self, client: Client) -> None:
        self.state.cards["ace"] = Card(face="spades")
        client.view.add(self.state.cards["ace"])

    def step_secret(self, client: Client) -> None:
        self.state.cards["ace"].face = "hearts"

    def step_hide(self, client: Client) -> None:
        client.view.remove(self.state.cards["ace"])

    def step_away(self, client: Client) -> None:
        self.state.round = 5
        self.state.scores.clear()

    def step_fill(self, client: Client) -> None:
        self.state.title = "full"
        self.state.scores.extend([1, 2, 3])
        for name in "abc":
            self.state.monsters[name] = Monster(name=name)

    def step_empty(self, client: Client) -> None:
        self.state.title = None
        del self.state.scores[1:]
        del self.state.monsters["a"]
        del self.state.monsters["b"]
        self.state.monsters["d"] = Monster(name="d")

    def step_move(self, client: Client) -> None:
        """Let the room go on at another owner, without what has not been saved."""
        reactor().callLater(0, restart, self)

    def step_last(self, client: Client) -> None:
        self.state.players[client.id].place.y = -0.5


def makeServer(**options: Any) -> Server:
    server = Server()
    server.register("lab", Lab).filterBy("mode")
    server.register("closed", Closed)
    server.register("arena", Arena)
    server.register("ring", Ring)
    server.addColyseus(**options)
    return server


#: What every client sees.
SEEN = {
    "rooms": [True, False, True],
    "name": "lab",
    "options": {"name": "ada", "mode": "duel"},
    "isMember": True,
    "noName": [520, "no rooms are registered as 'none'"],
    "noMatch": [521, "no room 'lab' that matches is open"],
    "noRoom": [522, "there is no room of that id"],
    "refused": [525, "forbidden"],
    "failed": [526, "come back later"],
    "full": [522, "full"],
    "nothing": True,
    "plain": [1, -1, 64, 127, 300, 2**40, -(2**35), 1.5, "ü", True, None],
    "records": [{"x": 1, "y": 2}, {"x": 3, "y": 4}, {"z": {"x": 5, "y": 6}}, {}],
    "date": 1_700_000_000_123,
    "many": True,
    "numbered": "seven",
    "bytes": [0, 1, 255],
    "unknown": [4217, "no messages of type 'unknown' here"],
    "raised": [523, "it failed"],
    "leave": 4000,
    "back": [True, True],
    "hooks": ["drop", "resume False"],
    "goneToken": [524, "the reconnection token is invalid or has expired"],
    "consented": 4000,
    "lateToken": [524, "the reconnection token is invalid or has expired"],
    "kicked": 4000,
    "closed": 4000,
    "misused": 4002,
    "stranger": [525, "unauthorized"],
    "who": {"name": "ada"},
}
#: What the newer clients see besides.
AUTOMATIC = {"queued": "queued"}
REQUESTS = {
    "sum": 42,
    "rejected": ["rejected", "why"],
    "faulty": ["internal", 523],
    "invalid": ["invalidData", 4217],
    "latency": True,
}


@pytest.mark.parametrize(
    ("package", "more"),
    [
        ("@colyseus/sdk", {**AUTOMATIC, **REQUESTS}),
        ("colyseus-sdk-0.17", AUTOMATIC),
        ("colyseus.js", {}),
    ],
)
async def test_tour(net: Net, package: str, more: dict[str, Any]) -> None:
    """Joining, messages, requests, coming back, leaving, and errors."""
    requiresPackage(package)
    server = await net.start(makeServer())
    seen = await run("colyseus.mjs", package, f"http://127.0.0.1:{portOf(server)}")
    assert seen == {**SEEN, **more}


@pytest.mark.parametrize("package", ["@colyseus/sdk", "colyseus-sdk-0.17", "colyseus.js"])
async def test_state(net: Net, package: str) -> None:
    """The state, in each step, with what one of the clients alone may see."""
    requiresPackage(package)
    server = await net.start(makeServer())
    seen = await run("colyseus_state.mjs", package, f"http://127.0.0.1:{portOf(server)}")
    assert seen.pop("own") == ["ada", "bob"]
    assert seen.pop("events") == ["+ada", 0, "+bob", 70_000, 5]
    assert seen.pop("late") == ["-bob"]
    state: dict[str, Any] = {"round": 0, "isOver": False, "monsters": {}, "scores": [], "cards": {}}
    state["players"] = {"ada": [0, 0], "bob": [0, 0]}
    assert seen.pop("joined") == [state, state]
    for step, changes in (
        ("primitives", {"round": 70_000, "title": "hi", "isOver": True}),
        ("list", {"scores": [2, 3]}),
        ("nested", {"players": {"ada": [1.5, 0], "bob": [0, 0]}}),
        ("inherited", {"monsters": {"a": {"name": "orc", "place": {"x": 0, "y": 0}, "rage": 7}}}),
    ):
        state |= changes
        assert seen.pop(step) == [state, state], step
    del state["title"]
    state["monsters"] = {}
    assert seen.pop("unset") == [state, state]
    for step, cards in (
        ("show", {"ace": {"face": "spades"}}),
        ("secret", {"ace": {"face": "hearts"}}),
        ("hide", {}),
    ):
        assert seen.pop(step) == [{**state, "cards": cards}], step
    state |= {"round": 5, "scores": []}
    assert [seen.pop("away"), seen.pop("back")] == [[state], [state]]
    if package != "colyseus.js":  # clients of 0.16 don't come back by themselves
        beings = {name: {"name": name, "place": {"x": 0, "y": 0}, "rage": 0} for name in "abcd"}
        state |= {"title": "full", "scores": [1, 2, 3]}
        state["monsters"] = {name: beings[name] for name in "abc"}
        assert seen.pop("fill") == [state, state]
        del state["title"]
        state |= {"scores": [1], "monsters": {name: beings[name] for name in "cd"}}
        assert [seen.pop("empty"), seen.pop("automatic")] == [[state], [state]]
        assert seen.pop("again") == []
        assert seen.pop("moved") == [state, state]
        # The next owner of the room shows all players anew, in any order, once.
        assert sorted(seen.pop("anew")) == ["+ada", "+bob", "-ada", "-bob"]
        assert seen.pop("notAnew") == []
    state["players"] = {"ada": [1.5, -0.5], "bob": [0, 0]}
    assert seen == {"last": [state, state]}


class Fighter(State):
    hp: int = 7
    x: int = 100


class Fight(State):
    fighters: Map[Fighter]


class LaterFighter(State):
    armour: int = 1
    hp: int = 7
    x: int = 100


class LaterFight(State):
    fighters: Map[LaterFighter]


class Ring(Room):
    """A room whose state gets another class when it gets its next owner."""

    state: Fight

    def onJoin(self, client: Client, options: Any) -> None:
        self.state.fighters["ada"] = Fighter(hp=70, x=5)

    @message("change")
    def change(self, client: Client) -> None:
        registration: Any = self.application.registrations["ring"]
        registration.stateClass = LaterFight
        reactor().callLater(0, restart, self)


@pytest.mark.parametrize("package", ["@colyseus/sdk", "colyseus-sdk-0.17", "colyseus.js"])
async def test_changed(net: Net, package: str) -> None:
    """
    If the classes of the state have changed, a client that comes back by itself is told that it has left,
    since it would read the state wrongly. With its token the application gets the state as it is.
    """
    requiresPackage(package)
    server = await net.start(makeServer())
    seen = await run("colyseus_changed.mjs", package, f"http://127.0.0.1:{portOf(server)}")
    if package == "colyseus.js":  # clients of 0.16 don't come back by themselves
        assert (seen.pop("left"), seen.pop("told")) == ([4010, ""], [])
    else:
        assert seen.pop("left") == [4003, "stateChanged"]
        assert seen.pop("told") == [[526, "the state of the room has other classes than before"]]
    before = {"hp": 70, "x": 5}
    assert seen == {"before": before, "kept": before, "after": {"armour": 1, **before}, "isMember": True}


async def test_browser(net: Net) -> None:
    """In a page of another origin, which the server allows; it doesn't allow pages of all origins."""
    chromium = requires("chromium")
    site = Server()
    site.addPage("/", Data(b"<!doctype html><title>game</title>", "text/html"))
    for name, package in (("new.js", "@colyseus/sdk"), ("old.js", "colyseus.js")):
        script = requiresPackage(package) / "dist" / "colyseus.js"
        site.addPage(f"/{name}", Data(script.read_bytes(), "text/javascript"))
    await net.start(site)
    origin = f"http://localhost:{portOf(site)}"
    server = await net.start(makeServer(allowedOrigins=origin))
    strict = await net.start(makeServer())
    urls = [f"http://127.0.0.1:{portOf(each)}" for each in (server, strict)]
    seen = await run("colyseus_browser.mjs", chromium, f"{origin}/", *urls)
    told = [525, {"name": "ada"}, 4000]
    assert seen == {"new.js": told, "old.js": told, "stranger": "TypeError"}


@pytest.mark.parametrize("package", ["@colyseus/sdk", "colyseus-sdk-0.17", "colyseus.js"])
async def test_documented(net: Net, package: str, tmp_path: Path) -> None:
    """
    The game of the page about Colyseus's clients: its client, with each generation of them, and its server.

    The server for Colyseus itself is only parsed.
    """
    requiresPackage(package)
    folder = ROOT / "docs" / "examples" / "tictactoe"
    check = partial(subprocess.run, [requiresNode(), "--check", folder / "server.mjs"], check=True)
    await deferToThread(check)
    text = (folder / "client.mjs").read_text()
    assert '"@colyseus/sdk"' in text
    client = tmp_path / "client.mjs"
    client.write_text(text.replace('"@colyseus/sdk"', f'"{package}"'))
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    spec = spec_from_file_location("tictactoe", folder / "tictactoe.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        server = await net.start(module.makeServer())
        seen = await run("colyseus_game.mjs", f"http://127.0.0.1:{portOf(server)}", str(client))
    finally:
        del sys.modules[spec.name]
    assert seen == {"turns": [2, 3]}
