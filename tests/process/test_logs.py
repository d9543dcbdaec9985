"""
Tests for the log of a process.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, cast

from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LimitedHistoryLogObserver,
    LogLevel,
    LogPublisher,
    formatEvent,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.log import LogPublisher as LegacyLogPublisher
from twisted.python.logfile import LogFile
from twisted.trial.unittest import SynchronousTestCase

from txroom import Server
from txroom.http.proxyprotocol import ProxiedFactory
from txroom.process import logs
from txroom.testing import MemoryReactor


class FilterTests(SynchronousTestCase):
    """The filter for twistd, which has none."""

    def test_filter(self) -> None:
        """Events below the level do not reach the current observers."""
        seen: list[Any] = []
        publisher = LogPublisher(cast(ILogObserver, seen.append))
        self.patch(logs, "globalLogPublisher", publisher)
        logs.filterLog(LogLevel.warn)
        for level in LogLevel.iterconstants():
            publisher({"log_level": level, "log_namespace": "any"})
        expected = [LogLevel.warn, LogLevel.error, LogLevel.critical]
        self.assertEqual([event["log_level"] for event in seen], expected)

    def test_saidTwice(self) -> None:
        """
        Twisted's line about an opened port is dropped, because txroom logs one, too; other lines are kept.
        """
        texts: list[str] = []
        publisher = LogPublisher(cast(ILogObserver, lambda event: texts.append(formatEvent(event))))
        self.patch(logs, "globalLogPublisher", publisher)
        logs.filterLog(LogLevel.info)
        log = LegacyLogPublisher(publisher, publisher)
        factory: Any = Server(clock=MemoryReactor())._factory
        secure = TLSMemoryBIOFactory(CertificateOptions(), False, factory)
        for each in (factory, secure, ProxiedFactory(secure), Factory()):
            log.msg(f"{each.logPrefix()} starting on 8080")
        self.assertEqual(texts, ["Factory starting on 8080"])

    def test_noCache(self) -> None:
        """Twisted's line about its plugin cache is dropped, also from before the log began."""
        texts: list[str] = []
        publisher = LogPublisher(cast(ILogObserver, lambda event: texts.append(formatEvent(event))))
        self.patch(logs, "globalLogPublisher", publisher)
        buffer = LimitedHistoryLogObserver(5)
        self.patch(globalLogBeginner, "_initialBuffer", buffer)
        logs.filterLog(LogLevel.info)
        for said in (publisher, buffer):
            log = LegacyLogPublisher(publisher, LogPublisher(said))
            log.msg("kept")
            log.msg(
                format="Unable to write to plugin cache %(path)s: error number %(errno)d", path="/", errno=30
            )
        self.assertEqual(texts, ["kept"])
        logs.dropPluginCacheWarning()
        self.assertEqual([formatEvent(event) for event in buffer._buffer], ["kept"])


class FileTests(SynchronousTestCase):
    """Log files that another program has moved away."""

    def setUp(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        self.file = directory / "chat.log"
        self.moved = directory / "chat.log-20270101"
        self.publisher = LogPublisher()
        self.patch(logs, "globalLogPublisher", self.publisher)

    def observe(self, file: Any) -> None:
        """Add an observer that writes to a file, with or without a filter."""
        self.publisher.addObserver(textFileLogObserver(file))
        logs.filterLog(LogLevel.info)
        self.addCleanup(file.close)

    def say(self, text: str) -> None:
        self.publisher(
            {"log_level": LogLevel.info, "log_format": text, "log_time": 0.0, "log_namespace": "any"}
        )

    def test_moved(self) -> None:
        """Later events go to a new file with the old name, which Twisted no longer rotates."""
        log = LogFile.fromFullPath(str(self.file), rotateLength=1000)
        self.observe(log)
        self.say("first")
        self.file.rename(self.moved)
        self.say("second")
        self.assertEqual(logs.LogFiles().reopen(), [])
        self.say("third" * 500)
        self.say("fourth")
        self.assertIn("second", self.moved.read_text())
        self.assertIn("fourth", self.file.read_text())
        self.assertEqual(len(list(self.file.parent.iterdir())), 2)

    def test_notMoved(self) -> None:
        """A file that was not moved is continued, and Twisted rotates it when it is large."""
        log = LogFile.fromFullPath(str(self.file), rotateLength=1000)
        self.observe(log)
        self.say("first")
        self.assertEqual(logs.LogFiles().reopen(), [])
        self.say("second")
        self.assertEqual([word in self.file.read_text() for word in ("first", "second")], [True, True])
        self.assertEqual(log.rotateLength, 1000)

    def test_plain(self) -> None:
        """A plain file, as some launchers open it, is reopened, too."""
        self.observe(self.file.open("a", encoding="utf-8"))
        self.say("first")
        self.file.rename(self.moved)
        self.assertEqual(logs.LogFiles().reopen(), [])
        self.say("second")
        self.assertIn("second", self.file.read_text())
        observer: Any = next(iter(self.publisher._observers))
        self.addCleanup(observer._observer._outFile.close)

    def test_forbidden(self) -> None:
        """If a file can't be opened, that is returned, and the old one is continued."""
        self.observe(LogFile.fromFullPath(str(self.file)))
        self.file.rename(self.moved)
        self.file.mkdir()
        self.assertEqual(logs.LogFiles().reopen(), [f"{self.file}: Is a directory"])
        self.say("still here")
        self.assertIn("still here", self.moved.read_text())

    def test_others(self) -> None:
        """The terminal and other observers are not files."""
        for file in (sys.__stdout__, io.StringIO(), os.devnull):
            self.publisher.addObserver(FileLogObserver(file, str))  # type: ignore[arg-type]
        self.publisher.addObserver(cast(ILogObserver, lambda event: None))
        self.assertEqual(logs.LogFiles()._observers, [])
