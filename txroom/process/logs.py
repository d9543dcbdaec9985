"""
The log of a process of our own: what is left out of it, and files that other programs move away.
"""

from __future__ import annotations

import io
import os
import re
import sys
from typing import Any

from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    LogEvent,
    LogLevelFilterPredicate,
    PredicateResult,
    globalLogPublisher,
)
from twisted.python.logfile import LogFile
from zope.interface import provider

from ..http.channel import LOG_PREFIX
from .twistedlogger import descriptorOf, dropBufferedEvents, fileOf, observersOf, setFile, unfiltered

_STARTING = re.compile(rf"{LOG_PREFIX}( \(\w+\))* starting on ")
_NO_CACHE = "Unable to write to plugin cache"


def filterLog(level: Any) -> None:
    """Keep what is below `level`, or no news, from all who observe the log by now."""
    wanted = LogLevelFilterPredicate(defaultLogLevel=level)
    for observer in observersOf(globalLogPublisher):
        globalLogPublisher.removeObserver(observer)
        globalLogPublisher.addObserver(FilteringLogObserver(observer, [_unlessNoNews, wanted]))


@provider(ILogFilterPredicate)
def _unlessNoNews(event: LogEvent) -> Any:
    """Twisted's line for each port that is opened says less than our own."""
    isTwice = _STARTING.match("".join(map(str, event.get("message") or ())))
    return PredicateResult.no if isTwice or _isOfNoCache(event) else PredicateResult.maybe


def _isOfNoCache(event: LogEvent) -> bool:
    """Whether it says that Twisted can't save what plugins there are, which costs milliseconds at a start."""
    return str(event.get("format", "")).startswith(_NO_CACHE)


def dropPluginCacheWarning() -> None:
    """Forget what was said of the cache of plugins before the log began."""
    dropBufferedEvents(_isOfNoCache)


class LogFiles:
    """The files that the log is written to."""

    def __init__(self) -> None:
        """Those of all who observe the log by now, and write to a file."""
        observers = map(unfiltered, observersOf(globalLogPublisher))
        self._observers = [observer for observer in observers if _isFile(observer)]

    def reopen(self) -> list[str]:
        """
        Open the files again by their names: another program has moved them away.

        Twisted, which would move a large file itself, then leaves that to the other. A file that can't be
        opened stays as it is; what is returned says why.
        """
        problems = []
        for observer in self._observers:
            try:
                _reopen(observer)
            except OSError as error:
                problems.append(f"{error.filename}: {error.strerror}")
        return problems


def _isFile(observer: Any) -> bool:
    file = fileOf(observer)
    if isinstance(file, LogFile):
        return True
    isStandard = file in (sys.__stdout__, sys.__stderr__)
    return isinstance(file, io.TextIOWrapper) and isinstance(file.name, str) and not isStandard


def _reopen(observer: Any) -> None:
    file = fileOf(observer)
    if not isinstance(file, LogFile):
        setFile(observer, open(file.name, "a", encoding=file.encoding))  # noqa: SIM115
        file.close()
        return
    isMoved = not _isSame(file)
    open(file.path, "a").close()  # before the old one is closed
    file.reopen()
    if isMoved:
        file.rotateLength = None


def _isSame(file: LogFile) -> bool:
    """Whether the file of that name is still the one that is written to."""
    try:
        return os.path.samestat(os.stat(file.path), os.fstat(descriptorOf(file)))
    except FileNotFoundError:
        return False
