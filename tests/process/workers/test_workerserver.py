"""
Tests for the server of a worker.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import textwrap
import time
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import capturedLogs
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from tests.engine.redis.fakeredis import FakeRedis
from tests.process.workers.fakeprocesses import startOf
from tests.service.test_socketactivation import AdoptingReactor
from txroom import Application, HandoverFailed, Server, ServerOptions
from txroom.admin.endedsessions import Ends
from txroom.admin.secrets import Role
from txroom.admin.session import Session
from txroom.engine.memory import MemoryEngine
from txroom.engine.redis import RedisEngine
from txroom.process.settings import Settings
from txroom.process.workers.orphan import HURRY
from txroom.process.workers.pipe import (
    Answer,
    Ask,
    Deaf,
    Down,
    Gone,
    Group,
    Joining,
    Leave,
    Left,
    Message,
    Messages,
    Ready,
    ReloadCertificates,
    Renewed,
    Report,
    SessionEnded,
    SharedSocket,
    Start,
    Stay,
    Stop,
    StopNow,
    encode,
)
from txroom.process.workers.workerserver import (
    REPORT,
    UNCHANGED,
    ParentPipe,
    WorkerServer,
    divideConnections,
    makeWorkerServer,
)
from txroom.testing import MemoryReactor


class MakeWorkerServerTests(SynchronousTestCase):
    """`makeWorkerServer`."""

    def setUp(self) -> None:
        self.patch(sys, "path", list(sys.path))
        self.addCleanup(sys.modules.pop, "workerchat", None)
        self.reactor = AdoptingReactor()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.socket.close)

    def make(self, *wheres: int | str, source: str = "", **settings: Any) -> Server:
        directory = self.mktemp()
        os.makedirs(directory)
        if source:
            settings["app"] = "workerchat:make"
            with open(os.path.join(directory, "workerchat.py"), "w") as file:
                file.write(textwrap.dedent(source))
        sockets = [SharedSocket(where, self.socket.fileno()) for where in wheres]
        start = Start(1, 4, Settings(appDir=directory, **settings), sockets, [], "")
        return makeWorkerServer(start, self.reactor)

    def test_sockets(self) -> None:
        """It listens on the inherited sockets, whatever they are, and on nothing else."""
        server = self.make(8080, "tcp:80", "haproxy:systemd:domain=INET:index=0")
        server.startService()
        self.addCleanup(server.stopService)
        self.assertEqual(self.reactor.adopted, [(self.socket.fileno(), socket.AF_INET)] * 3)
        self.assertEqual([server[0] for server in self.reactor.tcpServers], [0] * 3)

    def test_app(self) -> None:
        """The app is found in its directory, and gets the options."""
        server = self.make(
            8080,
            source="""
                from txroom import Server

                def make():
                    return Server()
            """,
            options={"maxPayload": 5},
            http=False,
        )
        self.assertEqual((server.options.maxPayload, server.pages), (5, []))

    def test_sessions(self) -> None:
        """It knows what the parent shares with it: the seed, and the operators who have logged out."""
        session = Session(Role.MANAGE, "a" * 32, int(time.time()) + 3600)
        known = [Ends(session.role, {session.id: session.until})]
        server = makeWorkerServer(Start(3, 4, Settings(), [], [], "", b"seed", known), self.reactor)
        assert server.worker is not None
        self.assertEqual((server.worker.slot, server.worker.seed), (3, b"seed"))
        self.assertTrue(server.endedSessions.isEnded(session))

    def test_ownListener(self) -> None:
        """An app that listens by itself is refused, since each worker would open the same port."""
        source = """
            from txroom import Server

            def make():
                server = Server()
                server.listen("tcp:9000")
                return server
        """
        error = self.assertRaises(UsageError, self.make, 8080, source=source)
        self.assertEqual(
            str(error),
            "--app workerchat:make: with --workers it must not listen by itself; use --listen or --port",
        )

    def test_divided(self) -> None:
        """`maxConnections` is divided, rounded up: that of the server, and those of its applications."""
        server = Server(ServerOptions(maxConnections=10), clock=MemoryReactor())
        own = server.addApplication(Application(maxConnections=7, maxPayload=3), path="/a")
        other = server.addApplication(Application(), path="/b")
        divideConnections(server, 4)
        self.assertEqual(server.options.maxConnections, 3)
        self.assertEqual((own.overrides, other.overrides), ({"maxConnections": 2, "maxPayload": 3}, {}))
        unlimited = Server(clock=MemoryReactor())
        divideConnections(unlimited, 4)
        self.assertEqual(unlimited.options.maxConnections, 0)


class Engine(MemoryEngine):
    """Notes the nodes that have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[str] = []
        self.runs: list[str] = []

    def nodeEnded(self, node: str) -> None:
        self.ended.append(node)

    def dataRenewed(self, run: str) -> None:
        self.runs.append(run)


class WorkerServerTests(SynchronousTestCase):
    """`WorkerServer`."""

    def setUp(self) -> None:
        self.patch(signal, "signal", lambda number, handler: None)
        self.reactor = MemoryReactor()
        self.engine = Engine()
        self.server = Server(clock=self.reactor, engine=self.engine)
        self.server.listen("tcp:80:interface=127.0.0.1")
        self.sent: list[Message] = []
        self.service = WorkerServer(startOf(), self.server, self.reactor, self.sent.append)
        self.service._level = None  # the log of the tests
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.stop)
        self.stops: list[None] = []
        self.patch(self.reactor, "stop", lambda: self.stops.append(None))

    def stop(self) -> None:
        if self.service.running:
            stopping = self.service.stopService()
            self.reactor.flush()
            self.successResultOf(stopping)

    def run_(self) -> None:
        """Let the reactor run."""
        for hook, args, more in self.reactor.whenRunningHooks:
            hook(*args, **more)

    def test_ready(self) -> None:
        """When it serves, it tells its deadline, and what it serves."""
        self.assertEqual(self.sent, [])
        self.run_()
        ready, *_ = self.sent
        where = "listening: http://127.0.0.1:80/ and ws://127.0.0.1:80/"
        self.assertEqual(ready, Ready(self.server.options.shutdownTimeout, [where]))

    def test_joining(self) -> None:
        """It tells its node as soon as it may have rooms, long before it serves."""
        reactor = MemoryReactor()
        sent: list[Message] = []
        redis = FakeRedis(reactor)
        engine = RedisEngine("redis://localhost", connect=lambda clock: redis.connect())
        server = Server(clock=reactor, engine=engine)
        service = WorkerServer(startOf(), server, reactor, sent.append)
        service._level = None
        service.privilegedStartService()
        service.startService()
        for hook, args, more in reactor.whenRunningHooks:
            hook(*args, **more)
        assert engine.node is not None
        self.assertEqual((sent, engine.node.lease.isFresh), ([Joining(engine.node.id)], False))
        reactor.advance(1)
        self.assertEqual((sent[1], engine.node.lease.isFresh), (Ready(10.0, []), True))
        stopping = service.stopService()
        reactor.advance(1)
        self.successResultOf(stopping)

    def test_reports(self) -> None:
        """It reports when something has changed, and now and then otherwise, to show that it goes on."""
        self.run_()
        report = self.sent[-1]
        assert isinstance(report, Report)
        self.assertEqual((report.status, report.stats["total"], report.stats["rejected"]), ("ok", 0, {}))
        count = len(self.sent)
        self.reactor.advance(REPORT)
        self.assertEqual(len(self.sent), count)
        self.server._connections._total += 1
        self.reactor.advance(REPORT)
        report = self.sent[-1]
        assert isinstance(report, Report)
        self.assertEqual((len(self.sent), report.stats["total"]), (count + 1, 1))
        self.reactor.pump([REPORT] * UNCHANGED * 3)
        self.assertEqual(self.sent[count + 1 :], [report] * 3)

    def test_noReports(self) -> None:
        """It does not report to a parent that stands still and reads nothing, but afterwards."""
        self.run_()
        count = len(self.sent)
        self.service.mayReport = lambda: False
        self.server._connections._total += 1
        self.reactor.advance(REPORT)
        self.assertEqual(len(self.sent), count)
        self.service.mayReport = lambda: True
        self.reactor.advance(REPORT)
        self.assertEqual(len(self.sent), count + 1)

    def test_stop(self) -> None:
        """It stops when the parent says so, also if it says so twice, and tells when it is deaf."""
        self.run_()
        self.service.received(Stop())
        self.assertEqual(self.stops, [None])

        def stop() -> None:
            raise ReactorNotRunning

        self.patch(self.reactor, "stop", stop)
        self.service.received(Stop())
        self.stop()
        self.assertIn(Deaf(), self.sent)
        report = self.sent[-1]
        assert isinstance(report, Report)
        self.assertEqual(report.status, "draining")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_leave(self) -> None:
        """It gives its rooms away, tells how many those were, or why it can't, and may stay."""
        self.run_()
        leaving: list[Deferred[int]] = [Deferred(), Deferred()]
        answers = iter(leaving)
        self.patch(self.engine, "leave", lambda nodes: next(answers))
        stays: list[None] = []
        self.patch(self.engine, "stay", lambda: stays.append(None))
        self.service.received(Leave(["1.a", "1.b"]))
        leaving[0].callback(3)
        self.assertEqual(self.sent[-1], Left(3))
        self.service.received(Stay())
        self.assertEqual(stays, [None])
        self.service.received(Leave(["1.a"]))
        leaving[1].errback(HandoverFailed("node 1.a can't open room x"))
        self.assertEqual(self.sent[-1], Left(problem="node 1.a can't open room x"))
        self.service.received(Leave([]))
        self.assertEqual(self.sent[-1], Left(problem="nodes=[]: must be ids of other nodes"))

    def test_sendAway(self) -> None:
        """It stops when its clients have gone to other workers; or at once if it has rooms, or is told so."""
        self.run_()
        self.service.received(Stop(20.0))
        self.assertEqual(self.stops, [None])
        sending: Deferred[None] = Deferred()
        asked: list[float] = []

        def sendAway(seconds: float) -> Deferred[None]:
            asked.append(seconds)
            return sending

        self.patch(self.server, "sendAway", sendAway)
        self.service.received(Stop(20.0))
        self.assertEqual((asked, self.stops), ([20.0], [None]))
        self.service.received(Stop())
        self.assertEqual(self.stops, [None] * 2)
        sending.callback(None)
        self.assertEqual(self.stops, [None] * 3)

    def test_stopNow(self) -> None:
        """At the second signal of the parent it waits for nothing."""
        self.run_()
        now: list[None] = []
        self.patch(self.server, "stopNow", lambda: now.append(None))
        self.service.received(StopNow())
        self.assertEqual((now, self.stops), ([None], [None]))

    def test_orphaned(self) -> None:
        """Without its parent it stops, and soon waits for nothing any more, whatever its options say."""
        self.run_()
        self.server.options = attrs.evolve(self.server.options, drainDelay=20.0, shutdownTimeout=30.0)
        self.service.orphaned()
        self.assertEqual(self.stops, [None])
        stopping = fired(self.service.stopService())
        self.reactor.advance(HURRY - 0.1)
        self.assertEqual(stopping, [])
        self.reactor.advance(0.2)
        self.reactor.flush()
        self.assertEqual(len(stopping), 1)

    def test_messages(self) -> None:
        """It does what the other messages say."""
        self.run_()
        reloads: list[None] = []
        self.patch(self.server, "reloadCertificates", lambda: reloads.append(None))
        with capturedLogs() as events:
            self.service.received(ReloadCertificates())
        self.assertEqual(events, [])  # it may be replaced next, and nobody has sent SIGHUP with --dev
        self.service.received(Gone(["a", "b"]))
        self.service.received(Renewed("run-2"))
        self.assertEqual((reloads, self.engine.ended, self.engine.runs), ([None], ["a", "b"], ["run-2"]))

    def test_sessions(self) -> None:
        """It tells the parent that an operator has logged out, and hears from it who has elsewhere."""
        self.run_()
        mine, theirs = (Session(Role.READ, id * 32, int(time.time()) + 3600) for id in "ab")
        self.server.endedSessions.end(mine)
        asked = self.sent[-1]
        assert isinstance(asked, Ask)
        self.assertEqual(asked.what, "endSession")
        self.assertEqual(msgspec.json.decode(asked.argument, type=Session), mine)
        count = len(self.sent)
        self.service.received(SessionEnded(theirs))
        self.assertTrue(self.server.endedSessions.isEnded(theirs))
        self.assertEqual(len(self.sent), count)
        self.service.received(Answer(asked.id))

    def test_group(self) -> None:
        """The health page says how many workers serve, also before the parent says that again."""
        self.assertEqual(self.server.healthNote, {"status": "degraded", "workers": 2, "running": 1})
        self.service.received(Group(4, 4))
        self.assertEqual(self.server.healthNote, {"status": "ok", "workers": 4, "running": 4})
        self.service.received(Group(4, 3))
        self.assertEqual(self.server.healthNote["status"], "degraded")
        self.service.received(Group(4, 4, {"unavailable": 1}))
        note = {"status": "degraded", "workers": 4, "running": 4, "troubled": {"unavailable": 1}}
        self.assertEqual(self.server.healthNote, note)


class ParentPipeTests(SynchronousTestCase):
    """`ParentPipe`."""

    def test_pipe(self) -> None:
        """Messages go both ways, and the end of the pipe is noticed."""
        from twisted.internet.testing import StringTransport

        messages: Messages[Down] = Messages(Down)
        messages.feed(b'["st')
        pipe = ParentPipe(messages)
        received: list[Any] = []
        pipe.onMessage, pipe.onLost = received.append, lambda: received.append("lost")
        transport = StringTransport()
        pipe.makeConnection(transport)
        pipe.dataReceived(b'op"]\n' + encode(Gone(["a"])))
        pipe.send(Deaf())
        pipe.connectionLost()
        self.assertEqual(received, [Stop(), Gone(["a"]), "lost"])
        self.assertEqual(transport.value(), b'["deaf"]\n')

    def test_full(self) -> None:
        """It knows whether the parent does not read what it is sent."""
        from twisted.internet.testing import StringTransport

        pipe = ParentPipe(Messages(Down))
        transport = StringTransport()
        pipe.makeConnection(transport)
        self.assertIs(transport.producer, pipe)
        states = [pipe.isFull]
        for change in (pipe.pauseProducing, pipe.resumeProducing, pipe.stopProducing):
            change()
            states.append(pipe.isFull)
        self.assertEqual(states, [False, True, False, False])
