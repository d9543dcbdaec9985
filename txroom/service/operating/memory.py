"""
Which types of objects hold most memory, for operators.

Python's collector could list all objects at once, but that takes some 50 ms for a million of them, in which
nothing is served. So the objects are visited one after another from the modules, in slices, between which the
reactor serves.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from heapq import nlargest
from typing import Any

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from .stats import residentSize

#: The seconds of a slice, and of the pause after it; the objects after which the clock is read.
SLICE, PAUSE, CHECKED = 0.01, 0.01, 100
#: The most objects that are visited, since 100 bytes are needed for each meanwhile, and the most seconds.
MOST_OBJECTS, MOST_SECONDS = 1_000_000, 25.0


class TypeSize(Struct):
    """The objects of a type."""

    #: The module and the name of the type.
    type: str
    count: int
    #: Their bytes, without those of the objects that they refer to.
    bytes: int


class MemoryUse(Struct):
    """Which types of objects hold most memory at the node that answers."""

    types: list[TypeSize]
    #: The number of all objects that were visited, and their bytes.
    objects: int
    bytes: int
    #: Whether all that can be reached from the modules were visited. If not, there are too many.
    isComplete: bool
    #: For how many seconds they were visited.
    seconds: float


class MemoryCount:
    """
    Counts the objects of this process.

    Args:
        clock: The clock.
        seconds: Returns the time of a clock that goes on within a turn of the reactor.
        modules: Returns the modules at which the visit begins.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: Callable[[], float] = time.perf_counter,
        modules: Callable[[], Iterable[Any]] = lambda: list(sys.modules.values()),
    ) -> None:
        self._clock = clock
        self._modules = modules
        self._seconds = seconds
        self._isCounting = False

    async def largest(self, limit: int) -> MemoryUse:
        """
        Return the types whose objects have most bytes.

        Raises:
            RoomError: ``unavailable``, they are being counted for somebody else.
        """
        if self._isCounting:
            raise RoomError(ErrorCode.UNAVAILABLE, "the objects are being counted for another call")
        self._isCounting = True
        try:
            visit = Visit(self._seconds, self._modules())
            await self._cooperator().cooperate(visit.slices()).whenDone()
        finally:
            self._isCounting = False
        return visit.result(limit)

    def _cooperator(self) -> Cooperator:
        """Make what runs one slice after another, each in a turn of the reactor."""
        return Cooperator(
            terminationPredicateFactory=lambda: lambda: True,
            scheduler=lambda step: self._clock.callLater(PAUSE, step),
        )


class Visit:
    """
    One visit of all objects.

    Args:
        seconds: Returns the time.
        roots: The objects at which it begins.
    """

    def __init__(self, seconds: Callable[[], float], roots: Iterable[Any]) -> None:
        self._time = seconds
        self._roots = list(roots)
        self._begun = seconds()
        #: The number of the objects of each type, and their bytes.
        self._counts: dict[type, list[int]] = {}
        self._seen: set[int] = set()
        self._isComplete = False
        self._took = 0.0

    def slices(self) -> Iterator[None]:
        """Visit objects for `SLICE` seconds at each step."""
        seen, counts, now = self._seen, self._counts, self._time
        own = {id(each) for each in (self, seen, counts)}
        waiting: list[Iterator[Any]] = [iter(self._roots)]
        own.add(id(waiting))
        most = residentSize() or sys.maxsize
        until, left = now() + SLICE, CHECKED
        while waiting:
            left -= 1
            if not left:
                left = CHECKED
                if now() >= until:
                    if len(seen) >= MOST_OBJECTS or now() - self._begun >= MOST_SECONDS:
                        break
                    yield
                    until = now() + SLICE
            each = next(waiting[-1], waiting)
            if each is waiting:
                waiting.pop()
                continue
            key = id(each)
            if key in seen or key in own:
                continue
            seen.add(key)
            count = counts.setdefault(type(each), [0, 0])
            count[0] += 1
            count[1] += sizeOf(each, most)
            if gc.is_tracked(each):
                waiting.append(iter(gc.get_referents(each)))
                if type(each) is dict:  # whose keys that are strings Python leaves out
                    waiting.append(iter(list(each)))
        self._isComplete = not waiting
        self._took = now() - self._begun
        self._seen, self._roots = set(), []

    def result(self, limit: int) -> MemoryUse:
        """Return the types with most bytes."""
        counts = self._counts
        largest = nlargest(limit, counts.items(), key=lambda item: item[1][1])
        return MemoryUse(
            [TypeSize(f"{each.__module__}.{each.__qualname__}", *count) for each, count in largest],
            sum(count for count, _ in counts.values()),
            sum(size for _, size in counts.values()),
            self._isComplete,
            round(self._took, 3),
        )


def sizeOf(each: Any, most: int) -> int:
    """Return the bytes of an object; 0 if its type does not tell, or tells more than there may be."""
    try:
        size = sys.getsizeof(each, 0)
    except Exception:  # its __sizeof__ is a user's
        return 0
    return size if size <= most else 0
