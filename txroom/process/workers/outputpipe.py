"""
The pipes through which the parent gets the log and the output of a worker.

If the parent stands still, it does not read them, and a full pipe would block the worker with all its rooms.
So a worker writes only as much as a pipe takes at once, and keeps the rest up to a limit. What comes later is
dropped, and the log says how many lines were.

The descriptors stay in blocking mode, which programs that the app starts expect if they inherit them.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from .output import droppedRecord

#: The most bytes that are kept, beside the last line, and after how many seconds they are tried again.
LIMIT, AGAIN = 1024 * 1024, 0.1
#: For how many seconds the end of a worker waits for a pipe that is full.
LAST = 1.0


class OutputPipe:
    """
    Writes to a pipe without waiting. All threads may use it.

    Args:
        descriptor: The end of the pipe.
        later: Calls a function after `AGAIN` seconds; it may be called in any thread.
        dropped: Returns a line that says that so many lines were dropped.
        limit: The most bytes that are kept.
    """

    def __init__(
        self,
        descriptor: int,
        later: Callable[[Callable[[], None]], object],
        dropped: Callable[[int], bytes] = droppedRecord,
        limit: int = LIMIT,
    ) -> None:
        self.descriptor = descriptor
        self._later = later
        self._note = dropped
        self._limit = limit
        self._kept = bytearray()
        #: How many lines were dropped since it last had nothing to write.
        self._dropped = 0
        #: Whether the newest line has no end yet.
        self._isInLine = False
        self._isWriting = False
        self._isWaiting = False
        # The garbage collector may run anywhere, and let something log in the midst of a write.
        self._lock = threading.RLock()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def write(self, data: bytes) -> None:
        """Write as much as the pipe takes, and keep or drop the rest. Never fails, also without a reader."""
        with self._lock:
            self._flush()
            if self._kept and (self._dropped or len(self._kept) + len(data) > self._limit):
                self._dropped += max(1, data.count(b"\n"))
                return
            self._kept += data
            self._isInLine = not data.endswith(b"\n")
            self._flush()
            self._waitIfFull()

    def finish(self) -> None:
        """Write what is kept, since the process ends, unless the pipe is full for `LAST` seconds."""
        with self._lock:
            self._flush(LAST)

    def _again(self) -> None:
        with self._lock:
            self._isWaiting = False
            self._flush()
            self._waitIfFull()

    def _waitIfFull(self) -> None:
        if self._kept and not self._isWaiting:
            self._isWaiting = True
            self._later(self._again)

    def _flush(self, seconds: float = 0.0) -> None:
        if self._isWriting:
            return
        self._isWriting = True
        try:
            while self._kept and self._poll.poll(1000 * seconds):
                # So much does not block if the pipe can be written to at all.
                written = os.write(self.descriptor, self._kept[: select.PIPE_BUF])
                del self._kept[:written]
                if not self._kept and self._dropped:
                    self._kept += b"\n" * self._isInLine + self._note(self._dropped)
                    self._dropped, self._isInLine = 0, False
        except OSError:  # the parent is gone; there is nobody to tell
            self._kept.clear()
            self._dropped = 0
        finally:
            self._isWriting = False


class OutputFile(io.RawIOBase):
    """
    The file of such a pipe, for what the app prints.

    Args:
        pipe: The pipe.
    """

    def __init__(self, pipe: OutputPipe) -> None:
        super().__init__()
        self._pipe = pipe

    def writable(self) -> bool:
        """It can be written to."""
        return True

    def fileno(self) -> int:
        """The descriptor, for the programs that the app starts."""
        return self._pipe.descriptor

    def write(self, data: Any) -> int:
        """Write all of it, or drop it."""
        copy = bytes(data)
        self._pipe.write(copy)
        return len(copy)


def fileLike(file: Any, pipe: OutputPipe) -> io.TextIOWrapper:
    """Return a file for a pipe that collects as much before it writes as a standard stream of Python does."""
    isUnbuffered = isinstance(file.buffer, io.RawIOBase)
    raw: Any = OutputFile(pipe)
    return io.TextIOWrapper(
        raw if isUnbuffered else io.BufferedWriter(raw),
        encoding=file.encoding,
        errors=file.errors,
        line_buffering=file.line_buffering,
        write_through=file.write_through,
    )


def useOutputPipes(reactor: Any) -> OutputPipe:
    """
    Let nothing that this process prints wait for its parent. At its end it writes what is kept.

    Args:
        reactor: The reactor.

    Returns:
        The standard error.
    """

    def later(call: Callable[[], None]) -> None:
        reactor.callFromThread(reactor.callLater, AGAIN, call)

    out, error = (OutputPipe(descriptor, later) for descriptor in (1, 2))
    sys.stdout, sys.stderr = fileLike(sys.stdout, out), fileLike(sys.stderr, error)
    atexit.register(_finish, sys.stdout, out, error)
    return error


def _finish(file: TextIO, *pipes: OutputPipe) -> None:
    if not file.closed:
        file.flush()
    for pipe in pipes:
        pipe.finish()
