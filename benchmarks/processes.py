"""
Servers and load generators as processes on processors of their own, and what they cost.

It reads /proc, so it works on Linux only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

#: How many seconds a server may take until it listens.
START_LIMIT = 20.0
#: The program of the Redis that a cluster has, and its name among the processes.
REDIS = "redis-server"

_available = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = _available[-1], _available[0]


class ServerFailed(Exception):
    """A server did not start, or has ended. The text says why, or is the last line that it wrote."""


class Server:
    """A running server and its children. It listens on `ports`; most servers have only one."""

    def __init__(self, command: Sequence[str], *ports: int) -> None:
        self.ports = ports
        self.port = ports[0]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (kill() closes it)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
            preexec_fn=_settle,
        )

    def awaitPorts(self) -> None:
        """Wait until it listens. Raises `ServerFailed`."""
        deadline = time.monotonic() + START_LIMIT
        for port in self.ports:
            while not _listens(port):
                self.check()
                if time.monotonic() > deadline:
                    raise ServerFailed("doesn't listen")
                time.sleep(0.02)

    def check(self) -> None:
        """Raise `ServerFailed` if it has ended."""
        if self._process.poll() is not None:
            raise ServerFailed(f"ended with {self._process.returncode}: {self.lastLine()}")

    def lastLine(self) -> str:
        """The last line that it has written."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace").strip().rpartition("\n")[2]

    def kill(self) -> None:
        """End it and its children at once, also those in sessions of their own."""
        for pid in [*self.family()][::-1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()

    def cpu(self) -> float:
        """
        The CPU seconds so far, user and system, of all its threads and children, including those that have
        ended.
        """
        return sum(cpuOf(pid) for pid in self.family())

    def redisCPU(self) -> float:
        """The part of `cpu` that its Redis has used; 0 if it has none."""
        pids = self.family()
        return sum(cpuOf(pid) for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == REDIS)

    def rss(self) -> int:
        """The resident memory of all its processes, in bytes."""
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in self.family())

    def family(self) -> Iterator[int]:
        """The ids of its process, of its children and of theirs."""
        return _familyOf(self._process.pid)


#: What ends a benchmark, and with it the servers that it has started.
_ENDING = {signal.SIGINT, signal.SIGTERM}


def endBySignals() -> None:
    """Let SIGTERM end the program as Ctrl-C does, and SIGINT also in a shell's background."""
    for number in _ENDING:
        signal.signal(number, signal.default_int_handler)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _settle() -> None:
    """Called in the process of a server: choose its processor, and restore the default signal handling."""
    os.sched_setaffinity(0, {SERVER_CPU})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _familyOf(pid: int) -> Iterator[int]:
    """The ids of a process, of its children and of theirs, without those that have ended meanwhile."""
    yield pid
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _familyOf(int(child))


def cpuOf(pid: int) -> float:
    """The CPU seconds of a process with all its threads, and of the children that it has waited for."""
    ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[13:15]
    # The number of the clock, as clock_getcpuclockid(3) computes it.
    return time.clock_gettime(~pid << 3 | 2) + sum(map(int, ended)) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(command: Sequence[str], *ports: int) -> Iterator[Server]:
    """A server that listens, until the end of the block. Raises `ServerFailed`."""
    with contextlib.ExitStack() as stack:
        with _undisturbed():
            server = Server(command, *ports)
            stack.callback(server.kill)
        server.awaitPorts()
        yield server


def reported(command: Sequence[str]) -> dict[str, float]:
    """Run a program that measures something itself, and return the figures that it writes as JSON."""
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=_settle)
    if done.returncode:
        *_, last = ["", *done.stderr.splitlines()]
        raise ServerFailed(f"ended with {done.returncode}: {last}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def freePort() -> int:
    """A free port of the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def compiled(source: Path, target: Path, *more: str) -> bool:
    """
    Compile a program written in C, if it does not exist or its source is newer. Returns whether that was
    possible.
    """
    if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
        return True
    target.parent.mkdir(parents=True, exist_ok=True)
    # Into another file first, so that an incomplete program is never run.
    made = target.with_suffix(f".{os.getpid()}")
    try:
        subprocess.run(["cc", "-O2", "-Wall", "-o", made, source, *more], check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return False
    made.replace(target)
    return True


def certificate(target: Path) -> Path:
    """A key and a certificate for this run, in one file."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=localhost", "-days", "2", "-keyout", target, "-out", f"{target}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    target.write_text(target.read_text() + Path(f"{target}.crt").read_text())
    return target
