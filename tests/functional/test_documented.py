"""Programs of the documentation as processes of their own, as their readers start them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.functional.launched import BIN, PATIENCE, Launched, freePort, launched, until
from tests.functional.redisserver import RedisServer
from tests.functional.support import ROOT, environment
from tests.requires import requires, requiresModule, requiresNode, requiresPackage

EXAMPLES = ROOT / "docs" / "examples"
TWISTD = ("twistd", "-n")


@contextmanager
def running(*command: str, cwd: Path, out: Path, **variables: str) -> Iterator[Launched]:
    """Another program beside a server; it is killed when the block ends."""
    with out.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Launched(process, out, out, 0)
    finally:
        process.kill()
        process.wait()


def copied(name: str, where: Path) -> Path:
    """A copy of a folder of examples, for what programs write beside them."""
    return Path(shutil.copytree(EXAMPLES / name, where / name, ignore=shutil.ignore_patterns("__pycache__")))


def python(*arguments: str, cwd: Path, **variables: str) -> str:
    """What a Python program prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ASK = """
import sys
from blocking import BlockingDesk
from txroom.client import RoomError

desk = BlockingDesk(sys.argv[1])
heard = []
desk.room.on("announced", lambda text, offset: print("announced:", text, flush=True))
try:
    print(desk.ask("When do you open?"))
    desk.announce("free beer")
except RoomError as error:
    print(error.code)
desk.close()
"""


def test_backend(tmp_path: Path) -> None:
    """A service, "agent.tac", answers a program that blocks, "blocking"; a script, "announce", announces."""
    folder = copied("backend", tmp_path)
    with launched(TWISTD, "--app", "desk:makeServer", cwd=folder) as server:
        server.ready()
        url = f"ws://127.0.0.1:{server.port}/rooms"
        agent = (str(BIN / "twistd"), "-n", "--pidfile=", "-y", "agent.tac")
        with running(*agent, cwd=folder, out=tmp_path / "agent", DESK=url, PYTHONPATH=".") as service:

            def answered() -> bool:
                return python("-c", ASK, url, cwd=folder).splitlines() == ["at nine", "forbidden"]

            until(answered, "the agent did not answer")
            assert python("announce.py", url, "We close at five.", cwd=folder) == ""
            assert "given up" not in service.output, service.output


def test_node(tmp_path: Path) -> None:
    """A node of a cluster, "node.tac", serves rooms. It ends if Redis refuses it."""
    port, folder = freePort(), copied("cluster", tmp_path)
    command = (str(BIN / "twistd"), "-n", "--pidfile=", "-y", "node.tac")
    with TemporaryDirectory(prefix="txroom-") as name, RedisServer(Path(name)) as redis:
        variables = {"REDIS_URL": redis.url, "PORT": str(port)}
        with running(*command, cwd=folder, out=tmp_path / "node", **variables) as node:
            node.port = port
            assert asked("GET", port, "/healthz") == (200, {"status": "ok"})
            with node.connect("/rooms/chat") as client:
                assert json.loads(client.recv())[0] == "joined"
            node.signal(signal.SIGTERM)
            node.wait()
            assert "this server is node 1." in node.output
            assert "Traceback" not in node.output
        redis.run("ACL", "SETUSER", "default", "resetpass", ">secret")
        with running(*command, cwd=folder, out=tmp_path / "refused", **variables) as node:
            node.wait()
            assert "the server can't run: NOAUTH" in node.output, node.output


def asked(method: str, port: int, path: str, body: Any = None) -> tuple[int, Any]:
    """The status and the JSON of the response to a request, once the server listens."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(
        f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"}, method=method
    )

    def answer() -> tuple[int, Any] | None:
        try:
            with urlopen(request, timeout=PATIENCE) as response:
                return response.status, json.loads(response.read())
        except HTTPError as error:
            return error.code, json.loads(error.read())
        except URLError:
            return None

    answered: tuple[int, Any] = until(answer, f"nobody listens on {port}")
    return answered


def test_fastapi(tmp_path: Path) -> None:
    """
    FastAPI in the process of the rooms, "market" with "uvicorn_service", and in one of its own, "gateway.tac"
    with "gateway"; both stop when they are told to.
    """
    for module in ("fastapi", "uvicorn"):
        requiresModule(module)
    folder = copied("fastapi_app", tmp_path)
    api, beside = freePort(), freePort()
    asyncio = (str(BIN / "twistd"), "--reactor=asyncio", "-n", "--pidfile=")
    launcher = (requires("env"), f"API_PORT={api}", *asyncio)
    with launched(launcher, "--app", "market:makeServer", cwd=folder) as server:
        server.ready()
        assert asked("PUT", api, "/prices", {"good": "tea", "price": 4.0}) == (200, {"rooms": 0})
        status, opened = asked("POST", api, "/markets?visitor=ann")
        assert (status, set(opened)) == (201, {"room", "seat"})
        with server.connect("/rooms/market") as client:
            room = json.loads(client.recv())[2]
            client.send(json.dumps(["call", 1, room, "price", "tea"]))
            assert json.loads(client.recv()) == ["reply", 1, 4.0]
            assert asked("PUT", api, "/prices", {"good": "tea", "price": 5.0}) == (200, {"rooms": 1})
            assert json.loads(client.recv())[3:] == ["price", {"good": "tea", "price": 5.0}]

            rooms = f"ws://127.0.0.1:{server.port}/rooms"
            log = tmp_path / "gateway"
            variables = {"ROOMS": rooms, "GATEWAY_PORT": str(beside), "PYTHONPATH": "."}
            with running(*asyncio, "-y", "gateway.tac", cwd=folder, out=log, **variables) as gateway:
                assert asked("POST", beside, "/purchases?good=tea") == (201, {"good": "tea", "price": 5.0})
                assert json.loads(client.recv())[3:] == ["sold", {"good": "tea", "price": 5.0}]
                assert asked("POST", beside, "/purchases?good=gold") == (404, {"detail": "unknown"})
                gateway.signal(signal.SIGTERM)
                gateway.wait()
                assert "Application shutdown complete." in gateway.output
                assert "Traceback" not in gateway.output
        server.signal(signal.SIGTERM)
        server.wait()
        assert "Application shutdown complete." in server.errors
        assert "Traceback" not in server.output + server.errors


def test_django(tmp_path: Path) -> None:
    """
    A Django site beside rooms, "server" with "site_settings", "site_urls" and "newsroom"; its views tell and
    ask the rooms, and a room asks the site's database.
    """
    requiresModule("django")
    with launched(TWISTD, "--app", "server:makeServer", cwd=copied("django_site", tmp_path)) as server:
        server.ready()
        with server.connect("/rooms/news") as client:
            room = json.loads(client.recv())[2]
            assert form(server.port, "/publish", title="Rain") == (200, {"published": True})
            assert json.loads(client.recv())[3:] == ["published", "Rain"]
            assert asked("GET", server.port, "/readers") == (200, {"readers": 1})
            client.send(json.dumps(["call", 1, room, "archive", "rain"]))
            assert json.loads(client.recv()) == ["reply", 1, ["all about rain"]]
            request = Request(f"http://127.0.0.1:{server.port}/login", b"user=ann")
            with urlopen(request, timeout=PATIENCE) as response:
                cookie = response.headers["Set-Cookie"].partition(";")[0]
            with server.connect("/rooms/news", additional_headers={"Cookie": cookie}) as ann:
                room = json.loads(ann.recv())[2]
                ann.send(json.dumps(["call", 1, room, "whoami", None]))
                assert json.loads(ann.recv()) == ["reply", 1, "ann"]
            status, invitation = form(server.port, "/invite", reader="ann")
            assert (status, set(invitation)) == (201, {"room", "seat"})
        server.signal(signal.SIGTERM)
        server.wait()
        assert "Traceback" not in server.output + server.errors


def form(port: int, path: str, **fields: str) -> tuple[int, Any]:
    """The status and the JSON of the answer to a form."""
    request = Request(f"http://127.0.0.1:{port}{path}", urlencode(fields).encode(), method="POST")
    with urlopen(request, timeout=PATIENCE) as response:
        return response.status, json.loads(response.read())


PLAY = """
import WebSocket from "ws";
import { play } from "./txroom_client.mjs";

globalThis.WebSocket ??= WebSocket;
const seen = new Set();
const note = (one) => seen.add(JSON.stringify(one));
const view = {
  draw: (id, { name, x, y, connected }) => note([name, x, y, connected]),
  erase: () => note("erased"),
  show: note,
};
const silent = { draw() {}, erase() {}, show() {} };
async function until(what) {
  for (let tries = 0; tries < 500 && !seen.has(JSON.stringify(what)); tries++)
    await new Promise((resolve) => setTimeout(resolve, 20));
}

const url = process.argv[2];
const ann = await play(url, "t-1", view);
const bob = await play(url, "t-2", silent);
bob.send("move", { x: 300, y: 4 });
await bob.send("say", "hello");
await until(["bob", 100, 4, true]);
bob.client.reconnect(0.1);
await until(["bob", 100, 4, false]);
await bob.call("say", "back");
await bob.leave();
await until("erased");
console.log(JSON.stringify({ together: ann.id === bob.id, seen: [...seen].map((each) => JSON.parse(each)) }));
process.exit(0);
"""


def test_colyseus(tmp_path: Path) -> None:
    """
    The room of the page about Colyseus, "arena", and its client, "txroom_client.mjs". The same for Colyseus
    itself, "arena.mjs" and "colyseus_client.mjs", are only parsed: they were run by hand with 0.16.26.
    """
    node = requiresNode()
    folder = copied("colyseus", tmp_path)
    for name in ("arena.mjs", "colyseus_client.mjs"):
        subprocess.run([node, "--check", name], cwd=folder, check=True, timeout=PATIENCE)
    modules = folder / "node_modules"
    modules.mkdir()
    (modules / "txroom").symlink_to(ROOT / "txroom" / "web")
    (modules / "ws").symlink_to(requiresPackage("ws"))
    (folder / "play.mjs").write_text(PLAY)
    with launched(TWISTD, "--app", "arena:makeServer", cwd=folder) as server:
        server.ready()
        url = f"ws://127.0.0.1:{server.port}/rooms"
        done = subprocess.run(
            [node, "play.mjs", url], cwd=folder, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        printed = json.loads(done.stdout)
        assert printed["together"]
        wanted = ["bob: hello", ["bob", 100, 4, True], ["bob", 100, 4, False], "bob: back", "erased"]
        assert [each for each in wanted if each not in printed["seen"]] == []
