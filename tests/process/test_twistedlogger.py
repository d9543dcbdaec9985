"""
Tests for the private names of twisted.logger and Twisted's log files.
"""

from __future__ import annotations

import io
import os
from typing import Any, cast

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LimitedHistoryLogObserver,
    LogPublisher,
    globalLogBeginner,
)
from twisted.python.logfile import LogFile
from twisted.trial.unittest import SynchronousTestCase

from txroom.process import twistedlogger

OTHER: Any = cast(ILogObserver, lambda event: None)


class ObserverTests(SynchronousTestCase):
    """Log observers."""

    def test_observersOf(self) -> None:
        """The list is a copy."""
        publisher = LogPublisher(OTHER)
        observers = twistedlogger.observersOf(publisher)
        publisher.removeObserver(OTHER)
        self.assertEqual((observers, twistedlogger.observersOf(publisher)), ([OTHER], []))

    def test_unfiltered(self) -> None:
        """There may be several filters."""
        once = FilteringLogObserver(OTHER, [])
        for observer in (OTHER, once, FilteringLogObserver(once, [])):
            self.assertIs(twistedlogger.unfiltered(observer), OTHER)

    def test_dropBufferedEvents(self) -> None:
        """The other events are kept in their order."""
        buffer = LimitedHistoryLogObserver(5)
        self.patch(globalLogBeginner, "_initialBuffer", buffer)
        for number in range(5):
            buffer({"number": number})
        twistedlogger.dropBufferedEvents(lambda event: event["number"] % 2 == 1)
        kept: list[Any] = []
        buffer.replayTo(cast(ILogObserver, kept.append))
        self.assertEqual([event["number"] for event in kept], [0, 2, 4])


class FileTests(SynchronousTestCase):
    """The files of observers."""

    def test_file(self) -> None:
        """It can be read and replaced."""
        first, second = io.StringIO(), io.StringIO()
        observer = FileLogObserver(first, lambda event: "said")
        self.assertIs(twistedlogger.fileOf(observer), first)
        twistedlogger.setFile(observer, second)
        observer({})
        self.assertEqual((first.getvalue(), second.getvalue()), ("", "said"))
        self.assertIsNone(twistedlogger.fileOf(OTHER))

    def test_descriptorOf(self) -> None:
        """It is the descriptor of the file with that name, until the file is moved."""
        file = LogFile.fromFullPath(self.mktemp())
        self.addCleanup(file.close)
        self.assertTrue(os.path.samestat(os.stat(file.path), os.fstat(twistedlogger.descriptorOf(file))))
