"""
Python's garbage collector, in a process that serves many connections.

CPython looks for cycles whenever 700 objects more were made than freed, and now and then at all objects there
are. A thousand clients that connect make a hundred times as many objects, none of them garbage, and what was
imported at the start never is. So: look less often, and not at what was there at the start. Objects without
cycles, and txroom cuts its own, are freed at once anyway. Twisted's for TLS aren't: each connection that has
ended leaves about 47 objects, 60 KiB, until the collector comes.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

#: Young objects that make the collector look at them; Python's own default is 700.
THRESHOLD = 10_000
#: Looks at the young for one at those that have survived it, and of these for one at the oldest.
_GENERATIONS = (20, 50)


def relaxCollector(threshold: int = THRESHOLD) -> Callable[[], None]:
    """
    Collect once, leave out what has survived, and from now on look only after `threshold` new objects.

    For a process that has started and is about to serve; it holds for the whole process. Returns a function
    that undoes it.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(threshold, *_GENERATIONS)

    def undo() -> None:
        gc.set_threshold(*before)
        gc.unfreeze()

    return undo
