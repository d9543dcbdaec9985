"""Tests for servers with an engine that has to be started."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from tests.case import HarnessTestCase, fired
from txroom import Room, RoomApplication, Server
from txroom.engine.memory import MemoryEngine
from txroom.rooms.contract.ports import Engine, HostFactory
from txroom.testing import MemoryReactor, RoomHarness


class SlowEngine(MemoryEngine):
    """An engine that starts when the test says so, and that takes notes."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.starting: list[Deferred[None]] = []
        self.keys: list[str] = []
        self.problem: str | None = None
        self.failed: Any = None

    def rooms(self, application: str, factory: HostFactory) -> Any:
        self.keys.append(application)
        return super().rooms(application, factory)

    def start(self, clock: IReactorTime, failed: Any) -> Deferred[None]:
        self.notes.append("start")
        self.failed = failed
        self.starting.append(Deferred())
        return self.starting[-1]

    def handOver(self) -> Deferred[None]:
        self.notes.append("hand over")
        return succeed(None)

    def stop(self) -> Deferred[None]:
        self.notes.append("stop")
        return succeed(None)

    def health(self) -> str | None:
        return self.problem


class EngineTests(HarnessTestCase):
    """`Server(engine=...)`."""

    def setUp(self) -> None:
        self.engine = SlowEngine()
        self.harness = RoomHarness(self.makeServer)
        self.server = self.harness.server

    def makeServer(self, clock: Any) -> Server:
        server = Server(clock=clock, engine=self.engine)
        server.register("chat", Room)
        server.addHealthPage()
        return server

    def start(self) -> None:
        self.engine.starting[-1].callback(None)
        self.harness.flush()

    def test_order(self) -> None:
        """It starts before the server listens, and stops last."""
        self.assertEqual((self.engine.notes, self.server.ports), (["start"], []))
        self.start()
        self.assertEqual(len(self.server.ports), 1)
        self.server.onShutdown(lambda: self.engine.notes.append("callback"))
        self.harness.client().join("chat")
        room = next(iter(self.server.rooms.rooms.values()))
        self.patch(room, "onDispose", lambda: self.engine.notes.append("dispose"))
        self.harness.stop()
        self.assertEqual(self.engine.notes, ["start", "callback", "hand over", "dispose", "stop"])

    def test_again(self) -> None:
        """It is started again with its server."""
        self.start()
        self.harness.stop()
        self.harness.start()
        self.assertEqual((self.engine.notes.count("start"), self.server.ports), (2, []))
        self.start()
        self.assertEqual(len(self.server.ports), 1)
        self.harness.stop()

    def test_stoppedMeanwhile(self) -> None:
        """If the server is stopped while the engine starts, it never listens."""
        self.harness.stop()
        self.assertEqual(self.engine.notes, ["start", "hand over", "stop"])
        self.start()
        self.assertEqual(self.server.ports, [])

    def test_fails(self) -> None:
        """If it can't start, that is logged, and the server doesn't listen."""
        failures: list[Failure] = []
        self.server.onEngineFailed = failures.append
        port = fired(self.server.listen("tcp:1234"))
        with capturedLogs() as events:
            self.engine.starting[0].errback(OSError("no such host"))
        self.assertIn("the server can't run: no such host", [formatEvent(event) for event in events])
        self.assertEqual((self.server.ports, failures[0].type, port[0].type), ([], OSError, OSError))
        self.flushLoggedErrors(OSError)
        self.harness.stop()

    def test_portTaken(self) -> None:
        """A port that can't be opened when the engine has started is an error too, and the server stops."""
        failures: list[Failure] = []
        self.server.onEngineFailed = failures.append

        def listen(*args: Any, **more: Any) -> None:
            raise CannotListenError("", 8080, OSError(98, "Address already in use"))

        self.patch(self.harness.clock, "listenTCP", listen)
        self.start()
        self.assertEqual([failure.type for failure in failures], [CannotListenError])
        self.harness.advance(1)
        self.assertEqual((self.server.running, self.engine.notes[-1]), (0, "stop"))
        self.flushLoggedErrors(CannotListenError)

    def test_cantGoOn(self) -> None:
        """If the engine fails later, the server stops."""
        failures: list[Failure] = []
        self.server.onEngineFailed = failures.append
        self.start()
        self.engine.failed(OSError("refused"))
        self.harness.advance(1)
        self.assertEqual((failures[0].type, self.server.running, self.server.ports), (OSError, 0, []))
        self.engine.failed(OSError("again"))
        self.assertEqual(len(failures), 1)
        self.flushLoggedErrors(OSError)

    def test_goesOnWithout(self) -> None:
        """
        If nobody has said what to do then, the log says that the process goes on, and the health page, where
        it is still served, that the server can't run. A later start is healthy again.
        """
        self.start()
        with capturedLogs() as events:
            self.engine.failed(OSError("refused"))
        self.flushLoggedErrors(OSError)
        (said,) = [formatEvent(event) for event in events if "goes on without it" in formatEvent(event)]
        self.assertIn("Server.onEngineFailed", said)
        self.harness.advance(1)
        self.assertEqual(
            self.health(), (503, {"status": "unavailable", "reason": "the server can't run: see its log"})
        )
        self.harness.start()
        self.start()
        self.assertEqual(self.health(), (200, {"status": "ok"}))
        self.harness.stop()

    def health(self) -> tuple[int, Any]:
        """The health page."""
        request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        answer = self.harness.raw(request, to=self.server.factory()).response
        assert answer is not None
        return answer.status, json.loads(answer.body)

    def test_whenListening(self) -> None:
        """Others may wait until the server listens."""
        heard: list[int] = []
        self.server.whenListening(lambda: heard.append(len(self.server.ports)))
        self.assertEqual(heard, [])
        self.start()
        self.server.whenListening(lambda: heard.append(2))
        self.assertEqual(heard, [1, 2])
        self.harness.stop()

    def test_health(self) -> None:
        """The health page shows what is wrong with it."""
        self.start()
        self.engine.problem = "stale"
        self.assertEqual(self.health(), (503, {"status": "unavailable", "reason": "stale"}))
        self.harness.stop()

    def test_keys(self) -> None:
        """The key of an application is its path; a number is added for a second one at the same path."""
        server = Server(clock=MemoryReactor(), engine=self.engine)
        self.engine.keys.clear()
        application = RoomApplication()
        server.addApplication(application, path="/play")
        server.addApplication(application, host="other", path="/play/*")
        server.addApplication(RoomApplication(), host="a")
        server.addApplication(RoomApplication(), host="b")
        self.assertEqual(self.engine.keys, ["/play", "/rooms", "/rooms#1"])
        self.harness.stop()

    def test_wrong(self) -> None:
        """What is no engine is refused."""
        self.harness.stop()
        wrong: Any
        for wrong, text in (
            (MemoryEngine, "engine=MemoryEngine: give an instance, MemoryEngine(...)"),
            ("redis", "engine='redis': must be an engine, such as MemoryEngine()"),
        ):
            error = self.assertRaises(TypeError, Server, clock=MemoryReactor(), engine=wrong)
            self.assertEqual(str(error), text)


def isEngine(rooms: Engine) -> Engine:
    """For mypy: the memory engine implements the contract."""
    return rooms


isEngine(MemoryEngine().rooms("/rooms", RoomApplication()))
