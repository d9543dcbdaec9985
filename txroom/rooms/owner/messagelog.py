"""
The message log of a room: the history for clients that join, and missed messages for clients that resume.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from msgspec.structs import replace

from ..api.history import History
from ..contract.records import Entry, HistoryKept
from .budget import Budget
from .logwindow import ID, OVERHEAD, KeptEntry, LogWeight, Window

#: A journal keeps the entries since the oldest one of the history, but for its sake at most `KEPT` times the
#: entries of the log, or `LEAST_KEPT` if that is more, and never more than `MOST_KEPT`. What the history has
#: before that is kept apart.
LEAST_KEPT, MOST_KEPT = 1000, 10_000
KEPT = 8


class _Watched:
    """
    Stands between a log and its budget while somebody waits for a message, so that nothing has to be looked
    up for each message otherwise.
    """

    __slots__ = ("_told", "budget")

    def __init__(self, budget: Budget | None, told: Callable[[], None]) -> None:
        self.budget = budget
        self._told = told

    def changed(self, log: MessageLog) -> None:
        """Pass it on, and tell of it."""
        if self.budget is not None:
            self.budget.changed(log)
        self._told()

    def forget(self, log: MessageLog) -> None:
        """Pass it on, and tell of it."""
        if self.budget is not None:
            self.budget.forget(log)
        self._told()


def _noFloor() -> int | None:
    """Return `None`: no client is joining, so no entries have to be kept for one."""
    return None


class MessageLog:
    """
    The logged messages of a room, in two windows that don't trim each other: `history` and `recent`.

    `recent` is for clients that resume. It has all messages.

    Args:
        history: The room's setting.
        seconds: For how long `recent` keeps messages.
        limit: The most messages in `recent`; 0: any number.
        size: The most bytes of data in `recent`; 0: any number.
        floor: Returns the offset after which messages are kept for joining clients; `None`: there are none.
            When `recent` exceeds `HARD` times its bounds, these messages are forgotten as well.
        budget: Bounds the memory of the logs of all rooms.
    """

    __slots__ = (
        "_apart", "_budget", "_floor", "_history", "_isLoading", "_recent", "_shown", "_total", "epoch",
        "offset", "trimmed",
    )  # fmt: skip

    def __init__(
        self,
        history: History | None,
        seconds: float,
        limit: int,
        size: int,
        floor: Callable[[], int | None] = _noFloor,
        budget: Budget | None = None,
    ) -> None:
        self._total = LogWeight()
        self._shown = History(limit=0)
        self._history: Window | None = None
        self._recent = Window(self._total, limit, seconds, size)
        self._show(history)
        self._floor = floor
        self._budget: Budget | _Watched | None = budget
        #: Random, from the journal. Offsets of different epochs can't be compared.
        self.epoch = ""
        #: The offset of the newest message.
        self.offset = 0
        #: Messages up to this offset are not in `recent`.
        self.trimmed = 0
        #: The offsets of the oldest entries of the history, which a journal keeps apart from the others.
        self._apart: deque[int] = deque()
        #: Whether the windows have all that an earlier owner has left, since their bounds aren't known yet.
        self._isLoading = False

    def _show(self, history: History | None) -> None:
        """Keep the history that the setting asks for."""
        self._shown = history if history is not None else History(limit=0)
        self._history = None
        if history is not None and history.limit:
            self._history = Window(self._total, history.limit, history.seconds, history.size)

    def bound(self, history: History | None, seconds: float, limit: int, size: int, now: float) -> None:
        """Change the bounds, after `onCreate`, which may have changed the settings."""
        recent, shown = self._recent, self._history
        self._isLoading = False
        self._show(history)
        if self._history is not None:
            for kept in recent if shown is None else shown:
                if kept.entry.to is None:
                    self._history.append(kept)
            self._history.trim(now)
        self._recent = Window(self._total, limit, seconds, size)
        for kept in recent:
            self._recent.append(kept)
        for window in (recent, shown):
            if window is not None:
                window.clear()
        self._forgotten(self._recent.trim(now, self._floor))
        self._changed()

    def append(self, entry: Entry) -> None:
        """Add the next message."""
        self.add(entry)
        self._changed()

    def add(self, entry: Entry) -> KeptEntry:
        """
        Add the next message. The caller passes the result to `sent` after it has sent the message.

        Called for every message.
        """
        self.offset = entry.offset
        size = len(entry.data)
        weight = OVERHEAD + 2 * size
        if entry.to or entry.exclude:
            weight += ID * (len(entry.to or ()) + len(entry.exclude))
        kept = KeptEntry(entry, weight, size)
        if self._recent.append(kept):
            self._forgotten(self._recent.trim(entry.at, self._floor))
        if self._history is not None and entry.to is None and self._history.append(kept):
            self._history.trim(entry.at)
        return kept

    def sent(self, kept: KeptEntry) -> None:
        """
        Weigh a message again after it was sent, because its frames have been built by then.

        Called for every message.
        """
        if kept.holds:
            self._total.weight += kept.reweighed()
        if self._budget is not None:
            self._budget.changed(self)

    def framed(self, since: int) -> None:
        """Weigh the messages from an offset on, which were sent again, perhaps in another dialect."""
        for window in (self._recent, self._history):
            for kept in reversed(window or ()):
                if kept.entry.offset < since:
                    break
                self._total.weight += kept.reweighed()
        self._changed()

    def _changed(self) -> None:
        if self._budget is not None:
            self._budget.changed(self)

    def load(self, entries: Sequence[Entry], offset: int, now: float, apart: Sequence[int] = ()) -> None:
        """
        Begin with the entries of an earlier owner. None of them is from the future.

        Args:
            entries: The entries.
            offset: The offset of the newest one.
            now: The time.
            apart: The offsets of those that the journal keeps apart; see `keepApart`.
        """
        self.trimmed = offset
        for entry in reversed(entries):
            if entry.offset != self.trimmed:  # what is before a gap is only history
                break
            self.trimmed -= 1
        self._apart.extend(apart)
        first = apart[0] if apart else 0  # the log may still have what the history has forgotten before that
        entries = [entry for entry in entries if entry.offset >= first]
        if entries:
            self._isLoading = True
            self._history, self._recent = Window(self._total), Window(self._total)
        for entry in entries:
            self.append(entry if entry.at <= now else replace(entry, at=now))
        self._recent.forgetUpTo(self.trimmed)
        self.offset = offset

    def restart(self, epoch: str) -> None:
        """
        Go on in a new epoch, with the history, and with messages for clients that are joining.

        Clients of the former epoch can't get messages that they have missed.
        """
        self.epoch = epoch
        self._apart.clear()
        floor = self._floor()
        last = self.offset if floor is None else floor
        self._recent.forgetUpTo(last)
        self._forgotten(last)
        self._changed()

    def kept(self) -> list[Entry]:
        """Return all entries, in order."""
        windows = (self._history or (), self._recent)
        entries = {kept.entry.offset: kept.entry for window in windows for kept in window}
        return [entries[offset] for offset in sorted(entries)]

    @property
    def needless(self) -> int:
        """The offset up to which a journal needs no entries, besides those that it keeps apart."""
        history = self._history
        if not history:
            return self.trimmed
        most = min(max(LEAST_KEPT, KEPT * (len(self._recent) + len(history))), MOST_KEPT)
        return min(self.trimmed, max(history.oldest - 1, self.offset - most))

    def keepApart(self, upTo: int) -> HistoryKept | None:
        """
        Return what a journal has to keep of the history before it forgets the entries up to an offset;
        `None`: nothing more than before.
        """
        history, apart = self._history, self._apart
        oldest = history.oldest if history else self.offset + 1
        gone = []
        while apart and apart[0] < oldest:
            gone.append(apart.popleft())
        entries = []
        for kept in islice(history or (), len(apart), None):
            if kept.entry.offset > upTo:
                break
            entries.append(kept.entry)
            apart.append(kept.entry.offset)
        return HistoryKept(tuple(entries), tuple(gone)) if entries or gone else None

    def missed(self, offset: int, member: str) -> list[Entry] | None:
        """Return the messages for a member after `offset`; `None` if some may have been forgotten."""
        if not self.trimmed <= offset <= self.offset:
            return None
        return [entry for entry in self._recent.after(offset) if entry.isFor(member)]

    def after(self, offset: int) -> list[Entry]:
        """Return all messages after `offset`; if some of those were forgotten, the ones after the gap."""
        return self._recent.after(max(offset, self.trimmed))

    def watch(self, told: Callable[[], None] | None) -> None:
        """Call `told` whenever a message was logged or the log has changed otherwise; `None`: nothing."""
        budget = self._budget.budget if isinstance(self._budget, _Watched) else self._budget
        self._budget = budget if told is None else _Watched(budget, told)

    def history(self, now: float) -> list[Entry]:
        """Return the whole history."""
        if self._history is None:
            return []
        if not self._isLoading:
            self._history.trim(now)
            return [kept.entry for kept in self._history]
        shown = self._shown
        window = Window(LogWeight(), shown.limit, shown.seconds, shown.size)
        for kept in self._history if shown.limit else ():
            window.append(kept)
        window.trim(now)
        entries = [kept.entry for kept in window]
        window.clear()
        return entries

    def forNewcomer(self, offset: int, now: float) -> list[Entry]:
        """Return the part of the history for a client that joins at `offset`."""
        if self._history is None or not self._shown.onJoin:
            return []
        self._history.trim(now)
        most, size = self._shown.onJoin, self._shown.onJoinSize
        found: list[Entry] = []
        for kept in reversed(self._history):
            entry = kept.entry
            if entry.offset > offset:
                continue
            size -= len(entry.data)
            if len(found) == most or (self._shown.onJoinSize and size < 0):
                break
            found.append(entry)
        found.reverse()
        return found

    def _forgotten(self, offset: int) -> None:
        self.trimmed = max(self.trimmed, offset)

    # -- for the budget

    @property
    def weight(self) -> int:
        """The bytes of memory of all entries, about."""
        return self._total.weight

    def shrink(self, weight: int, isHard: bool = False) -> None:
        """
        Forget the oldest entries of `recent`, then of the history, until the log takes at most `weight`
        bytes.

        Entries that a joining client will get are kept, unless `isHard`.
        """
        self._forgotten(self._recent.shrink(weight, None if isHard else self._floor()))
        if self._history is not None:
            self._history.shrink(weight)

    def close(self) -> None:
        """Forget everything, because the room has ended."""
        if self._budget is not None:
            self._budget.forget(self)
            self._budget = None
        self._total = LogWeight()
        self._show(None)
        self._recent = Window(self._total)
        self._floor = _noFloor
