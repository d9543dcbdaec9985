"""
What the store's program prints: it goes to txroom's log, and tells why a start has failed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger, LogLevel

from .statedir import MANIFEST

#: A line of the log: the process and its role, the time, the level, and the text.
_LINE = re.compile(r"\d+:[A-Z] .*?\d (?P<level>[.*#-]) ?(?P<text>.*)")
_WARNING = "#"
#: How lines begin that say how the system should be set up.
_ABOUT_SYSTEM = "WARNING "
#: Lines that say that the end of the data was incomplete, so that it was cut off.
_CUT = re.compile(r"Truncating the AOF|AOF loaded anyway|short read while loading")
#: Lines that say that something confirmed could not be written, since the disk is full for example.
_UNWRITTEN = re.compile(r"(Short write while|Error) writing to the AOF file")
#: Lines that say that something has failed, also while it stops.
_FAILED = re.compile("error|fail|short write|unable|can't", re.IGNORECASE)
#: Lines that say which file of the data is damaged or missing.
_DAMAGED = re.compile(
    r"(?:Bad file format reading|Unexpected end of file reading|Unknown command '.*' reading|Error reading)"
    r" the append only file (?P<file>\S+?)[.:,]?(?:\s|$)"
    r"|Checking RDB file (?P<snapshot>\S+)"
    r"|Unable to obtain the AOF file (?P<missing>\S+) length. stat: No such file"
)
_MANIFEST = "FATAL AOF MANIFEST FILE ERROR"
#: The last line before the data is loaded.
_INITIALIZED = "Server initialized"


class StoreLog:
    """
    The lines that one process prints.

    Args:
        unwritten: Called when the store says that something could not be written.
    """

    _log = Logger()

    def __init__(self, unwritten: Callable[[], object]) -> None:
        self._unwritten = unwritten
        self._isUp = False
        self._isStopping = False
        #: The name of the file of the data that is damaged or missing; empty: none is.
        self.damaged = ""
        self._last: deque[str] = deque(maxlen=4)
        self._rest = b""

    @property
    def last(self) -> str:
        """The last warnings before it was up, or since then, in one line."""
        return "; ".join(self._last)

    def slow(self) -> None:
        """The store does not answer yet."""
        self._log.info("store: it does not answer yet, since it loads its data")

    def up(self) -> None:
        """
        The store answers. What it says before that is only logged at the level debug, except what begins with
        WARNING: that is about the system, and goes on to matter.
        """
        self._isUp = True
        self._last.clear()

    def stopping(self) -> None:
        """It was told to stop. What it warns of then is only logged at the level info, except failures."""
        self._isStopping = True

    def received(self, data: bytes) -> None:
        """Take what the process has printed."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").strip()
            if text:
                self._line(text)

    def _line(self, text: str) -> None:
        match = _LINE.match(text)
        isWarning = match is None or match["level"] == _WARNING
        if match is not None:
            text = match["text"]
        if text == _INITIALIZED:
            self._last.clear()
        elif isWarning and text and not text.startswith(_ABOUT_SYSTEM):
            self._last.append(text)
        damaged = _DAMAGED.search(text)
        if _MANIFEST in text:
            self.damaged = MANIFEST
        elif damaged is not None:
            self.damaged = self.damaged or next(filter(None, damaged.groups()))
        if _UNWRITTEN.search(text):
            self._unwritten()
        self._log.emit(self._levelOf(text, isWarning), "store: {text}", text=text)

    def _levelOf(self, text: str, isWarning: bool) -> Any:
        if _CUT.search(text) is not None or (isWarning and text.startswith(_ABOUT_SYSTEM)):
            return LogLevel.warn
        if not (isWarning and self._isUp):
            return LogLevel.debug
        return LogLevel.info if self._isStopping and _FAILED.search(text) is None else LogLevel.warn
