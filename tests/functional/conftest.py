"""Coroutines are tests that run in the reactor; the fixture `net` has their servers and clients."""

from __future__ import annotations

import inspect
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_twisted

from tests.functional.support import Net


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run every ``async def`` test in the reactor, without a decorator on each."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            pytest_twisted.ensureDeferred(item.obj)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """
    Let the processes that tests start be ended by SIGINT.

    A shell that runs the tests in the background lets them ignore it, and their processes would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest_twisted.async_yield_fixture
async def net() -> AsyncIterator[Net]:
    """The servers and raw clients of one test; at the end nothing of them may be left."""
    net = Net()
    yield net
    await net.close()
