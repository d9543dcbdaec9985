"""
The log of a process: filtering, and log files that other programs rotate.
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
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    globalLogPublisher,
)
from twisted.python.logfile import LogFile
from zope.interface import provider

from ..http.names import LOG_PREFIX
from .twistedlogger import descriptorOf, dropBufferedEvents, fileOf, observersOf, setFile, unfiltered

#: The key under which an event of a worker has what it is about; see `jsonlog.fieldsOf`.
FIELDS = "txroomFields"
#: The keys under which it has its text without a traceback, and its traceback.
TEXT, TRACEBACK = "txroomText", "txroomTraceback"

_STARTING = re.compile(rf"{LOG_PREFIX}( \(\w+\))* starting on ")
_NO_CACHE = "Unable to write to plugin cache"


def filterLog(level: Any) -> LogLevelFilterPredicate:
    """
    Filter the current log observers: drop events below `level`, and those of Twisted's events that repeat
    what txroom logs or that do not matter.

    Returns:
        The predicate, with which the level can be changed.
    """
    wanted = LogLevelFilterPredicate(defaultLogLevel=level)
    for observer in observersOf(globalLogPublisher):
        globalLogPublisher.removeObserver(observer)
        globalLogPublisher.addObserver(FilteringLogObserver(observer, [_unlessNoNews, wanted]))
    return wanted


def setLevel(predicate: LogLevelFilterPredicate, level: str) -> None:
    """Change the lowest level of a log that `filterLog` has filtered."""
    predicate.setLogLevelForNamespace("", LogLevel.levelWithName(level))


@provider(ILogFilterPredicate)
def _unlessNoNews(event: LogEvent) -> Any:
    """
    Drop Twisted's line for each opened port, which says less than txroom's own, and the one about the plugin
    cache.
    """
    isTwice = _STARTING.match("".join(map(str, event.get("message") or ())))
    return PredicateResult.no if isTwice or _isOfNoCache(event) else PredicateResult.maybe


def _isOfNoCache(event: LogEvent) -> bool:
    """
    Return whether an event says that Twisted can't write its plugin cache, which only costs milliseconds at a
    start.
    """
    return str(event.get("format", "")).startswith(_NO_CACHE)


def dropPluginCacheWarning() -> None:
    """Remove the event about the plugin cache from those that were logged before the log was started."""
    dropBufferedEvents(_isOfNoCache)


class LogFiles:
    """The files that the log is written to."""

    def __init__(self) -> None:
        """Find the files of the current log observers."""
        observers = map(unfiltered, observersOf(globalLogPublisher))
        self._observers = [observer for observer in observers if _isFile(observer)]

    def reopen(self) -> list[str]:
        """
        Reopen the files by name, because another program has moved them away.

        A file that was moved is no longer rotated by Twisted either, because the other program does that. A
        file that can't be reopened is kept.

        Returns:
            A text for each file that could not be reopened, which says why.
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
    open(file.path, "a").close()  # fails before the old one is closed
    file.reopen()
    if isMoved:
        file.rotateLength = None


def _isSame(file: LogFile) -> bool:
    """Return whether the file's name still refers to the open file."""
    try:
        return os.path.samestat(os.stat(file.path), os.fstat(descriptorOf(file)))
    except FileNotFoundError:
        return False


def reopenLogs(log: Logger) -> None:
    """Reopen all log files by name, and log which could not be reopened."""
    for problem in LogFiles().reopen():
        log.error("a log file could not be reopened, the old one is kept: {problem}", problem=problem)
