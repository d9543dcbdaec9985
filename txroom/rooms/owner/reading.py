"""
Reading the log of a room, or its history, for the command `ReadLog`.

A message is in the log before it is committed. So the answer waits until everything is committed that was in
the log when it was read. If the room is founded again meanwhile, the log is read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from ...core.awaitables import clearTraceback
from ...protocol import payload
from ...protocol.errors import RoomError
from ..contract.asks import (
    READ_DATA,
    READ_ENTRIES,
    READ_IDS,
    READ_SECONDS,
    READ_SIZE,
    ReadLog,
    unanswered,
)
from ..contract.records import Entry
from .context import RoomContext
from .life import Stage, closedError

#: The bytes of the id of a recipient.
_ID = 17


class Reading:
    """
    Reads the log of one room. Nothing is done for a message while nobody waits for one.

    Args:
        context: The objects of the room.
        wallClock: Returns the time of day, in seconds since 1970. The room's clock may count from anywhere.
    """

    __slots__ = ("_context", "_waiting", "_wallClock")

    def __init__(self, context: RoomContext, wallClock: Callable[[], float] = time.time) -> None:
        self._context = context
        self._wallClock = wallClock
        #: Those that wait for another message.
        self._waiting: list[Deferred[None]] = []

    async def read(self, command: ReadLog) -> dict[str, Any]:
        """
        Return what follows an offset; see `ReadLog`.

        Raises:
            RoomError: The room has ended, or is lost.
        """
        context = self._context
        log, clock = context.log, context.clock
        until = clock.seconds() + (0.0 if command.history else min(command.seconds, READ_SECONDS))
        while True:
            epoch, last, left = log.epoch, log.offset, until - clock.seconds()
            isNew = command.after != last or command.epoch not in ("", epoch)
            if not self._maySay(isNew):
                raise closedError(context.life)
            if left > 0 and not isNew:
                await self._another(left)
                continue
            first, found = self._history(command.after) if command.history else self._recent(command.after)
            entries = _page(found, command.limit)
            try:
                await context.outbox.whenCommitted()
            except RoomError as error:
                clearTraceback(error)
                raise unanswered(False) from None
            if epoch == log.epoch:
                shift = self._wallClock() - clock.seconds()
                shown = [_shown(each, shift) for each in entries]
                answer = {"epoch": epoch, "first": first, "last": last, "entries": shown}
                return {**answer, "history": True} if command.history else answer

    def _recent(self, after: int) -> tuple[int, list[Entry]]:
        """Return the first offset that is kept for clients that resume, and the messages after an offset."""
        log = self._context.log
        return log.trimmed + 1, log.after(after)

    def _history(self, after: int) -> tuple[int, list[Entry]]:
        """Return the first offset of the history, and its messages after an offset."""
        log = self._context.log
        history = log.history(self._context.clock.seconds())
        first = history[0].offset if history else log.offset + 1
        return first, [entry for entry in history if entry.offset > after]

    def _maySay(self, isNew: bool) -> bool:
        """Return whether a page may be read. When the members have left, nothing more comes than is there."""
        life = self._context.life
        if life.goesOn:
            return False
        return life.isOpen or life.stage is Stage.DISPOSING or (isNew and life.stage is Stage.ENDING)

    async def _another(self, seconds: float) -> None:
        """Wait until a message is logged or the room changes in another way, for so many seconds at most."""
        another: Deferred[None] = Deferred()
        self._waiting.append(another)
        self._context.log.watch(self._changed)
        await another.addTimeout(seconds, self._context.clock, lambda result, seconds: None)
        if another in self._waiting:
            self._waiting.remove(another)

    def _changed(self) -> None:
        """The log has changed: those that wait go on in the next turn."""
        self._context.log.watch(None)
        self._context.runner.post(self.wake)

    def wake(self) -> None:
        """Let those that wait go on."""
        waiting, self._waiting = self._waiting, []
        for another in waiting:
            another.callback(None)


def _page(entries: list[Entry], limit: int) -> list[Entry]:
    """Return the first entries, one at least."""
    limit = max(1, min(limit, READ_ENTRIES))
    size = 0
    for index, entry in enumerate(entries[:limit]):
        size += _sizeOf(entry)
        if index and size > READ_SIZE:
            return entries[:index]
    return entries[:limit]


def _sizeOf(entry: Entry) -> int:
    """Return the bytes of an entry as it is shown, about."""
    ids = min(len(entry.to or ()), READ_IDS) + min(len(entry.exclude), READ_IDS)
    return len(entry.data) + len(entry.type) + _ID * ids


def _shown(entry: Entry, shift: float) -> dict[str, Any]:
    """Describe an entry; `shift` is the time of day minus the owner's clock."""
    size = len(entry.data)
    return {
        "offset": entry.offset,
        "at": round(entry.at + shift, 3),
        "type": entry.type,
        "data": None if size > READ_DATA else payload.decode(entry.data),
        "size": size,
        "to": None if entry.to is None else list(entry.to[:READ_IDS]),
        "toCount": None if entry.to is None else len(entry.to),
        "exclude": list(entry.exclude[:READ_IDS]),
        "excludeCount": len(entry.exclude),
    }
