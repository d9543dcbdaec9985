"""
The bundled store: a Redis or Valkey of the parent's own, which is started again when it ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...engine.redis.client import RedisClient
from ..loading import inOneLine
from .backoff import Backoff
from .original import INTERVAL
from .owner import Owner
from .runtimedir import RuntimeDirectory, endAbandoned, runtimeParents
from .statedir import StateDirectory
from .storeerror import DamagedError, StoreError
from .storeprocess import Client, StoreProcess, argumentsOf, environmentOf
from .storeprogram import Program, findProgram, installedPrograms
from .watching import Watching

Fsync = Literal["no", "always"]

#: How long the store must have run, in seconds, so that the delay before its next start is short again.
STABLE = 60.0
#: The longest delay before a start, in seconds.
LONGEST = 5.0


class StoreState(StrEnum):
    """
    The state of a store.

    ::

        idle --start--> locking --locked--> starting --answered--> up
        starting, up --ended--> waiting --delay over--> starting
        locking, starting, up, waiting --failed, stop--> stopping --cleaned up--> stopped
    """

    IDLE = "idle"
    #: The store waits for the lock of its state directory.
    LOCKING = "locking"
    #: The program runs, but does not answer yet.
    STARTING = "starting"
    UP = "up"
    #: The program has ended, and is started again after a delay.
    WAITING = "waiting"
    STOPPING = "stopping"
    STOPPED = "stopped"


@attrs.frozen
class _Parts:
    """What a store has from its preparation to its end."""

    data: StateDirectory
    runtime: RuntimeDirectory
    watching: Watching


class Store:
    """
    A Redis or Valkey of the parent's own.

    It has no password and no port, only a socket in a private directory. While the parent runs, a store that
    ends is started again, with all that it has confirmed. If the parent is killed, a watcher ends the store
    when the workers have ended, within 15 seconds.

    Args:
        reactor: The reactor.
        stateDir: The directory of the data, which is made if it doesn't exist. With `None` the data is in a
            temporary directory, which is removed at the end.
        fsync: When data reaches the disk: ``"no"``: when the operating system writes it, so that only the end
            of the whole machine may lose some; ``"always"``: before it is confirmed, which takes longer.
        uid: The id of the user that the store runs as; `None`: that of this process.
        gid: The id of the group.
        environ: The environment; `None`: that of this process.
        connect: Makes a client of the store from its URL, for tests.
        programs: Finds the installed programs, for tests.
        inThread: Calls a function in another thread, for tests.

    Raises:
        ValueError: An argument is wrong.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        stateDir: str | None = None,
        fsync: Fsync = "no",
        uid: int | None = None,
        gid: int | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        connect: Callable[[str], Client] | None = None,
        programs: Callable[[], Iterable[Program]] | None = None,
        inThread: Callable[[Callable[[], None]], Deferred[None]] | None = None,
    ) -> None:
        if fsync not in get_args(Fsync):
            raise ValueError(f"fsync: must be 'no' or 'always', not {fsync!r}")
        if fsync == "always" and stateDir is None:
            raise ValueError("fsync: must be 'no' without a state directory")
        self._environ = os.environ if environ is None else environ
        self.state = StoreState.IDLE
        #: Called when the store has ended by itself, with the reason. It is started again.
        self.onDied: Callable[[str], object] = lambda why: None
        #: Called when the store has ended by itself, and can't be started again.
        self.onFailed: Callable[[StoreError], object] = lambda error: None
        #: Called before the store is started again if it could not write what it has confirmed, with the new
        #: `run`.
        self.onRenewed: Callable[[str], object] = lambda run: None
        #: The identity of the data, once the store is started: the argument `run` of `RedisEngine`.
        self.run = ""
        self._reactor = reactor
        self._stateDir = stateDir
        self._fsync = fsync
        self._owner = Owner.of(uid, gid)
        self._connect = connect or partial(RedisClient, reactor, isQuiet=True)
        self._programs = programs or partial(installedPrograms, self._environ.get("PATH"))
        self._prepared: _Parts | None = None
        self._process: StoreProcess | None = None
        self._program: Program | None = None
        self._backoff = Backoff(LONGEST, STABLE)
        self._inThread = inThread or self._deferToThread
        self._stamps = LoopingCall(self._stampAgain)
        self._stamps.clock = reactor
        self._upSince = 0.0
        self._again: IDelayedCall | None = None
        self._locking: Deferred[None] | None = None
        self._starting: Deferred[str] | None = None
        self._error: StoreError | None = None
        self._stopping: list[Deferred[None]] = []

    # -- for the parent

    @property
    def url(self) -> str:
        """The URL of the store, once it is prepared."""
        return f"unix://{quote(str(self._parts.runtime.socket))}"

    @property
    def descriptors(self) -> tuple[int, ...]:
        """
        The descriptors that each worker inherits, once the store is started.

        They end with the process. The state directory is locked as long as a process has the first one, the
        watcher waits for the processes that have the second one, and no other parent ends the store as long
        as a process has the third one.
        """
        parts = self._parts
        return parts.data.descriptor, parts.watching.descriptor, parts.runtime.used

    @property
    def watching(self) -> Watching:
        """The watcher, once the store is prepared. The store starts and stops it."""
        return self._parts.watching

    @property
    def _runtimeParents(self) -> list[Path]:
        """The directories in which the private directory of a store may be."""
        last = None if self._stateDir is None else Path(self._stateDir).absolute() / "store"
        return runtimeParents(self._environ, self._owner, last)

    def describe(self) -> str:
        """Return what the store is and where its data is, for the log."""
        where = "in a temporary directory" if self._stateDir is None else f"in {self._parts.data.path}"
        return f"{self._program} with its data {where}, fsync {self._fsync}"

    def prepare(self) -> None:
        """
        Make and check the directories. `start` does it too; call it earlier if the process still has
        privileges that it will drop.

        Raises:
            StoreError: The directories can't be used.
        """
        if self._prepared is not None:
            return
        owner, data = self._owner, None
        if self._stateDir is not None:
            data = StateDirectory(Path(self._stateDir), owner)
            data.prepare()
        runtime = RuntimeDirectory.make(self._runtimeParents, owner)
        if data is None:
            data = StateDirectory(runtime.path, owner)
            data.prepare()
        watching = Watching(self._reactor, owner, environmentOf(self._environ), [runtime.path])
        self._prepared = _Parts(data, runtime, watching)

    def start(self) -> Deferred[str]:
        """
        Start the store.

        Returns:
            A Deferred that fires with the URL when the store answers. It fails with `StoreError` if the store
            can't be started or is stopped; another process may have the state directory for 10 seconds.
        """
        if self.state is not StoreState.IDLE:
            raise RuntimeError("a store is started once")
        self.state = StoreState.LOCKING
        starting = self._starting = Deferred()
        try:
            self.prepare()
        except StoreError as error:
            self._fail(error)
        else:
            self._endAbandoned()
            self._locking = Deferred.fromCoroutine(self._parts.data.lock(self._reactor, self._endAbandoned))
            self._locking.addCallback(self._locked).addErrback(self._failed)
        return starting

    def stop(self) -> Deferred[None]:
        """
        End the store. Its data is on the disk then, or removed if there is no state directory.

        Returns:
            A Deferred that fires when the store has ended.
        """
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        if self.state is StoreState.STOPPED:
            self._fireStopping()
        elif self.state is not StoreState.STOPPING:
            self._end()
        return stopped

    # -- the program

    @property
    def _parts(self) -> _Parts:
        assert self._prepared is not None, "the store is not prepared"
        return self._prepared

    def _endAbandoned(self) -> None:
        """End stores that nobody uses any more; one of them may have the lock."""
        for path in endAbandoned(self._runtimeParents, self._owner):
            self._log.warn("a store that was left by a killed parent is ended: {path}", path=path)

    def _locked(self, result: object) -> None:
        self._parts.watching.start()
        self._spawn()

    def _failed(self, failure: Failure) -> None:
        """The store could not be started, or the wait for the lock was cancelled."""
        if self.state is not StoreState.STOPPING:
            error: Any = failure.value
            self._fail(error if isinstance(error, StoreError) else StoreError(inOneLine(error)))

    def _spawn(self) -> None:
        self._again = None
        self.state = StoreState.STARTING
        data, runtime = self._parts.data, self._parts.runtime
        process = StoreProcess(self._reactor, self._connect(self.url), self)
        try:
            data.check()
            self._identify()
            program = self._program = findProgram(data.program, self._programs())
            args = argumentsOf(program.path, data.path, runtime.socket, self._fsync)
            locks = (data.descriptor, runtime.lock)
            process.start(args, environmentOf(self._environ), self._owner, locks)
        except DamagedError as error:
            self._fail(error)
            return
        except StoreError as error:
            self._over(str(error), error)
            return
        except OSError as error:
            self._over(inOneLine(error))
            return
        self._process = process
        self._parts.watching.watchStore(process.id)

    def _identify(self) -> None:
        """Learn the identity of the data, which is another one if `unwritten` was called."""
        data = self._parts.data
        before, self.run = self.run, data.run(self._fsync == "always")
        if data.isCopy:
            self._log.warn(
                "{path} is a copy, so its data may be old: the rooms begin new epochs", path=data.path
            )
        self._stamp()
        if self._stateDir is not None and not self._stamps.running:
            self._stamps.start(INTERVAL, now=False)
        if before not in ("", self.run):
            self._call(self.onRenewed, self.run)

    def _stamp(self) -> None:
        try:
            self._parts.data.stamp()
        except OSError as error:
            self._log.debug("the state directory can't be written: {why}", why=inOneLine(error))

    def _stampAgain(self) -> Deferred[None]:
        """Stamp in a thread, since a slow disk may take long, and this process has to go on meanwhile."""
        return self._inThread(self._stamp)

    def _deferToThread(self, call: Callable[[], None]) -> Deferred[None]:
        called: Deferred[None] = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call)
        return called

    def answered(self) -> None:
        """The program answers; see `ProcessSide`."""
        self.state = StoreState.UP
        self._upSince = self._reactor.seconds()
        assert self._program is not None
        try:
            self._parts.data.program = self._program.version
        except OSError as error:
            self._log.warn("the version of the store could not be written: {why}", why=inOneLine(error))
        self._log.info("store: {store}", store=self.describe())
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.callback(self.url)

    def unwritten(self) -> None:
        """The program could not write something to the disk; see `ProcessSide`."""
        self._parts.data.forget()

    def ended(self, why: str) -> None:
        """The program has ended; see `ProcessSide`."""
        process, self._process = self._process, None
        assert process is not None
        self._parts.watching.watchStore(0)
        if self.state is StoreState.STOPPING:
            self._cleanUp()
        elif self.state is StoreState.STARTING and process.log.damaged:
            assert self._program is not None
            self._fail(self._parts.data.damaged(process.log.damaged, self._program.repair))
        else:
            self._over(f"{why}: {process.log.last}" if process.log.last else why)

    def _over(self, why: str, error: StoreError | None = None) -> None:
        """The program has ended or could not be run: start it again, unless it has never answered."""
        if self._starting is not None:
            self._fail(error or StoreError(f"the store can't be started: {why}"))
            return
        served = self._reactor.seconds() - self._upSince if self.state is StoreState.UP else 0.0
        self._again = self._reactor.callLater(self._backoff.delay(served), self._spawn)
        self.state = StoreState.WAITING
        self._log.error("the store has ended, it is started again: {why}", why=why)
        self._call(self.onDied, why)

    # -- the end

    def _fail(self, error: StoreError) -> None:
        self._error = error
        self._end()

    def _end(self) -> None:
        self.state = StoreState.STOPPING
        if self._again is not None:
            self._again.cancel()
        if self._locking is not None:
            self._locking.cancel()
        if self._process is None:
            self._cleanUp()
        else:
            self._process.stop()

    def _cleanUp(self) -> None:
        if self._prepared is None:
            self._stopped()
        else:
            self._prepared.watching.stop().addCallback(self._stopped)

    def _stopped(self, result: object = None) -> None:
        if self._stamps.running:
            self._stamps.stop()
        if self._prepared is not None:
            self._prepared.data.close()
            self._prepared.runtime.remove()
        self.state = StoreState.STOPPED
        error = self._error or StoreError("the store was stopped")
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.errback(error)
        elif self._error is not None:
            self._call(self.onFailed, error)
        self._fireStopping()

    def _fireStopping(self) -> None:
        stopping, self._stopping = self._stopping, []
        for stopped in stopping:
            stopped.callback(None)

    def _call(self, hook: Callable[..., object], *args: Any) -> None:
        try:
            hook(*args)
        except Exception:
            self._log.failure("the store: a callback raised an exception")
