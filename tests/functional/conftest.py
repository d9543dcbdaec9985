"""Coroutines are tests of the reactor, and `net` is where they meet servers."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator

import pytest
import pytest_twisted

from tests.functional.support import Net


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every ``async def`` test run in the reactor, without a decorator on each."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            pytest_twisted.ensureDeferred(item.obj)


@pytest_twisted.async_yield_fixture
async def net() -> AsyncIterator[Net]:
    """Servers and raw clients of one test; nothing of them may be left when it ends."""
    net = Net()
    yield net
    await net.close()
