"""
The Redis that workers share: one that is given, or a store of the parent's own.

This module does not need the client of Redis, which may not be installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .storeerror import StoreError

if TYPE_CHECKING:
    from .store import Fsync, Store


def checkStore(redis: str | None, stateDir: str | None, fsync: str) -> None:
    """Raise `ValueError` if these don't fit together; the text begins with the name of an argument."""
    if fsync not in ("no", "always"):
        raise ValueError(f"fsync={fsync!r}: must be 'no' or 'always'")
    if stateDir is not None and redis is not None:
        raise ValueError("stateDir: is for a store of its own, so it can't be given together with redis")
    if fsync == "always" and stateDir is None:
        raise ValueError("fsync='always': needs stateDir")


def makeStore(reactor: Any, stateDir: str | None, fsync: Fsync, user: int | None, group: int | None) -> Store:
    """Make the store. Raises `StoreError`, also if the client of Redis isn't installed."""
    try:
        from .store import Store
    except ImportError as error:
        why = str(error).replace("txroom[redis]", "txroom[workers]")
        raise StoreError(f"workers share a store: {why}") from None
    uid, gid = (None if each in (None, -1) else each for each in (user, group))
    return Store(reactor, stateDir, fsync, uid, gid)
