"""The system's clock is set one hour forward and back, and nothing happens."""

from __future__ import annotations

import signal
import socket
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.functional.launched import PATIENCE, launched
from tests.functional.support import SOON

#: A launcher in which each SIGUSR2 changes the clock by a jump; it replaces the clock before Twisted is
#: imported.
JUMPING = """
#!{python}
import itertools, signal, sys, time

wall, jumps, offset = time.time, itertools.cycle([3600, -3600]), 0
time.time = lambda: wall() + offset

def jump(number, frame):
    global offset
    offset = next(jumps)

signal.signal(signal.SIGUSR2, jump)
from {module} import {run}
sys.exit({run}{call}())
"""
LAUNCHERS = {
    "twistd": {"module": "twisted.scripts.twistd", "run": "run", "call": ""},
    "twist": {"module": "twisted.application.twist._twist", "run": "Twist", "call": ".main"},
}
TICKING = """
from twisted.internet.task import LoopingCall
from txroom import Application

app = Application()
LoopingCall(lambda: app.broadcast("tick")).start(0.1, now=False)
"""
CASES = [
    ("twistd", "-n", "--reactor=epoll"),
    ("twistd", "-n", "--reactor=poll"),
    ("twistd", "-n", "--reactor=select"),
    ("twistd", "-n", "--reactor=asyncio"),
    ("twist", "--reactor=epoll"),
    ("twist", "--reactor=asyncio"),
]


@pytest.mark.parametrize("launcher", CASES, ids=lambda launcher: " ".join(launcher))
def test_jumps(launcher: tuple[str, ...], tmp_path: Path) -> None:
    """Timers keep their pace, no healthy client is dropped, and a dead one is dropped in time."""
    name, *own = launcher
    script = tmp_path / name
    script.write_text(textwrap.dedent(JUMPING).lstrip().format(python=sys.executable, **LAUNCHERS[name]))
    script.chmod(0o755)
    (tmp_path / "chat.py").write_text(TICKING)
    if name == "twistd":
        own.append("--pidfile=")
    options = ("--app", "chat:app", "--ping-interval", "0.5", "--ping-timeout", "1.5")
    with launched((str(script), *own), *options, cwd=tmp_path) as process:
        process.ready()
        with process.connect(ping_interval=None) as client:
            for _ in range(2):
                process.signal(signal.SIGUSR2)
                begun = time.monotonic()
                assert secondsUntilDropped(process.port) < SOON
                ticks = 0
                while (passed := time.monotonic() - begun) < 3 or ticks < 15:
                    assert client.recv(timeout=PATIENCE) == "tick"
                    ticks += 1
                assert ticks < 10 * passed + 10


def secondsUntilDropped(port: int) -> float:
    """How long the connection of a client lasts that answers no pings."""
    head = (
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(head.encode())
        begun = time.monotonic()
        try:
            while client.recv(4096):
                pass
        except ConnectionResetError:
            pass
        return time.monotonic() - begun
