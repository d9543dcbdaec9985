"""
The start of a service in a process of its own, and how its failure ends the process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from .exitstatus import exitWithError
from .loading import inOneLine


class Unusable(Exception):
    """Something that the service needs can't be used. The text is one line that says what, and why."""


class StartError(SystemExit, Exception):
    """
    The reason why the service can't start, in one line.

    Because it is an `Exception`, twistd removes its pid file and informs the parent process of a daemon.
    Because it is a `SystemExit`, it then ends the process with status 1, and the interpreter prints no
    traceback.
    """

    # twistd sends the parent process of a daemon this name and the message, cut to 100 characters.
    __module__ = "txroom"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.code = 1


def startOrExit(log: Logger, reactor: Any, start: Callable[[], None]) -> None:
    """
    Call `start`. If a port can't be opened, or something else can't be used, end the process with one line,
    on the terminal and in the log.
    """
    try:
        start()
    except (CannotListenError, OSError, OverflowError, Unusable) as error:
        why = inOneLine(error)
        log.error("{why}", why=why)
        exitBecause(reactor, why)
        raise StartError(why) from None


def exitBecause(reactor: Any, why: str) -> None:
    """End the process with status 1 and this text on the terminal, because it can't go on."""
    print(f"txroom: {why}", file=sys.__stderr__)
    if not reactor.running:
        raise StartError(why)
    exitWithError()
    reactor.stop()
