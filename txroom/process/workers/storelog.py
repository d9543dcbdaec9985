"""
What the store's program prints: it goes to txroom's log, and tells why a start has failed.
"""

from __future__ import annotations

import re
from collections import deque

from twisted.logger import Logger, LogLevel

#: A line of the log: the process and its role, the time, the level, and the text.
_LINE = re.compile(r"\d+:[A-Z] .*?\d (?P<level>[.*#-]) (?P<text>.*)")
_WARNING = "#"
#: Lines that say that the end of the data was incomplete, so that it was cut off.
_CUT = re.compile(r"Truncating the AOF|AOF loaded anyway|short read while loading")
#: Lines that say that the data can't be loaded, with the name of the file if they have it.
_CORRUPT = re.compile(
    r"(?:Bad file format reading|Unexpected end of file reading|Unrecoverable error reading) the append only"
    r" file (?P<file>\S+?)[.:]?(?: |$)"
    r"|Error reading the RDB preamble of the AOF file (?P<base>\S+?),"
    r"|(?P<manifest>[Ii]nvalid AOF manifest|AOF manifest file format)"
)


class StoreLog:
    """The lines that one process prints."""

    _log = Logger()

    def __init__(self) -> None:
        self._isUp = False
        #: The file that is corrupt; empty if the line didn't say which; `None`: none is.
        self.corrupt: str | None = None
        self._last: deque[str] = deque(maxlen=4)
        self._rest = b""

    @property
    def last(self) -> str:
        """The last warnings before it was up, or since then, in one line."""
        return "; ".join(self._last)

    def up(self) -> None:
        """The store answers. Its warnings before that are only logged at the level debug."""
        self._isUp = True
        self._last.clear()

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
        if isWarning:
            self._last.append(text)
        corrupt = _CORRUPT.search(text)
        if corrupt is not None and self.corrupt is None:
            self.corrupt = corrupt["file"] or corrupt["base"] or ""
        isShown = (isWarning and self._isUp) or _CUT.search(text) is not None
        self._log.emit(LogLevel.warn if isShown else LogLevel.debug, "store: {text}", text=text)
