"""
Which worker of which parent a process is.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class WorkerPlace:
    """The place of a worker; see `Server.worker`."""

    #: The number of the worker, from 1. A worker that replaces another one has its number.
    slot: int
    #: The id of the parent's process.
    parent: int
    #: Random bytes of the parent's start, which all its workers have.
    seed: bytes = b""
