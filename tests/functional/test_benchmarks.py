"""The benchmarks run; their results are not judged here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.clients import Client
from benchmarks.measure import Effort, Load, LoadFailed
from benchmarks.processes import Server, freePort
from benchmarks.run import build, main
from tests.requires import requires

ROOT = Path(__file__).resolve().parents[2]


#: How many seconds a run may take.
LIMIT = 120


def started(output: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a short run of the benchmarks."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.run", *arguments, "--seconds", "0.1", "--warm", "0.1"),
            *("--no-plots", "--output", str(output)),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def serverOf(driver: int) -> int:
    """The process of the server that runs now, when there is one."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        for child in Path(f"/proc/{driver}/task/{driver}/children").read_text().split():
            with contextlib.suppress(OSError):
                if b"txroom_server" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    raise AssertionError("no server was started")


def test_oneSmallRound(tmp_path: Path) -> None:
    """Echo and broadcast of txroom and websockets are measured, compared and reported."""
    requires("cc")
    workloads = ("--workloads", "echo-64", "broadcast-500")
    with started(tmp_path, *workloads, "--peers", "websockets", "--rounds", "1") as process:
        told, _ = process.communicate(timeout=LIMIT)

    assert process.returncode == 0, told
    results = json.loads((tmp_path / "results.json").read_text())
    assert not results["failures"] and not results["leftOut"]
    for workload in ("echo-64", "broadcast-500"):
        assert set(results["runs"][workload]) == {"txroom", "websockets"}
        for (run,) in results["runs"][workload].values():
            assert all(run[metric] > 0 for metric in ("cpu", "rate", "p50", "p99", "rss", "load")), run
            assert run["p50"] <= run["p99"]
    report = (tmp_path / "results.md").read_text()
    assert report in told
    assert "| txroom | " in report and "| websockets | " in report
    assert "- echo-64, cpu of txroom: at most 0.6 x websockets: " in report


def test_cluster(tmp_path: Path) -> None:
    """Clients of two nodes are in the same rooms; the CPU time of Redis is reported apart."""
    requires("cc")
    requires("redis-server")
    workloads = ("--workloads", "cluster-room", "cluster-elsewhere")
    with started(tmp_path, *workloads, "--peers", "txroom-nodes", "--rounds", "1") as process:
        told, _ = process.communicate(timeout=LIMIT)

    assert process.returncode == 0, told
    results = json.loads((tmp_path / "results.json").read_text())
    for workload in ("cluster-room", "cluster-elsewhere"):
        runs = results["runs"][workload]
        assert set(runs) == {"txroom", "txroom-nodes"}
        assert runs["txroom"][0]["redis"] == 0 < runs["txroom-nodes"][0]["redis"]
    assert "- cluster-elsewhere, cpu of txroom-nodes: at most 2.2 x txroom: " in told


def test_encoders(tmp_path: Path) -> None:
    """Programs measure the encoders of states without a server; fewer bytes are the goal of some of them."""
    requires("cc")
    peers = ("txroom-colyseus", "txroom-quantized")
    with started(tmp_path, "--workloads", "encoder", "--peers", *peers, "--rounds", "1") as process:
        told, _ = process.communicate(timeout=LIMIT)

    assert process.returncode == 0, told
    runs = json.loads((tmp_path / "results.json").read_text())["runs"]["encoder"]
    sizes = [runs[name][0]["bytes"] for name in ("txroom-quantized", "txroom", "txroom-colyseus")]
    assert 0 < sizes[0] < sizes[1] < sizes[2]
    assert all(run["shared"] > 0 and run["full"] > 0 for (run,) in runs.values())
    assert "| txroom-colyseus | " in told


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C stops the server, and what was measured before is reported."""
    requires("cc")
    with started(tmp_path, "--workloads", "echo-64", "--peers", "txroom", "--rounds", "100") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        server = serverOf(process.pid)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=LIMIT)

    assert first.startswith("echo-64 1/100 txroom: cpu "), first
    assert process.returncode == 130, told
    assert "interrupted: " in told and "Traceback" not in told
    assert not Path(f"/proc/{server}").exists()
    runs = json.loads((tmp_path / "results.json").read_text())["runs"]["echo-64"]["txroom"]
    assert [run["round"] for run in runs] == list(range(1, len(runs) + 1))
    report = (tmp_path / "results.md").read_text()
    assert "- interrupted: " in report and "| txroom | " in report


@pytest.mark.parametrize(
    ("option", "value"),
    [("--rounds", "0"), ("--seconds", "0"), ("--seconds", "nan"), ("--seconds", "inf"), ("--warm", "-1")],
)
def test_options(option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names that cannot be measured are refused at once."""
    with pytest.raises(SystemExit) as refused:
        main([f"{option}={value}", "--workloads", "none such", "--output", str(tmp_path / "results")])

    assert refused.value.code == 2
    assert f"error: {option}: " in capsys.readouterr().err


def test_numberedFrames() -> None:
    """The load generator repeats frames, but not numbered ones."""
    requires("cc")
    build()
    for isNumbered in (False, True):
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = Client(server.getsockname()[1])
            theirs, _ = server.accept()
        with client.socket, theirs:
            # An answer to each of two frames; the server's side ends after the third.
            theirs.sendall(b"\x81\x01x" * 3)
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(LoadFailed) as failed:
                Load("echo", [client], [b"one", b"two"], Effort(1, 60), isNumbered=isNumbered)
        expected = "all 2 numbered messages of a client are sent" if isNumbered else "the server has dropped"
        assert expected in str(failed.value)


def test_cpuOfThoseWhoEnded() -> None:
    """The CPU time of threads and children that have ended is included."""
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    script = f"""
import subprocess, sys, threading, time
def run():
    until = time.thread_time() + 0.3
    while time.thread_time() < until: pass
thread = threading.Thread(target=run)
thread.start()
thread.join()
subprocess.run([sys.executable, "-c", {busy!r}])
print("ended", flush=True)
sys.stdin.read()
time.sleep({LIMIT})
"""
    server = Server([sys.executable, "-c", script], freePort())
    try:
        deadline = time.monotonic() + LIMIT
        while server.lastLine() != "ended" and time.monotonic() < deadline:
            server.check()
        assert server.cpu() > 0.5
    finally:
        server.kill()


def test_scale() -> None:
    """Connections, members of rooms and a storm of resumes are measured, here with few of each."""
    requires("cc")
    arguments = ("--connections", "120", "--rooms", "4", "--storm", "60")
    measured = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )

    assert measured.returncode == 0, measured.stderr
    assert "120 members of 4 rooms" in measured.stdout
    assert "60 members resume" in measured.stdout
