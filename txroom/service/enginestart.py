"""
The start of a server's engine, before the server listens.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..rooms.contract.ports import EngineService

#: The methods of an engine.
_METHODS = (
    "rooms", "start", "leave", "stay", "handOver", "stop", "nodes", "stranded", "nodeEnded", "health",
)  # fmt: skip


class EngineStart:
    """
    Starts an engine once for each start of its server.

    It is idle, starting or started. An engine that starts at once is started when `begin` returns.

    Args:
        engine: The engine.
        clock: The server's clock.
        started: Called when the engine has started. Its exceptions are raised by `begin` if the engine has
            started at once.
        failed: Called if the engine can't start or can't go on, or if `started` raises an exception later;
            not if the engine is stopped meanwhile.
    """

    def __init__(
        self,
        engine: EngineService,
        clock: IReactorTime,
        started: Callable[[], None],
        failed: Callable[[Failure], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._started = started
        self._failed = failed
        self._isStarted = False
        self._waiting: list[Callable[[], None]] = []
        #: The Deferred of the start that is going on.
        self._starting: Deferred[None] | None = None

    @property
    def isBegun(self) -> bool:
        """Whether the engine is starting or started."""
        return self._isStarted or self._starting is not None

    def whenStarted(self, call: Callable[[], None]) -> None:
        """Call a function once after `started` was called: now, or when the engine has started."""
        if self._isStarted:
            call()
        else:
            self._waiting.append(call)

    def begin(self) -> None:
        """
        Start the engine, unless it is starting already, and then call `started`.

        If the engine is started already, `started` is called at once.
        """
        if self._isStarted:
            self._started()
            return
        if self._starting is not None:
            return
        starting = self._starting = self._engine.start(self._clock, self._engineFailed)
        results: list[Failure | None] = []
        isWaiting = False

        def finished(result: Failure | None) -> None:
            results.append(result)
            if isWaiting and self._starting is starting:
                try:
                    self._finish(result)
                except Exception:
                    self._failed(Failure())

        starting.addBoth(finished)
        isWaiting = True
        if results:
            self._finish(results[0])

    def _finish(self, result: Failure | None) -> None:
        self._starting = None
        if isinstance(result, Failure):
            self._failed(result)
        else:
            self._isStarted = True
            self._started()
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call()

    def _engineFailed(self, error: Exception) -> None:
        if self.isBegun:
            self._failed(Failure(error))

    def stop(self) -> Deferred[None]:
        """Stop the engine, also while it starts."""
        self._isStarted = False
        self._starting = None
        return self._engine.stop()


def checkEngine(engine: object) -> None:
    """Raise `TypeError` for an object that is not an engine."""
    if isinstance(engine, type):
        raise TypeError(f"engine={engine.__name__}: give an instance, {engine.__name__}(...)")
    if engine is not None and not all(callable(getattr(engine, name, None)) for name in _METHODS):
        raise TypeError(f"engine={engine!r}: must be an engine, such as MemoryEngine()")
