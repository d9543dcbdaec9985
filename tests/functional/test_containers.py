"""txroom in a container: as the first process, as a user without a name, and with read-only files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import SkipTest

import pytest

from tests.functional.launched import BIN, Launched, freePort, launched, until
from tests.requires import requires

#: The identity that no file of the system knows.
NOBODY = ("unshare", "--user", "--map-user=12345", "--map-group=12345", "env", "-u", "HOME")
#: Begins a container in which the process that follows is the first one.
BEGIN = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc")
#: Lets only the directory $WRITABLE be written, and runs the arguments.
READ_ONLY = """
    set -e
    mount --bind "$WRITABLE" "$WRITABLE"
    for each in / /tmp /var/tmp /run /dev/shm; do
        if mountpoint -q $each; then mount -o remount,bind,ro $each; fi
    done
    if touch /dev/shm/writable 2> /dev/null; then echo "/dev/shm can be written"; exit 9; fi
    exec "$@"
"""
#: Does what socket activation does: opens port $PORT as descriptor 3, and runs the arguments.
ACTIVATE = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.execvp(sys.argv[1], sys.argv[1:])
"""
#: An app that leaves a process behind, whose parent ends at once.
STRANGE = """
    import subprocess
    from txroom import Server

    def app():
        subprocess.run(["sh", "-c", "sleep 2 &"], check=True)
        server = Server()
        server.addHealthPage()
        return server
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path, which has the app."""
    with TemporaryDirectory(prefix="txroom-") as name:
        Path(name, "strange.py").write_text(textwrap.dedent(STRANGE), "utf-8")
        yield Path(name)


@cache
def whyNot() -> str:
    """Why containers can't be made here; empty: they can be."""
    requires("unshare")
    done = subprocess.run([*BEGIN, *NOBODY, "true"], capture_output=True, text=True)
    return done.stderr if done.returncode else ""


@contextmanager
def contained(
    directory: Path, *options: str, isReadOnly: bool = False, port: int | None = None
) -> Iterator[tuple[Launched, int]]:
    """
    Run twistd as the first process, which inherits a socket for `port` if that is given; the second value is
    its id here.
    """
    if whyNot():
        raise SkipTest(f"the system doesn't allow containers: {whyNot()}")
    script = directory / "container"
    readOnly = f"sh -c '{READ_ONLY}' sh " if isReadOnly else ""
    activate = "" if port is None else f"{sys.executable} -c '{ACTIVATE}' "
    command = f"{activate}{' '.join(BEGIN)} {readOnly}{' '.join(NOBODY)}"
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
    script.chmod(0o700)
    launcher = (str(script), str(BIN / "twistd"), "-n", "--pidfile=")
    with launched(launcher, *options, cwd=directory, port=port) as process:
        first = until(lambda: childrenOf(process.process.pid), "there is no container")[0]
        try:
            yield process, first
        finally:
            if process.process.poll() is None:
                os.kill(first, signal.SIGKILL)  # and with it all processes of the container


def childrenOf(process: int) -> list[int]:
    """The processes of which it is the parent, also those that have ended and that it has not waited for."""
    try:
        return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except FileNotFoundError:
        return []


def commandOf(process: int) -> str:
    """The command line of a process; of one that has ended, its name."""
    try:
        line = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return line or Path(f"/proc/{process}/comm").read_text("utf-8")
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["alone", "workers"])
def test_first(directory: Path, workers: tuple[str, ...]) -> None:
    """
    As the first process, which is nobody's user, it serves. It waits for processes that others have left
    behind, and stops on SIGTERM.
    """
    with contained(directory, *workers, "--app", "strange:app") as (process, first):
        process.ready()
        assert process.get("/healthz")[0] == 200
        strangers = [each for each in childrenOf(first) if "sleep" in commandOf(each)]
        assert len(strangers) == 1, [commandOf(each) for each in childrenOf(first)]
        until(lambda: strangers[0] not in childrenOf(first), "a process that has ended is left")
        assert process.get("/healthz")[0] == 200
        os.kill(first, signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
        assert "Server Shut Down." in process.output
        assert "Traceback" not in process.output + process.errors


@pytest.mark.parametrize("names", ["", "web"])
@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["alone", "workers"])
def test_sockets(
    directory: Path, workers: tuple[str, ...], names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It listens on sockets that the first process was given, although it is another one by then."""
    port = freePort()
    variables = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "PORT": str(port)}
    if names:
        variables["LISTEN_FDNAMES"] = names
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    options = (*workers, "--app", "strange:app", "--listen", "systemd:domain=INET:index=0")
    with contained(directory, *options, port=port) as (process, first):
        process.ready()
        assert process.get("/healthz")[0] == 200
        os.kill(first, signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM


def test_early(directory: Path) -> None:
    """SIGTERM ends it also before it handles signals, since it is not the first process itself any more."""
    (directory / "strange.py").write_text("import time; print('early'); time.sleep(600)", "utf-8")
    with contained(directory, "--app", "strange:app") as (process, first):
        process.wrote("early")
        os.kill(first, signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM


def test_readOnly(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the state directory and one for the socket must be writable."""
    writable = directory / "writable"
    writable.mkdir()
    monkeypatch.setenv("WRITABLE", str(writable))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(writable))
    options = ("--workers", "1", "--state-dir", str(writable / "state"), "--app", "strange:app")
    with contained(directory, *options, isReadOnly=True) as (process, first):
        process.ready()
        assert process.get("/healthz")[0] == 200
        os.kill(first, signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
        assert "Traceback" not in process.output + process.errors
    assert [each.name for each in writable.iterdir()] == ["state"]


def test_nothingWritable(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing is writable, one line says what must be."""
    monkeypatch.setenv("WRITABLE", str(directory / "container"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with contained(directory, "--workers", "1", isReadOnly=True) as (process, _):
        assert process.wait() == 1
        why = "txroom: one of these must be writable, for the store's socket: /tmp (Read-only file system), "
        assert process.errors.startswith(why), process.errors
        assert len(process.errors.splitlines()) == 1
