"""
txroom as a process, started by twistd or twist, and blocking clients for it.

This module does not use the reactor of the test run.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import randrange
from typing import Any

from websockets.sync.client import ClientConnection, connect

#: How many seconds any single wait may take.
PATIENCE = 30.0
BIN = Path(sys.executable).parent

#: An application that logs its events.
NOTING = """
from twisted.logger import Logger
from txroom import Application

class Noting(Application):
    _log = Logger()

    def onConnect(self, connection):
        self._log.info("noted: connect")

    def onMessage(self, connection, message):
        connection.send(message)

    def onDisconnect(self, connection, code, reason):
        self._log.info("noted: disconnect {code} {reason}", code=code, reason=reason)
"""


def freePort() -> int:
    """
    Return a port that is free. The operating system gives it to nobody until it is used, since it is below
    those that clients and servers get that ask for any port.
    """
    while True:
        port = randrange(10_000, 32_768)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until a condition has a true value, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Launched:
    """A process that was started, whose output goes to two files."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path, port: int) -> None:
        self.process = process
        self._out = out
        self._err = err
        self.port = port

    @property
    def output(self) -> str:
        """Its standard output so far, which is the log unless that goes elsewhere."""
        return self._out.read_text("utf-8")

    @property
    def errors(self) -> str:
        """Its standard error so far."""
        return self._err.read_text("utf-8")

    def wrote(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until its log contains that text."""
        until(lambda: text in self.output or self._ended(text), f"not logged: {text}\n{self.output}", seconds)

    def _ended(self, text: str) -> bool:
        if self.process.poll() is not None and text not in self.output:
            raise AssertionError(f"ended ({self.process.returncode}): {self.errors}\n{self.output}")
        return False

    def ready(self) -> None:
        """Wait until it serves."""
        self.wrote("listening: ")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait until it has ended, and return its status."""
        return self.process.wait(seconds)

    def connect(self, path: str = "/", **more: Any) -> ClientConnection:
        """Connect a client."""
        scheme = "wss" if "ssl" in more else "ws"
        more.setdefault("open_timeout", PATIENCE)
        client: ClientConnection = connect(f"{scheme}://127.0.0.1:{self.port}{path}", **more)
        return client

    def get(self, path: str) -> tuple[int, bytes]:
        """Get a page."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@contextmanager
def launched(
    launcher: Sequence[str], *options: str, cwd: Path, port: int | None = None
) -> Iterator[Launched]:
    """
    Run `launcher`, such as ("twistd", "-n"), with txroom and its options; it is killed when the block ends.

    Without `port` it listens on a free port of 127.0.0.1.
    """
    if port is None:
        port = freePort()
        options = ("--listen", f"tcp:{port}:interface=127.0.0.1", *options)
    out, err = cwd / f"out-{port}", cwd / f"err-{port}"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            command(launcher, *options),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        yield Launched(process, out, err, port)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def command(launcher: Sequence[str], *options: str) -> list[str]:
    """The command to run; if the launcher is a path, it is used as it is."""
    name, *own = launcher
    if name == "twistd" and not any(each.startswith("--pidfile") for each in own):
        own.append("--pidfile=")
    return [name if os.sep in name else str(BIN / name), *own, "txroom", *options]


@contextmanager
def daemon(*options: str, cwd: Path) -> Iterator[Launched]:
    """Run a daemonized twistd like `launched`; `signal` and `wait` refer to the daemon."""
    port = freePort()
    pidfile, log = cwd / "daemon.pid", cwd / "daemon.log"
    launcher = ("twistd", f"--pidfile={pidfile}", f"--logfile={log}")
    listen = ("--listen", f"tcp:{port}:interface=127.0.0.1")
    with launched(launcher, *listen, *options, cwd=cwd, port=port) as parent:
        status = parent.wait()
        assert status == 0, parent.errors
        process = Daemon(parent.process, log, cwd / f"err-{port}", port, pidfile)
        try:
            yield process
        finally:
            process.end()


class Daemon(Launched):
    """A daemon, which is not a child of this process."""

    def __init__(
        self, process: subprocess.Popen[bytes], out: Path, err: Path, port: int, pidfile: Path
    ) -> None:
        super().__init__(process, out, err, port)
        self.pid = int(until(pidfile.read_text, "no pid file"))

    def _ended(self, text: str) -> bool:
        return False

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = PATIENCE) -> int:
        until(lambda: not self.isAlive(), "the daemon doesn't end", seconds)
        return 0

    def isAlive(self) -> bool:
        try:
            status = Path(f"/proc/{self.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return not re.search(r"\) Z ", status)

    def end(self) -> None:
        if self.isAlive():
            os.kill(self.pid, signal.SIGKILL)
