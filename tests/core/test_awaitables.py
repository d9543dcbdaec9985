"""
Tests for the cancellation of hooks.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from txroom.core.awaitables import cancelHook


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
