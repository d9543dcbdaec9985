"""
The windows of a message log: the newest entries, and how much memory they take.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import inf

from msgspec import Struct

from ..contract.records import Entry
from .budget import HARD

#: The bytes of memory of a logged message besides its data, as measured on Python 3.11, 3.12 and 3.13.
#: `FRAMES` of them are for the frames of a small message.
OVERHEAD = 768
FRAMES = 256
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
    """The newest entries, bounded by number, age and bytes; 0: not by that."""

    __slots__ = ("_kept", "_size", "_total", "limit", "seconds", "size")

    def __init__(self, total: LogWeight, limit: int = 0, seconds: float = 0.0, size: int = 0) -> None:
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
