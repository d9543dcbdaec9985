"""
`python -m txroom.loadtest`: from the command line to the exit status.
"""

from __future__ import annotations

import resource
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, TextIO

import msgspec
from twisted.internet.task import LoopingCall
from twisted.python.usage import UsageError

from .options import Options
from .report import Progress, figuresOf, textOf
from .runner import LoadTest

#: How many files the process has open besides its connections.
SPARE_FILES = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a load test, and return the exit status."""
    options = Options()
    with ExitStack() as stack:
        try:
            options.parseOptions(arguments)
            allowFiles(options.plan.clients + SPARE_FILES)
            output = _opened(options["json"], stack)
        except UsageError as error:
            print(f"txroom.loadtest: {error}", file=sys.stderr)
            return 2
        figures = run(options)
        if output is not sys.stdout:
            print(textOf(figures))
        if output is not None:
            print(msgspec.json.format(msgspec.json.encode(figures)).decode(), file=output)
    return 0 if figures["isOk"] else 1


def allowFiles(count: int) -> None:
    """Raise this process's limit of open files to `count`. Raises `UsageError` if that is not possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise UsageError(
            f"--clients: this needs {count} open files, but the limit of this process is {hard} (ulimit -n)"
        )
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _opened(name: str | None, stack: ExitStack) -> TextIO | None:
    if name is None or name == "-":
        return None if name is None else sys.stdout
    try:
        return stack.enter_context(open(name, "w", encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--json {name}: {error.strerror}") from None


def run(options: Options) -> dict[str, Any]:
    """Run the reactor until the load test is done, and return the figures."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    # Changes of the system time must not change the measured times.
    reactor.seconds = time.monotonic
    loadTest = LoadTest(options.plan, reactor, secrets.token_hex(3))
    progress = Progress(loadTest.metrics, reactor, loadTest.plan.room is not None)
    printer = LoopingCall(lambda: print(progress.line(), file=sys.stderr, flush=True))
    printer.clock = reactor

    def begin() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, interrupt)
        if not options["quiet"]:
            printer.start(1.0, now=False)
        loadTest.run().addCallback(lambda _: end())

    def end() -> None:
        if reactor.running:
            reactor.stop()

    def abandon() -> None:
        loadTest.abandon()
        end()

    # The first signal waits for the last answers, the second does not.
    ends = iter((loadTest.stop,))

    def interrupt(number: int, frame: object) -> None:
        reactor.callFromThread(next(ends, abandon))

    reactor.callWhenRunning(begin)
    startedAt, usedBefore = time.monotonic(), time.process_time()
    reactor.run()
    return figuresOf(loadTest, (time.process_time() - usedBefore) / (time.monotonic() - startedAt))


if __name__ == "__main__":
    sys.exit(main())
