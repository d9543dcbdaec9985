"""The JavaScript client in Node, with a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import Data, File

from tests.functional.rooms import Ledger, Parlour, makeServer
from tests.functional.slowlink import SlowLink
from tests.functional.support import LOCAL, ROOT, Net, reactor
from tests.requires import CLIENTS, requires, requiresNode, requiresPackage
from txroom import Accept, Client, Deny, RoomApplication, Server, ServerOptions, message


async def play(server: Server | SlowLink, scenario: str) -> dict[str, Any]:
    """The result of a scenario of the script."""
    return await run("txroom_client.mjs", scenario, f"ws://127.0.0.1:{portOf(server)}/rooms")


def portOf(server: Server | SlowLink) -> int:
    """The port that a server listens on."""
    port: int = server.address().port
    return port


async def run(script: str, *arguments: str) -> dict[str, Any]:
    """The JSON that a script prints; it must print no errors."""
    command = [requiresNode(), CLIENTS / script, *arguments]
    play = partial(subprocess.run, command, capture_output=True, text=True, timeout=200)
    done: subprocess.CompletedProcess[str] = await deferToThread(play)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result.pop("errors") == []
    return result


def test_unit() -> None:
    """The client's own tests with fake sockets and a fake clock pass."""
    files = sorted((ROOT / "tests" / "web").glob("*.test.mjs"))
    assert files
    done = subprocess.run([requiresNode(), "--test", *files], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


async def test_tour(net: Net) -> None:
    """Every kind of frame is sent in both directions."""
    server = await net.start(makeServer())
    seen = await play(server, "tour")
    assert seen.pop("welcome") == "ada"
    assert seen.pop("room") == ["parlour", "joined", True, True, {"said": 0}]
    said, offset = seen.pop("said")
    assert said["text"] == "schön & 🦦"
    assert offset == 2
    assert seen.pop("roll") == 6
    assert seen.pop("invalid") == ["invalidData", "sides"]
    assert seen.pop("unknown") == ["unknownType", "type"]
    assert seen.pop("raised") == ["internal", None]
    assert seen.pop("own") == ["notNow", "time"]
    assert seen.pop("refusal")[0] == "invalidData"
    assert seen.pop("asked") == 42
    assert seen.pop("askedBadly") == ["unknownType", None]
    assert seen.pop("whispered") == "psst"
    assert seen.pop("volatile") == [True, None]
    assert seen.pop("came") == [["ada", "bob"], ["bob"], []]
    assert seen.pop("members") == [["ada", "bob"], ["ada", "bob"]]
    assert seen.pop("history") == ["schön & 🦦"]
    assert seen.pop("mood") == [None, "fine"]
    listing = {"name": "parlour", "clients": 2, "maxClients": 0, "locked": False, "metadata": {}}
    assert seen.pop("rooms") == [listing]
    assert seen.pop("again") == [True, True]
    assert seen.pop("second") == [True, 2]
    assert seen.pop("latency") is True
    assert seen.pop("left") == [["ada"], [], ["bob"]]
    assert seen.pop("noSuchRoom") == ["noSuchRoom", None]
    assert seen.pop("noneYet") == ["noSuchRoom", None]
    assert seen.pop("unregistered") == ["noSuchRoom", None]
    assert seen.pop("stranger") == ["unauthorized", None]
    assert seen.pop("kicked") == {"code": 4003, "reason": "enough"}
    assert seen.pop("afterwards") == ["open", "ledger", 0]  # over the same socket
    assert not seen
    assert len(net.flush(ZeroDivisionError)) == 1


async def test_cuts(net: Net) -> None:
    """While TCP connections are cut all the time, no message is lost or doubled in either direction."""
    ledgers: list[Ledger] = []
    server = await net.start(makeServer(ledgers=ledgers))
    result = await play(server, "cuts")
    (ledger,) = ledgers
    people, messages = 6, 120
    for who in range(people):
        assert [i for by, i in ledger.handled if by == who] == list(range(1, messages + 1))
    expected = [[offset, *entry] for offset, entry in enumerate(ledger.handled, 1)]
    assert len(expected) == people * messages
    for seen in result["seen"]:
        assert seen == expected
    assert sorted(result["answers"]) == [
        [who, i, i * 2] for who in range(people) for i in range(3, messages + 1, 3)
    ]
    assert result["cuts"] > 30
    assert result["counts"]["recovered"] > 0
    assert result["counts"]["lost"] == 0
    assert result["counts"]["left"] == people


async def test_forgotten(net: Net) -> None:
    """A client that was away for too long joins again and is told so; its queued messages are sent."""
    server = await net.start(makeServer())
    assert await play(server, "forgotten") == {
        "snapshot": {"said": 2},
        "unconfirmed": [],
        "isAnother": True,
        "said": "for later",
    }


async def test_reload(net: Net) -> None:
    """A reloaded page is the same member, and a token can be used once."""
    server = await net.start(makeServer())
    assert await play(server, "reload") == {
        "isSame": True,
        "snapshot": {"said": 2},
        "said": ["one", "two", "three"],
        "members": 2,
        "used": ["unauthorized", None],
    }


async def test_restart(net: Net) -> None:
    """When the server stops, the client waits as long as it was asked to, and joins the next server."""

    class Restarting(Parlour):
        @message("restart")
        def restart(self, client: Client) -> None:
            reactor().callLater(0.1, Deferred.fromCoroutine, restart())

    async def restart() -> None:
        where = LOCAL.replace("tcp:0", f"tcp:{portOf(server)}")
        await server.stopService()
        await net.start(makeServer(), where)

    server = await net.start(makeServer(Restarting))
    result = await play(server, "restart")
    assert result == {
        "byes": [{"code": 4100, "retryAfter": 1}],
        "code": 4100,
        "waited": True,
        "isAnother": True,
        "roll": 2,
    }


async def test_browser(net: Net) -> None:
    """
    In Chromium: the page's WebSocket, a lost connection, rooms that have moved, the browser offline and
    online again, and a reload.
    """
    chromium = requires("chromium")
    server = makeServer()
    server.addPage("/", Data(b"<!doctype html><link rel=icon href=data:,>", "text/html"))
    server.addClientScript()
    await net.start(server)
    where = f"127.0.0.1:{portOf(server)}"
    seen = await run("txroom_browser.mjs", chromium, f"http://{where}/")
    assert seen["first"] == {"roll": 6, "latency": True, "url": f"ws://{where}/rooms"}
    assert seen["cut"] == ["reconnecting", "recovered"]
    kept, lost = seen["moved"]
    said = ["a", "b", "c", "d", "two"]
    assert kept == {"roll": 6, "events": ["reconnecting", "recovered"], "said": said, "state": "open"}
    # Of what was said before, it is shown the last.
    assert (lost["roll"], lost["events"], lost["state"]) == (6, ["reconnecting", "lost"], "open")
    assert seen["sameSocket"]
    assert seen["offline"] == {"said": ["one", "two", "three"], "lost": False}
    assert seen["reloaded"] == {"isSame": True, "members": 1, "snapshot": {"said": 13}, "roll": 4}
    assert seen["last"] == "closed"


class Notify(Resource):
    """GET ?n=1 notifies the user "ada" of 1."""

    isLeaf = True

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def render_GET(self, request: Request) -> int:
        notified = self._server.notify("ada", "number", int(request.args[b"n"][0]))
        notified.addCallback(lambda result: request.finish())
        return NOT_DONE_YET


async def test_notifications(net: Net) -> None:
    """
    In Chromium: a user gets each notification once in each page and after a reload, also when she was away
    or offline, and on each of her devices. A page without a listener stores nothing and takes nothing.
    """
    chromium = requires("chromium")
    server = makeServer()
    server.rooms.verifyClient = lambda handshake: Accept(user=handshake.query.get("user"))
    server.addPage("/", Data(b"<!doctype html><link rel=icon href=data:,>", "text/html"))
    server.addPage("/notify", Notify(server))
    server.addClientScript()
    await net.start(server)
    seen = await run("notify_browser.mjs", chromium, f"http://127.0.0.1:{portOf(server)}/")
    assert re.fullmatch(r"[\w-]{22}", seen.pop("device"))
    assert seen == {
        "storedBefore": 0,
        "first": [1, 2, 3],
        "second": [[1, 2, 3, 4], [4]],
        "reloaded": [[5], [4, 5]],
        "offline": [[5, 6, 7], [4, 5, 6, 7]],
        "phone": [[5, 6, 7, 8], [8]],
        "back": [[9, 10], [11], [9, 10, 11]],
    }


async def test_slowLink(net: Net) -> None:
    """
    A join, an upload and a download take longer than the heartbeat's timeout, over 25 kB per second.

    If the client sees the number of received bytes it keeps the connection. In browsers it does not, so a
    large message may cost a connection, but still arrives.
    """

    class Attic(Parlour):
        def snapshot(self, client: Client) -> str:
            return "x" * 80_000

        @message("store")
        def store(self, client: Client, text: str) -> int:
            return len(text)

        @message("fetch")
        def fetch(self, client: Client, size: int) -> None:
            client.send("fetched", "x" * size)

    server = makeServer()
    server.register("attic", Attic)
    await net.start(server)
    link = await SlowLink.to(portOf(server))
    try:
        seen = await play(link, "slow")
    finally:
        await link.close()
    whole = {"joined": [80_000, 0], "uploaded": [80_000, 0], "downloaded": [80_000, 0], "last": 5}
    assert seen["withBytes"] == whole
    size, cuts = seen["asInBrowsers"].pop("downloaded")
    assert (size, cuts <= 3) == (80_000, True)
    del whole["downloaded"]
    assert seen["asInBrowsers"] == whole


async def test_backToTheLobby(net: Net) -> None:
    """
    A join in a listener of `left` succeeds, and messages on their way to the former room cause no error.
    """
    server = await net.start(makeServer())
    assert (await play(server, "lobby"))["seen"] == [4003, "empty", 6] * 3


async def test_nowhere(net: Net) -> None:
    """A wrong path and a wrong port fail at once, with the server's text or with the URL and the cause."""
    hint = "Is the server running, and are the host, the port and the path right?"
    refused = f"no connection to URL (connect ECONNREFUSED ADDRESS). {hint}"
    for options, said in (
        (ServerOptions(), "no rooms are served at this path"),
        (
            ServerOptions(refusals="http"),
            f"no connection to URL (Unexpected server response: 404). {hint}",
        ),
    ):
        server = Server(options)
        server.register("parlour", Parlour)
        await net.start(server)
        assert await play(server, "nowhere") == {
            "path": ["noSuchRoom", said],
            "port": ["unavailable", refused],
        }


async def test_refused(net: Net) -> None:
    """What `verifyClient` answers reaches a page in a browser, which could not see an HTTP response."""
    chromium = requires("chromium")
    server = Server()
    rooms = RoomApplication(verifyClient=lambda handshake: Deny(403, "members only"))
    rooms.register("parlour", Parlour)
    server.addApplication(rooms, path="/rooms")
    server.addPage("/", Data(b"<!doctype html><link rel=icon href=data:,>", "text/html"))
    server.addClientScript()
    await net.start(server)
    seen = await run("refused.mjs", chromium, f"http://127.0.0.1:{portOf(server)}/")
    assert seen == {
        "refused": ["forbidden", "members only"],
        "sockets": 1,
        "dead": ["unavailable", True],
    }


async def test_halves(net: Net) -> None:
    """Half a surrogate pair, in options, an answer and a message, is replaced and harms nothing else."""
    server = await net.start(makeServer())
    assert await play(server, "halves") == {
        "asked": "\ufffd",
        "text": "hello \ufffd",
        "name": "ada\ufffd",
    }


async def test_react(net: Net, tmp_path: Path) -> None:
    """
    A strict TypeScript project with React and Vite uses the package as npm packs it.

    In StrictMode, which joins, leaves and joins again, there is one member, with the history of the room.
    """
    chromium = requires("chromium")
    pages = await deferToThread(buildReact, tmp_path)
    server = makeServer()
    server.addPage("/", File(os.fspath(pages)))
    await net.start(server)
    seen = await run("react.mjs", chromium, f"http://127.0.0.1:{portOf(server)}/")
    assert seen == {"said": [["one", "two"]] * 2, "members": [["ada", "bob"]] * 2}


def buildReact(folder: Path) -> Path:
    """Pack the package, and check and build the project with it; return the folder of its pages."""
    node, npm = requiresNode(), requires("npm")
    for name in ("typescript", "vite", "react"):
        requiresPackage(name)
    project, modules = folder / "project", folder / "project" / "node_modules"
    shutil.copytree(CLIENTS / "react", project)
    modules.mkdir()
    for each in (CLIENTS / "node_modules").iterdir():
        (modules / each.name).symlink_to(each)

    def command(*arguments: str | Path) -> None:
        # Only a development build runs effects twice.
        environment = {**os.environ, "NODE_ENV": "development"}
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=200, cwd=project, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr

    command(npm, "pack", "--silent", "--pack-destination", folder, ROOT / "txroom" / "web")
    (packed,) = folder.glob("txroom-*.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    (folder / "package").rename(modules / "txroom")
    command(node, modules / "typescript" / "bin" / "tsc", "-p", ".")
    vite = modules / "vite" / "bin" / "vite.js"
    command(node, vite, "build", "--mode", "development", "--logLevel", "warn")
    return project / "dist"


async def test_movement(net: Net) -> None:
    """The programs of the page "Smooth movement": a player runs, and another one hits it where it sees it."""
    spec = spec_from_file_location("arena_example", ROOT / "docs" / "examples" / "movement" / "arena.py")
    assert spec is not None and spec.loader is not None
    arena = module_from_spec(spec)
    spec.loader.exec_module(arena)
    vars(arena)["randint"] = lambda low, high: low  # all start on the left, so that one can run to the right
    server = await net.start(arena.makeServer())
    seen = await run("movement.mjs", f"ws://127.0.0.1:{portOf(server)}/rooms")
    predicted, served = seen["places"]
    assert (seen["isAhead"], seen["hits"], predicted) == (True, True, served)
