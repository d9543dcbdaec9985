"""Tests for the bundled store, with processes in memory."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from tests.process.workers.processes import MemoryProcess, ProcessReactor
from txroom.process.workers import statedir, watcher
from txroom.process.workers import store as storemodule
from txroom.process.workers.original import INTERVAL
from txroom.process.workers.statedir import MANIFEST, StateDirectory
from txroom.process.workers.store import Store, StoreState
from txroom.process.workers.storeerror import StoreError
from txroom.process.workers.storeprogram import Program, Version

REDIS = Program("/opt/redis/redis-server", Version("Redis", (7, 0)))


class FakeClient:
    """A client that the test connects."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.started: Deferred[None] = Deferred()
        self.isStopped = False

    def start(self) -> Deferred[None]:
        return self.started

    def stop(self) -> Deferred[None]:
        self.isStopped = True
        return succeed(None)


class StoreTestCase(SynchronousTestCase):
    """Tests with a store whose program is in memory."""

    def setUp(self) -> None:
        self.reactor = ProcessReactor()
        self.clients: list[FakeClient] = []
        self.programs = [REDIS]
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.died: list[str] = []
        self.errors: list[StoreError] = []
        #: What was called in other threads.
        self.threaded: list[Any] = []

    def connect(self, url: str) -> FakeClient:
        self.clients.append(FakeClient(url))
        return self.clients[-1]

    def inThread(self, call: Callable[[], None]) -> Deferred[None]:
        self.threaded.append(call)
        return maybeDeferred(call)

    def make(self, stateDir: str | None = None, fsync: Any = "no") -> Store:
        store = Store(
            self.reactor,
            stateDir,
            fsync,
            environ={"PATH": "/bin", "NOTIFY_SOCKET": "/run/x", "TMPDIR": "/tmp"},
            connect=self.connect,
            programs=lambda: iter(self.programs),
            inThread=self.inThread,
        )
        store.onDied = self.died.append
        store.onFailed = self.errors.append
        self.addCleanup(self.end, store)
        return store

    def end(self, store: Store) -> None:
        """Stop a store, and check that nothing is left of it."""
        stopped = fired(store.stop())
        self.endProcesses()
        self.assertEqual(stopped, [None])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def endProcesses(self) -> None:
        """End the processes that were told to end."""
        while ending := [each for each in self.reactor.processes if each.isToEnd]:
            ending[0].end()

    def up(self, stateDir: str | None = None, fsync: Any = "no") -> Store:
        """A store that answers."""
        store = self.make(stateDir, fsync)
        started = fired(store.start())
        self.answer()
        self.assertEqual(started, [store.url])
        return store

    def answer(self) -> None:
        """The newest run of the program has made its files, and answers."""
        args = self.runs[-1].args
        manifest = Path(args[args.index("--dir") + 1], "appendonlydir", MANIFEST)
        manifest.parent.mkdir(exist_ok=True)
        manifest.touch()
        self.clients[-1].started.callback(None)

    @property
    def runs(self) -> list[MemoryProcess]:
        """The runs of the program."""
        return [each for each in self.reactor.processes if watcher.__file__ not in each.args]

    @property
    def watchers(self) -> list[MemoryProcess]:
        return [each for each in self.reactor.processes if watcher.__file__ in each.args]

    @property
    def state(self) -> str:
        """The path of a state directory."""
        return str(self.directory / "state")


class StartTests(StoreTestCase):
    """The start of a store."""

    def test_start(self) -> None:
        """The program has a socket in a private directory, no port and no password, and two locks."""
        store = self.up()
        (run,) = self.runs
        socket = Path(store.url.removeprefix("unix://"))
        self.assertEqual(socket.parent.stat().st_mode & 0o777, 0o700)
        args = run.args[run.args.index(REDIS.path) :]
        options = {name: args[index + 1] for index, name in enumerate(args) if name.startswith("--")}
        self.assertEqual(options["--port"], "0")
        self.assertEqual(options["--unixsocket"], str(socket))
        self.assertEqual(options["--appendonly"], "yes")
        self.assertEqual(options["--appendfsync"], "no")
        self.assertEqual(options["--maxmemory-policy"], "noeviction")
        self.assertEqual(run.given["env"], {"PATH": "/bin"})
        self.assertEqual(run.given["childFDs"][3], store.descriptors[0])
        locked = os.stat(run.given["childFDs"][4])
        self.assertEqual(
            (locked.st_dev, locked.st_ino), (socket.parent.stat().st_dev, socket.parent.stat().st_ino)
        )
        self.assertEqual(store.state, StoreState.UP)
        self.assertTrue(self.clients[0].isStopped)

    def test_always(self) -> None:
        """With fsync="always" the program writes to the disk before it replies."""
        self.up(self.state, "always")
        self.assertIn("always", self.runs[0].args)

    def test_stateDir(self) -> None:
        """The data is in the state directory, the socket is not."""
        store = self.up(self.state)
        self.assertIn(str(self.directory / "state" / "store"), self.runs[0].args)
        self.assertNotIn(self.state, store.url)
        self.assertIn(f"Redis 7.0) with its data in {self.state}/store, fsync no", store.describe())

    def test_wrong(self) -> None:
        """Wrong arguments are refused."""
        for arguments, why in (
            (("x", "everysec"), "fsync: must be 'no' or 'always', not 'everysec'"),
            ((None, "always"), "fsync: must be 'no' without a state directory"),
        ):
            with self.assertRaises(ValueError) as caught:
                Store(self.reactor, *arguments)
            self.assertEqual(str(caught.exception), why)

    def test_twice(self) -> None:
        """A store is started once."""
        store = self.up()
        self.assertRaises(RuntimeError, store.start)

    def test_neverUp(self) -> None:
        """If the program ends before it answers, the error has its last lines, and nothing is left."""
        store = self.make()
        started = store.start()
        runtime = Path(store.url.removeprefix("unix://")).parent
        self.runs[0].prints("*** FATAL CONFIG FILE ERROR ***", "1:M 29 Nov 2026 17:00:00.000 # No memory")
        self.runs[0].end(1)
        self.endProcesses()
        error = self.failureResultOf(started, StoreError).value
        why = "it has ended with status 1: *** FATAL CONFIG FILE ERROR ***; No memory"
        self.assertEqual(str(error), f"the store can't be started: {why}")
        self.assertFalse(runtime.exists())
        self.assertEqual(self.errors, [])

    def test_fullDisk(self) -> None:
        """A store whose version can't be written serves all the same."""

        def write(directory: StateDirectory, file: Path, text: str) -> None:
            raise OSError(28, "No space left on device", str(file))

        store = self.make()
        started = fired(store.start())
        self.patch(StateDirectory, "_write", write)
        self.answer()
        self.assertEqual((started, store.state), ([store.url], StoreState.UP))

    def test_noRun(self) -> None:
        """If the identity of the data can't be written, the start fails."""

        def write(directory: StateDirectory, file: Path, text: str) -> None:
            raise OSError(28, "No space left on device", str(file))

        self.patch(StateDirectory, "_write", write)
        started = self.make(self.state).start()
        self.endProcesses()
        error = self.failureResultOf(started, StoreError).value
        self.assertIn("No space left on device", str(error))

    def test_noProcess(self) -> None:
        """If there can't be another process, the start fails."""
        store = self.make()
        watching = self.reactor.spawnProcess

        def spawnProcess(protocol: Any, executable: str, args: list[str], **given: Any) -> MemoryProcess:
            if REDIS.path in args:
                raise OSError(11, "Resource temporarily unavailable")
            return watching(protocol, executable, args, **given)

        self.patch(self.reactor, "spawnProcess", spawnProcess)
        started = store.start()
        self.endProcesses()
        self.assertIn("temporarily unavailable", str(self.failureResultOf(started, StoreError).value))

    def test_noProgram(self) -> None:
        """If there is no program, the error says what to install."""
        self.programs = []
        started = self.make().start()
        self.endProcesses()
        self.assertIn("pip install 'txroom[workers]'", str(self.failureResultOf(started, StoreError).value))

    def test_olderProgram(self) -> None:
        """A program that is older than its data is refused, and the data stays as it is."""
        self.end(self.up(self.state))
        self.programs = [Program(REDIS.path, Version("Redis", (7, 2)))]
        self.end(self.up(self.state))
        self.programs = [REDIS]
        started = self.make(self.state).start()
        self.endProcesses()
        self.assertEqual(
            str(self.failureResultOf(started, StoreError).value),
            "/opt/redis/redis-server (Redis 7.0) can't read data that Redis 7.2 has written: "
            "install Redis 7.2 or newer",
        )
        self.assertEqual(len(self.runs), 2)

    def test_directory(self) -> None:
        """If the state directory can't be used, the start fails at once."""
        (self.directory / "state").touch()
        started = self.make(self.state).start()
        self.assertEqual(
            str(self.failureResultOf(started, StoreError).value),
            f"state directory {self.state}: must be a directory",
        )
        self.assertEqual(self.reactor.processes, [])


class CopyTests(StoreTestCase):
    """The state directory is replaced by a copy."""

    def test_copied(self) -> None:
        """The data of an older copy has another identity, and the log says why. Stamps are renewed."""
        store = self.up(self.state)
        file = Path(self.state, "store", "original")
        before = file.stat()
        shutil.copytree(self.state, self.directory / "copy")
        os.utime(file, (0, 0))
        self.reactor.advance(INTERVAL)
        after = file.stat()
        self.assertEqual(after.st_ino, before.st_ino)
        self.assertGreaterEqual(after.st_mtime, before.st_mtime)
        self.end(store)
        shutil.rmtree(self.state)
        shutil.copytree(self.directory / "copy", self.state)
        with capturedLogs() as events:
            second = self.up(self.state)
        self.assertNotEqual(second.run, store.run)
        warnings = [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]
        why = "is a copy, so its data may be old: the rooms begin new epochs"
        self.assertEqual(warnings, [f"{self.state}/store {why}"])

    def test_slowDisk(self) -> None:
        """
        A store that is up is stamped in another thread: the parent goes on while the disk takes its time, and
        does not begin another stamp meanwhile.
        """
        store, slow = self.up(self.state, "always"), Deferred[None]()
        file = Path(self.state, "store", "original")
        self.assertEqual(self.threaded, [])

        def inThread(call: Callable[[], None]) -> Deferred[None]:
            self.threaded.append(call)
            return slow

        self.patch(store, "_inThread", inThread)
        file.unlink()
        self.reactor.pump([INTERVAL] * 3)
        self.assertEqual((len(self.threaded), file.exists()), (1, False))
        self.threaded[0]()
        self.assertTrue(file.exists())
        slow.callback(None)
        self.reactor.advance(INTERVAL)
        self.assertEqual(len(self.threaded), 2)

    def test_unwritable(self) -> None:
        """If a stamp can't be written, on a full disk for example, the store is started all the same."""
        store = self.up(self.state)
        file = Path(self.state, "store", "original")
        file.unlink()
        file.mkdir()
        self.reactor.advance(2 * INTERVAL)
        self.assertEqual(store.state, StoreState.UP)
        self.runs[-1].kill()
        self.reactor.advance(0.1)
        self.answer()
        self.assertEqual(store.state, StoreState.UP)
        file.rmdir()


class RestartTests(StoreTestCase):
    """The store ends by itself."""

    def test_killed(self) -> None:
        """A store that was killed is started again soon, at the same URL and with the same lock."""
        store = self.up()
        url = store.url
        self.runs[0].kill()
        self.assertEqual((self.died, store.state), (["it was ended by SIGKILL"], StoreState.WAITING))
        self.reactor.advance(0.1)
        self.answer()
        self.assertEqual((store.state, store.url, self.clients[1].url), (StoreState.UP, url, url))
        self.assertEqual(self.runs[1].given["childFDs"][3], self.runs[0].given["childFDs"][3])
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_backOff(self) -> None:
        """The delay grows up to 5 s, and is short again after the store has run for a minute."""
        self.up()
        delays = []
        for _ in range(8):
            self.runs[-1].kill()
            (call,) = self.reactor.getDelayedCalls()
            delays.append(round(call.getTime() - self.reactor.seconds(), 3))
            self.reactor.advance(delays[-1])
            self.answer()
        self.assertEqual(delays, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
        self.reactor.advance(61)
        self.runs[-1].kill()
        (call,) = self.reactor.getDelayedCalls()
        self.assertAlmostEqual(call.getTime() - self.reactor.seconds(), 0.1)

    def test_notUpAgain(self) -> None:
        """If the next run ends before it answers, the store tries again."""
        store = self.up()
        self.runs[0].kill()
        self.reactor.advance(0.1)
        self.runs[1].end(1)
        self.assertEqual((len(self.died), store.state), (2, StoreState.WAITING))
        self.reactor.advance(0.2)
        self.answer()
        self.assertEqual(store.state, StoreState.UP)

    def test_programGone(self) -> None:
        """If the program is away for a moment, since it is being replaced, the store tries again."""
        store = self.up()
        self.programs = []
        self.runs[0].kill()
        self.reactor.advance(0.1)
        self.programs = [REDIS]
        self.reactor.advance(0.2)
        self.answer()
        self.assertEqual(store.state, StoreState.UP)

    def test_output(self) -> None:
        """The next start doesn't wait for a child process of the program that keeps its output."""
        self.up()
        self.runs[0].end(signal=9, hasOutput=True)
        self.reactor.advance(0.5)
        self.reactor.advance(0.1)
        self.assertEqual(len(self.runs), 2)

    def test_corrupt(self) -> None:
        """Corrupt data is never repaired: the store ends, and names the file and the command."""
        store = self.up(self.state)
        file = Path(self.state, "store", "appendonlydir", "appendonly.aof.1.incr.aof")
        self.runs[0].kill()
        self.reactor.advance(0.1)
        file.touch()
        self.runs[1].prints(
            "7:M 29 Nov 2026 17:00:00.000 # Bad file format reading the append only file "
            "appendonly.aof.1.incr.aof: make a backup of your AOF file, then use "
            "./redis-check-aof --fix <filename>"
        )
        self.runs[1].end(1)
        self.endProcesses()
        (error,) = self.errors
        self.assertEqual(
            str(error),
            f"{file} is damaged or missing, so the store does not start; make a copy of it, and then run: "
            f"bash -c 'exec -a redis-check-aof /opt/redis/redis-server --fix {file}'",
        )
        self.assertEqual((store.state, len(self.runs)), (StoreState.STOPPED, 2))

    def test_missing(self) -> None:
        """Without the list of its files, the store ends, since it does not come back by itself."""
        store = self.up(self.state)
        file = Path(self.state, "store", "appendonlydir", MANIFEST)
        self.runs[0].kill()
        file.unlink()
        self.reactor.advance(0.1)
        self.endProcesses()
        (error,) = self.errors
        self.assertIn(f"{file} is damaged or missing, so the store does not start", str(error))
        self.assertEqual((store.state, len(self.runs)), (StoreState.STOPPED, 1))


class StopTests(StoreTestCase):
    """The end of a store."""

    def test_stop(self) -> None:
        """The program ends first, then the watcher; the private directory is removed."""
        store = self.up()
        runtime = Path(store.url.removeprefix("unix://")).parent
        stopped = fired(store.stop())
        self.assertEqual(self.runs[0].signals, ["TERM"])
        self.assertNotIn(b"done", self.watchers[0].written)
        self.runs[0].end()
        self.assertTrue(self.watchers[0].written.endswith(b"0\ndone\n"))
        self.assertTrue(runtime.exists())
        self.watchers[0].end()
        self.assertEqual((stopped, runtime.exists(), self.died), ([None], False, []))

    def test_hangs(self) -> None:
        """A program that doesn't end is killed."""
        store = self.up()
        store.stop()
        self.reactor.advance(10)
        self.assertEqual(self.runs[0].signals, ["TERM", "KILL"])

    def test_says(self) -> None:
        """What the program says of its end is no warning if it was told to end."""
        store = self.up()
        line = b"1:M 29 Nov 2026 17:40:00.123 # Redis is now ready to exit, bye bye...\n"
        with capturedLogs() as events:
            self.runs[0].protocol.outReceived(line)
            store.stop()
            self.runs[0].protocol.outReceived(line)
        levels = [event["log_level"].name for event in events if "bye" in event.get("text", "")]
        self.assertEqual(levels, ["warn", "info"])

    def test_states(self) -> None:
        """A store can be stopped in every state."""
        idle, locking, starting, waiting = self.make(), self.make(self.state), self.make(), self.make()
        holder = self.up(self.state)
        results = [fired(locking.start()), fired(starting.start())]
        waiting.start()
        self.answer()
        self.runs[-1].kill()
        for store, state in (
            (idle, StoreState.IDLE),
            (locking, StoreState.LOCKING),
            (starting, StoreState.STARTING),
            (waiting, StoreState.WAITING),
        ):
            self.assertEqual(store.state, state)
            store.stop()
        self.endProcesses()
        for (failure,) in results:
            self.assertEqual(str(failure.value), "the store was stopped")
        self.assertEqual(holder.state, StoreState.UP)

    def test_twice(self) -> None:
        """Stopping twice is the same as once."""
        store = self.up()
        stopped = fired(store.stop()) + fired(store.stop())
        self.endProcesses()
        self.assertEqual(fired(store.stop()), [None])
        self.assertEqual(stopped, [])
        self.assertEqual(store.state, StoreState.STOPPED)


class LockTests(StoreTestCase):
    """Two stores with one state directory."""

    def test_waits(self) -> None:
        """The second store waits until the first one has stopped."""
        first = self.up(self.state)
        second = self.make(self.state)
        started = fired(second.start())
        self.reactor.advance(5)
        first.stop()
        self.endProcesses()
        self.reactor.advance(0.1)
        self.answer()
        self.assertEqual(started, [second.url])

    def test_refused(self) -> None:
        """After 10 seconds the second store is refused."""
        first = self.up(self.state)
        status = (Path(self.state) / "store").stat()
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
        locks = Path(self.mktemp())
        locks.write_text(f"1: FLOCK  ADVISORY  WRITE 123 {device}:{status.st_ino} 0 EOF\n")
        self.patch(statedir, "LOCKS", locks)
        with capturedLogs() as events:
            started = self.make(self.state).start()
            self.reactor.pump([0.1] * 99)
        self.assertNoResult(started)
        told = f"state directory {self.state}: it is in use by process 123; it is tried again for 10 s"
        self.assertEqual([formatEvent(event) for event in events], [told])
        self.reactor.pump([0.1] * 2)
        self.assertEqual(
            str(self.failureResultOf(started, StoreError).value),
            f"state directory {self.state}: must not be in use by another txroom",
        )
        self.end(first)

    def test_abandoned(self) -> None:
        """At its start, and as long as another process has the lock, a store ends those that nobody uses."""
        first = self.up(self.state)
        asked: list[list[Path]] = []

        def endAbandoned(parents: list[Path], owner: Any) -> list[Path]:
            asked.append(parents)
            if len(asked) == 3:
                first.stop()
                self.endProcesses()
                return [Path("/tmp/txroom-store-x")]
            return []

        self.patch(storemodule, "endAbandoned", endAbandoned)
        with capturedLogs() as events:
            started = fired(self.make(self.state).start())
            self.reactor.pump([0.1] * 5)
            self.answer()
        self.assertEqual((len(started), len(asked)), (1, 3))
        self.assertEqual((asked[0][0], asked[0][-1]), (Path("/tmp"), Path(self.state, "store")))
        warnings = [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn][1:]
        self.assertEqual(warnings, ["a store that was left by a killed parent is ended: /tmp/txroom-store-x"])

    def test_inherited(self) -> None:
        """A process that has inherited the descriptor keeps the lock."""
        first = self.up(self.state)
        inherited = os.dup(first.descriptors[0])
        self.addCleanup(os.close, inherited)
        first.stop()
        self.endProcesses()
        started = self.make(self.state).start()
        self.reactor.pump([0.1] * 102)
        self.failureResultOf(started, StoreError)


class RunTests(StoreTestCase):
    """The identity of the data."""

    def runOf(self, fsync: str) -> str:
        store = self.up(self.state, fsync)
        run = store.run
        store.stop()
        self.endProcesses()
        return run

    def test_no(self) -> None:
        """Without fsync it lasts as long as the machine runs."""
        run = self.runOf("no")
        self.assertEqual(self.runOf("no"), run)
        self.patch(statedir, "BOOT_ID", self.directory / "boot")
        (self.directory / "boot").write_text("next")
        self.assertNotEqual(self.runOf("no"), run)

    def test_always(self) -> None:
        """With fsync it lasts as long as the directory."""
        run = self.runOf("always")
        self.patch(statedir, "BOOT_ID", self.directory / "next")
        self.assertEqual(self.runOf("always"), run)

    def test_meanwhile(self) -> None:
        """A run without fsync ends the identity of the directory, since its end may have been lost."""
        run = self.runOf("always")
        self.runOf("no")
        self.assertNotEqual(self.runOf("always"), run)

    def test_unwritten(self) -> None:
        """It ends if the store can't write, since it may be killed before it can."""
        store = self.up(self.state)
        self.runs[0].prints(
            "1:M 29 Nov 2026 17:00:00.000 # Short write while writing to the AOF file: (1, 2)"
        )
        store.stop()
        self.endProcesses()
        self.assertNotEqual(self.runOf("no"), store.run)

    def test_renewed(self) -> None:
        """If such a store ends by itself, its data has another identity before it is started again."""
        store = self.up(self.state)
        before = store.run
        renewed: list[tuple[str, int]] = []
        store.onRenewed = lambda run: renewed.append((run, len(self.runs)))
        self.runs[0].kill()
        self.reactor.advance(0.1)
        self.answer()
        self.assertEqual((store.run, renewed), (before, []))
        self.runs[1].prints(
            "1:M 29 Nov 2026 17:00:00.000 # Short write while writing to the AOF file: (1, 2)"
        )
        self.runs[1].kill()
        self.reactor.advance(0.2)
        self.assertNotEqual(store.run, before)
        self.assertEqual((renewed, len(self.runs)), ([(store.run, 2)], 3))


class WatcherTests(StoreTestCase):
    """What the watcher is told."""

    def test_told(self) -> None:
        """It is told of each process of the store, and of its end."""
        self.up()
        self.runs[0].kill()
        self.reactor.advance(0.1)
        first, second = self.runs
        self.assertEqual(
            self.watchers[0].written.split(), [b"0", str(first.pid).encode(), b"0", str(second.pid).encode()]
        )

    def test_again(self) -> None:
        """A watcher that has ended is started again, and told of the present process."""
        self.up()
        self.watchers[0].kill()
        self.reactor.advance(1)
        self.assertEqual(self.watchers[1].written, f"{self.runs[0].pid}\n".encode())

    def test_environment(self) -> None:
        """It runs without site-packages, and without the variables of systemd."""
        store = self.up()
        (process,) = self.watchers
        self.assertEqual(process.args[:3], [sys.executable, "-I", "-S"])
        self.assertEqual(process.given["env"], {"PATH": "/bin"})
        self.assertNotIn(store.descriptors[1], process.given["childFDs"].values())
