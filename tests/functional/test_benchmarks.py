"""The benchmarks run; what they find is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ..requires import requires

ROOT = Path(__file__).resolve().parents[2]


def test_oneSmallRound(tmp_path: Path) -> None:
    """Echo and broadcast of txroom and of websockets are measured, compared and told."""
    requires("cc")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.run", "--workloads", "echo-64", "broadcast-500"),
            *("--peers", "websockets", "--rounds", "1", "--seconds", "0.1", "--warm", "0.1"),
            *("--no-plots", "--output", str(tmp_path)),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert not results["failures"] and not results["leftOut"]
    for workload in ("echo-64", "broadcast-500"):
        assert set(results["runs"][workload]) == {"txroom", "websockets"}
        for (run,) in results["runs"][workload].values():
            assert all(run[metric] > 0 for metric in ("cpu", "rate", "p50", "p99", "rss", "load")), run
            assert run["p50"] <= run["p99"]
    report = (tmp_path / "results.md").read_text()
    assert report in done.stdout
    assert "| txroom | " in report and "| websockets | " in report
    assert "- echo-64, cpu: at most 0.6 x websockets: " in report
