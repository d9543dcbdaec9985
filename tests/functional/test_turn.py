"""In which order each reactor writes what was sent in a turn, and reads what has come meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 200
#: Two frames of one byte, in one write.
BYTES = 6
#: What Twisted's own reactors may write only after they have read what came meanwhile.
LATER = {"delayed call", "deferred"}


@pytest.mark.parametrize("reactor", ["epoll", "leanepoll", "asyncio", "poll", "select"])
def test_order(reactor: str) -> None:
    """What was sent is written before another connection is read, where the reactor allows it."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.functional.turn_order", reactor],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=TIMEOUT,
        check=True,
    )
    found = json.loads(process.stdout)
    assert len(found) == 5
    for way, (isFirst, size) in found.items():
        assert size == BYTES, way
        assert isFirst is not None, way
        if reactor in ("leanepoll", "asyncio") or way not in LATER:
            assert isFirst, way
