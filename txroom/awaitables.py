"""
What hooks return and isn't there yet, and how it is given up.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

_log = Logger()


def giveUp(waited: Deferred[Any]) -> None:
    """
    Cancel a Deferred that somebody else has made, whatever its canceller does.

    One that raises is logged, and the Deferred fails with `CancelledError` all the same: who waits for it
    goes on, and what it is given later is dropped.
    """
    while waited.called and isinstance(waited.result, Deferred):
        waited = waited.result  # which it waits for
    try:
        waited.cancel()
    except Exception:
        _log.failure("the canceller of a Deferred raised")
        if not waited.called:
            waited._canceller = None
            waited.cancel()
