"""
What txroom adds to pytest: the fixture `txroomHarness`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def txroomHarness() -> Iterator[Callable[..., Any]]:
    """
    Makes a `txroom.testing.RoomHarness` of what it is called with; all are stopped and checked at the end.
    """
    # Not at the top: pytest loads this module in every run, of whatever project.
    from .testing import RoomHarness

    made: list[RoomHarness] = []

    def make(*args: Any, **kwargs: Any) -> RoomHarness:
        made.append(RoomHarness(*args, **kwargs))
        return made[-1]

    yield make
    for harness in reversed(made):
        harness.stop()
