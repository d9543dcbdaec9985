"""
Private names of twisted.logger and Twisted's log files that txroom needs; see `core.twistedinternet`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import FilteringLogObserver, LogEvent, LogPublisher, globalLogBeginner
from twisted.python.logfile import LogFile


def observersOf(publisher: LogPublisher) -> list[Any]:
    """Return the current observers of a log publisher."""
    return list(publisher._observers)


def unfiltered(observer: Any) -> Any:
    """Return the observer behind any filters."""
    while isinstance(observer, FilteringLogObserver):
        observer = observer._observer
    return observer


def dropBufferedEvents(isUnwanted: Callable[[LogEvent], bool]) -> None:
    """
    Remove events from those that Twisted keeps until the log is started.

    Args:
        isUnwanted: Returns whether to remove an event.
    """
    buffer = globalLogBeginner._initialBuffer._buffer
    kept = [event for event in buffer if not isUnwanted(event)]
    buffer.clear()
    buffer.extend(kept)


def fileOf(observer: Any) -> Any:
    """Return the file that an observer writes to, or `None`."""
    return getattr(observer, "_outFile", None)


def setFile(observer: Any, file: Any) -> None:
    """Make a file log observer write to another file."""
    observer._outFile = file


def descriptorOf(file: LogFile) -> int:
    """Return the descriptor of an open log file."""
    return file._file.fileno()
