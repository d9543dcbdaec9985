"""
Tests for what workers ask their parent: both sides.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, LogLevelFilterPredicate, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from txroom import RoomError
from txroom.admin.endedsessions import EndedSessions
from txroom.admin.secrets import Role
from txroom.admin.session import Session
from txroom.process.settings import Settings
from txroom.process.workers.answering import Answering
from txroom.process.workers.child import WorkerState
from txroom.process.workers.managing import ANSWER_SECONDS, ParentManager
from txroom.process.workers.pipe import Answer, Ask, Down, Messages, Report, SessionEnded, Up, encode
from txroom.service.operating.shownworker import ShownWorker


class Worker:
    """A worker, as the parent sees it."""

    slot, pid, node, served = 2, 77, "1.x", 3.25
    state = WorkerState.READY
    status = "stalled"
    report = Report("ok", {"active": 5})

    def __init__(self) -> None:
        self.sent: list[Down] = []

    def send(self, message: Down) -> None:
        self.sent += Messages[Down](Down).feed(encode(message))


class Supervisor:
    """What the parent has of its workers."""

    problem = ""

    def __init__(self, workers: list[Worker]) -> None:
        self.workers = workers
        self.replaced: list[Worker] = []

    def replace(self, worker: Worker) -> str:
        self.replaced.append(worker)
        return self.problem


class ManagingTests(SynchronousTestCase):
    """`ParentManager` asks, and `Answering` answers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.worker = Worker()
        self.supervisor: Any = Supervisor([self.worker])
        self.reloads = 0
        self.answering = Answering(lambda: self.supervisor, self.reload)
        self.manager = ParentManager(self.send, self.clock)
        self.isAnswering = True

    def reload(self) -> None:
        self.reloads += 1

    def send(self, message: Any) -> None:
        (ask,) = Messages[Up](Up).feed(encode(message))
        if self.isAnswering:
            worker: Any = self.worker
            assert isinstance(ask, Ask)
            self.answering.asked(worker, ask)
            answer = self.worker.sent[-1]
            assert isinstance(answer, Answer)
            self.clock.callLater(0, self.manager.answered, answer)

    def result(self, deferred: Deferred[Any]) -> Any:
        results = fired(deferred)
        self.clock.advance(0)
        return results[0]

    def error(self, deferred: Deferred[Any]) -> RoomError:
        failure = self.result(deferred)
        failure.trap(RoomError)
        error: RoomError = failure.value
        self.assertEqual(error.code, "unavailable")
        return error

    def test_workers(self) -> None:
        """All workers are described."""
        found = self.result(self.manager.workers())
        self.assertEqual(found, [ShownWorker(2, 77, "1.x", "ready", 3.25, "stalled", 5)])

    def test_drain(self) -> None:
        """The worker that asks is replaced; if it can't be, the reason is told."""
        self.assertIsNone(self.result(self.manager.drain()))
        self.assertEqual(self.supervisor.replaced, [self.worker])
        self.supervisor.problem = "the rooms live in memory"
        self.assertEqual(self.error(self.manager.drain()).message, "the rooms live in memory")

    def test_reload(self) -> None:
        """The parent reloads."""
        self.assertIsNone(self.result(self.manager.reload()))
        self.assertEqual(self.reloads, 1)

    def test_logLevel(self) -> None:
        """The parent filters what the workers log, and those that it starts later log from that level on."""
        settings = Settings(logLevel="info", accessLog=True)
        self.assertIs(self.answering.leveled(settings), settings)
        self.assertIsNone(self.result(self.manager.setLogLevel("warn")))
        self.answering.logFilter = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
        self.assertIsNone(self.result(self.manager.setLogLevel("warn")))
        self.assertIs(self.answering.logFilter.logLevelForNamespace("x"), LogLevel.warn)
        self.assertIn("another version", self.error(self.manager.setLogLevel("loud")).message)
        self.assertEqual(self.answering.leveled(settings), Settings(logLevel="warn", accessLog=True))

    def test_endSession(self) -> None:
        """The parent tells all other workers, whatever they are doing, and remembers it for new ones."""
        starting, stopping = Worker(), Worker()
        starting.state, stopping.state = WorkerState.STARTING, WorkerState.STOPPING
        self.supervisor.workers += [starting, stopping]
        self.answering.endedSessions = EndedSessions(lambda: 1_700_000_000.0)
        session = Session(Role.READ, "a" * 32, 1_700_000_100)
        self.assertFalse(self.answering.endedSessions.isEnded(session))
        self.manager.endSession(session)
        self.clock.advance(0)
        self.assertEqual([type(each) for each in self.worker.sent], [Answer])
        self.assertEqual((starting.sent, stopping.sent), ([SessionEnded(session)],) * 2)
        self.assertTrue(self.answering.endedSessions.isEnded(session))

    def test_endSessionUntold(self) -> None:
        """If the parent doesn't say that it has told the others, the log does."""
        self.isAnswering = False
        with capturedLogs() as logs:
            self.manager.endSession(Session(Role.READ, "a" * 32, 1_700_000_100))
            self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(
            [formatEvent(event) for event in logs],
            [
                "an operator has logged out, but the other workers may still accept the session: "
                "unavailable: the parent didn't answer in time"
            ],
        )

    def test_stopping(self) -> None:
        """A parent that stops says so, and one that fails says that the log has more."""
        self.supervisor = None
        self.assertIn("stopped", self.error(self.manager.drain()).message)
        self.supervisor = Supervisor([])
        self.supervisor.replace = None
        self.assertIn("the log", self.error(self.manager.drain()).message)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_silent(self) -> None:
        """A parent that doesn't answer is given up, and a late answer is ignored."""
        self.isAnswering = False
        results = fired(self.manager.drain())
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(results[0].value.details, {"mayHaveHappened": True})
        self.manager.answered(Answer(1))
        self.manager.answered(Answer(99))
        self.assertEqual(self.clock.getDelayedCalls(), [])
