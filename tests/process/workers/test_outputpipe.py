"""
Tests for the pipes of a worker's output.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import sys
import threading
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers import outputpipe
from txroom.process.workers.outputpipe import AGAIN, OutputFile, OutputPipe, fileLike, useOutputPipes


class PipeTestCase(SynchronousTestCase):
    """Tests with a pipe whose reader the test is."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.writer)
        os.set_blocking(self.reader, False)
        self.pipe = OutputPipe(self.writer, self.later, self.note, limit=1000)
        self.isOpen = True
        self.addCleanup(self.closeReader)

    def later(self, call: Any) -> None:
        self.clock.callLater(AGAIN, call)

    def note(self, lines: int) -> bytes:
        return b"(%d dropped)\n" % lines

    def closeReader(self) -> None:
        if self.isOpen:
            self.isOpen = False
            os.close(self.reader)

    def read(self) -> bytes:
        """All that is in the pipe."""
        read = b""
        try:
            while data := os.read(self.reader, 65536):
                read += data
        except BlockingIOError:
            pass
        return read

    def fill(self) -> int:
        """Fill the pipe; return with how many bytes."""
        os.set_blocking(self.writer, False)
        filled = 0
        try:
            while True:
                filled += os.write(self.writer, b"-" * select.PIPE_BUF)
        except BlockingIOError:
            pass
        os.set_blocking(self.writer, True)
        return filled


class OutputPipeTests(PipeTestCase):
    """`OutputPipe`."""

    def test_write(self) -> None:
        """What the pipe takes is written at once, in blocking mode, which other programs expect."""
        self.pipe.write(b"one\n")
        self.pipe.write(b"two\n")
        self.assertEqual(self.read(), b"one\ntwo\n")
        self.assertTrue(os.get_blocking(self.writer))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_full(self) -> None:
        """If the parent stands still, nothing waits for it. When it reads again, it gets all lines."""
        filled = self.fill()
        for number in range(10):
            self.pipe.write(b"line %d\n" % number)
            self.clock.advance(AGAIN)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(self.read(), b"-" * filled)
        self.clock.advance(AGAIN)
        self.assertEqual(self.read(), b"".join(b"line %d\n" % number for number in range(10)))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_order(self) -> None:
        """What was kept comes before a line that could be written at once."""
        filled = self.fill()
        self.pipe.write(b"one\n")
        self.read()
        self.pipe.write(b"two\n")
        self.assertEqual(self.read(), b"one\ntwo\n")
        self.assertGreater(filled, 0)

    def test_longerThanPipe(self) -> None:
        """A line that is longer than the pipe and the limit is written in pieces, without a gap."""
        line = bytes(range(97, 123)) * 10_000 + b"\n"
        self.pipe.write(line)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        read = b""
        while self.clock.getDelayedCalls():
            read += self.read()
            self.clock.advance(AGAIN)
        self.assertEqual(read + self.read(), line)

    def test_dropped(self) -> None:
        """
        Only so much is kept. What comes later is dropped until all that was kept is written, and a line says
        how much it was, at its place.
        """
        filled = self.fill()
        for number in range(300):
            self.pipe.write(b"line %03d\n" % number)
        self.pipe.write(b"a\nb\nc\n")
        self.assertEqual(self.read(), b"-" * filled)
        self.clock.advance(AGAIN)
        self.pipe.write(b"later\n")
        kept = b"".join(b"line %03d\n" % number for number in range(111))
        self.assertEqual(self.read(), kept + b"(192 dropped)\nlater\n")

    def test_droppedInLine(self) -> None:
        """What says that lines were dropped is a line of its own."""
        self.fill()
        self.pipe.write(b"x" * 1000)
        self.pipe.write(b"yy")
        self.read()
        self.clock.advance(AGAIN)
        self.assertEqual(self.read(), b"x" * 1000 + b"\n(1 dropped)\n")

    def test_parentGone(self) -> None:
        """If nobody can read any more, nothing fails, and nothing is kept."""
        self.fill()
        self.pipe.write(b"one\n")
        self.closeReader()
        self.clock.advance(AGAIN)
        self.pipe.write(b"two\n")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_finish(self) -> None:
        """At the end, what is kept is written if the pipe takes it. A full pipe does not delay the end."""
        self.patch(outputpipe, "LAST", 0.001)
        self.fill()
        self.pipe.write(b"one\n")
        self.pipe.finish()
        self.read()
        self.pipe.finish()
        self.assertEqual(self.read(), b"one\n")

    def test_inTheMidst(self) -> None:
        """A line may be logged in the midst of a write, by the garbage collector: each is written once."""
        write = os.write

        def writeMore(descriptor: int, data: bytes) -> int:
            self.patch(os, "write", write)
            written = write(descriptor, data)
            self.pipe.write(b"two\n")
            return written

        self.patch(os, "write", writeMore)
        self.pipe.write(b"one\n")
        self.assertEqual(self.read(), b"one\ntwo\n")

    def test_threads(self) -> None:
        """Other threads may write too."""
        thread = threading.Thread(target=self.pipe.write, args=(b"one\n",))
        thread.start()
        thread.join()
        self.assertEqual(self.read(), b"one\n")


class OutputFileTests(PipeTestCase):
    """`OutputFile`, and the standard streams."""

    def test_print(self) -> None:
        """What is printed is written at the end of a line or when it is much, as without a worker."""
        lines = fileLike(io.TextIOWrapper(io.BytesIO(), line_buffering=True), self.pipe)
        print("half", end="", file=lines)
        self.assertEqual(self.read(), b"")
        print(" whole", file=lines)
        self.assertEqual(self.read(), b"half whole\n")
        whole = fileLike(io.TextIOWrapper(io.BytesIO()), self.pipe)
        print("line", file=whole)
        self.assertEqual(self.read(), b"")
        whole.flush()
        self.assertEqual(self.read(), b"line\n")

    def test_unbuffered(self) -> None:
        """With PYTHONUNBUFFERED nothing is collected."""
        raw: Any = io.FileIO(1, "w", closefd=False)
        file = fileLike(io.TextIOWrapper(raw, write_through=True), self.pipe)
        print("half", end="", file=file)
        self.assertEqual(self.read(), b"half")

    def test_full(self) -> None:
        """Printing does not wait for a parent that stands still either."""
        filled = self.fill()
        file = io.TextIOWrapper(io.BufferedWriter(OutputFile(self.pipe)), line_buffering=True)
        print("line", file=file)
        self.assertEqual(self.read(), b"-" * filled)
        self.clock.advance(AGAIN)
        self.assertEqual(self.read(), b"line\n")
        self.assertEqual((file.fileno(), file.writable(), file.isatty()), (self.writer, True, False))

    def test_process(self) -> None:
        """The standard output and error of a worker become such files, and the rest is written at the end."""
        atEnd: list[Any] = []
        self.patch(atexit, "register", lambda *call: atEnd.append(call))
        self.patch(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
        self.patch(sys, "stderr", io.TextIOWrapper(io.BytesIO()))
        made: list[OutputPipe] = []
        later: list[Any] = []

        def make(descriptor: int, again: Any) -> OutputPipe:
            made.append(OutputPipe(self.writer, again, self.note))
            later.append((descriptor, again))
            return made[-1]

        self.patch(outputpipe, "OutputPipe", make)
        reactor: Any = self.clock
        reactor.callFromThread = lambda call, *args: call(*args)
        error = useOutputPipes(reactor)
        self.assertEqual([descriptor for descriptor, _ in later], [1, 2])
        self.assertIs(error, made[1])
        called: list[int] = []
        later[0][1](lambda: called.append(1))
        self.clock.advance(AGAIN)
        self.assertEqual(called, [1])
        print("line", file=sys.stdout)
        ((finish, *args),) = atEnd
        finish(*args)
        self.assertEqual(self.read(), b"line\n")
        sys.stdout.close()
        finish(*args)
