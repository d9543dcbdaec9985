"""
txroom's pytest plugin: the fixture `txroomHarness`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def txroomHarness() -> Iterator[Callable[..., Any]]:
    """
    A function that makes a `txroom.testing.RoomHarness` from its arguments.

    At the end of the test each harness is stopped and checked.
    """
    # Imported here because pytest loads this module in every run of every project.
    from .testing import RoomHarness

    made: list[RoomHarness] = []

    def make(*args: Any, **kwargs: Any) -> RoomHarness:
        made.append(RoomHarness(*args, **kwargs))
        return made[-1]

    yield make
    for harness in reversed(made):
        harness.stop()
