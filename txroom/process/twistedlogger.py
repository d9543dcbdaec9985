"""
What twisted.logger and Twisted's log files keep to themselves, though txroom needs it.

See `core.twistedinternet`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import FilteringLogObserver, LogEvent, LogPublisher, globalLogBeginner
from twisted.python.logfile import LogFile


def observersOf(publisher: LogPublisher) -> list[Any]:
    """Who observes what is published, by now."""
    return list(publisher._observers)


def unfiltered(observer: Any) -> Any:
    """The observer behind filters."""
    while isinstance(observer, FilteringLogObserver):
        observer = observer._observer
    return observer


def dropBufferedEvents(isUnwanted: Callable[[LogEvent], bool]) -> None:
    """Forget the events that are unwanted of those that are kept until the log begins."""
    buffer = globalLogBeginner._initialBuffer._buffer
    kept = [event for event in buffer if not isUnwanted(event)]
    buffer.clear()
    buffer.extend(kept)


def fileOf(observer: Any) -> Any:
    """The file that an observer writes to; `None` if it writes to none."""
    return getattr(observer, "_outFile", None)


def setFile(observer: Any, file: Any) -> None:
    """Make an observer that writes to a file write to another one."""
    observer._outFile = file


def descriptorOf(file: LogFile) -> int:
    """The descriptor of the file that is written to."""
    return file._file.fileno()
