"""What twisted.logger and Twisted's log files keep to themselves."""

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
    """Who observes the log."""

    def test_observersOf(self) -> None:
        """A list of its own, that stays as it is when observers come and go."""
        publisher = LogPublisher(OTHER)
        observers = twistedlogger.observersOf(publisher)
        publisher.removeObserver(OTHER)
        self.assertEqual((observers, twistedlogger.observersOf(publisher)), ([OTHER], []))

    def test_unfiltered(self) -> None:
        """Behind any number of filters."""
        once = FilteringLogObserver(OTHER, [])
        for observer in (OTHER, once, FilteringLogObserver(once, [])):
            self.assertIs(twistedlogger.unfiltered(observer), OTHER)

    def test_forgetEarly(self) -> None:
        """The others are kept, in their order."""
        buffer = LimitedHistoryLogObserver(5)
        self.patch(globalLogBeginner, "_initialBuffer", buffer)
        for number in range(5):
            buffer({"number": number})
        twistedlogger.dropBufferedEvents(lambda event: event["number"] % 2 == 1)
        kept: list[Any] = []
        buffer.replayTo(cast(ILogObserver, kept.append))
        self.assertEqual([event["number"] for event in kept], [0, 2, 4])


class FileTests(SynchronousTestCase):
    """The files that observers write to."""

    def test_file(self) -> None:
        """It can be looked at, and another one put in its place."""
        first, second = io.StringIO(), io.StringIO()
        observer = FileLogObserver(first, lambda event: "said")
        self.assertIs(twistedlogger.fileOf(observer), first)
        twistedlogger.setFile(observer, second)
        observer({})
        self.assertEqual((first.getvalue(), second.getvalue()), ("", "said"))
        self.assertIsNone(twistedlogger.fileOf(OTHER))

    def test_descriptorOf(self) -> None:
        """That of the file by its name, until somebody moves it."""
        file = LogFile.fromFullPath(self.mktemp())
        self.addCleanup(file.close)
        self.assertTrue(os.path.samestat(os.stat(file.path), os.fstat(twistedlogger.descriptorOf(file))))
