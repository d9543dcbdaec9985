"""
Tests for the supervisor of the workers.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.process.workers.fakeprocesses import FakeProcess, WorkersReactor, startOf
from txroom.process.workers.backoff import FIRST
from txroom.process.workers.child import SILENT, WorkerProcess, WorkerSide
from txroom.process.workers.liveness import LOOK
from txroom.process.workers.pipe import Ask, Gone, Group, Ready, ReloadCertificates, Report
from txroom.process.workers.supervisor import REMEMBERED, Supervisor


class SupervisorTests(SynchronousTestCase):
    """`Supervisor`."""

    def setUp(self) -> None:
        self.reactor = WorkersReactor()
        self.processes = self.reactor.processes
        #: Whether workers end while they are spawned. Twisted tells that before its `spawnProcess` returns.
        self.endAtOnce = False
        self.notes: list[Any] = []
        self.groups: list[str] = []
        self.supervisor = Supervisor(self.reactor, 2, self.spawn, self)
        self.supervisor.start()

    def spawn(self, slot: int, side: WorkerSide) -> WorkerProcess:
        worker = WorkerProcess(startOf(slot), self.reactor, side)
        self.reactor.spawnProcess(worker, "", [], {})
        if self.endAtOnce:
            self.processes[-1].output("txroom: no memory\n")
            self.processes[-1].end(status=1)
        return worker

    # What the supervisor reports.

    def ready(self, message: Ready) -> None:
        self.notes += message.served

    def reported(self) -> None:
        pass

    def asked(self, worker: WorkerProcess, ask: Ask) -> None:
        pass

    def ended(self, worker: WorkerProcess) -> None:
        pass

    def regrouped(self, group: Group) -> None:
        self.groups.append(str(group))

    def reloading(self, what: str) -> None:
        pass

    def failed(self, worker: WorkerProcess) -> None:
        self.notes.append(list(worker.output.last))

    def serve(self) -> tuple[FakeProcess, FakeProcess]:
        for process in self.processes:
            process.serve(f"served by {process.pid}")
        first, second = self.processes
        return first, second

    def told(self, process: FakeProcess, kind: type) -> list[Any]:
        return [message for message in process.received if isinstance(message, kind)]

    # -- starts

    def test_start(self) -> None:
        """All workers are started at once, with numbers from 1."""
        self.assertEqual([process.protocol.slot for process in self.processes], [1, 2])
        self.serve()
        self.assertEqual(self.notes, ["served by 100", "served by 101"])

    def test_again(self) -> None:
        """A worker that has ended is started again in its slot, later each time."""
        first, _ = self.serve()
        with capturedLogs() as events:
            first.end(signal=9)
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["worker 1 (process 100) was ended by signal 9; it is started again in 0.1 s"],
        )
        self.reactor.advance(FIRST)
        third = self.processes[2]
        self.assertEqual(third.protocol.slot, 1)
        third.end(status=1)
        self.reactor.advance(2 * FIRST - 0.01)
        self.assertEqual(len(self.processes), 3)
        self.reactor.advance(0.01)
        self.assertEqual(len(self.processes), 4)

    def test_noProcess(self) -> None:
        """If a process can't be started, it is tried again later."""
        first, _ = self.serve()
        spawn = self.supervisor._spawn

        def fail(slot: int, side: WorkerSide) -> WorkerProcess:
            raise OSError("too many processes")

        self.supervisor._spawn = fail
        first.end(signal=9)
        with capturedLogs() as events:
            self.reactor.advance(FIRST)
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["worker 1 can't be started: too many processes; it is tried again in 0.2 s"],
        )
        self.supervisor._spawn = spawn
        self.reactor.advance(2 * FIRST)
        self.assertEqual(self.processes[2].protocol.slot, 1)

    def test_endsAtOnce(self) -> None:
        """A worker that ends while it is spawned keeps its slot, and is started again as all others are."""
        first, _ = self.serve()
        self.endAtOnce = True
        first.end(signal=9)
        with capturedLogs() as events:
            self.reactor.advance(FIRST)
            self.reactor.advance(0)
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                "txroom: no memory",
                "worker 1 (process 102) has ended with status 1; it is started again in 0.2 s",
            ],
        )
        self.endAtOnce = False
        self.reactor.advance(2 * FIRST)
        self.assertEqual(self.processes[3].protocol.slot, 1)
        self.assertEqual([worker.pid for worker in self.supervisor.workers], [101, 103])

    # -- nodes that have ended

    def test_gone(self) -> None:
        """The other workers are told at once that a node has ended, and a new worker when it is one."""
        first, second = self.serve()
        first.end(signal=9)
        self.assertEqual(self.told(second, Gone), [Gone(["node-100"])])
        self.reactor.advance(FIRST)
        third = self.processes[2]
        self.assertEqual(self.told(third, Gone), [])
        third.join()
        self.assertEqual(self.told(third, Gone), [Gone(["node-100"])])

    def test_goneBeforeItServes(self) -> None:
        """
        A worker may have rooms before it serves. All that are nodes are told of its end, also those that do
        not serve yet, or stop.
        """
        first, second = self.processes
        first.join()
        second.join()
        first.end(signal=9)
        self.assertEqual(self.told(second, Gone), [Gone(["node-100"])])
        self.reactor.advance(FIRST)
        third = self.processes[2]
        third.serve()
        self.supervisor.stop()
        third.end()
        self.assertEqual(self.told(second, Gone), [Gone(["node-100"]), Gone(["node-102"])])

    def test_goneLongAgo(self) -> None:
        """A node whose lease has expired long ago is forgotten."""
        first, second = self.serve()
        first.end(signal=9)
        self.reactor.advance(REMEMBERED)
        self.processes[2].serve()
        self.assertEqual(self.told(self.processes[2], Gone), [])
        second.end(signal=9)
        self.assertEqual(self.told(self.processes[2], Gone), [Gone(["node-101"])])

    def test_noNode(self) -> None:
        """A worker that has never served had no node that matters."""
        first, second = self.processes
        second.serve()
        first.end(status=1)
        self.assertEqual(self.told(second, Gone), [])

    # -- the group

    def test_group(self) -> None:
        """All are told how many serve, when that changes; a new one is told in any case."""
        first, second = self.serve()
        self.assertEqual(self.told(first, Group), [Group(2, 1), Group(2, 2)])
        self.assertEqual(self.told(second, Group), [Group(2, 2)])
        first.end(signal=9)
        self.assertEqual(self.told(second, Group)[1:], [Group(2, 1)])
        self.reactor.advance(FIRST)
        self.processes[2].serve()
        self.assertEqual(self.told(second, Group)[2:], [Group(2, 2)])
        self.assertEqual(self.told(self.processes[2], Group), [Group(2, 2)])

    def test_troubled(self) -> None:
        """The workers and the parent are told of those that serve but aren't well."""
        first, second = self.serve()
        for status in ("ok", "unavailable", "unavailable", "ok"):
            second.send(Report(status, {}))
        troubled = Group(2, 2, {"unavailable": 1})
        self.assertEqual(self.told(first, Group)[-2:], [troubled, Group(2, 2)])
        self.assertEqual(self.groups[-2:], ["2 of 2 workers serve, 1 unavailable", "2 of 2 workers serve"])
        self.assertEqual([group.isWell for group in self.told(first, Group)], [False, True, False, True])

    def test_stalled(self) -> None:
        """A worker that is silent hangs: that is logged once, and all are told, until it goes on."""
        first, second = self.serve()
        well = Report("ok", {})
        with capturedLogs() as events:
            for _ in range(2 * SILENT):
                first.send(well)
                self.reactor.advance(LOOK)
            self.assertEqual(self.told(first, Group)[-1], Group(2, 2, {"stalled": 1}))
            self.assertEqual(self.groups[-1], "2 of 2 workers serve, 1 stalled")
            second.send(well)
        self.assertEqual(self.told(first, Group)[-1], Group(2, 2))
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                "worker 2 (process 101) hangs: it says nothing any more, and its clients get no answers",
                "worker 2 (process 101) goes on",
            ],
        )

    def test_notStalled(self) -> None:
        """The workers are not blamed if the parent stood still, before they serve, or when they stop."""
        first, _ = self.processes
        self.reactor.pump([LOOK] * 2 * SILENT)
        self.serve()
        Clock.advance(self.reactor, 1000 * LOOK)
        self.assertEqual(self.groups[-1], "2 of 2 workers serve")
        self.supervisor.stop()
        first.end()
        self.reactor.pump([LOOK] * 2 * SILENT)
        self.assertNotIn("stalled", self.groups[-1])

    def test_tell(self) -> None:
        """A message goes to those that serve."""
        first, second = self.processes
        first.serve()
        self.supervisor.tell(ReloadCertificates())
        self.assertEqual(first.names[-1], "ReloadCertificates")
        self.assertEqual(second.names, ["Start"])

    # -- no worker can start

    def test_failed(self) -> None:
        """If each worker has ended and none has ever served, that is reported once, with the last output."""
        first, second = self.processes
        first.end(status=1)
        self.assertEqual(self.notes, [])
        second.end(status=1, hasOutput=True)
        self.assertEqual(self.notes, [])
        second.output("txroom: no module\n")
        second.loseConnection()
        self.assertEqual(self.notes, [["txroom: no module"]])
        self.reactor.advance(60)
        self.assertEqual((len(self.notes), len(self.processes)), (1, 2))

    def test_failedAtOnce(self) -> None:
        """So is it if they end while they are spawned."""
        self.endAtOnce = True
        self.supervisor = Supervisor(self.reactor, 2, self.spawn, self)
        self.supervisor.start()
        self.assertEqual(self.notes, [])
        self.reactor.flush()
        self.assertEqual(self.notes, [["txroom: no memory"]])
        self.assertEqual((len(self.processes), self.supervisor.workers), (4, []))

    def test_failedLater(self) -> None:
        """Once a worker has served, the others may fail."""
        first, second = self.serve()
        first.end(status=1)
        second.end(status=1)
        self.assertEqual(self.notes, ["served by 100", "served by 101"])

    # -- the stop

    def test_stop(self) -> None:
        """All workers stop at the same time, and none is started again."""
        first, second = self.serve()
        second.end(signal=9)
        stopped = self.supervisor.stop()
        self.assertEqual(first.names[-1], "Stop")
        self.assertNoResult(stopped)
        with capturedLogs() as events:
            first.end()
        self.successResultOf(stopped)
        self.reactor.advance(60)
        self.assertEqual(len(self.processes), 2)
        self.assertEqual({event["log_level"].name for event in events}, {"debug"})
        self.successResultOf(self.supervisor.stop())

    def test_stopAtOnce(self) -> None:
        """A worker that has ended while it was spawned is waited for at a stop, and not forgotten."""
        self.endAtOnce = True
        self.supervisor = Supervisor(self.reactor, 2, self.spawn, self)
        self.supervisor.start()
        stopped = self.supervisor.stop()
        self.assertNoResult(stopped)
        self.reactor.flush()
        self.successResultOf(stopped)
        self.reactor.advance(60)
        self.assertEqual((len(self.processes), self.notes), (4, []))

    def test_stopNow(self) -> None:
        """At the second signal nobody waits any more."""
        first, second = self.serve()
        stopped = self.supervisor.stop()
        self.supervisor.stopNow()
        self.assertEqual([first.names[-1], second.names[-1]], ["StopNow"] * 2)
        first.end()
        second.end()
        self.successResultOf(stopped)

    def test_stopFailing(self) -> None:
        """Workers that end while they are stopped have not failed."""
        self.supervisor.stop()
        for process in self.processes:
            process.end(status=1)
        self.assertEqual(self.notes, [])
