"""What the tests of clusters share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose path is short enough for a UNIX socket."""
    with TemporaryDirectory(prefix="txroom-") as name:
        yield Path(name)
