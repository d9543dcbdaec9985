"""
Tests for the log of workers.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import Logger, LogLevel, capturedLogs, eventAsText, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from txroom.process.jsonlog import asJSON
from txroom.process.workers.output import (
    MAX_LINE,
    RECORD,
    REMEMBERED,
    RecordObserver,
    WorkerOutput,
    droppedRecord,
)


class OutputTests(SynchronousTestCase):
    """`RecordObserver` in a worker, and `WorkerOutput` in its parent."""

    def setUp(self) -> None:
        self.written: list[bytes] = []
        self.observer = RecordObserver(self.written.append)
        self.output = WorkerOutput(3)

    def received(self, *pieces: bytes, descriptor: int = 2) -> list[Any]:
        with capturedLogs() as events:
            for piece in pieces:
                self.output.received(descriptor, piece)
        return list(events)

    def logged(self, log: Any) -> list[Any]:
        """What the parent logs if `log` is called in the worker."""
        log(Logger("chat", observer=self.observer))
        return self.received(b"".join(self.written))

    def test_event(self) -> None:
        """An event keeps its level, namespace, text and time; the number of the worker is added."""
        (event,) = self.logged(lambda log: log.warn("hello {who}", who="{you}\nthere"))
        self.assertEqual(
            (event["log_level"], event["log_namespace"], formatEvent(event), event["worker"]),
            (LogLevel.warn, "chat", "hello {you}\nthere", 3),
        )
        self.assertIn("[worker 3, chat#warn] hello", eventAsText(event))
        self.assertGreater(event["log_time"], 1.7e9)

    def test_failure(self) -> None:
        """The traceback of a failure is in the text; as JSON it is a field of its own, and redacted."""

        def log(logger: Logger) -> None:
            try:
                raise ZeroDivisionError("no token=abc")
            except ZeroDivisionError:
                logger.failure("it failed")

        (event,) = self.logged(log)
        self.assertTrue(formatEvent(event).startswith("it failed\nTraceback"))
        self.assertIn("ZeroDivisionError: no", formatEvent(event))
        record = json.loads(asJSON(event))
        self.assertEqual(record["message"], "it failed")
        self.assertTrue(record["traceback"].startswith("Traceback"))
        self.assertTrue(record["traceback"].endswith("ZeroDivisionError: no token=..."), record["traceback"])
        self.assertIn("builtins.ZeroDivisionError: no token=abc", self.output.last)

    def test_surrogate(self) -> None:
        """A text that can't be encoded is shown with escapes."""
        (event,) = self.logged(lambda logger: logger.info("hello {who}", who="\udc80"))
        self.assertEqual(formatEvent(event), "hello \\udc80")

    def test_dropped(self) -> None:
        """The log says how many lines were dropped."""
        (event,) = self.received(droppedRecord(7))
        self.assertEqual(event["log_level"], LogLevel.warn)
        self.assertEqual(
            formatEvent(event), "7 lines of the log were dropped, because the parent did not read them"
        )
        self.assertGreater(event["log_time"], 1.7e9)

    def test_other(self) -> None:
        """Other lines are logged as they are, also if they look like events."""
        events = self.received(b"a\xff\nb", b"c\n", RECORD + b"{}\n")
        self.assertEqual([formatEvent(event) for event in events], ["a\\xff", "bc", "\x1e{}"])
        self.assertEqual({event["log_level"] for event in events}, {LogLevel.warn})
        self.assertIn("[worker 3] bc", eventAsText(events[1]))
        (printed,) = self.received(b"printed\n", descriptor=1)
        self.assertEqual(printed["log_level"], LogLevel.info)

    def test_end(self) -> None:
        """A last line without an end is logged at the end of the worker, once."""
        self.assertEqual(self.received(b"half"), [])
        with capturedLogs() as events:
            self.output.ended()
            self.output.ended()
        self.assertEqual([formatEvent(event) for event in events], ["half"])

    def test_long(self) -> None:
        """A line without an end is not collected without limit."""
        events = self.received(b"x" * MAX_LINE, b"y")
        self.assertEqual([len(formatEvent(event)) for event in events], [MAX_LINE + 1])

    def test_last(self) -> None:
        """The newest lines are remembered."""
        self.logged(lambda log: log.info("one\ntwo"))
        self.assertEqual(list(self.output.last), ["one", "two"])
        self.received(b"line\n" * 100)
        self.assertEqual(len(self.output.last), REMEMBERED)
