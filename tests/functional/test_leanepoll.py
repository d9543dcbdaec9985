"""The lean reactor is a reactor as Twisted expects it; `test_commandline` runs a server on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 120


def test_twistedsTests(tmp_path: Path) -> None:
    """
    What passes with Twisted's epoll reactor passes with ours.

    A few of Twisted's tests need a network or a user that isn't root: they fail, here and there, with both.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    results: list[dict[str, Any]] = []
    runs = []
    for module in ("twisted.internet.epollreactor", "tests.functional.reactor_tests"):
        here = tmp_path / module
        here.mkdir()
        command = [sys.executable, "-m", "tests.functional.reactor_tests", f"{module}.EPollReactor"]
        runs.append(
            subprocess.Popen(
                command, cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        )
    for process in runs:
        output, _ = process.communicate(timeout=TIMEOUT)
        results.append(json.loads(output.splitlines()[-1]))
    stock, lean = results
    assert stock["passed"] > 200
    assert lean == stock
