"""
Tests for asynchronous results of hooks, and their cancellation.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from contextvars import ContextVar
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from txroom.core.awaitables import cancelHook, runUntilWaiting


def refuse(waiting: Deferred[Any]) -> None:
    """A canceller that raises."""
    raise ZeroDivisionError


class GiveUpTests(SynchronousTestCase):
    """Whatever the canceller does, callers that wait continue."""

    def assertGivenUp(self, results: list[Any]) -> None:
        self.assertEqual(len(results), 1)
        results[0].trap(CancelledError)

    def test_plain(self) -> None:
        """Without a canceller, and with one that works."""
        cancelled: list[Any] = []
        for waiting in (Deferred[None](), Deferred[None](cancelled.append)):
            results = fired(waiting)
            cancelHook(waiting)
            self.assertGivenUp(results)
        self.assertEqual(len(cancelled), 1)

    def test_raises(self) -> None:
        """If the canceller raises, that is logged, and a later result is dropped."""
        waiting: Deferred[int] = Deferred(refuse)
        results = fired(waiting)
        cancelHook(waiting)
        self.assertGivenUp(results)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        waiting.callback(1)

    def test_nested(self) -> None:
        """A Deferred that waits for another."""
        outer: Deferred[Any] = Deferred()
        inner: Deferred[Any] = Deferred(refuse)
        outer.addCallback(lambda _: inner)
        outer.callback(None)
        results = fired(outer)
        cancelHook(outer)
        self.assertGivenUp(results)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_coroutine(self) -> None:
        """A coroutine gets `CancelledError`."""

        async def wait() -> None:
            await Deferred(refuse)

        running = Deferred.fromCoroutine(wait())
        results = fired(running)
        cancelHook(running)
        self.assertEqual(len(results), 1)

    def test_over(self) -> None:
        """A Deferred that has a result keeps it."""
        waiting: Deferred[int] = Deferred()
        waiting.callback(1)
        cancelHook(waiting)
        self.assertEqual(self.successResultOf(waiting), 1)


class RunTests(SynchronousTestCase):
    """`runUntilWaiting`."""

    def test_returns(self) -> None:
        """A coroutine that does not wait has run when the function returns, and there is no Deferred."""
        ran = []

        async def run() -> None:
            ran.append(1)
            ran.append(await succeed(2))

        self.assertIsNone(runUntilWaiting(run()))
        self.assertEqual(ran, [1, 2])

    def test_raises(self) -> None:
        """What it raises before it waits is raised."""

        async def run() -> None:
            raise ValueError("no")

        self.assertRaises(ValueError, runUntilWaiting, run())

    def test_waits(self) -> None:
        """Of a coroutine that waits, the Deferred has the result, also if what it waits for fails."""

        async def run(first: Deferred[int], second: Deferred[int]) -> int:
            try:
                total = await first
            except KeyError:
                total = 10
            return total + await second

        for outcome, result in ((1, 3), (Failure(KeyError()), 12)):
            first: Deferred[int] = Deferred()
            second: Deferred[int] = Deferred()
            rest = runUntilWaiting(run(first, second))
            assert rest is not None
            first.callback(outcome)
            self.assertNoResult(rest)
            second.callback(2)
            self.assertEqual(self.successResultOf(rest), result)

    def test_errorIsOver(self) -> None:
        """An error that the coroutine has handled is not the context of a later one."""
        seen: list[Any] = []

        async def run(first: Deferred[None], second: Deferred[None]) -> None:
            with contextlib.suppress(KeyError):
                await first
            seen.append(sys.exc_info()[0])
            await second

        first: Deferred[None] = Deferred()
        rest = runUntilWaiting(run(first, succeed(None)))
        assert rest is not None
        first.errback(Failure(KeyError()))
        self.successResultOf(rest)
        self.assertEqual(seen, [None])

    def test_forgotten(self) -> None:
        """A coroutine that waits for a Deferred that nothing refers to any more is closed, without a word."""
        closed: list[bool] = []
        unraised: list[Any] = []
        self.patch(sys, "unraisablehook", unraised.append)

        async def run() -> None:
            try:
                await Deferred[None]()
            finally:
                closed.append(True)

        self.assertIsNotNone(runUntilWaiting(run()))
        gc.collect()
        self.assertEqual((closed, unraised), ([True], []))

    def test_fails(self) -> None:
        """If it raises after it has waited, the Deferred fails."""

        async def run(waited: Deferred[None]) -> None:
            await waited
            raise ValueError("no")

        waited: Deferred[None] = Deferred()
        rest = runUntilWaiting(run(waited))
        assert rest is not None
        waited.callback(None)
        self.failureResultOf(rest, ValueError)

    def test_cancelled(self) -> None:
        """Cancelling the Deferred cancels what the coroutine waits for, and the coroutine sees that."""
        seen = []

        async def run(waited: Deferred[None]) -> None:
            try:
                await waited
            except CancelledError:
                seen.append("cancelled")
                raise

        waited: Deferred[None] = Deferred()
        rest = runUntilWaiting(run(waited))
        assert rest is not None
        rest.cancel()
        self.failureResultOf(rest, CancelledError)
        self.assertEqual(seen, ["cancelled"])

    def test_context(self) -> None:
        """All of it runs in one copy of the current context."""
        variable: ContextVar[str] = ContextVar("variable", default="outside")
        seen = []

        async def run(waited: Deferred[None]) -> None:
            variable.set("inside")
            await waited
            seen.append(variable.get())

        waited: Deferred[None] = Deferred()
        runUntilWaiting(run(waited))
        waited.callback(None)
        self.assertEqual((seen, variable.get()), (["inside"], "outside"))
