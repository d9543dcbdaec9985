"""
The documentation: the programs it shows are run, and the lists that must be complete are checked.

Sphinx runs the doctests of the pages (`make docs`). The tests here run whole programs and parse command
lines.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shlex
import sys
import unittest
from functools import partial
from io import StringIO
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, ClassVar
from unittest import SkipTest, mock

import attrs
import msgspec
from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.websocket.interfaces import IWebSocketChannel
from autobahn.websocket.protocol import WebSocketProtocol as AnyProtocol
from twisted.application.service import IServiceCollection
from twisted.internet.defer import maybeDeferred
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPFactory
from twisted.web.resource import Resource
from twisted.web.server import Site

import txroom
import txroom.client
import txroom.loadtest
import txroom.process
import txroom.testing
from tests.requires import requiresModule
from txroom import RoomError
from txroom.core.codes import CloseCode
from txroom.core.hooks import CONNECTION_HOOKS, UPGRADE_HOOKS
from txroom.core.options import ServerOptions
from txroom.demo import makeDemo, mole
from txroom.engine.redis import RedisEngine
from txroom.loadtest import LoadTest, Plan, figuresOf
from txroom.loadtest.metrics import LATENCIES
from txroom.loadtest.options import Options as LoadtestOptions
from txroom.process import monotonic, tap
from txroom.rooms.api.settings import RoomSettings
from txroom.rooms.registration import EVENTS
from txroom.server import Server
from txroom.testing import MemoryReactor, RoomHarness

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"

if not DOCS.is_dir():
    raise SkipTest("the documentation isn't here")


def text(name: str) -> str:
    """The source of a page."""
    return (DOCS / name).read_text()


class DocsTestCase(SynchronousTestCase):
    """Loads examples from their own directory, as their users would."""

    def load(self, name: str, directory: str = ".") -> Any:
        """Import a module of the examples anew."""
        self.patch(sys, "path", [str(EXAMPLES / directory), *sys.path])
        # Another module of the same name may have been imported before.
        before = sys.modules.pop(name, None)
        importlib.invalidate_caches()
        try:
            module: ModuleType = importlib.import_module(name)
        finally:
            sys.modules.pop(name, None)
            if before is not None:
                sys.modules[name] = before
        return module

    def harness(self, *args: Any, **kwargs: Any) -> RoomHarness:
        """A harness that is stopped, and checked, at the end."""
        harness = RoomHarness(*args, **kwargs)
        self.addCleanup(harness.stop)
        return harness

    def passes(self, *cases: type) -> None:
        """Run test cases that the documentation shows, which must pass."""
        report = StringIO()
        for case in cases:
            suite = unittest.TestLoader().loadTestsFromTestCase(case)
            result = unittest.TextTestRunner(report).run(suite)
            self.assertGreater(result.testsRun, 0)
            self.assertTrue(result.wasSuccessful(), report.getvalue())


class ReadmeTests(DocsTestCase):
    """The README."""

    def test_program(self) -> None:
        """Its application works as described, and its test passes."""
        blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        self.assertEqual(len(blocks), 2)
        chat, tests = ModuleType("chat"), ModuleType("test_chat")
        with mock.patch.dict(sys.modules, chat=chat):
            for block, module in zip(blocks, (chat, tests), strict=True):
                exec(compile(block, "README.md", "exec"), vars(module))
        self.passes(tests.ChatTests)
        self.assertLessEqual(len(blocks[0].splitlines()), 24)

        harness = self.harness(chat.makeServer)
        alice = harness.client().join("chat", name="alice")
        for number in range(25):
            alice.send("say", str(number))
        bob = harness.client().join("chat", name="bob")
        self.assertEqual([data["text"] for _, data in bob.messages], [str(n) for n in range(5, 25)])
        self.assertEqual([member.metas[0]["name"] for member in bob.members], ["alice", "bob"])
        browser = harness.connect("/rooms/chat?name=carol")
        browser.send('["send",null,"say","hello"]')
        self.assertEqual(bob.messages[-1], ("said", {"name": "carol", "text": "hello"}))

    def test_links(self) -> None:
        """Its links lead to existing files."""
        for target in re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text()):
            self.assertTrue((ROOT / target.partition("#")[0]).exists(), target)

    def test_packageIndex(self) -> None:
        """For the package index its links become absolute, or plain text if there is no repository."""
        spec = importlib.util.spec_from_file_location("setup", ROOT / "setup.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        given = "![Demo](docs/demo.png) [Docs](docs/a.rst#b) [RFC](https://rfc.example/)"
        expected = (
            "![Demo](https://git.example/x/raw/main/docs/demo.png) "
            "[Docs](https://git.example/x/blob/main/docs/a.rst#b) [RFC](https://rfc.example/)"
        )
        self.assertEqual(module.longDescription(given, "https://git.example/x/"), expected)
        self.assertEqual(module.longDescription(given, None), " Docs [RFC](https://rfc.example/)")
        readme = module.longDescription((ROOT / "README.md").read_text(), None)
        self.assertNotIn("](docs/", readme)


class PageTests(DocsTestCase):
    """How pages are written."""

    def setUp(self) -> None:
        howtos = sorted(path.relative_to(DOCS) for path in (DOCS / "howto").glob("*.rst"))
        self.pages = [Path("first-room.rst"), Path("plain-websockets.rst"), *howtos]

    def test_listings(self) -> None:
        """The programs that pages show are equal to the files that they name."""
        self.patch(sys, "path", [str(ROOT / "scripts"), *sys.path])
        self.addCleanup(sys.modules.pop, "listings", None)
        listings = importlib.import_module("listings")
        for page in DOCS.rglob("*.rst"):
            source = page.read_text()
            self.assertTrue(source == listings.refreshed(source), f"{page}: run python scripts/listings.py")

    def test_testReports(self) -> None:
        """The reports of tests that the tutorials show name the tests of their listings."""
        for page, file in (
            ("first-room.rst", "room/test_room.py"),
            ("plain-websockets.rst", "chat/test_chat.py"),
        ):
            shown = re.findall(r"^       (test_\w+) \.\.\. ", text(page), re.MULTILINE)
            self.assertEqual(shown, sorted(re.findall(r"def (test_\w+)", text(f"examples/{file}"))))

    def test_links(self) -> None:
        """Links to pages lead to a page, and to a label that is on it."""
        for page in DOCS.rglob("*.rst"):
            for target, label in re.findall(r"<([\w./-]+\.rst)(?:#([\w-]+))?>`_", page.read_text()):
                linked = page.parent / target
                self.assertTrue(linked.is_file(), f"{page.name}: {target}")
                if label:
                    self.assertIn(f"\n.. _{label}:\n", linked.read_text(), f"{page.name}: {target}#{label}")

    def test_gitHost(self) -> None:
        """Tutorials and howtos contain nothing that only Sphinx can show."""
        for page in self.pages:
            shown = re.findall(r"^ *\.\. ([\w:-]+)::|(:(?:doc|ref):)", text(str(page)), re.MULTILINE)
            used = {name for names in shown for name in names if name}
            self.assertEqual(used - {"code-block", "list-table", "figure", "image", "note"}, set(), page)
            self.assertEqual(re.findall(r"`[^`<]+ <[\w.]+>`(?!_)", text(str(page))), [], page)


class ExampleTests(DocsTestCase):
    """The programs in docs/examples."""

    def test_allTested(self) -> None:
        """Every example is named in this file or in the tests of programs."""
        functional = ROOT / "tests" / "functional"
        names = (
            "test_documented.py",
            "test_admin.py",
            "test_colyseus.py",
            "test_monitoring.py",
            "test_rpc.py",
        )
        files = [Path(__file__), *(functional / name for name in names), ROOT / "tests/web/movement.test.mjs"]
        files.append(functional / "clients" / "movement.mjs")
        source = "".join(file.read_text() for file in files)
        for path in EXAMPLES.rglob("*"):
            if path.is_file() and path.name != "ruff.toml" and "__pycache__" not in path.parts:
                name = path.stem if path.suffix == ".py" else path.name
                self.assertRegex(source, rf'["/]{re.escape(name)}"')

    def test_tutorial(self) -> None:
        """The chat of the tutorial passes its tests, and has its page."""
        self.passes(self.load("test_chat", "chat").ChatTests)
        chat = self.load("chat", "chat")
        harness = self.harness(chat.makeServer)
        page = harness.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertIn((EXAMPLES / "chat" / "chat.html").read_bytes(), page.output)

    def test_tutorialBegins(self) -> None:
        """The first step of the tutorial works."""
        harness = self.harness(self.load("step1", "chat").Chat())
        alice, bob = harness.connect("/"), harness.connect("/")
        alice.send("hello")
        self.assertEqual([alice.received, bob.received], [["hello"], ["hello"]])

    def test_room(self) -> None:
        """The room of the other tutorial is the demo's; it passes its tests, and has its page."""
        with mock.patch.dict(sys.modules, chat=importlib.import_module("txroom.demo.chat")):
            server = self.load("server", "room")
            with mock.patch.dict(sys.modules, server=server):
                self.passes(self.load("test_room", "room").ChatRoomTests)
        harness = self.harness(server.makeServer)
        self.assertIn((EXAMPLES / "room" / "room.html").read_bytes(), get(harness, "/"))
        self.assertIn(b"Content-Type: text/javascript; charset=utf-8\r\n", get(harness, "/txroom.js"))

    def test_roomBegins(self) -> None:
        """The first step of that tutorial works as described."""
        harness = self.harness(self.load("step1", "room").makeServer)
        client, bob = harness.connect("/rooms/chat"), harness.client().join("chat")
        client.send('["send",null,"say","hello"]')
        self.assertEqual(bob.expect("said"), "hello")
        self.assertEqual(client.received[-1], json(["msg", bob.id, 1, "said", "hello"]))
        client.send('["send",null,"say",5]')
        client.send('["send",null,"dance",null]')
        errors = [msgspec.json.decode(frame)[3] for frame in client.received[-2:]]
        self.assertEqual(errors, ["invalidData", "unknownType"])

    def test_backend(self) -> None:
        """The service of the page about the Python client passes its tests."""
        desk, agent = self.load("desk", "backend"), self.load("agent", "backend")
        with mock.patch.dict(sys.modules, desk=desk, agent=agent):
            self.passes(self.load("test_agent", "backend").AgentTests)

    def test_cluster(self) -> None:
        """
        The configuration of Redis, "redis.conf", deletes no rooms. tests/functional/cluster uses all of it.
        """
        lines = (EXAMPLES / "cluster" / "redis.conf").read_text().splitlines()
        self.assertIn("maxmemory-policy noeviction", lines)

    def test_colyseus(self) -> None:
        """The room of the page about Colyseus passes its tests."""
        with mock.patch.dict(sys.modules, arena=self.load("arena", "colyseus")):
            self.passes(self.load("test_arena", "colyseus").ArenaTests)

    def test_tictactoe(self) -> None:
        """The game of the page about Colyseus's clients passes its tests."""
        with mock.patch.dict(sys.modules, tictactoe=self.load("tictactoe", "tictactoe")):
            self.passes(self.load("test_tictactoe", "tictactoe").TicTacToeTests)

    def test_movement(self) -> None:
        """The server of the page about smooth movement serves its page, and what this imports."""
        harness = self.harness(self.load("arena", "movement").makeServer)
        folder = EXAMPLES / "movement"
        self.assertIn((folder / "arena.html").read_bytes(), get(harness, "/"))
        for name in ("game.mjs", "interpolator.mjs", "predictor.mjs"):
            answer = get(harness, f"/{name}")
            self.assertIn(b"Content-Type: text/javascript", answer)
            self.assertIn((folder / name).read_bytes(), answer)
        self.assertIn(b" 200 OK\r\n", get(harness, "/txroom.js"))

    def test_pytest(self) -> None:
        """The tests for pytest pass, with a substitute for the fixture."""
        module = self.load("test_with_pytest")
        module.test_echo(self.harness)
        module.test_tooLong(self.harness)
        module.test_room(self.harness)

    def test_pages(self) -> None:
        """A page and a socket are served at the same path."""
        harness = self.harness(self.load("pages").makeServer)
        self.assertEchoes(harness, "/chat")
        self.assertIn(b"Use a WebSocket here.", get(harness, "/chat"))
        self.assertIn(b"<h1>Welcome</h1>", get(harness, "/"))

    def test_site(self) -> None:
        """A server runs under a Site, in a service with it."""
        module = self.load("mount_site")
        clock = MemoryReactor()
        service = module.makeService(clock)
        service.startService()
        # The harness is used only to connect; its own server is not needed.
        harness = self.harness(elsewhere, clock=clock)
        site = clock.ports[0].factory
        self.assertEchoes(harness, "/ws/chat", site)
        self.assertIn(b"<h1>Welcome</h1>", get(harness, "/", site))
        stopped = service.stopService()
        harness.advance(10.5)
        self.successResultOf(stopped)

    def test_klein(self) -> None:
        """A server runs in a Klein app."""
        try:
            module = self.load("mount_klein")
        except ModuleNotFoundError as error:
            raise SkipTest("klein isn't here") from error
        harness = self.harness()
        site = Site(module.makeRoot(harness.server), reactor=harness.clock)
        self.assertEchoes(harness, "/chat", site)
        self.assertIn(b"<h1>Welcome</h1>", get(harness, "/", site))

    def test_kleinRooms(self) -> None:
        """Views of Klein create, list and call rooms, in "klein_rooms"."""
        requiresModule("klein")
        harness = self.harness(self.load("klein_rooms").makeServer)

        def ask(method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
            head = f"{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            form = b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
            client = harness.raw(head.encode() + form + body)
            harness.flush()
            answer = client.output.partition(b"\r\n\r\n")[2]
            return int(client.output.split()[1]), msgspec.json.decode(answer)

        self.assertIn(b"<h1>Polls</h1>", get(harness, "/"))
        status, made = ask("POST", "/polls", b"question=Tea%3F")
        poll = f"/polls/{made['id']}"
        self.assertEqual(status, 201)
        chair, bob = (harness.client().joinById(made["id"]) for _ in range(2))
        listed = [{"id": made["id"], "members": 2, "question": "Tea?"}]
        self.assertEqual(ask("GET", "/polls"), (200, listed))
        chair.call("vote", "yes")
        self.assertEqual(self.assertRaises(RoomError, chair.call, "vote", "no").code, "voted")
        self.assertEqual(ask("GET", poll), (200, {"yes": 1}))
        self.assertEqual(ask("GET", "/polls/elsewhere")[0], 404)

        for answers, status in ((False, 409), (True, 200)):
            chair.handle("close?", partial(lambda answer, _: answer, answers))
            self.assertEqual(ask("POST", f"{poll}/close")[0], status)
        self.assertEqual(bob.closeCode, CloseCode.ROOM_CLOSED)
        self.assertEqual(ask("GET", "/polls"), (200, []))

    def test_wsgi(self) -> None:
        """A server runs beside a WSGI application, whose thread is this one."""

        class Threads(MemoryReactor):
            def callFromThread(self, function: Any, *args: Any) -> None:
                function(*args)

            def callInThread(self, function: Any, *args: Any) -> None:
                function(*args)

        module = self.load("mount_wsgi")
        clock = Threads()
        harness = self.harness(lambda clock: module.makeServer(clock, clock), clock=clock)
        self.assertEchoes(harness, "/chat")
        self.assertIn(b"WSGI was asked for /some/where", get(harness, "/some/where"))
        self.assertIn(b"WSGI was asked for /\r", get(harness, "/"))

    def test_byHand(self) -> None:
        """A resource of the user upgrades by hand."""
        module = self.load("by_hand")
        harness = self.harness()
        root = Resource()
        watch = module.Watch(harness.server)
        root.putChild(b"watch", watch)
        site = Site(root, reactor=harness.clock)
        client = harness.connect("/watch/tea", to=site)
        (connection,) = watch.watchers["tea"]
        connection.send("ready")
        harness.flush()
        self.assertEqual(client.received, ["ready"])
        client.close()
        self.assertEqual(watch.watchers, {"tea": []})
        self.assertIn(b"HTTP/1.1 4", get(harness, "/watch/tea", site))

    def test_tac(self) -> None:
        """A .tac file works with the reactor that it finds."""
        clock = MemoryReactor()
        namespace: dict[str, Any] = {}
        with mock.patch("txroom.server._globalReactor", lambda: clock):
            exec((EXAMPLES / "service.tac").read_text(), namespace)
        (server,) = IServiceCollection(namespace["application"])
        self.assertEchoes(self.harness(lambda clock: server, clock=clock), "/echo")

    def test_workers(self) -> None:
        """A .tac file with workers, "workers.tac", makes a service with four of them."""
        namespace: dict[str, Any] = {}
        exec((EXAMPLES / "workers.tac").read_text(), namespace)
        workers = namespace["workers"]
        self.assertEqual((workers.count, workers.settings.app), (4, "chat:makeServer"))
        self.assertEqual(list(IServiceCollection(namespace["application"])), [workers])

    def test_node(self) -> None:
        """A .tac file of a node; the process ends if Redis refuses it."""
        from twisted.internet import reactor

        clock = MemoryReactor()
        namespace: dict[str, Any] = {}
        stopped: list[Any] = []
        self.patch(reactor, "seconds", reactor.seconds)
        self.patch(HTTPFactory, "_updateLogDateTime", HTTPFactory._updateLogDateTime)
        self.patch(reactor, "callWhenRunning", stopped.append)
        environment = {"REDIS_URL": "redis://:secret@localhost", "PORT": "8080"}
        self.patch(sys.modules["txroom.server"], "_globalReactor", lambda: clock)
        with mock.patch.dict(os.environ, environment):
            exec((EXAMPLES / "cluster/node.tac").read_text(), namespace)
        (server,) = IServiceCollection(namespace["application"])
        self.assertIsInstance(server.engine, RedisEngine)
        self.assertEqual(list(server.rooms.registrations), ["chat"])
        server.onEngineFailed(Failure(OSError("refused")))
        self.assertEqual(stopped, [reactor.stop])

    def test_monotonic(self) -> None:
        """The clock of the reactor is not the wall clock any more."""
        from twisted.internet import reactor

        self.patch(reactor, "seconds", lambda: 0.0)
        self.patch(HTTPFactory, "_updateLogDateTime", HTTPFactory._updateLogDateTime)
        self.load("monotonic")
        self.assertIs(reactor.seconds, monotonic.seconds)

    def test_ws(self) -> None:
        """The examples of ws."""
        harness = self.harness(self.load("from_ws").RoundTable())
        self.assertEqual(harness.connect("/").response.status, 401)  # type: ignore[union-attr]
        path = "/?token=let-me-in"
        refused = harness.connect(path, origin="https://evil.example").response
        self.assertEqual(refused.status, 403)  # type: ignore[union-attr]
        refused = harness.connect(path, headers={"Sec-WebSocket-Protocol": "soap"}).response
        self.assertEqual(refused.status, 400)  # type: ignore[union-attr]
        alice = harness.connect(path, origin="https://myapp.com")
        bob = harness.connect(path)
        self.assertEqual(bob.response.headers["x-custom-header"], "MyValue")  # type: ignore[union-attr]
        alice.send("hello")
        self.assertEqual([alice.received, bob.received], [[], ["Broadcast: hello"]])

    def test_cocos(self) -> None:
        """The example of Cocos."""
        printed: list[str] = []
        module = self.load("from_cocos")
        module.print = printed.append
        with RoomHarness(module.bootServer) as harness:
            self.assertEchoes(harness, "/")
        self.assertEqual(printed, ["server booted!", "connection gone!", "server is closed!"])

    def test_autobahn(self) -> None:
        """A protocol of Autobahn works beside a room; for "wamp" see the tests of http."""
        harness = self.harness(self.load("from_autobahn").makeServer)
        ann, bob = harness.connect("/ws"), harness.connect("/ws")
        ann.send("hello")
        self.assertEqual([ann.received, bob.received], [["hello"], ["hello"]])
        banned = harness.connect("/ws", headers={"X-Banned": "1"}).response
        self.assertEqual(banned.status, 403)  # type: ignore[union-attr]
        carol, dave = harness.client().join("chat"), harness.client().join("chat")
        carol.send("say", "hello")
        self.assertEqual(dave.expect("said"), "hello")

    def test_rpc(self) -> None:
        """An RPC interface."""
        harness = self.harness(self.load("rpc").makeServer)
        self.assertEqual(harness.connect("/control").response.status, 401)  # type: ignore[union-attr]
        client = harness.connect("/control", headers={"Authorization": "Bearer change me"})
        client.send('{"call": "stats"}')
        client.send('{"call": "nothing"}')
        client.send('{"call": "disconnect", "args": [1, 2, 3, 4]}')
        answers = [msgspec.json.decode(answer) for answer in client.received]
        self.assertEqual(answers[0]["result"]["active"], 1)
        self.assertEqual([set(answer) for answer in answers], [{"result"}, {"error"}, {"error"}])

    def test_yjs(self) -> None:
        """Two Yjs clients edit documents; messages of another kind do no harm."""
        yjs = requiresModule("pycrdt")
        harness = self.harness(self.load("yjs").makeServer)
        documents = [yjs.Doc() for _ in range(3)]
        clients = [harness.connect(f"/yjs/{name}") for name in ("notes", "notes", "other")]
        texts = [doc.get("text", type=yjs.Text) for doc in documents]

        def exchange() -> None:
            for client, doc in zip(clients, documents, strict=True):
                for each in client.received:
                    if each[0] == yjs.YMessageType.SYNC:
                        answer = yjs.handle_sync_message(each[1:], doc)
                        if answer is not None:
                            client.send(answer)
                client.received.clear()
            harness.flush()

        for garbage in (b"", b"\x00", b"\x00\x02\x01\x02", b"\x01\xff", b"\x09"):
            clients[0].send(garbage)
        harness.flush()
        exchange()
        documents[0].observe(lambda event: clients[0].send(yjs.create_update_message(event.update)))
        texts[0] += "hello"
        harness.flush()
        exchange()
        self.assertEqual([str(text) for text in texts], ["hello", "hello", ""])
        self.assertEqual(harness.connect("/yjs/").response.status, 404)  # type: ignore[union-attr]
        clients[1].send("text")
        harness.flush()
        self.assertEqual(clients[1].closeCode, CloseCode.UNSUPPORTED_DATA)

    def test_teajs(self) -> None:
        """The example of TeaJS."""
        harness = self.harness(self.load("from_teajs").makeServer)
        alice, bob = harness.connect("/"), harness.connect("/")
        alice.send("hello")
        bob.close()
        alice.send("again")
        self.assertEqual([alice.received, bob.received], [["hello", "again"], ["hello"]])

    def test_groups(self) -> None:
        """Groups are made by hand."""
        harness = self.harness(self.load("groups").Groups())
        alice, bob, eve = (harness.connect("/") for _ in range(3))
        for client in (alice, bob):
            client.send('["join", "tea"]')
        alice.send('["say", "tea", "hello"]')
        bob.close()
        alice.send('["say", "tea", "still there?"]')
        self.assertEqual([alice.received, bob.received, eve.received], [[], ['["said","tea","hello"]'], []])
        eve.send('["dance"]')
        self.assertEqual(eve.closeCode, CloseCode.UNSUPPORTED_DATA)

    def test_registry(self) -> None:
        """Clients are found by their users."""
        registry = self.load("registry", "patterns").Registry()
        harness = self.harness(registry)
        self.assertEqual(harness.connect("/").response.status, 401)  # type: ignore[union-attr]
        phone, laptop = harness.connect("/?user=ann&device=phone"), harness.connect("/?user=ann")
        bob = harness.connect("/?user=bob")
        self.assertEqual([registry.notify(user, {"type": "news"}) for user in ("ann", "eve")], [2, 0])
        harness.flush()
        self.assertEqual([c.received for c in (phone, laptop, bob)], [['{"type":"news"}']] * 2 + [[]])
        listed = [(each["user"], each["device"]) for each in registry.listing()]
        self.assertEqual(listed, [("ann", "phone"), ("ann", "unknown"), ("bob", "unknown")])
        phone.close()
        laptop.drop()
        self.assertEqual(list(registry.users), ["bob"])

    def test_authInOpen(self) -> None:
        """In "auth_in_open" a user is let in and a stranger is closed."""
        harness = self.harness(self.load("auth_in_open", "patterns").Authenticated())
        for given in ({"headers": {"Authorization": "Bearer t-1"}}, {"path": "/?token=t-1"}):
            client = harness.connect(**{"path": "/", **given})  # type: ignore[arg-type]
            client.send("hello")
            answers = [msgspec.json.decode(answer) for answer in client.received]
            self.assertEqual(answers[0]["status"], "success")
            self.assertEqual(answers[1], {"type": "echo", "text": "hello", "to": "alice"})
        stranger = harness.connect("/?token=guessed")
        self.assertIn('"status":"error"', stranger.received[0])
        self.assertEqual(stranger.closeCode, CloseCode.POLICY_VIOLATION)

    def test_routing(self) -> None:
        """A room handles messages by their types."""
        harness = self.harness(self.load("routing", "patterns").makeServer)
        ann, bob, eve = (
            harness.client().join("talk", user=user, roomId=room)
            for user, room in (("ann", 1), ("bob", 1), ("eve", 2))
        )
        ann.send("chat", "hello")
        ann.send("private_message", {"targetUserId": "bob", "message": "psst"})
        heard = [
            ("chat", {"user": "ann", "message": "hello"}),
            ("private_message", {"from": "ann", "message": "psst"}),
        ]
        self.assertEqual([ann.messages, bob.messages, eve.messages], [[], heard, []])
        nobody = {"targetUserId": "eve", "message": "?"}
        self.assertEqual(self.assertRaises(RoomError, ann.call, "private_message", nobody).code, "offline")
        stranger = harness.client()
        self.assertEqual(self.assertRaises(RoomError, stranger.join, "talk").code, "unauthorized")

    def test_binary(self) -> None:
        """Binary messages are handled by their first byte; the thread is this one."""
        directory = Path(self.mktemp())
        directory.mkdir()
        media = self.load("binary", "patterns").Media(directory, maybeDeferred)
        harness = self.harness(media)
        ann, bob = harness.connect("/"), harness.connect("/")
        ann.send(b"\x01content")
        ann.send(b"\x02sound")
        ann.send(b"\x09")
        ann.send(b"")
        ann.send("hello")
        unknown = "Unknown binary message type"
        uploaded = '{"type": "file_uploaded", "size": 7}'
        self.assertEqual(ann.received, [uploaded, unknown, unknown, "text: hello"])
        self.assertEqual(bob.received, [b"\x02sound"])
        self.assertEqual([path.read_bytes() for path in directory.iterdir()], [b"content"])

    def test_history(self) -> None:
        """New members get twenty of a hundred messages, and older ones when they scroll back."""
        harness = self.harness(self.load("history", "patterns").makeServer)
        ann = harness.client().join("chat")
        for number in range(1, 131):
            ann.send("say", str(number))
        ann.client.close()
        harness.advance(3000)
        bob = harness.client().join("chat")
        self.assertEqual([data["text"] for _, data in bob.messages], [str(n) for n in range(111, 131)])
        self.assertTrue(bob.messages[0][1]["timestamp"].endswith("+00:00"))
        older = bob.call("history", 35)
        self.assertEqual(
            [(offset, data["text"]) for offset, data in older], [(n, str(n)) for n in range(31, 35)]
        )

    def test_stocks(self) -> None:
        """Members get the last price at once, then each new one, and only those that they subscribe to."""
        harness = self.harness(self.load("stocks", "patterns").makeServer)
        ann, bob = (harness.client().join("stocks") for _ in range(2))
        ann.send("subscribe", "AAPL")
        harness.advance(1)
        bob.send("subscribe", "AAPL")
        self.assertEqual(ann.messages, bob.messages)
        harness.advance(1)
        bob.send("unsubscribe", "AAPL")
        harness.advance(1)
        self.assertEqual([len(ann.messages), len(bob.messages)], [3, 2])
        self.assertEqual({data[0] for _, data in ann.messages}, {"AAPL"})
        ann.messages.clear()
        ann.client.offline()
        harness.advance(2)
        ann.client.online()
        harness.advance(1)
        self.assertEqual([kind for kind, _ in ann.messages], ["price"] * 2)
        error = self.assertRaises(RoomError, bob.call, "subscribe", "NONE")
        self.assertEqual(error.code, "invalidData")

    def test_lobby(self) -> None:
        """Two members who wait for the same game get a match that nobody else can join."""
        harness = self.harness(self.load("lobby", "patterns").makeServer)
        ann, bob, cid, dan = (harness.client().join("lobby", mode="fast") for _ in range(4))
        slow = harness.client().join("lobby", mode="slow")
        bob.send("play")
        bob.send("wait")
        dan.send("play")
        dan.client.offline()
        for room in (slow, ann, ann):
            room.send("play")
        ann.expectNone("match")
        cid.send("play")
        told = [room.expect("match") for room in (ann, cid)]
        (match,) = {each["room"] for each in told}

        stranger = harness.client()
        for join, name, code in (
            (stranger.joinById, match, "locked"),
            (stranger.joinOnly, "match", "noSuchRoom"),
            (stranger.create, "match", "forbidden"),
        ):
            self.assertEqual(self.assertRaises(RoomError, join, name).code, code)
        players = [
            room.client.joinById(match, seat=each["seat"])
            for room, each in zip((ann, cid), told, strict=True)
        ]
        for player in players:
            self.assertEqual(player.expect("begin"), {"mode": "fast", "first": players[0].member})
        slow.expectNone("match")

    def test_lobbyAlone(self) -> None:
        """A member who has a seat and stays alone is told so."""
        harness = self.harness(self.load("lobby", "patterns").makeServer)
        ann, bob = (harness.client().join("lobby") for _ in range(2))
        for room in (ann, bob):
            room.send("play")
        told = ann.expect("match")
        player = ann.client.joinById(told["room"], seat=told["seat"])
        harness.advance(20)
        self.assertEqual(player.closeCode, CloseCode.ROOM_CLOSED)

    def test_pool(self) -> None:
        """The number of connections is limited, and they are counted."""
        harness = self.harness(lambda clock: self.load("pool", "patterns").makeServer(clock, 2))
        first, *_ = [harness.connect("/echo") for _ in range(2)]
        self.assertEqual(harness.connect("/echo").response.status, 503)  # type: ignore[union-attr]
        first.close()
        self.assertEqual(harness.connect("/echo").response.status, 101)  # type: ignore[union-attr]
        stats = msgspec.json.decode(get(harness, "/stats").partition(b"\r\n\r\n")[2])
        self.assertEqual((stats["total"], stats["active"], sum(stats["rejected"].values())), (3, 2, 1))

    def test_health(self) -> None:
        """Dead peers are found, and the round-trip times of the others are measured."""
        harness = self.harness(self.load("health", "patterns").makeServer)
        dead, alive = harness.connect("/chat"), harness.connect("/chat")
        monitored = harness.connectionOf(dead).application
        dead.freeze()
        harness.advance(70)
        self.assertEqual((dead.isClosed, alive.isClosed, monitored.lost), (True, False, 1))  # type: ignore[attr-defined]
        (row,) = msgspec.json.decode(get(harness, "/connections").partition(b"\r\n\r\n")[2])
        self.assertEqual(row, {"rtt": 0.0, "idle": 70.0})
        self.assertIn(b'"status": "ok"', get(harness, "/healthz"))

    def test_shutdown(self) -> None:
        """All clients are told, and have at most five seconds to leave."""
        for seconds in (5.2, 0.2):
            harness = self.harness(self.load("shutdown", "patterns").makeServer)
            client = harness.connect("/chat")
            stopped = harness.server.stopService()
            harness.flush()
            self.assertEqual(client.received, ['{"type": "server_shutdown", "seconds": 5}'])
            if seconds < 5:
                client.close()
            harness.advance(seconds - 0.5 if seconds > 5 else 0)
            self.assertEqual(client.closeCode, None if seconds > 5 else 1000)
            harness.advance(1)
            self.assertEqual(client.closeCode, CloseCode.GOING_AWAY if seconds > 5 else 1000)
            self.successResultOf(stopped)

    def assertEchoes(self, harness: RoomHarness, path: str, to: Any = None) -> None:
        """Check that a client gets its message back."""
        client = harness.connect(path, to=to)
        client.send("hello")
        self.assertEqual(client.received, ["hello"])
        client.close()


def elsewhere(clock: Any) -> Server:
    """A server at another port than others."""
    server = Server(clock=clock)
    server.listen("tcp:9999")
    return server


def json(data: Any) -> str:
    """Encode JSON as the server does."""
    return msgspec.json.encode(data).decode()


def get(harness: RoomHarness, path: str, to: Any = None) -> bytes:
    """The whole response to a GET."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return harness.raw(request.encode(), to=to).output


class CommandLineTests(DocsTestCase):
    """The command lines on the pages."""

    def parse(self, command: str) -> tap.Options:
        """Parse a command line that runs txroom."""
        here = self.mktemp()
        os.mkdir(here)
        arguments = shlex.split(command.replace("/srv/chat", here))
        options = tap.Options()
        self.patch(sys, "path", list(sys.path))
        # The real function would open the files of keys and certificates.
        self.patch(tap, "endpointFrom", self.isEndpoint)
        options.parseOptions(arguments[arguments.index("txroom") + 1 :])
        return options

    def isEndpoint(self, reactor: object, description: str) -> None:
        """Whether a text resembles the description of an endpoint."""
        self.assertRegex(description, r"^(tcp|unix|ssl|tls|systemd|haproxy:tcp):")

    def test_parse(self) -> None:
        """All command lines can be parsed."""
        commands = []
        for path in [ROOT / "README.md", *DOCS.rglob("*.rst")]:
            source = path.read_text()
            source = source.replace("\\\n", "")
            commands += re.findall(r"^ +[$#] (twistd? .*\btxroom\b.*)$", source, re.MULTILINE)
            commands += re.findall(r"^ {4}(twistd? .*\btxroom\b.*)$", source, re.MULTILINE)
        self.assertGreater(len(commands), 10)
        for command in commands:
            if command == "twistd -n --pidfile= txroom --ping-interval soon":
                self.assertRaises(UsageError, self.parse, command)
                continue
            try:
                self.parse(command)
            except UsageError as error:
                self.fail(f"{command}: {error}")

    def test_deployment(self) -> None:
        """
        The command lines in "chat.service", "workers.service" and "Dockerfile" can be parsed; "chat.socket"
        has none.
        """
        units = [(EXAMPLES / "deploy" / name).read_text() for name in ("chat.service", "workers.service")]
        service = "".join(units).replace("\\\n", "")
        docker = (EXAMPLES / "deploy" / "Dockerfile").read_text().replace("\\\n", "")
        commands = re.findall(r"^ExecStart=\S*/(twistd .*)$", service, re.MULTILINE)
        commands += [
            shlex.join(msgspec.json.decode(line)) for line in re.findall(r"^CMD (.*)$", docker, re.M)
        ]
        self.assertEqual(len(commands), 3)
        for command in commands:
            self.parse(command)


def namesOf(kind: type) -> set[str]:
    """The attributes that objects of a class have."""
    names = set(dir(kind)) | {name for base in kind.__mro__ for name in getattr(base, "__annotations__", ())}
    if kind is txroom.Application:
        names |= CONNECTION_HOOKS | UPGRADE_HOOKS | {"connections", "overrides"}
    if kind is txroom.RoomApplication:
        names |= {"rooms"}
    return names | {"application"} if kind is txroom.Connection else names


class CompletenessTests(DocsTestCase):
    """Pages that must list everything of a kind."""

    def test_closeCodes(self) -> None:
        """Every close code has a row."""
        page = text("closecodes.rst")
        for code in CloseCode:
            if code < 1100 or code >= 4000:
                self.assertIn(f"* - {code.value} `{code.name} <", page)

    def test_answers(self) -> None:
        """Every HTTP status that an upgrade can get has a row."""
        page = text("closecodes.rst")
        rows = re.findall(r"\* - (\S.*)\n     - (?:.+\n)(?:       .+\n)*     - (\S+)", page)
        listed = {(status, reason.strip("`")) for status, reason in rows}
        given: set[tuple[str, str]] = set()
        for path in (ROOT / "txroom").rglob("*.py"):
            given |= set(re.findall(r'UpgradeError\(\s*(\d+), "(\w+)"', path.read_text()))
        self.assertGreater(len(given), 15)
        given -= {("426", "noUpgrade"), ("426", "http2")}  # a page's, and a foreign Site's
        given = {("none" if status == "0" else status, reason) for status, reason in given}
        self.assertEqual(given - listed, set())

    def test_options(self) -> None:
        """
        Every option is described by a directive of the options page, and mentioned on the pages that it
        names.
        """
        page = text("options.rst")
        directives = " ".join(re.findall(r"^\.\. options:: (.*)$", page, re.MULTILINE)).split()
        self.assertEqual(len(directives), len(set(directives)))
        fields = {field.name for field in attrs.fields(ServerOptions)}
        self.assertEqual(set(directives) - fields, set())
        self.assertIn(":rest:", page)
        for name in ("concurrencyLimit", "port", "server", "noServer", "host"):
            self.assertIn(f"``{name}``", page)

    def test_flags(self) -> None:
        """The options page has the flags of the command line."""
        self.patch(sys, "path", [str(DOCS / "_ext"), *sys.path])
        try:
            extension = importlib.import_module("txroomdocs")
        except ModuleNotFoundError as error:
            raise SkipTest("Sphinx isn't here") from error
        known = str(tap.Options())
        for field in attrs.fields(ServerOptions):
            self.assertRegex(known, re.escape(extension.flag(field.name)) + r"\b")

    def test_hooks(self) -> None:
        """Every hook of an application is described."""
        page = text("reference/application.rst")
        for name in CONNECTION_HOOKS | UPGRADE_HOOKS:
            self.assertIn(f" Application.{name}(", page)

    def test_settings(self) -> None:
        """Every setting of a room is described in its class, which the reference shows."""
        source = inspect.getsource(RoomSettings)
        for name in txroom.Room.SETTINGS:
            self.assertRegex(source, rf"\n    #: .*\n    {name}: ")

    def test_registrationEvents(self) -> None:
        """The reference has every event of a registration, with the arguments of its listeners."""
        rows = re.findall(r"^   \* - (``.*)\n     - ``\((.*)\)``", text("reference/rooms.rst"), re.MULTILINE)
        listed = {name: arguments for names, arguments in rows for name in re.findall(r"\w+", names)}
        self.assertEqual(listed, EVENTS)

    def test_public(self) -> None:
        """The reference has every public name, on the page about its module if there is one."""
        pages = "".join(path.read_text() for path in (DOCS / "reference").glob("*.rst"))
        described = {txroom: pages} | {
            module: text(f"reference/{module.__name__.removeprefix('txroom.')}.rst")
            for module in (txroom.client, txroom.testing, txroom.loadtest, txroom.process)
        }
        for module, page in described.items():
            known = set(re.findall(rf"^\.\. auto\w+:: {module.__name__}\.(\w+)\b(?!\.)", page, re.MULTILINE))
            known |= set(re.findall(r"^(?:\.\. py:\w+::| {12}) (\w+)", page, re.MULTILINE))
            self.assertEqual(set(module.__all__) - known, set(), module.__name__)

    def test_tablesOfOptions(self) -> None:
        """The options of histories and room applications are in tables with their defaults."""
        page = text("reference/rooms.rst")
        for kind in (txroom.History, txroom.RoomApplication):
            _, _, table = page.partition(f".. list-table:: Options of `{kind.__name__}`")
            table, _, _ = table.partition("\n.. ")
            rows = re.findall(r"^   \* - ``(\w+)``\n     - (?:``)?([^` ]+)", table, re.MULTILINE)
            defaults = {
                name: each.default
                for name, each in inspect.signature(kind).parameters.items()
                if each.kind is each.KEYWORD_ONLY
            }
            listed = {name: None if shown == "None" else float(shown) for name, shown in rows}
            self.assertEqual(listed, defaults)

    def test_references(self) -> None:
        """The names of txroom on the pages exist; Sphinx does not report all that are missing."""
        known = {name: getattr(txroom, name) for name in txroom.__all__}
        for path in [*DOCS.rglob("*.rst")]:
            for name, member in re.findall(r"`([A-Z]\w+)\.(\w+)`", path.read_text()):
                if name in known:
                    self.assertIn(member, namesOf(known[name]), f"{path.name}: {name}.{member}")

    def test_decisions(self) -> None:
        """The thirteen conflicts are decided."""
        numbers = re.findall(r"^(\d+)\. \*\*", text("decisions.rst"), re.MULTILINE)
        self.assertEqual(numbers, [str(number) for number in range(1, 14)])


class ComingFromTests(DocsTestCase):
    """The pages for users of other systems have a row for every name of those systems."""

    ws: ClassVar[str] = """
        WebSocketServer  callback  port  server  noServer  host  backlog  clientTracking  maxPayload
        skipUTF8Validation  allowSynchronousEvents  autoPong  path  perMessageDeflate  threshold
        concurrencyLimit  serverMaxWindowBits  clientMaxWindowBits  serverNoContextTakeover
        clientNoContextTakeover  verifyClient  handleProtocols  WebSocket  address()  address.address
        address.family  address.port  close(cb)  cb(error)  shouldHandle(req)
        handleUpgrade(req, socket, head, cb)  emit('connection'  clients  clients.forEach  'connection'
        'error'  'headers'  headers.push  'listening'  'wsClientError'  socket.destroy()  info.req
        info.origin  info.secure  cb(true)  cb(result, code, name, headers)  info.req.url
        searchParams.get('token')  headers.authorization  headers.origin  socket.remoteAddress
        protocols.has(protocol)  'SIGINT'  process.exit  setInterval  ws.on('message'  data.toString()
        ws.on('error'  ws.send(  ws.readyState  WebSocket.OPEN  ws.on('close'  ws.close(  ws.terminate()
        ws.ping()  ws.pong()  ws.pause()  ws.resume()  ws.isPaused  ws.bufferedAmount  ws.protocol
        ws.extensions  ws.binaryType  closeTimeout  maxFragments  maxBufferedChunks  zlibDeflateOptions
        zlibInflateOptions  createWebSocketStream(ws)  new WebSocket(url, protocols, options)
    """
    cocos: ClassVar[str] = """
        typeof WebSocketServer === "undefined"  new WebSocketServer()  listen(port, cb)  close(cb)
        onconnection  onclose  connections  WsCallback  conn.close(code, reason)  conn.send(data, cb)
        string  ArrayBuffer  conn.ontext  conn.onbinary  conn.onmessage  conn.onconnect  conn.onclose
        conn.onerror  conn.readyState  ondata  RPC
    """
    verb: ClassVar[str] = """
        createServer(ServerProtocol.WEBSOCKET)  createServer()  withOptions  app.listen  app.get  app.post
        res.html  res.upgrade()  req.headers.upgrade  res.sendFile  res.status(400)  req.query.userId
        open(ws)  message(ws, message)  close(ws, code, reason)  error(ws, error)  ping(ws, data)
        pong(ws, data)  drain(ws)  ws.on("message")  ws.on("close")  ws.on("ping")  ws.on("pong")
        maxCompressedSize  maxBackpressure  closeOnBackpressureLimit  compression  "shared"  "dedicated"
        "disabled"  maxPayloadLength  idleTimeout  maxLifetime  ws.send(message)  ws.close(code, reason)
        ws.ping("health-check")  ws.readyState  ws.data  ws.data.token  ws.user  ws.protocol  ws.headers
        ws.authenticated  WebSocketManager  clients  rooms  addClient(ws, clientId, metadata)  connectedAt
        lastActivity  removeClient(clientId)  getClient(clientId)  getAllClients()
        joinRoom(clientId, roomId)  leaveRoom(clientId, roomId)
        broadcastToRoom(roomId, message, excludeClient)  broadcast(message, excludeClient)  verifyToken
        extractTokenFromHeaders  ws.close(1008  "auth"  messageHandlers  chat  join_room  joined_room
        user_joined  leave_room  user_left  private_message  handleAuthenticatedMessage  JSON.parse
        handleBinaryMessage  handleTextMessage  Buffer  handleFileUpload  handleAudioData  handleVideoData
        readUInt8  buffer.slice(1)  generateId()  ChatRoom  chatRooms  getChatRoom  room.addClient
        room.removeClient  room.broadcast  messages  maxMessages  message_history  NotificationService
        subscribers  subscribe(userId, ws)  unsubscribe(userId, ws)  notify(userId, notification)
        subscribeToNotifications  /api/notify/:userId  stockPrices  stockSubscribers  handleStockMessage
        "subscribe"  "unsubscribe"  updateStockPrice  stock_update  setInterval  WebSocketPool
        maxConnections  canAcceptConnection()  addConnection(ws)  removeConnection(ws)  getStats()
        stats.total  stats.active  stats.rejected  ws.close(1013  MessageQueue  enqueue  dequeue
        getQueuedMessages  clearQueue  sendQueuedMessages  queue.shift()  healthCheck  pingInterval
        pongReceived  ws.close(1002  gracefulShutdown  server_shutdown  SIGTERM  SIGINT  close(1001
        process.exit(0)  test  expect  new WebSocket(  Authentication  Rate Limiting  Error Handling
        Health Checks  Message Validation  Resource Management  Logging
    """
    teajs: ClassVar[str] = """
        require("websocket").Server  new Server(ip, port, options)  nodelay  setDebug(bool)
        addApplication(app, host, path)  send(clientId, data)  disconnect(clientId, code, message)  run()
        onconnect(clientId, headers)  onmessage(clientId, data)  ondisconnect(clientId, code, message)
        acceptsOrigin(origin)  chooseProtocol(protocols)  clientId
    """

    colyseus: ClassVar[str] = """
        new Server()  register(name, handler, options)  attach({server})  attach({ws})  listen(port)
        onShutdown(callback)  ClusterServer  cluster.isMaster  fork(workers)  merged with those of the first
        different ``options``  express  verifyClient  beforeUpgrade  pingInterval  pingMaxRetries
        pingTimeout  gracefullyShutdown  simulateLatency  removeRoomType  onBeforeShutdown  publicAddress
        selectProcessIdToCreateRoom  isStandaloneMatchMaker  devMode  greet  logger  database  auth  routes
        define(name, Room, defaults)  __healthcheck  getCorsHeaders  x-forwarded-for  maxBackpressure
        filterBy  sortBy  enableRealtimeListing  create  dispose  join  leave  lock  unlock
        visibility-change  metadata-change  onInit(options)  onCreate(options)  requestJoin  static ``onAuth
        onAuth(client, options, context)  client.auth  onJoin(client, options, auth)
        onMessage(client, data)  onLeave(client, consented)  onDrop(client)  onReconnect(client)
        onDispose()  onUncaughtException  onCacheRoom  onRestoreRoom  autoDispose  disconnect(closeCode)
        roomId  roomName  clients.get(sessionId)  maxClients  hasReachedMaxClients()  setPrivate
        setMetadata  setMatchmaking  seatReservationTimeout  reserveSeatFor  reserveMultipleSeatsFor
        matchMaker.createRoom  matchMaker.query  findOneRoomAvailable  findRoomsByIds  getRoomById
        getLocalRoomById  remoteRoomCall  disconnectAll  matchMaker.stats  exposedMethods  QueueRoom
        LobbyRoom  RelayRoom  onMessage(type, callback)  validate(schema, fn)  onMessage('*'  messages = {
        messages._  onMessageBytes  sendBytes  broadcastBytes  room.request  ctx.resolve  ctx.reject
        broadcast(type, message)  {except}  {afterNextPatch}  client.send(type, message)
        client.leave(code, data)  client.error(code, message)  client.sessionId  client.userData
        client.reconnectionToken  maxMessagesPerSecond  state  setState  Schema  patchRate  broadcastPatch()
        onBeforePatch  StateView  client.view  serializer  fossil-delta  setSimulationInterval  setTimestep
        setFixedTimestep  clock.setTimeout  clock.setInterval  delayed.clear  defineInput  allowRewindState
        Predict  definePlugins  allowReconnection(client, seconds)  "manual"  maxRetries  minDelay  maxDelay
        backoff  maxEnqueuedMessages  new Client(url)  joinOrCreate  joinById  reconnect(token)
        room.onMessage  room.send  room.onStateChange  room.onLeave  room.onError  room.leave()  Presence
        RedisPresence  RedisDriver  MatchMakerDriver  testing  loadtest  monitor  playground  520 to 526
    """
    socketio: ClassVar[str] = """
        io.of  io.use  io.on("connection")  io.emit  io.to(room).emit  io.in  io.except  io.local
        io.timeout  emitWithAck  fetchSockets  socketsJoin  socketsLeave  disconnectSockets  serverSideEmit
        io.adapter  io.close  cors  pingInterval  pingTimeout  maxHttpBufferSize  connectionStateRecovery
        transports  path  connectTimeout  perMessageDeflate  parser  socket.id  socket.handshake
        handshake.auth  socket.data  socket.rooms  socket.join  socket.leave  socket.on  socket.onAny
        socket.use  socket.emit  socket.broadcast.emit  socket.to(room)  socket.volatile  socket.compress
        socket.disconnect  socket.conn  socket.recovered  "disconnecting"  "disconnect"  "join-room"
        io(url, options)  auth  query  retries  ackTimeout  once  off  "connect"  "connect_error"
        socket.active  reconnectionAttempts  reconnectionDelay  reconnectionDelayMax  randomizationFactor
        sendBuffer  autoConnect  forceNew
    """

    def check(self, page: str, names: str) -> None:
        """Check that each of `names` is in the left column of a table of `page`."""
        rows = re.findall(r"^   \* - (.*)$", text(page), re.MULTILINE)
        left = "\n".join([*rows, *re.findall(r"^(.*)\n[-=]+$", text(page), re.MULTILINE)])
        missing = [name for name in split(names) if name not in left]
        self.assertEqual(missing, [])

    def test_ws(self) -> None:
        self.check("coming-from-ws.rst", self.ws)

    def test_cocos(self) -> None:
        self.check("coming-from-cocos.rst", self.cocos)

    def test_verb(self) -> None:
        self.check("coming-from-verb.rst", self.verb)

    def test_teajs(self) -> None:
        self.check("coming-from-teajs.rst", self.teajs)

    def test_colyseus(self) -> None:
        self.check("coming-from-colyseus.rst", self.colyseus)

    def test_socketio(self) -> None:
        self.check("coming-from-socketio.rst", self.socketio)

    def test_autobahn(self) -> None:
        """Every option of Autobahn's factories, and every public method of its protocols, has a row."""
        options = inspect.signature(WebSocketServerFactory.setProtocolOptions).parameters
        arguments = inspect.signature(WebSocketServerFactory.setSessionParameters).parameters
        hooks = [
            name for name in vars(AnyProtocol) if re.match(r"on[A-Z]|send[A-Z].*[eg]$|(begin|end)M", name)
        ]
        methods = {*hooks, *(name for name in vars(IWebSocketChannel) if not name.startswith("_"))}
        methods -= {
            "onFrameBegin",
            "onFrameData",
            "onFrameEnd",
            "sendFrame",
            "sendCloseFrame",
            "onConnecting",
        }
        names = ({*options, *arguments, *methods}) - {"self"}
        self.assertGreater(len(names), 55)
        self.check("coming-from-autobahn.rst", "  ".join(f"``{name}``" for name in sorted(names)))

    def test_twoColumns(self) -> None:
        """Every row has both columns."""
        for page in DOCS.glob("coming-from-*.rst"):
            lines = page.read_text().splitlines()
            for number, line in enumerate(lines):
                if line.startswith("   * - "):
                    self.assertRegex(lines[number + 1], r"^     - \S", line)


class IndexTests(SynchronousTestCase):
    """The first page."""

    def test_pages(self) -> None:
        """Each page of the menu is also in the lists, which say what the pages are about."""
        menu, lists = text("index.rst").split("Tutorials\n---", 1)
        pages = re.findall(r"^   ([\w/-]+)$", menu, re.MULTILINE)
        self.assertGreater(len(pages), 40)
        self.assertEqual([each for each in pages if f"<{each}.rst>" not in lists], [])


class BrowserClientTests(DocsTestCase):
    """The page about txroom.js describes everything that its types have, and nothing else."""

    web: ClassVar[Path] = ROOT / "txroom" / "web"

    def setUp(self) -> None:
        self.types = (self.web / "txroom.d.ts").read_text()
        self.page = text("reference/txroom-js.rst")

    def declared(self, name: str) -> list[str]:
        """The members of a class or an interface of the types."""
        body = re.search(rf"^export (?:class|interface) {name}\b.*?\{{$(.*?)^\}}$", self.types, re.M | re.S)
        assert body is not None, name
        names = re.findall(r"^  (?:readonly )?(\w+)\??[(<:]", body[1], re.MULTILINE)
        return sorted(set(names) - {"constructor"})

    def section(self, title: str) -> list[list[str]]:
        """The cells of each row of the table under a heading."""
        _, *parts = re.split(r"^(\S.*)\n[-~=]+$", self.page, flags=re.MULTILINE)
        section = dict(zip(parts[::2], parts[1::2], strict=True))[title]
        _, _, *rows = re.split(r"^   \* - ", section, flags=re.MULTILINE)
        return [[cell.strip().strip("`") for cell in re.split(r"\n     - ", row)] for row in rows]

    def listed(self, title: str) -> list[str]:
        """The first column of the table under a heading."""
        return sorted(name for name, *_ in self.section(title))

    def test_options(self) -> None:
        """It has the options, with the default of each number."""
        self.assertEqual(self.listed("Options"), self.declared("Options"))
        script = (self.web / "txroom.js").read_text()
        known = dict(re.findall(r"^  (\w+): ([\d_]+),$", script, re.MULTILINE))
        self.assertIn("pingInterval", known)
        for name, default, *_ in self.section("Options"):
            if name in known:
                number = f"{int(known[name]):,}"
                self.assertRegex(default, rf"^{number} (ms|frames|bytes)$", name)

    def test_events(self) -> None:
        """It has the events."""
        self.assertEqual(self.listed("Events of the client"), self.declared("ClientEvents"))
        self.assertEqual(self.listed("Events of a room"), self.declared("RoomEvents"))

    def test_states(self) -> None:
        """It has the states."""
        for title, name in (
            ("States of the client", "ClientState"),
            ("Statuses of a membership", "RoomStatus"),
        ):
            (states,) = re.findall(rf"^export type {name} = (.*);$", self.types, re.MULTILINE)
            self.assertEqual(self.listed(title), sorted(re.findall(r"\w+", states)))

    def test_classes(self) -> None:
        """It has the classes with their methods and attributes."""
        _, *parts = re.split(r"^\.\. js:class:: ", self.page, flags=re.MULTILINE)
        described = {}
        for part in parts:
            names = re.findall(r"^   \.\. js:(?:method|attribute):: (\w+)", part, re.MULTILINE)
            described[re.split(r"\W", part, maxsplit=1)[0]] = sorted(names)
        classes = ("Client", "Room", "TxroomError")
        self.assertEqual(described, {name: self.declared(name) for name in classes})

    def test_exports(self) -> None:
        """It has the other exported names."""
        pattern = r"^\.\. js:(?:function|data):: (\w+)(?:.*\n {13}(\w+)$)?"
        names = {name for pair in re.findall(pattern, self.page, re.MULTILINE) for name in pair if name}
        exported = re.findall(r"^export (?:const|function) (\w+)", self.types, re.MULTILINE)
        self.assertEqual(names, set(exported))


class LoadtestTests(DocsTestCase):
    """The page about load tests."""

    def test_commands(self) -> None:
        """The command lines can be parsed, including that of the script."""
        self.patch(sys, "path", [str(EXAMPLES), *sys.path])
        self.addCleanup(sys.modules.pop, "visitors", None)
        source = text("howto/load-testing.rst")
        found = re.findall(r"^ +(?:\$ )?python -m txroom.loadtest ((?:.*\\\n)*.*)$", source, re.MULTILINE)
        self.assertEqual(len(found), 2)
        for words in found:
            LoadtestOptions().parseOptions(shlex.split(words.replace("\\\n", " ")))

    def test_options(self) -> None:
        """The page has every option of the command."""
        rows = "\n".join(re.findall(r"^   \* - (.*)$", text("howto/load-testing.rst"), re.MULTILINE))
        missing = [name for name in LoadtestOptions().longOpt if f"--{name.rstrip('=')}" not in rows]
        self.assertEqual(missing, [])

    def test_figures(self) -> None:
        """The page has every figure of the JSON, and every latency."""
        figures = figuresOf(LoadTest(Plan(url="ws://localhost/"), MemoryReactor(), ""), 0.0)
        page = text("howto/load-testing.rst")
        ours = {"url", "room", "isStopped", "seconds"}
        missing = [name for name in figures if name not in ours and f"``{name}``" not in page]
        self.assertEqual(missing + [name for name in LATENCIES if f"**{name}**" not in page], [])

    def test_script(self) -> None:
        """The script plays the demo's game to the end, and hits sometimes."""
        harness = self.harness(lambda clock: makeDemo(clock=clock))
        visitors = self.load("visitors")
        # One game in a hundred has no hit.
        self.patch(visitors, "randrange", Random(1).randrange)
        self.patch(mole, "randrange", Random(2).randrange)
        plan = Plan(
            url="ws://localhost/rooms",
            room="mole",
            clients=2,
            duration=60.0,
            scenario=visitors.play,
            endpoint=harness.endpoint(),
        )
        loadTest = LoadTest(plan, harness.clock, "")
        done = loadTest.run()
        harness.advance(40.0)
        self.assertIs(self.successResultOf(done), None)
        figures = figuresOf(loadTest, 0.0)
        self.assertEqual((figures["errors"], figures["latency"]["reply"]["count"]), ({}, 40))
        self.assertGreater(figures["messages"]["received"], 0)  # of hits


def split(names: str) -> list[str]:
    """The names in a list, which are on separate lines or separated by two spaces."""
    return [name for name in re.split(r"\s{2,}", names) if name]
