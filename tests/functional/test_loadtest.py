"""`python -m txroom.loadtest` against a server in another process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.functional.launched import PATIENCE, Launched, launched, until
from tests.functional.support import environment

TWISTD = ("twistd", "-n")


class Running:
    """A load test that was started."""

    def __init__(self, process: subprocess.Popen[str], cwd: Path) -> None:
        self.process = process
        self._progress = cwd / "progress"

    @property
    def progress(self) -> str:
        """Its standard error so far."""
        return self._progress.read_text("utf-8")

    def finish(self) -> tuple[int, str]:
        """Wait for its end; return its status and its standard output."""
        output, _ = self.process.communicate(timeout=4 * PATIENCE)
        return self.process.returncode, output


@contextmanager
def loadtest(*options: str, cwd: Path) -> Iterator[Running]:
    """Run the command; it is killed when the block ends."""
    with (cwd / "progress").open("w") as progress:
        process = subprocess.Popen(
            [sys.executable, "-m", "txroom.loadtest", *options],
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=progress,
            text=True,
        )
    try:
        yield Running(process, cwd)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Launched]:
    """Run the demo."""
    with launched(TWISTD, cwd=tmp_path) as process:
        process.ready()
        yield process


def run(*options: str, cwd: Path) -> tuple[int, dict[str, Any], str]:
    """Run the command to its end; return its status, its figures and its standard error."""
    with loadtest(*options, "--json", "-", cwd=cwd) as running:
        status, output = running.finish()
        return status, json.loads(output), running.progress


CHAT = ("--room", "chat", "--type", "say", "--options", '{"name": "ada {n}"}')


def test_chat(server: Launched, tmp_path: Path) -> None:
    """Fifty clients chat in one room without an error."""
    url = f"ws://127.0.0.1:{server.port}/rooms"
    load = ("--clients", "50", "--ramp", "1", "--duration", "2", "--data", '"hello {id}"')
    status, figures, progress = run(url, *CHAT, *load, cwd=tmp_path)
    assert (status, figures["errors"], figures["isOk"]) == (0, {}, True)
    assert figures["clients"] == {"planned": 50, "started": 50, "connected": 50, "joined": 50}
    sent = figures["messages"]["sent"]
    assert 0 < sent <= 150
    assert figures["messages"]["received"] >= sent
    assert figures["latency"]["returned"]["count"] == figures["latency"]["handled"]["count"] == sent
    assert 0 < figures["latency"]["returned"]["p50"] <= figures["latency"]["returned"]["max"]
    assert "joined 50" in progress
    assert server.errors == ""


def test_file(server: Launched, tmp_path: Path) -> None:
    """
    The figures are written to a file as JSON and printed as text; an echo can be loaded as well as a room.
    """
    url = f"ws://127.0.0.1:{server.port}/echo"
    options = ("--plain", "--data", "hello", "--duration", "1", "--quiet", "--json", "figures.json")
    with loadtest(url, *options, cwd=tmp_path) as running:
        status, output = running.finish()
        assert (status, running.progress) == (0, "")
    assert output.startswith(f"{url}, ")
    assert "      clients  10 of 10 connected\n" in output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["latency"]["returned"]["count"] == figures["messages"]["sent"] > 0


def test_killed(server: Launched, tmp_path: Path) -> None:
    """If the server dies, the figures and the status tell so, without a traceback."""
    url = f"ws://127.0.0.1:{server.port}/rooms"
    load = ("--clients", "20", "--ramp", "0", "--duration", "3")
    with loadtest(url, *CHAT, "--data", '"hello"', *load, cwd=tmp_path) as running:
        until(lambda: "joined 20" in running.progress, "nobody joins")
        server.signal(signal.SIGKILL)
        status, output = running.finish()
    assert status == 1
    assert "20 times 1006" in output
    assert "times reconnect: Connection was refused" in output
    assert "20 times away at the end" in output
    assert "Traceback" not in output + running.progress


def test_nobody(tmp_path: Path) -> None:
    """If no server listens, the load test ends at once with status 1."""
    status, figures, progress = run("ws://127.0.0.1:1/", "--room", "chat", cwd=tmp_path)
    assert (status, figures["clients"]["connected"]) == (1, 0)
    assert sum(figures["errors"].values()) == 10
    assert "Traceback" not in progress


def test_interrupted(server: Launched, tmp_path: Path) -> None:
    """Ctrl-C ends the load test, which prints the figures so far."""
    url = f"ws://127.0.0.1:{server.port}/rooms"
    with loadtest(url, *CHAT, "--data", '"hello"', "--duration", "1000", cwd=tmp_path) as running:
        until(lambda: "joined 10" in running.progress, "nobody joins")
        running.process.send_signal(signal.SIGINT)
        status, output = running.finish()
    assert status == 0
    assert " s, stopped\n      clients  10 of 10 connected, 10 joined\n" in output
    assert "Traceback" not in running.progress


def test_scenario(server: Launched, tmp_path: Path) -> None:
    """A scenario is imported from the working directory."""
    script = """
    async def play(client, room, clock):
        for number in range(3):
            await room.call("say", f"hello {number}")
    """
    (tmp_path / "visitors.py").write_text(textwrap.dedent(script))
    url = f"ws://127.0.0.1:{server.port}/rooms"
    options = ("--room", "chat", "--scenario", "visitors:play", "--clients", "5")
    status, figures, _ = run(url, *options, cwd=tmp_path)
    assert (status, figures["errors"], figures["latency"]["reply"]["count"]) == (0, {}, 15)
    assert figures["seconds"] < 30
