"""
Tests for the rolling reload of workers.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.process.workers.fakeprocesses import FakeProcess, WorkersReactor, startOf
from txroom.process.workers.backoff import FIRST
from txroom.process.workers.child import WorkerProcess, WorkerSide
from txroom.process.workers.pipe import Leave, Left, Ready
from txroom.process.workers.reloading import LEAVE_TIMEOUT, READY_TIMEOUT
from txroom.process.workers.supervisor import Supervisor


class ReloadTests(SynchronousTestCase):
    """`Supervisor.reload`."""

    def setUp(self) -> None:
        self.reactor = WorkersReactor()
        self.supervisor = Supervisor(self.reactor, 2, self.spawn, self)
        self.supervisor.start()
        self.processes = self.reactor.processes
        self.old = self.serve()

    def spawn(self, slot: int, side: WorkerSide) -> WorkerProcess:
        worker = WorkerProcess(startOf(slot), self.reactor, side)
        self.reactor.spawnProcess(worker, "", [], {})
        return worker

    # What the supervisor reports.

    def ready(self, message: Ready) -> None:
        pass

    def reported(self) -> None:
        pass

    def failed(self, worker: WorkerProcess) -> None:
        pass

    def serve(self, first: int = 0) -> list[FakeProcess]:
        """The processes that were started since serve."""
        new = self.processes[first:]
        for process in new:
            process.serve()
        return new

    def reload(self) -> list[FakeProcess]:
        """Begin a reload, until the new workers serve."""
        self.supervisor.reload()
        return self.serve(2)

    def places(self) -> list[Any]:
        """The processes that have the places."""
        return [None if slot.worker is None else slot.worker.pid for slot in self.supervisor.slots]

    def test_order(self) -> None:
        """The old workers leave, one after another, when all new ones serve, and then they stop."""
        self.supervisor.reload()
        self.assertEqual([process.protocol.slot for process in self.processes], [1, 2, 1, 2])
        self.processes[2].serve()
        self.assertEqual([process.names[-1] for process in self.old], ["Group"] * 2)
        self.processes[3].serve()
        leave = Leave(["node-102", "node-103"])
        self.assertEqual(self.old[0].received[-1], leave)
        self.assertNotIn("Leave", self.old[1].names)
        self.old[0].send(Left(2))
        self.assertEqual(self.old[1].received[-1], leave)
        self.assertNotIn("Stop", self.old[0].names)
        with capturedLogs() as events:
            self.old[1].send(Left(3))
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["reload: the new workers serve; rooms that they have got: 5"],
        )
        self.assertEqual([process.names[-1] for process in self.old], ["Stop"] * 2)
        self.assertEqual(self.places(), [102, 103])
        for process in self.old:
            process.end()
        self.reactor.advance(60)
        self.assertEqual(len(self.processes), 4)

    def test_again(self) -> None:
        """There is one reload at a time. What asks for it meanwhile gets one afterwards."""
        first, second, third = (self.supervisor.reload() for _ in range(3))
        self.assertEqual(len(self.processes), 4)
        new = self.serve(2)
        for process in self.old:
            process.send(Left())
        self.assertTrue(self.successResultOf(first))
        self.assertNoResult(second)
        self.assertEqual(len(self.processes), 6)
        self.serve(4)
        for process in new:
            process.send(Left())
        self.successResultOf(second)
        self.successResultOf(third)
        self.reactor.advance(60)
        self.assertEqual((len(self.processes), self.places()), (6, [104, 105]))

    def test_starting(self) -> None:
        """A worker that starts when a reload begins has imported the old code: it is stopped."""
        self.old[0].end(signal=9)
        self.reactor.advance(FIRST)
        starting = self.processes[2]
        self.supervisor.reload()
        self.assertEqual(starting.names, ["Start", "Stop"])
        starting.end()
        self.serve(3)
        self.old[1].send(Left())
        self.reactor.advance(60)
        self.assertEqual((len(self.processes), self.places()), (5, [103, 104]))

    def test_startingGivenUp(self) -> None:
        """If the reload is given up, it is started again."""
        self.old[0].end(signal=9)
        self.reactor.advance(FIRST)
        self.supervisor.reload()
        self.processes[3].end(status=1)
        self.processes[2].end()
        self.reactor.advance(60)
        self.assertEqual(len(self.processes), 6)

    def test_noProcess(self) -> None:
        """If a new worker can't be started at all, the reload is given up."""
        count = 0

        def spawn(slot: int, side: WorkerSide) -> WorkerProcess:
            nonlocal count
            count += 1
            if count == 2:
                raise OSError("too many processes")
            return self.spawn(slot, side)

        self.supervisor._spawn = spawn
        with capturedLogs() as events:
            self.assertFalse(self.successResultOf(self.supervisor.reload()))
        self.assertIn("a new worker can't be started: too many processes", formatEvent(events[-1]))
        self.assertEqual((self.processes[2].names[-1], self.places()), ("Stop", [100, 101]))
        self.processes[2].end()
        self.supervisor.reload()
        self.assertEqual(len(self.processes), 5)

    def test_hanging(self) -> None:
        """An old worker that doesn't answer is killed, and the reload goes on."""
        self.reload()
        with capturedLogs() as events:
            self.reactor.advance(LEAVE_TIMEOUT)
        self.assertIn("does not give its rooms away, and is killed", formatEvent(events[0]))
        self.old[1].send(Left())
        self.assertEqual(self.places(), [102, 103])

    def test_cantStart(self) -> None:
        """If a new worker ends before it serves, the old ones go on, and the other new one is stopped."""
        self.supervisor.reload()
        self.processes[2].serve()
        with capturedLogs() as events:
            self.processes[3].end(status=1)
        self.assertIn("given up, and the old workers go on: a new worker has ended", formatEvent(events[-1]))
        self.processes[2].send(Left())
        self.assertEqual(self.processes[2].names[-2:], ["Leave", "Stop"])
        self.processes[2].end()
        self.reactor.advance(60)
        self.assertEqual((len(self.processes), self.places()), (4, [100, 101]))
        self.assertEqual([process.isRunning for process in self.old], [True, True])

    def test_tooLate(self) -> None:
        """So it is if a new one takes too long."""
        self.supervisor.reload()
        self.processes[2].serve()
        self.reactor.advance(READY_TIMEOUT)
        self.processes[2].send(Left())
        self.assertEqual([process.names[-1] for process in self.processes[2:]], ["Stop", "Stop"])
        self.assertNotIn("Leave", self.old[0].names)
        self.processes[3].serve()
        self.assertEqual(self.places(), [100, 101])

    def test_cantLeave(self) -> None:
        """If an old worker can't leave, all old ones stay, and the new ones give back what they have got."""
        new = self.reload()
        self.old[0].send(Left(4))
        with capturedLogs() as events:
            self.old[1].send(Left(problem="node node-102 can't open room x"))
        self.assertIn("node node-102 can't open room x", formatEvent(events[-1]))
        self.assertEqual([process.names[-1] for process in self.old], ["Stay", "Stay"])
        for process in new:
            self.assertIn(Leave(["node-100", "node-101"]), process.received)
            process.send(Left(2))
            self.assertEqual(process.names[-1], "Stop")
            process.end()
        self.reactor.advance(60)
        self.assertEqual((len(self.processes), self.places()), (4, [100, 101]))

    def test_oldDies(self) -> None:
        """An old worker that ends meanwhile has left; its place is that of the new one."""
        self.supervisor.reload()
        self.old[0].end(signal=9)
        self.reactor.advance(1)
        self.assertEqual(len(self.processes), 4)
        self.serve(2)
        self.old[1].end(signal=9)
        self.assertEqual(self.places(), [102, 103])
        self.reactor.advance(60)
        self.assertEqual(len(self.processes), 4)

    def test_oldDiesGivenUp(self) -> None:
        """If the reload is given up then, it is started again."""
        self.supervisor.reload()
        self.old[0].end(signal=9)
        self.processes[2].end(status=1)
        self.assertEqual([process.protocol.slot for process in self.processes[4:]], [1])

    def test_newDies(self) -> None:
        """A new worker that ends when it has begun to serve is started again after the reload."""
        new = self.reload()
        new[0].end(signal=9)
        for process in self.old:
            process.send(Left())
        self.assertEqual([process.protocol.slot for process in self.processes[4:]], [1])

    def test_restarting(self) -> None:
        """A worker that waits for its next start gets a successor at once."""
        self.old[0].end(signal=9)
        self.supervisor.reload()
        self.assertEqual([process.protocol.slot for process in self.processes[2:]], [1, 2])
        self.reactor.advance(FIRST)
        self.assertEqual(len(self.processes), 4)

    def test_stop(self) -> None:
        """If all are stopped meanwhile, the new ones are too."""
        for isReady in (False, True):
            self.setUp()
            self.supervisor.reload()
            if isReady:
                self.serve(2)
            with capturedLogs() as events:
                stopped = self.supervisor.stop()
                self.assertEqual([process.names[-1] for process in self.processes], ["Stop"] * 4)
                for process in self.processes:
                    process.end()
            self.successResultOf(stopped)
            self.assertEqual({event["log_level"].name for event in events}, {"debug"})
            self.supervisor.reload()
            self.assertEqual(len(self.processes), 4)

    def test_memory(self) -> None:
        """Workers whose rooms live in their memory stay."""
        self.old[0].protocol.node = None
        self.supervisor.reload()
        self.assertEqual(len(self.processes), 2)
