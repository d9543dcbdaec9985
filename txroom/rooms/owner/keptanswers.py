"""
The answers to commands that are carried out only once, kept for those that ask again; see `Once`.

Each answer is a record, which is committed together with what the command has changed. So the next owner
either knows both of them, or neither.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from ...protocol import payload
from ..contract.asks import Once, reused, running
from ..contract.records import Answered, AnswersForgotten, CreatedBy
from .context import RoomContext

#: For how many seconds an answer is kept.
KEPT_SECONDS = 86400.0
#: The most answers of a room, and the most bytes of them. The oldest are forgotten first.
MAX_ANSWERS, MAX_BYTES = 10_000, 8 << 20
#: The bytes that an answer counts besides its key, its digest and its data.
OVERHEAD = 128
#: How many answers that are too old are forgotten at a time, when another one is kept.
FORGOTTEN_AT_ONCE = 100


class KeptAnswers:
    """The kept answers of one room, the oldest first."""

    __slots__ = ("_answers", "_context", "_running", "_size", "createdBy")

    def __init__(self, context: RoomContext) -> None:
        self._context = context
        self._answers: OrderedDict[str, Answered] = OrderedDict()
        self._size = 0
        #: The keys of those that are not committed yet.
        self._running: set[str] = set()
        #: The request that the room was created by, if that had a key.
        self.createdBy: CreatedBy | None = None

    def find(self, once: Once) -> Answered | None:
        """
        Return the answer to an earlier command with the same key; `None`: there is none.

        Raises:
            RoomError: The earlier command was another one (`reused`), or has not been committed (`running`).
        """
        found = self._answers.get(once.key)
        if found is None or self._isOld(found, self._context.clock.seconds()):
            return None
        if found.digest != once.digest:
            raise reused()
        if once.key in self._running:
            raise running()
        return found

    def keep(self, once: Once, answer: Any) -> None:
        """Keep the answer to a command that has just been carried out, in this turn of the reactor."""
        context = self._context
        now = context.clock.seconds()
        self._forget(once.key)
        forgotten = self._tooOld(now)
        answered = Answered(once.key, once.digest, answer, now)
        self._add(answered)
        while len(self._answers) > MAX_ANSWERS or (self._size > MAX_BYTES and len(self._answers) > 1):
            forgotten.append(self._forgetOldest())
        if forgotten:
            context.outbox.record(AnswersForgotten(tuple(forgotten)))
        context.outbox.record(answered)
        committed = context.outbox.whenCommitted()
        if not committed.called:
            self._running.add(once.key)
        committed.addBoth(lambda _: self._running.discard(once.key))

    def created(self, once: Once) -> None:
        """The room has just been created by a request with a key."""
        self.createdBy = CreatedBy(once.digest)
        self._context.outbox.record(self.createdBy)

    def restore(self, answers: Iterable[Answered]) -> None:
        """Take over the answers of an earlier owner. None of them is from the future."""
        now = self._context.clock.seconds()
        for answered in sorted(answers, key=lambda each: each.at):
            self._add(answered if answered.at <= now else replace(answered, at=now))

    def records(self) -> tuple[Answered, ...]:
        """Return the records of all answers."""
        return tuple(self._answers.values())

    def _isOld(self, answered: Answered, now: float) -> bool:
        return now - answered.at >= KEPT_SECONDS

    def _add(self, answered: Answered) -> None:
        self._answers[answered.key] = answered
        self._size += _sizeOf(answered)

    def _forget(self, key: str) -> None:
        answered = self._answers.pop(key, None)
        if answered is not None:
            self._size -= _sizeOf(answered)

    def _forgetOldest(self) -> str:
        """Forget the oldest answer; return its key."""
        key = next(iter(self._answers))
        self._forget(key)
        return key

    def _tooOld(self, now: float) -> list[str]:
        """Forget answers that are too old; return their keys."""
        forgotten: list[str] = []
        while self._answers and len(forgotten) < FORGOTTEN_AT_ONCE:
            if not self._isOld(next(iter(self._answers.values())), now):
                break
            forgotten.append(self._forgetOldest())
        return forgotten


def _sizeOf(answered: Answered) -> int:
    """Return how many bytes an answer counts."""
    data = payload.encode(answered.answer)
    return OVERHEAD + len(answered.key.encode()) + len(answered.digest) + len(data)
