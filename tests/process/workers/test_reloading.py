"""
Tests for the rolling reload of workers.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.process.workers.fakeprocesses import FakeProcess, WorkersReactor, startOf
from txroom.process.workers.backoff import FIRST
from txroom.process.workers.child import KILL_AFTER, SEND_AWAY, WorkerProcess, WorkerSide
from txroom.process.workers.pipe import Ask, Group, Leave, Left, Ready, Stop
from txroom.process.workers.reloading import LEAVE_TIMEOUT, READY_TIMEOUT
from txroom.process.workers.supervisor import Supervisor


class ReloadCase(SynchronousTestCase):
    """A supervisor with two workers that serve."""

    def setUp(self) -> None:
        self.reactor = WorkersReactor()
        self.notes: list[str] = []
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

    def asked(self, worker: WorkerProcess, ask: Ask) -> None:
        pass

    def ended(self, worker: WorkerProcess) -> None:
        pass

    def regrouped(self, group: Group) -> None:
        pass

    def reloading(self, what: str) -> None:
        self.notes.append(what)

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


class ReloadTests(ReloadCase):
    """`Supervisor.reload`."""

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
            ["reload: the new workers serve; rooms that have moved: 5"],
        )
        self.assertEqual([process.received[-1] for process in self.old], [Stop(SEND_AWAY)] * 2)
        self.assertEqual(self.places(), [102, 103])
        self.reactor.advance(7)
        self.old[0].end()
        with capturedLogs() as events:
            self.old[1].end()
        self.assertIn("reload: done in 7 s", [formatEvent(event) for event in events])
        self.reactor.advance(60)
        self.assertEqual(len(self.processes), 4)

    def test_marks(self) -> None:
        """In the log the old worker of a number is told from the new one."""

        def marks() -> list[str]:
            return [process.protocol.output.mark for process in self.processes]

        self.supervisor._atOnce = 1
        self.supervisor.reload()
        self.assertEqual(marks(), ["old", "", ""])
        self.serve(2)
        self.serve(3)
        self.assertEqual(marks(), ["old", "old", "", ""])
        self.old[0].send(Left(problem="no"))
        self.assertEqual(marks(), ["", "", "given up", "given up"])
        with capturedLogs() as events:
            self.processes[2].output("hello\n")
        self.assertEqual(events[-1]["log_system"], "worker 1, given up")

    def test_again(self) -> None:
        """There is one reload at a time. What asks for it meanwhile gets one afterwards."""
        with capturedLogs() as events:
            first, second, third = (self.supervisor.reload() for _ in range(3))
        waits = "reload: it begins when the current one has ended"
        self.assertEqual([formatEvent(event) for event in events].count(waits), 1)
        self.assertEqual(self.notes, ["a reload runs", "a reload runs, and the next one waits for its end"])
        self.assertEqual(len(self.processes), 4)
        new = self.serve(2)
        for process in self.old:
            process.send(Left())
        self.assertTrue(self.successResultOf(first))
        self.assertNoResult(second)
        self.assertEqual(len(self.processes), 4)  # the old workers still have clients
        for process in self.old:
            process.end()
        self.assertEqual(len(self.processes), 6)
        self.serve(4)
        for process in new:
            process.send(Left())
        self.successResultOf(second)
        self.successResultOf(third)
        self.reactor.advance(60)
        self.assertEqual((len(self.processes), self.places()), (6, [104, 105]))
        self.assertEqual(self.notes[-2:], ["a reload runs", ""])

    def test_waits(self) -> None:
        """A reload that begins soon after another one waits until its old workers have ended, and says so."""
        self.reload()
        for process in self.old:
            process.send(Left())
        self.assertEqual(self.notes[-1], "")
        with capturedLogs() as events:
            second, third = self.supervisor.reload(), self.supervisor.reload()
        what = "until 2 replaced workers have sent the clients away and ended"
        self.assertEqual([formatEvent(event) for event in events], [f"reload: it waits {what}"])
        self.assertEqual(self.notes[-1], f"a reload waits {what}")
        for process in self.old:
            process.end()
        self.assertEqual((len(self.processes), self.notes[-1]), (6, "a reload runs"))
        self.serve(4)
        for process in self.processes[2:4]:
            process.send(Left())
        self.assertTrue(self.successResultOf(second))
        self.assertTrue(self.successResultOf(third))
        self.assertEqual(self.notes[-1], "")

    def test_fewAtOnce(self) -> None:
        """The new workers start a few at a time, and all of them must serve when the last one does."""
        for isWell in (True, False):
            self.setUp()
            self.supervisor._atOnce = 1
            self.supervisor.reload()
            self.assertEqual(len(self.processes), 3)
            self.processes[2].serve()
            self.assertEqual(len(self.processes), 4)
            if not isWell:
                self.processes[2].end(signal=9)
            self.processes[3].serve()
            self.assertEqual("Leave" in self.old[0].names, isWell)
        self.assertEqual(self.places(), [100, 101])

    def test_stopReplaced(self) -> None:
        """Workers that send their clients away stop sooner if all are stopped, or are killed."""
        self.reload()
        for process in self.old:
            process.send(Left())
        self.reactor.advance(SEND_AWAY)
        self.supervisor.stop()
        self.supervisor.stop()
        self.assertEqual([process.received[-2:] for process in self.old], [[Stop(SEND_AWAY), Stop()]] * 2)
        self.assertTrue(self.old[0].isRunning)
        self.reactor.advance(10 + KILL_AFTER)
        self.assertEqual([process.signals for process in self.old], [["KILL"]] * 2)

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

    def test_servesMeanwhile(self) -> None:
        """A worker that begins to serve while the first successors start is replaced too."""
        self.old[1].end(signal=9)
        self.reactor.advance(FIRST)
        late = self.processes[2]
        self.supervisor._atOnce = 1
        self.supervisor.reload()
        late.serve()
        self.serve(3)
        self.serve(4)
        self.old[0].send(Left())
        self.assertEqual(late.names[-1], "Leave")
        late.send(Left())
        self.assertEqual((late.names[-1], self.places()), ("Stop", [103, 104]))

    def test_waitsAtGivenUp(self) -> None:
        """A worker that waits for its next start when a reload is given up is started once."""
        self.old[1].end(signal=9)
        self.supervisor._atOnce = 1
        self.supervisor.reload()
        self.processes[2].end(status=1)
        self.reactor.advance(60)
        self.assertEqual(len(self.processes), 4)

    def test_noStartAfterStop(self) -> None:
        """Nor is it started after the stop."""
        self.old[1].end(signal=9)
        self.supervisor._atOnce = 1
        self.supervisor.reload()
        self.processes[2].end(status=1)
        stopped = self.supervisor.stop()
        self.old[0].end()
        self.successResultOf(stopped)
        self.reactor.advance(60)
        self.assertEqual(len(self.processes), 3)

    def test_allStart(self) -> None:
        """If all workers are starting, they are waited for, and replaced: they may have the old code."""
        for process in self.old:
            process.end(status=1)
        self.reactor.advance(FIRST)
        starting = self.processes[2:]
        self.supervisor.reload()
        self.assertEqual(len(self.processes), 4)
        for process in starting:
            process.serve()
        self.assertEqual(len(self.processes), 6)
        self.serve(4)
        self.assertEqual(starting[0].names[-1], "Leave")

    def test_allStartSlowly(self) -> None:
        """They are not waited for longer than new workers are."""
        for process in self.old:
            process.end(status=1)
        self.reactor.advance(FIRST)
        reloaded: list[bool] = []
        self.supervisor.reload().addCallback(reloaded.append)
        self.reactor.advance(READY_TIMEOUT)
        self.assertEqual((len(self.processes), reloaded), (4, [True]))

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

    def test_endsAtOnce(self) -> None:
        """If a new worker ends while it is spawned, the reload is given up, and the next one can begin."""

        def spawn(slot: int, side: WorkerSide) -> WorkerProcess:
            worker = self.spawn(slot, side)
            self.processes[-1].end(status=1)
            return worker

        self.patch(self.supervisor, "_spawn", spawn)
        self.assertFalse(self.successResultOf(self.supervisor.reload()))
        self.patch(self.supervisor, "_spawn", self.spawn)
        self.reactor.flush()
        self.assertEqual((len(self.supervisor.workers), self.places()), (2, [100, 101]))
        count = len(self.processes)
        self.supervisor.reload()
        self.assertEqual(len(self.processes), count + 2)

    def test_mendedAtOnce(self) -> None:
        """So may one that is started after a reload, because its predecessor has ended meanwhile."""
        new = self.reload()
        new[0].end(signal=9)

        def spawn(slot: int, side: WorkerSide) -> WorkerProcess:
            worker = self.spawn(slot, side)
            self.processes[-1].end(status=1)
            return worker

        self.patch(self.supervisor, "_spawn", spawn)
        for process in self.old:
            process.send(Left())
        self.patch(self.supervisor, "_spawn", self.spawn)
        self.assertEqual(len(self.processes), 5)
        self.reactor.flush()
        self.reactor.advance(FIRST)
        self.assertEqual((self.processes[5].protocol.slot, self.places()), (1, [105, 103]))
        self.assertFalse(self.supervisor._isReloading)

    def test_faultAtEnd(self) -> None:
        """
        A fault where nobody expects one ends the reload, and is logged. Those that wait for the reload, or
        for the next one, are told, and reloads go on.
        """

        def fail(slot: Any) -> None:
            raise KeyError("a fault")

        first, second = self.supervisor.reload(), self.supervisor.reload()
        self.patch(self.supervisor, "mend", fail)
        self.serve(2)
        for process in self.old:
            process.send(Left())
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual([self.successResultOf(each) for each in (first, second)], [False, False])
        self.assertEqual(self.notes[-1], "")
        self.supervisor.reload()
        self.assertEqual(len(self.processes), 6)

    def test_fault(self) -> None:
        """An error that nobody expects is logged; the new workers stop, and the old ones go on."""

        def fail(nodes: list[str]) -> None:
            raise KeyError("a fault")

        self.patch(self.old[1].protocol, "leave", fail)
        new = self.reload()
        with capturedLogs() as events:
            self.old[0].send(Left(3))
        self.assertIsInstance(self.flushLoggedErrors(KeyError)[0].value, KeyError)
        self.assertIn("given up, and the old workers go on: 'a fault'", formatEvent(events[-1]))
        self.assertEqual([process.names[-1] for process in self.old], ["Stay", "Stay"])
        self.patch(new[0].protocol, "leave", fail)
        for process in new:
            process.send(Left())
        self.assertEqual([process.names[-1] for process in new], ["Stop", "Stop"])
        self.flushLoggedErrors(KeyError)
        for process in new:
            process.end()
        self.reactor.advance(60)
        self.assertEqual((len(self.processes), self.places()), (4, [100, 101]))
        self.assertEqual(self.notes[-1], "")

    def test_hanging(self) -> None:
        """An old worker that doesn't answer is killed, and the reload goes on."""
        self.reload()
        with capturedLogs() as events:
            self.reactor.advance(LEAVE_TIMEOUT)
        texts = "\n".join(map(formatEvent, events))
        self.assertIn("does not give its rooms away, and is killed", texts)
        self.old[1].send(Left())
        self.assertEqual(self.places(), [102, 103])

    def test_cantStart(self) -> None:
        """If a new worker ends before it serves, the old ones go on, and the other new one is stopped."""
        self.supervisor.reload()
        self.processes[2].serve()
        self.processes[3].output("txroom: --app game:make: can't be imported: SyntaxError\n")
        with capturedLogs() as events:
            self.processes[3].end(status=1, hasOutput=True)
            self.processes[3].output("not the last")
            self.processes[3].output(" line")
            self.processes[3].loseConnection()
        why = "a new worker has ended with status 1: not the last line"
        texts = "\n".join(str(formatEvent(event)) for event in events)
        self.assertIn(f"given up, and the old workers go on: {why}", texts)
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

    def test_why(self) -> None:
        """Why a worker can't start or open a room is in the line that says that the reload is given up."""
        self.supervisor.reload()
        self.processes[2].output("txroom: --app game:make: SyntaxError: never closed\n")
        with capturedLogs() as events:
            self.processes[2].end(status=1)
        why = "a new worker has ended with status 1: --app game:make: SyntaxError: never closed"
        givenUp = "the reload is given up, and the old workers go on"
        self.assertIn(f"{givenUp}: {why}", [formatEvent(event) for event in events])
        self.setUp()
        new = self.reload()
        for room, key in (("x", "boom"), ("y", "other")):
            new[1].fails(f"Auction.load in room auction {room}", KeyError(key), room)
        with capturedLogs() as events:
            self.old[1].send(Left())
            self.old[0].send(Left(problem="node node-103 can't open room x"))
        why = "node node-103 can't open room x: Auction.load in room auction x: KeyError: 'boom'"
        self.assertIn(f"{givenUp}: {why}", [formatEvent(event) for event in events])

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

    def test_memoryLost(self) -> None:
        """They are replaced if their rooms may be lost."""
        self.supervisor.mayLoseRooms = True
        for process in self.old:
            process.protocol.node = None
        self.supervisor.reload()
        for process in self.processes[2:]:
            process.serve(node=None)
        self.assertEqual([process.names[-1] for process in self.old], ["Stop"] * 2)
        self.assertNotIn("Leave", self.old[0].names)

    def test_waiting(self) -> None:
        """If no worker serves, those that wait for their next start are started at once."""
        for _ in range(4):
            for process in self.processes[-2:]:
                process.end(status=1)
            self.reactor.advance(10)
        count = len(self.processes)
        for process in self.processes[-2:]:
            process.end(status=1)
        reloaded: list[bool] = []
        self.supervisor.reload().addCallback(reloaded.append)
        self.assertEqual((len(self.processes), reloaded), (count + 2, [True]))
        self.processes[-1].end(status=1)
        self.reactor.advance(FIRST)
        self.assertEqual(len(self.processes), count + 3)


class ReplaceTests(ReloadCase):
    """`Supervisor.replace`: one worker is replaced alone."""

    def replace(self, index: int = 0) -> str:
        return self.supervisor.replace(self.old[index].protocol)

    def test_replaced(self) -> None:
        """A new process takes the place of the worker, and gets its rooms; the other worker goes on."""
        with capturedLogs() as events:
            self.assertEqual(self.replace(1), "")
            (new,) = self.serve(2)
            self.assertEqual(new.protocol.slot, 2)
            self.assertEqual(self.old[1].received[-1], Leave(["node-102"]))
            self.old[1].send(Left(3))
        said = [formatEvent(event) for event in events]
        serves = "reload: the new worker serves; rooms that have moved: 3"
        self.assertEqual(said, ["reload: starting a new worker", serves])
        self.assertEqual((self.old[1].names[-1], self.places()), ("Stop", [100, 102]))
        self.assertNotIn("Leave", self.old[0].names)
        self.assertEqual(self.replace(1), "the worker is being stopped or replaced")
        self.old[1].end()
        self.assertEqual(len(self.processes), 3)

    def test_givenUp(self) -> None:
        """If the new process can't open a room, the worker stays."""
        self.replace()
        (new,) = self.serve(2)
        self.old[0].send(Left(problem="room x can't be opened"))
        self.assertEqual(self.old[0].names[-1], "Stay")
        new.send(Left())
        self.assertEqual((new.names[-1], self.places()), ("Stop", [100, 101]))

    def test_ends(self) -> None:
        """If the new process ends, the worker stays, and may be replaced again."""
        self.replace()
        self.processes[2].end(status=1)
        self.assertEqual(self.places(), [100, 101])
        self.assertEqual(self.replace(), "")
        self.assertEqual(self.serve(3)[0].protocol.slot, 1)

    def test_noProcess(self) -> None:
        """If no process can be started, the worker stays."""

        def fail(slot: int, side: WorkerSide) -> WorkerProcess:
            raise OSError("too many")

        self.supervisor._spawn = fail
        with capturedLogs() as events:
            self.assertEqual(self.replace(), "")
        self.assertIn("a new worker can't be started: too many", formatEvent(events[-1]))
        self.assertEqual(self.places(), [100, 101])

    def test_afterReload(self) -> None:
        """During a reload it waits; the worker that the reload has replaced is not replaced again."""
        self.supervisor.reload()
        self.assertEqual(self.replace(), "")
        for process in self.serve(2):
            process.send(Left())
        for process in self.old:
            process.send(Left())
        self.assertEqual(self.places(), [102, 103])
        for process in self.old:
            process.end()
        self.assertEqual([process.protocol.slot for process in self.processes], [1, 2, 1, 2])

    def test_bothAtOnce(self) -> None:
        """Two workers are replaced one after the other."""
        self.assertEqual((self.replace(0), self.replace(1), self.replace(1)), ("", "", ""))
        self.assertEqual(len(self.processes), 3)
        self.serve(2)
        self.old[0].send(Left())
        self.old[0].end()
        self.serve(3)
        self.old[1].send(Left())
        self.assertEqual(self.places(), [102, 103])
        self.assertEqual(len(self.processes), 4)

    def test_memory(self) -> None:
        """A worker whose rooms live in its memory is not replaced."""
        self.old[0].protocol.node = None
        self.assertIn("live in their memory", self.replace())

    def test_stopping(self) -> None:
        """While all stop, nothing is replaced."""
        self.supervisor.stop()
        self.assertEqual(self.replace(), "the worker is being stopped or replaced")
