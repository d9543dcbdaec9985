"""
The log of a room: what newcomers are shown, and what returning members have missed.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

import attrs

from .seam import Entry

#: Bytes of memory that a logged message takes besides its data, about.
OVERHEAD = 1024
#: And for each member that it names; the id itself is the member's.
ID = 8


def _isCount(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{attribute.name}={value!r}: must be a whole number, 0 or more")


def _isSeconds(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{attribute.name}={value!r}: must be seconds, 0 or more")


@attrs.frozen(kw_only=True)
class History:
    """
    What a room remembers for newcomers: its broadcasts, not what was sent to single members.

    `limit` messages of at most `seconds` age and `size` bytes in all are kept (0: no limit of that
    kind, but for `limit`), `onJoin` of them are sent to whoever joins. Raises `ValueError`.
    """

    limit: int = attrs.field(default=100, validator=_isCount)
    seconds: float = attrs.field(default=0.0, validator=_isSeconds)
    size: int = attrs.field(default=1 << 20, validator=_isCount)
    onJoin: int = attrs.field(default=0, validator=_isCount)


class Window:
    """The newest of some entries, bounded by number, age and bytes."""

    __slots__ = ("_entries", "_ids", "_size", "limit", "seconds", "size")

    def __init__(self, limit: int, seconds: float, size: int) -> None:
        self.limit = limit
        self.seconds = seconds
        self.size = size
        self._entries: deque[tuple[float, Entry]] = deque()
        self._size = 0
        self._ids = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return (entry for _, entry in self._entries)

    def dated(self) -> Iterator[tuple[float, Entry]]:
        """The entries, each with its time."""
        return iter(self._entries)

    @property
    def weight(self) -> int:
        """Bytes of memory, about; the data is in the frame of the message once more."""
        return 2 * self._size + OVERHEAD * len(self._entries) + ID * self._ids

    def append(self, entry: Entry, now: float) -> None:
        """One more; `trim` is left to the caller."""
        self._entries.append((now, entry))
        self._size += len(entry.data)
        self._ids += _named(entry)

    def trim(self, now: float, floor: int | None = None) -> int:
        """
        Forget what is over the bounds, but nothing after the offset `floor`.

        Gives the offset of the last one forgotten, or 0.
        """
        last = 0
        entries = self._entries
        while entries:
            at, entry = entries[0]
            isOver = (
                (self.limit and len(entries) > self.limit)
                or (self.size and self._size > self.size)
                or (self.seconds and now - at > self.seconds)
            )
            if not isOver or (floor is not None and entry.offset > floor):
                break
            last = self._forget()
        return last

    def shrink(self, weight: int, floor: int | None = None) -> int:
        """Forget the oldest until it weighs no more than that; as `trim`."""
        last = 0
        while self._entries and self.weight > weight:
            if floor is not None and self._entries[0][1].offset > floor:
                break
            last = self._forget()
        return last

    def _forget(self) -> int:
        """Forget the oldest; its offset."""
        _, entry = self._entries.popleft()
        self._size -= len(entry.data)
        self._ids -= _named(entry)
        return entry.offset

    def after(self, offset: int) -> list[Entry]:
        """Those with a greater offset, in order."""
        found: list[Entry] = []
        for _, entry in reversed(self._entries):
            if entry.offset <= offset:
                break
            found.append(entry)
        found.reverse()
        return found


def _named(entry: Entry) -> int:
    """How many members an entry names."""
    return len(entry.to or ()) + len(entry.exclude)


def _noFloor() -> int | None:
    """Nobody is about to read anything."""
    return None


class Log:
    """
    All that was logged, in two windows that don't trim one another: `history` and `recent`.

    `recent` is for those who return: everything, kept for `seconds` and up to `limit` messages and `size`
    bytes, and as the `budget` of all rooms allows. `floor` says after which offset nothing may be
    forgotten, since someone is about to read it.
    """

    def __init__(
        self,
        history: History | None,
        seconds: float,
        limit: int,
        size: int,
        floor: Callable[[], int | None] = _noFloor,
        budget: Budget | None = None,
    ) -> None:
        self._onJoin = 0
        self._history: Window | None = None
        self._recent = Window(limit, seconds, size)
        self._show(history)
        self._floor = floor
        self._budget = budget
        #: The offset of the newest message.
        self.offset = 0
        #: Messages up to this offset are not in `recent`.
        self.trimmed = 0

    def _show(self, history: History | None) -> None:
        """Newcomers are shown what `history` says."""
        self._onJoin = history.onJoin if history is not None else 0
        self._history = None
        if history is not None and history.limit:
            self._history = Window(history.limit, history.seconds, history.size)

    def bound(self, history: History | None, seconds: float, limit: int, size: int, now: float) -> None:
        """Keep so much from now on: the room has begun, and said what it wants."""
        recent, shown = self._recent, self._history
        self._show(history)
        if self._history is not None:
            for at, entry in recent.dated() if shown is None else shown.dated():
                if entry.to is None:
                    self._history.append(entry, at)
            self._history.trim(now)
        self._recent = Window(limit, seconds, size)
        for at, entry in recent.dated():
            self._recent.append(entry, at)
        self._forgotten(self._recent.trim(now, self._floor()))
        if self._budget is not None:
            self._budget.changed(self)

    def append(self, entry: Entry, now: float) -> None:
        """The next message."""
        self.offset = entry.offset
        self._recent.append(entry, now)
        self._forgotten(self._recent.trim(now, self._floor()))
        if self._budget is not None:
            self._budget.changed(self)
        if self._history is not None and entry.to is None:
            self._history.append(entry, now)
            self._history.trim(now)

    def load(self, entries: tuple[Entry, ...], offset: int, now: float) -> None:
        """Begin with what an earlier owner had logged."""
        self.trimmed = entries[0].offset - 1 if entries else offset
        for entry in entries:
            self.append(entry, now)
        self.offset = offset

    def missed(self, offset: int, member: str) -> list[Entry] | None:
        """What that member has not got after `offset`; `None` if that isn't known for sure."""
        if not self.trimmed <= offset <= self.offset:
            return None
        return [entry for entry in self._recent.after(offset) if entry.isFor(member)]

    def history(self, now: float) -> list[Entry]:
        """All that is kept for newcomers."""
        if self._history is None:
            return []
        self._history.trim(now)
        return list(self._history)

    def forNewcomer(self, offset: int, now: float) -> list[Entry]:
        """What is shown to somebody who joins at `offset`."""
        if self._history is None or not self._onJoin:
            return []
        self._history.trim(now)
        entries = [entry for entry in self._history if entry.offset <= offset]
        return entries[-self._onJoin :]

    def _forgotten(self, offset: int) -> None:
        self.trimmed = max(self.trimmed, offset)

    # -- for the budget

    @property
    def weight(self) -> int:
        """Bytes of memory that `recent` takes, about."""
        return self._recent.weight

    def shrink(self, weight: int) -> None:
        """Forget the oldest of `recent` until it weighs no more than that, if that may be."""
        self._forgotten(self._recent.shrink(weight, self._floor()))

    def close(self) -> None:
        """The room has ended: nothing is kept."""
        if self._budget is not None:
            self._budget.forget(self)
            self._budget = None
        self._show(None)
        self._recent = Window(0, 0.0, 0)
        self._floor = _noFloor


class Budget:
    """
    What the logs of many rooms may weigh together, in bytes of memory.

    When it is more, the rooms in which nothing was said for longest forget the oldest that they keep for
    those who return; who comes back to such a room is told that it has missed something.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        #: What each log weighs, the longest idle first.
        self._weights: OrderedDict[Log, int] = OrderedDict()

    def changed(self, log: Log) -> None:
        """Something was said in a room."""
        self._weigh(log)
        if log in self._weights:
            self._weights.move_to_end(log)
        kept = 0
        while self.used > self.size and kept < len(self._weights):
            idlest, weight = next(iter(self._weights.items()))
            idlest.shrink(max(0, weight - (self.used - self.size)))
            self._weigh(idlest)
            if self.used > self.size and idlest in self._weights:
                # Someone is about to read the rest.
                self._weights.move_to_end(idlest)
                kept += 1

    def _weigh(self, log: Log) -> None:
        weight = log.weight
        self.used += weight - self._weights.get(log, 0)
        if weight:
            self._weights[log] = weight
        else:
            self._weights.pop(log, None)

    def forget(self, log: Log) -> None:
        """A room has ended."""
        self.used -= self._weights.pop(log, 0)
