"""Restarting a room in memory, as rooms on several nodes are restarted at another one."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from .. import Room
from ..engine.memory import MemoryRooms


def restart(room: Room) -> Deferred[None]:
    """
    Let a room go on as a new object of its class, with everything that a journal keeps of it.

    Raises:
        TypeError: The engine of the server isn't that in memory.
        Exception: The room can't be saved.
    """
    host: Any = room._host
    engine = host.application.engine
    if not isinstance(engine, MemoryRooms):
        raise TypeError(f"engine={engine!r}: must be the engine in memory")
    saved = host.saving.now() if host.saving.canSave else None
    return engine.restart(host.id, host.log.epoch, replace(host.everything(), checkpoint=saved))
