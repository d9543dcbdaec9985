"""
Logs and counts the clients that rooms have refused.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ...core.handshake import Handshake
from ...core.refusallog import RefusalLog, shown
from ..meters import RoomMeters


class JoinRefusals:
    """
    The refused joins and resumes of one application.

    Args:
        log: The log.
        clock: The clock.
        meters: Counts them.
    """

    def __init__(self, log: Logger, clock: IReactorTime, meters: RoomMeters) -> None:
        self._refusals = RefusalLog("join", log, clock)
        self._meters = meters

    def refused(self, code: str, asked: tuple[str, str], handshake: Handshake) -> None:
        """Log and count a client that was refused with `code`; `asked` is how it asked, and for what."""
        how, what = asked
        self._meters.refused(how, code)
        self._refusals.note(shown(code), f"{how} {shown(what)}", handshake.peer)

    def sumUp(self) -> None:
        """Log how many were refused besides those that were logged one by one."""
        self._refusals.sumUp()
