"""
What an engine counts in one process, for metrics.
"""

from __future__ import annotations

import attrs

from ...core.meters import Histogram


@attrs.frozen(kw_only=True)
class EngineMeters:
    """The counters of an engine. Those of an engine over a store begin anew when it is started again."""

    #: Whether the store of the engine can be reached; `None`: it has none.
    isUp: bool | None = None
    #: The seconds from the end of a turn in which a room has written records until they were committed;
    #: `None`: the engine keeps no records.
    commitTimes: Histogram | None = None
    #: The notifications that this process has added to queues, and those that were dropped from these queues
    #: meanwhile, because there were too many; those that have expired don't count.
    noticesQueued: int = 0
    noticesDropped: int = 0
