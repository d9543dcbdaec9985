"""
What is told of a worker, and the levels of a log. The parent of workers imports this too, so it needs little.
"""

from __future__ import annotations

from msgspec import Struct

#: The names of the levels of the log, the lowest first.
LEVELS = ("debug", "info", "warn", "error", "critical")


class ShownWorker(Struct):
    """A worker process, as its parent knows it."""

    #: The number of the worker, which the process that replaces it has too.
    slot: int
    pid: int | None
    #: The id of its node; null: it isn't one yet, or its rooms are in its own memory.
    node: str | None
    #: "starting", "ready", "stopping" or "ended".
    state: str
    #: For how many seconds it has served.
    seconds: float
    #: What its health page says, such as "ok".
    status: str
    connections: int
