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

#: Files that a process has open besides its connections.
SPARE_FILES = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a load test; the exit status."""
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
    """Let this process have so many files open; raises `UsageError`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise UsageError(f"--clients: this process may open only {hard} files (ulimit -n)")
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
    """Run the reactor until it is done; the figures."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    # Nobody shall set the clock by which we measure.
    reactor.seconds = time.monotonic
    loadTest = LoadTest(options.plan, reactor, secrets.token_hex(3))
    progress = Progress(loadTest.metrics, reactor, loadTest.plan.room is not None)
    teller = LoopingCall(lambda: print(progress.line(), file=sys.stderr, flush=True))
    teller.clock = reactor

    def begin() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, interrupt)
        if not options["quiet"]:
            teller.start(1.0, now=False)
        loadTest.run().addCallback(lambda _: end())

    def end() -> None:
        if reactor.running:
            reactor.stop()

    def abandon() -> None:
        loadTest.abandon()
        end()

    # The second time nobody is waited for.
    ends = iter((loadTest.stop,))

    def interrupt(number: int, frame: object) -> None:
        reactor.callFromThread(next(ends, abandon))

    reactor.callWhenRunning(begin)
    startedAt, usedBefore = time.monotonic(), time.process_time()
    reactor.run()
    return figuresOf(loadTest, (time.process_time() - usedBefore) / (time.monotonic() - startedAt))


if __name__ == "__main__":
    sys.exit(main())
