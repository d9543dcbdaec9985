"""
Tuning of Python's garbage collector, and of the C library's allocator, for a process that serves many
connections.

By default, CPython looks for reference cycles after every 700 new objects (2,000 in Python 3.13), and now and
then in all objects. A thousand clients that connect create tens of thousands of objects, none of them
garbage, and the modules imported at the start never become garbage. So the collector should run less often,
and skip the objects from the start. Objects without cycles are freed immediately in any case, and txroom
breaks its own cycles. Twisted does not break those of TLS connections: each closed connection leaves about 47
objects, 60 KiB, until the collector runs.

glibc returns large blocks to the operating system as soon as they are freed, and the kernel clears each page
when it gives them out again. Messages of 1 MiB cause this several times for each message: echoing one took
3.9 ms of CPU time, and takes 1.7 ms if the allocator keeps freed memory (4 clients, medians of one run, on a
machine where `websockets` took 1.8 ms).
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable

#: The number of new objects after which the collector runs; Python's own default is 700, in 3.13 it is 2,000.
THRESHOLD = 10_000
#: The young generation is collected this many times for each collection of the middle one, and the middle one
#: this many times for each collection of the oldest.
_GENERATIONS = (20, 50)
#: The number of bytes of freed memory that the allocator keeps, also after a single block of that size.
KEPT_MEMORY = 16 * 1024 * 1024
#: Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def relaxCollector(threshold: int = THRESHOLD) -> Callable[[], None]:
    """
    Collect garbage once, exclude the surviving objects, and make the collector run less often.

    Call it when the process has started and is about to serve. It affects the whole process.

    Args:
        threshold: The number of new objects after which the collector runs.

    Returns:
        A function that restores the previous settings.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(threshold, *_GENERATIONS)

    def undo() -> None:
        gc.set_threshold(*before)
        gc.unfreeze()

    return undo


def keepFreedMemory(size: int = KEPT_MEMORY) -> bool:
    """
    Make the C library's allocator keep freed memory for the next large message.

    Call it when the process starts. It affects the whole process, which may be larger by `size` after it has
    handled large messages.

    Args:
        size: The number of bytes.

    Returns:
        Whether the C library is glibc; others have no such setting, and nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(parameter, size) for parameter in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD))
