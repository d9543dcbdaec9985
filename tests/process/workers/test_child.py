"""
Tests for a worker process, as its parent sees it.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.process.workers.fakeprocesses import WorkersReactor, startOf
from txroom.process.workers.child import KILL_AFTER, LAST_OUTPUT, STOP_TIMEOUT, WorkerProcess, WorkerState
from txroom.process.workers.pipe import TO_PARENT, Ask, Deaf, Gone, Ready, Report, Start


class Side:
    """Notes what a worker process reports."""

    def __init__(self) -> None:
        self.notes: list[Any] = []

    def joining(self, worker: WorkerProcess) -> None:
        self.notes.append(("joining", worker.node))

    def ready(self, worker: WorkerProcess, message: Ready) -> None:
        self.notes.append(("ready", message.served))

    def reported(self, worker: WorkerProcess) -> None:
        self.notes.append("reported")

    def asked(self, worker: WorkerProcess, ask: Ask) -> None:
        self.notes.append(ask)

    def exited(self, worker: WorkerProcess, why: str) -> None:
        self.notes.append(("exited", why))

    def closed(self, worker: WorkerProcess) -> None:
        self.notes.append("closed")


class WorkerProcessTests(SynchronousTestCase):
    """`WorkerProcess`."""

    def setUp(self) -> None:
        self.reactor = WorkersReactor()
        self.side = Side()
        self.worker = WorkerProcess(startOf(), self.reactor, self.side)
        self.reactor.spawnProcess(self.worker, "", [], {})
        (self.process,) = self.reactor.processes

    def test_start(self) -> None:
        """The first message says what to serve."""
        self.assertEqual(self.process.received, [startOf()])
        self.assertIsInstance(self.process.received[0], Start)
        self.assertEqual((self.worker.state, self.worker.pid), (WorkerState.STARTING, 100))

    def test_asked(self) -> None:
        """What it asks is passed on, and is no report."""
        self.process.send(Ask(1, "workers"))
        self.assertEqual(self.side.notes, [Ask(1, "workers")])

    def test_ready(self) -> None:
        """The node is known before it serves, and then for how long it has served."""
        self.process.join("1.x")
        self.assertEqual((self.worker.state, self.worker.node), (WorkerState.STARTING, "1.x"))
        self.assertEqual(self.worker.served, 0)
        self.process.send(Ready(10.0, ["a line"]))
        self.assertEqual(self.side.notes, [("joining", "1.x"), ("ready", ["a line"])])
        self.reactor.advance(5)
        self.assertEqual((self.worker.state, self.worker.served), (WorkerState.READY, 5))

    def test_report(self) -> None:
        """Reports are remembered."""
        self.process.send(Report("ok", {"total": 1}))
        self.process.send(Deaf())
        self.assertEqual((self.worker.report.stats, self.worker.isDeaf), ({"total": 1}, True))
        self.assertEqual(self.side.notes, ["reported"] * 2)

    def test_stop(self) -> None:
        """It is told to stop, once, and killed if it takes longer than its `shutdownTimeout` and a moment."""
        self.process.send(Ready(25.0, []))
        self.worker.stop()
        self.worker.stop()
        self.assertEqual(self.process.names, ["Start", "Stop"])
        self.reactor.advance(25 + KILL_AFTER - 1)
        self.assertEqual(self.process.signals, [])
        self.reactor.advance(1)
        self.assertEqual(self.process.signals, ["KILL"])

    def test_stopStarting(self) -> None:
        """One that starts is told too; it doesn't count as ready any more."""
        self.worker.stop()
        self.process.send(Ready(10.0, []))
        self.assertEqual((self.worker.state, self.side.notes), (WorkerState.STOPPING, []))
        self.reactor.advance(10 + KILL_AFTER)
        self.assertEqual(self.process.signals, ["KILL"])
        self.assertEqual(STOP_TIMEOUT, 10)

    def test_stopNow(self) -> None:
        """Then there is less time."""
        self.process.serve()
        self.worker.stop()
        self.worker.stopNow()
        self.assertEqual(self.process.names[1:], ["Stop", "StopNow"])
        self.reactor.advance(KILL_AFTER)
        self.assertEqual(self.process.signals, ["KILL"])

    def test_ends(self) -> None:
        """The log says how a process has ended."""
        for how, why in (
            ({}, "has ended with status 0"),
            ({"status": 3}, "has ended with status 3"),
            ({"signal": 9}, "was ended by signal 9"),
        ):
            self.setUp()
            self.process.output("half a line")
            with capturedLogs() as events:
                self.process.end(**how)  # type: ignore[arg-type]
            self.assertEqual(self.side.notes, [("exited", why), "closed"])
            self.assertEqual([formatEvent(event) for event in events], ["half a line"])
            self.assertEqual(self.worker.state, WorkerState.ENDED)
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_afterEnd(self) -> None:
        """Nothing is done to a process that has ended."""
        self.process.end()
        self.process.isReading = False
        self.worker.stop()
        self.worker.stopNow()
        self.worker.kill()
        self.worker.send(Gone([]))
        self.assertEqual((self.process.names, self.process.signals), (["Start"], []))

    def test_outputHeld(self) -> None:
        """If another process still has its output, that is not waited for."""
        self.process.end(signal=9, hasOutput=True)
        self.assertEqual(self.side.notes, [("exited", "was ended by signal 9")])
        self.reactor.advance(LAST_OUTPUT)
        self.assertEqual(self.side.notes[1:], ["closed"])

    def test_wrongMessage(self) -> None:
        """A worker that can't be understood is killed, and the log says what may be the reason."""
        with capturedLogs() as events:
            self.worker.childDataReceived(TO_PARENT, b'["ready"]\n')
        self.assertEqual(self.process.signals, ["KILL"])
        self.assertIn("if txroom was updated, restart the whole service", formatEvent(events[0]))
