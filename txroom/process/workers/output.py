"""
The log of workers: each worker writes its events to its standard error, and the parent logs them.

An event is a line of JSON after the character RS (RFC 7464). All other lines come from the application, or
from Python itself. The parent logs them too, as they are.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

import msgspec
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, eventAsText, formatEvent
from zope.interface import implementer

from ..logs import FIELDS, TEXT, TRACEBACK

#: What an event begins with.
RECORD = b"\x1e"
#: How many lines of a worker are remembered.
REMEMBERED = 12
#: How many failures of a worker are remembered.
FAILURES = 20
#: The levels of events that may be why a worker ends.
PROBLEMS = ("warn", "error", "critical")
#: The longest line that is waited for. A longer one is logged in pieces.
MAX_LINE = 256 * 1024


class Record(msgspec.Struct, array_like=True, frozen=True):
    """An event of the log."""

    #: The seconds since 1970.
    time: float
    level: str
    namespace: str
    text: str
    #: What it is about, see `jsonlog.fieldsOf`.
    fields: dict[str, Any] = {}
    #: The traceback of its failure; empty: it has none.
    traceback: str = ""

    @property
    def whole(self) -> str:
        """The text, and the traceback if there is one."""
        return f"{self.text}\n{self.traceback}" if self.traceback else self.text

    @property
    def short(self) -> str:
        """The text, and the exception if there is one, in one line."""
        exception = self.traceback.rpartition("\n")[2].removeprefix("Failure: ").removeprefix("builtins.")
        return " ".join(f"{self.text}: {exception}".split() if exception else self.text.split())


@implementer(ILogObserver)
class RecordObserver:
    """
    Writes the events of a worker for its parent.

    Args:
        write: Writes its argument to the standard error.
        fieldsOf: Returns what an event is about, see `jsonlog.fieldsOf`.
    """

    def __init__(
        self, write: Callable[[bytes], object], fieldsOf: Callable[[LogEvent], dict[str, Any]] = lambda _: {}
    ) -> None:
        self._write = write
        self._fieldsOf = fieldsOf

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level") or LogLevel.info
        text = formatEvent(event)
        traceback = ""
        if event.get("log_failure") is not None:
            whole = eventAsText(event, includeTimestamp=False, includeSystem=False)
            traceback = _encodable(whole[len(text) :].strip("\n"))
        namespace = str(event.get("log_namespace", "-"))
        when, fields = event.get("log_time", 0.0), self._fieldsOf(event)
        record = Record(when, level.name, namespace, _encodable(text), fields, traceback)
        self._write(_lineOf(record))


def droppedRecord(lines: int) -> bytes:
    """Return an event that says that so many lines of a worker were dropped."""
    text = f"{lines} lines of the log were dropped, because the parent did not read them"
    return _lineOf(Record(time.time(), "warn", __name__, text))


def _lineOf(record: Record) -> bytes:
    return RECORD + msgspec.json.encode(record) + b"\n"


def _encodable(text: str) -> str:
    """Return a text with escapes for lone surrogates, which can't be encoded."""
    return text.encode("utf-8", "backslashreplace").decode()


class WorkerOutput:
    """
    Logs what one worker writes.

    Args:
        slot: The number of the worker.
    """

    _log = Logger()
    _decoder = msgspec.json.Decoder(Record)

    def __init__(self, slot: int) -> None:
        self._slot = slot
        self._rest = {1: b"", 2: b""}
        #: What tells it from another worker of the same number, such as "old"; empty: nothing.
        self.mark = ""
        #: The newest line that may be why it ends; empty: there is none.
        self.problem = ""
        #: Its newest exceptions.
        self._failures: deque[Record] = deque(maxlen=FAILURES)
        #: Its newest lines.
        self.last: deque[str] = deque(maxlen=REMEMBERED)

    def received(self, descriptor: int, data: bytes) -> None:
        """
        The worker has written something.

        Args:
            descriptor: 1: to its standard output, 2: to its standard error.
            data: What it has written.
        """
        *lines, rest = (self._rest[descriptor] + data).split(b"\n")
        if len(rest) > MAX_LINE:
            lines, rest = [*lines, rest], b""
        self._rest[descriptor] = rest
        for line in lines:
            self._line(line, descriptor)

    def ended(self) -> None:
        """The worker writes no more."""
        for descriptor, rest in self._rest.items():
            if rest:
                self._line(rest, descriptor)
        self._rest = {1: b"", 2: b""}

    def failureIn(self, words: Collection[str]) -> str:
        """Return its newest exception in one of the rooms whose ids are among the words; empty: none."""
        return next((each.short for each in reversed(self._failures) if each.fields.get("room") in words), "")

    @property
    def _name(self) -> str:
        return f"worker {self._slot}, {self.mark}" if self.mark else f"worker {self._slot}"

    def _line(self, line: bytes, descriptor: int) -> None:
        if line.startswith(RECORD):
            try:
                record = self._decoder.decode(line[1:])
            except msgspec.DecodeError:
                pass
            else:
                self.last.extend(record.whole.splitlines())
                if record.level in PROBLEMS:
                    self.problem = record.short
                if record.traceback:
                    self._failures.append(record)
                self._emit(record)
                return
        text = line.decode("utf-8", "backslashreplace")
        self.last.append(text)
        level = LogLevel.info if descriptor == 1 else LogLevel.warn
        if level is LogLevel.warn and text.strip():
            self.problem = text.strip().removeprefix("txroom: ")
        self._log.emit(level, "{text}", text=text, worker=self._slot, log_system=self._name)

    def _emit(self, record: Record) -> None:
        try:
            level = LogLevel.levelWithName(record.level)
        except ValueError:
            level = LogLevel.info
        # Not `Logger.emit`: the time is that of the worker.
        self._log.observer(
            {
                "log_level": level,
                "log_namespace": record.namespace,
                "log_system": f"{self._name}, {record.namespace}#{record.level}",
                "log_time": record.time,
                "log_format": "{text}",
                "text": record.whole,
                TEXT: record.text,
                TRACEBACK: record.traceback,
                "worker": self._slot,
                FIELDS: record.fields,
            }
        )
