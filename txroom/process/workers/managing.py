"""
The manager of a worker's server: it asks the parent, by the pipe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...admin.session import Session
from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...service.operating.shownworker import ShownWorker
from .pipe import Answer, Ask, Message

#: The most seconds for an answer of the parent.
ANSWER_SECONDS = 4.0


class ParentManager:
    """
    Asks the parent; see `Manager`.

    Args:
        send: Sends a message to the parent.
        clock: The clock.
    """

    _log = Logger()

    def __init__(self, send: Callable[[Message], None], clock: IReactorTime) -> None:
        self._send = send
        self._clock = clock
        self._last = 0
        self._waiting: dict[int, Deferred[Any]] = {}

    def drain(self) -> Deferred[None]:
        """Let the parent begin to replace this worker."""
        return self._ask("drain")

    def reload(self) -> Deferred[None]:
        """Let the parent begin to replace all workers."""
        return self._ask("reload")

    def workers(self) -> Deferred[list[ShownWorker]]:
        """Return the workers of the parent."""
        return self._ask("workers").addCallback(lambda data: msgspec.convert(data, list[ShownWorker]))

    def setLogLevel(self, level: str) -> Deferred[None]:
        """Let the parent log from this level on what the workers log."""
        return self._ask("logLevel", level)

    def endSession(self, session: Session) -> None:
        """Let the parent tell the other workers that the session of an operator has ended."""
        asked = self._ask("endSession", msgspec.json.encode(session).decode())
        asked.addErrback(self._mayGoOn)

    def _mayGoOn(self, failure: Failure) -> None:
        self._log.warn(
            "an operator has logged out, but the other workers may still accept the session: {why}",
            why=failure.getErrorMessage(),
        )

    def _ask(self, what: str, argument: str = "") -> Deferred[Any]:
        self._last += 1
        id, answer = self._last, Deferred[Any]()
        self._waiting[id] = answer
        self._send(Ask(id, what, argument))

        def over(result: Any) -> Any:
            self._waiting.pop(id, None)
            return result

        return answer.addTimeout(ANSWER_SECONDS, self._clock, _tooLate).addBoth(over)

    def answered(self, message: Answer) -> None:
        """The parent has answered."""
        waiting = self._waiting.pop(message.id, None)
        if waiting is None:
            return
        if message.problem:
            waiting.errback(RoomError(ErrorCode.UNAVAILABLE, message.problem, {"mayHaveHappened": False}))
        else:
            waiting.callback(message.data)


def _tooLate(result: object, seconds: float) -> Any:
    """The parent hasn't answered in time."""
    raise RoomError(ErrorCode.UNAVAILABLE, "the parent didn't answer in time", {"mayHaveHappened": True})
