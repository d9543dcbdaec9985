"""The lean reactor passes Twisted's tests; `test_commandline` runs a server on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 250
#: The only feature that lean protocols lack: log lines with the name of the connection.
NAMELESS = {
    f"twisted.internet.test.{each}TestsBuilder_EPollReactorTests.test_logPrefix"
    for each in ("test_tcp.TCP4Client", "test_tcp.TCP6Client", "test_unix.UNIX")
}


def test_twistedsTests(tmp_path: Path) -> None:
    """
    The tests that pass with Twisted's epoll reactor also pass with txroom's, with lean protocols too.

    Some of Twisted's tests need a network or a user other than root; where these are missing, they fail
    with both.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    results: list[dict[str, Any]] = []
    runs = []
    ours = "tests.functional.reactor_tests"
    for number, (module, *more) in enumerate((["twisted.internet.epollreactor"], [ours], [ours, "lean"])):
        here = tmp_path / str(number)
        here.mkdir()
        command = [sys.executable, "-m", ours, f"{module}.EPollReactor", *more]
        runs.append(
            subprocess.Popen(
                command, cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        )
    for process in runs:
        output, _ = process.communicate(timeout=TIMEOUT)
        results.append(json.loads(output.splitlines()[-1]))
    stock, asIs, lean = results
    assert stock["passed"] > 200
    assert asIs == stock
    assert set(lean["bad"]) ^ set(stock["bad"]) == NAMELESS
    assert lean["passed"] == stock["passed"] - len(NAMELESS)
