"""
The message log of a room: the history for clients that join, and missed messages for clients that resume.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from ..api.history import History
from ..contract.records import Entry
from .budget import HARD, Budget

#: The bytes of memory of a logged message besides its data, as measured on Python 3.11, 3.12 and 3.13.
#: `FRAMES` of them are for the frames of a small message.
OVERHEAD = 768
FRAMES = 256
#: A journal keeps at most `KEPT` times the entries of the log, or `LEAST_KEPT` if that is more.
LEAST_KEPT = 1000
KEPT = 8
#: The bytes for each member that an entry names; the id itself belongs to the member.
ID = 8


class KeptEntry(Struct, eq=False):
    """A log entry in the windows of a log; an entry may be in both of them."""

    entry: Entry
    #: The bytes of memory that it takes, about.
    weight: int
    #: The bytes of its frames, or of its data as long as that is more.
    framed: int
    #: The length of `SharedItem.frames` when it was weighed last.
    frames: int = 0
    #: The number of windows that it is in.
    holds: int = 0

    def reweighed(self) -> int:
        """
        Weigh it again if more of its frames have been built; return the additional weight.

        Called for every message.
        """
        message = self.entry.message
        frames = None if message is None else message.frames
        if frames is None or len(frames) == self.frames:
            return 0
        framed = -FRAMES
        for frame in frames[1::2]:
            if frame is not None:
                framed += 2 * len(frame.payload)  # the frame has a copy of the payload
        self.frames = len(frames)
        if framed <= self.framed:
            return 0
        more, self.framed = framed - self.framed, framed
        self.weight += more
        return more


class LogWeight:
    """The bytes of memory of all entries in the windows of a log; each entry counts once."""

    __slots__ = ("weight",)

    def __init__(self) -> None:
        self.weight = 0


class Window:
    """The newest entries, bounded by number, age and bytes."""

    __slots__ = ("_kept", "_size", "_total", "limit", "seconds", "size")

    def __init__(self, total: LogWeight, limit: int, seconds: float, size: int) -> None:
        self.limit = limit or inf
        self.seconds = seconds or inf
        self.size = size or inf
        self._total = total
        self._kept: deque[KeptEntry] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def oldest(self) -> int:
        """The offset of the oldest entry."""
        return self._kept[0].entry.offset

    def __iter__(self) -> Iterator[KeptEntry]:
        return iter(self._kept)

    def __reversed__(self) -> Iterator[KeptEntry]:
        return reversed(self._kept)

    def append(self, kept: KeptEntry) -> bool:
        """
        Add an entry; return whether the window exceeds its bounds, so that `trim` is needed.

        Called for every message.
        """
        self._kept.append(kept)
        self._size += len(kept.entry.data)
        if not kept.holds:
            self._total.weight += kept.weight
        kept.holds += 1
        return self._isOver(kept.entry.at)

    def _isOver(self, now: float) -> bool:
        kept = self._kept
        return len(kept) > self.limit or self._size > self.size or now - kept[0].entry.at > self.seconds

    def trim(self, now: float, floor: Callable[[], int | None] | None = None) -> int:
        """
        Forget the oldest entries until the window keeps to its bounds.

        Entries after the offset that `floor` returns are kept, unless the window exceeds `HARD` times its
        bounds.

        Returns:
            The offset of the last forgotten entry, or 0.
        """
        last = 0
        kept = self._kept
        while kept and self._isOver(now):
            lowest = None if floor is None else floor()
            if lowest is not None and kept[0].entry.offset > lowest and not self._isFarOver:
                break
            last = self._forget()
        return last

    @property
    def _isFarOver(self) -> bool:
        return len(self._kept) > HARD * self.limit or self._size > HARD * self.size

    def shrink(self, weight: int, floor: int | None = None) -> int:
        """
        Forget the oldest entries until the log weighs at most `weight`, but none after the offset `floor`.
        """
        last = 0
        while self._kept and self._total.weight > weight:
            if floor is not None and self._kept[0].entry.offset > floor:
                break
            last = self._forget()
        return last

    def forgetUpTo(self, offset: int) -> None:
        """Forget the entries up to an offset."""
        while self._kept and self._kept[0].entry.offset <= offset:
            self._forget()

    def clear(self) -> None:
        """Forget all entries."""
        while self._kept:
            self._forget()

    def _forget(self) -> int:
        """Forget the oldest entry; return its offset."""
        kept = self._kept.popleft()
        self._size -= len(kept.entry.data)
        kept.holds -= 1
        if not kept.holds:
            self._total.weight -= kept.weight
        return kept.entry.offset

    def after(self, offset: int) -> list[Entry]:
        """Return the entries with greater offsets, in order."""
        found: list[Entry] = []
        for kept in reversed(self._kept):
            if kept.entry.offset <= offset:
                break
            found.append(kept.entry)
        found.reverse()
        return found


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

    __slots__ = ("_budget", "_floor", "_history", "_recent", "_shown", "_total", "epoch", "offset", "trimmed")

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

    def _show(self, history: History | None) -> None:
        """Keep the history that the setting asks for."""
        self._shown = history if history is not None else History(limit=0)
        self._history = None
        if history is not None and history.limit:
            self._history = Window(self._total, history.limit, history.seconds, history.size)

    def bound(self, history: History | None, seconds: float, limit: int, size: int, now: float) -> None:
        """Change the bounds, after `onCreate`, which may have changed the settings."""
        recent, shown = self._recent, self._history
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

    def load(self, entries: tuple[Entry, ...], offset: int, now: float) -> None:
        """Begin with the entries of an earlier owner. None of them is from the future."""
        self.trimmed = offset
        for entry in reversed(entries):
            if entry.offset != self.trimmed:  # a room that was founded again keeps only the history
                break
            self.trimmed -= 1
        for entry in entries:
            self.append(entry if entry.at <= now else replace(entry, at=now))
        self.offset = offset

    def restart(self, epoch: str) -> None:
        """
        Go on in a new epoch, with the history, and with messages for clients that are joining.

        Clients of the former epoch can't get messages that they have missed.
        """
        self.epoch = epoch
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
        """
        The offset up to which the next owner needs no entries.

        A journal keeps all entries after it, also those that only one of the windows has forgotten. If these
        are too many, the next owner gets a shorter history.
        """
        windows = [window for window in (self._recent, self._history) if window]
        most = max(LEAST_KEPT, KEPT * sum(map(len, windows)))
        oldest = min((window.oldest for window in windows), default=self.offset + 1)
        return max(oldest - 1, self.offset - most)

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
        self._history.trim(now)
        return [kept.entry for kept in self._history]

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
        self._recent = Window(self._total, 0, 0.0, 0)
        self._floor = _noFloor
