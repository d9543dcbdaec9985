"""Inherited sockets, UNIX sockets, and log files of `twistd txroom` as a process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.functional.launched import BIN, PATIENCE, command, daemon, freePort, launched, until

TWISTD = ("twistd", "-n")

#: Does what systemd does: binds a socket and executes the server.
ACTIVATE = """
import os, socket, sys
port, names, *command = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", int(port)))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.execv(command[0], command)
"""

#: Leaves a lock with the number of the server's process, like a server that was killed as process 1 in a
#: container.
LEAVE = """
import os, socket, sys
path, *command = sys.argv[1:]
socket.socket(socket.AF_UNIX).bind(path)
os.symlink(str(os.getpid()), path + ".lock")
os.execv(command[0], command)
"""

APP = """
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site
from txroom.demo import makeDemo

def makeServer():
    reactor.listenTCP({port}, Site(Resource()), interface="127.0.0.1")
    return makeDemo()
"""


@pytest.fixture
def path() -> Iterator[Path]:
    """The path of a socket, which must be shorter than those of pytest may be."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory, "socket")


def healthOf(path: Path) -> bytes:
    """The first line of the server's response over a UNIX socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        return client.recv(100).partition(b"\r\n")[0]


@pytest.mark.parametrize(("names", "which"), [("", "index=0"), ("chat", "index=0"), ("chat", "name=chat")])
def test_activated(names: str, which: str, tmp_path: Path) -> None:
    """A socket from systemd is served, with or without a name."""
    port = freePort()
    launcher = (sys.executable, "-c", ACTIVATE, str(port), names, str(BIN / "twistd"), "-n", "--pidfile=")
    options = ("--listen", f"systemd:domain=INET:{which}")
    with launched(launcher, *options, cwd=tmp_path, port=port) as process:
        process.ready()
        assert process.get("/healthz")[0] == 200
        with process.connect("/echo") as client:
            client.send("hello")
            assert client.recv(timeout=PATIENCE) == "hello"


def test_notActivated(tmp_path: Path) -> None:
    """Without systemd, the error says what is missing."""
    done = subprocess.run(
        command(TWISTD, "--listen", "systemd:domain=INET:index=0"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"txroom: --listen systemd:domain=INET:index=0: no socket was inherited.*\n", done.stderr
    )


@pytest.mark.parametrize("prefix", ["", "haproxy:"])
def test_killed(prefix: str, path: Path, tmp_path: Path) -> None:
    """After SIGKILL a server starts again on its UNIX socket, even if it gets the same process number."""
    twistd = [str(BIN / "twistd"), "-n", "--pidfile="]
    again = (sys.executable, "-c", LEAVE, str(path), *twistd)
    for launcher in (tuple(twistd), tuple(twistd), again):
        if launcher is again:
            path.unlink()
            Path(f"{path}.lock").unlink()
        port = freePort()
        options = ("--listen", f"unix:{path}", "--listen", f"{prefix}tcp:{port}:interface=127.0.0.1")
        with launched(launcher, *options, cwd=tmp_path, port=port) as process:
            process.ready()
            assert healthOf(path) == b"HTTP/1.1 200 OK"
            process.signal(signal.SIGKILL)
            process.wait()


def test_taken(path: Path, tmp_path: Path) -> None:
    """A socket that another server uses is not taken."""
    with launched(TWISTD, "--listen", f"unix:{path}", cwd=tmp_path, port=freePort()) as process:
        process.ready()
        done = subprocess.run(
            command(TWISTD, "--listen", f"unix:{path}"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert (done.returncode, "another process listens there" in done.stderr) == (1, True)
        assert healthOf(path) == b"HTTP/1.1 200 OK"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up root")
def test_user(path: Path, tmp_path: Path) -> None:
    """With `--uid` the socket and its lock belong to that user, who removes them when the server stops."""
    nobody = 65534
    path.parent.chmod(0o777)
    launcher = (*TWISTD, "--uid", "nobody", "--gid", "nogroup")
    with launched(launcher, "--listen", f"unix:{path}:mode=600", cwd=tmp_path, port=freePort()) as process:
        process.ready()
        for each in (path, Path(f"{path}.lock")):
            status = each.lstat()
            assert (status.st_uid, status.st_gid) == (nobody, nobody)
        assert healthOf(path) == b"HTTP/1.1 200 OK"
        process.signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        assert "Traceback" not in process.output
    assert list(path.parent.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up root")
def test_notTheirs(path: Path, tmp_path: Path) -> None:
    """If that user cannot remove them, the log says so in one line, and the next start removes them."""
    launcher = (*TWISTD, "--uid", "nobody", "--gid", "nogroup")
    for _ in range(2):
        with launched(launcher, "--listen", f"unix:{path}", cwd=tmp_path, port=freePort()) as process:
            process.ready()
            assert healthOf(path) == b"HTTP/1.1 200 OK"
            process.signal(signal.SIGTERM)
            assert process.wait() == -signal.SIGTERM
            assert "Traceback" not in process.output
            assert process.output.count("Permission denied") == 1


# -- descriptors


def test_full(tmp_path: Path) -> None:
    """
    With too few file descriptors the server answers 503 and still serves pages. When none is left, the log
    says so in one line; when there are some again, it accepts connections again.
    """
    launcher = ("/bin/sh", "-c", 'ulimit -n 64; exec "$@"', "sh", str(BIN / "twistd"), "-n", "--pidfile=")
    with launched(launcher, "--handshake-timeout", "60", cwd=tmp_path) as process:
        process.ready()
        clients = [process.connect("/echo") for _ in range(16)]
        with pytest.raises(InvalidStatus) as refused:
            process.connect("/echo")
        assert refused.value.response.status_code == 503
        assert process.get("/healthz")[0] == 200
        address = ("127.0.0.1", process.port)
        for _ in range(10):
            for each in [socket.create_connection(address, PATIENCE) for _ in range(100)]:
                each.close()
        process.wrote("no file descriptor was left")
        lines = process.output.splitlines()
        assert len([line for line in lines if "descriptor" in line.lower()]) == 1, process.output
        for client in clients:
            client.send("still here")
            assert client.recv(timeout=PATIENCE) == "still here"
        until(lambda: process.get("/healthz")[0] == 200, "no page")
        for client in clients:
            client.close()
        assert "Traceback" not in process.output


# -- asyncio

FUTURES = """
import asyncio
from txroom import Application

class App(Application):
    def verifyClient(self, handshake):
        return asyncio.ensure_future(self.later(0.01, True))

    def onMessage(self, connection, message):
        return asyncio.ensure_future(self.answer(connection, message))

    async def later(self, seconds, result):
        await asyncio.sleep(seconds)
        return result

    async def answer(self, connection, message):
        connection.send(await self.later(0.2 if message == "slow" else 0, message))
"""


def test_futures(tmp_path: Path) -> None:
    """With the asyncio reactor, hooks may return Futures: messages are handled one after another."""
    (tmp_path / "chat.py").write_text(FUTURES)
    launcher = (*TWISTD, "--reactor=asyncio")
    with launched(launcher, "--app", "chat:App", cwd=tmp_path) as process:
        process.ready()
        with process.connect("/") as client:
            for message in ("slow", "quick"):
                client.send(message)
            assert [client.recv(timeout=PATIENCE) for _ in range(2)] == ["slow", "quick"]


# -- the log


def test_rotation(tmp_path: Path) -> None:
    """A log file that logrotate has moved is reopened on SIGHUP; SIGUSR1 still begins a new file."""
    with daemon("--access-log", cwd=tmp_path) as process:
        process.ready()
        log, moved = tmp_path / "daemon.log", tmp_path / "daemon.log-20270101"
        log.rename(moved)
        process.signal(signal.SIGHUP)
        until(lambda: log.exists() and "SIGHUP" in log.read_text(), "not opened again")
        assert process.get("/healthz")[0] == 200
        until(lambda: "GET /healthz" in log.read_text(), "not logged")
        assert "GET /healthz" not in moved.read_text()
        process.signal(signal.SIGUSR1)
        until(lambda: (tmp_path / "daemon.log.1").exists(), "not rotated")
        assert "GET /healthz" in (tmp_path / "daemon.log.1").read_text()


def test_accessLog(tmp_path: Path) -> None:
    """Pages and upgrades are logged with the time of day, also by a Site of the user."""
    own = freePort()
    (tmp_path / "chat.py").write_text(APP.format(port=own))
    with launched(TWISTD, "--access-log", "--app", "chat:makeServer", cwd=tmp_path) as process:
        process.ready()
        process.get("/healthz")
        with process.connect("/echo"):
            pass
        with socket.create_connection(("127.0.0.1", own), PATIENCE) as client:
            client.sendall(b"GET /theirs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            while client.recv(1000):
                pass
        for request in ("GET /healthz HTTP/1.1", "GET /echo HTTP/1.1", "GET /theirs HTTP/1.1"):
            process.wrote(request)
        lines = [line for line in process.output.splitlines() if "GET /" in line]
        assert len(lines) == 3
        for line in lines:
            logged = re.search(r"\[\d\d/\w{3}/(\d{4}):", line)
            assert logged is not None
            assert logged[1] == line[:4]


@pytest.mark.parametrize("launcher", [TWISTD, ("twist", "--log-format=text")], ids=["twistd", "twist"])
def test_noCache(launcher: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If Twisted cannot save its list of plugins, as on a read-only file system, nothing is printed."""
    plugins = tmp_path / "more" / "twisted" / "plugins"
    (plugins / "dropin.cache").mkdir(parents=True)
    (plugins / "another.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "more"))
    with launched(launcher, cwd=tmp_path) as process:
        process.ready()
        process.signal(signal.SIGHUP)
        process.wrote("SIGHUP")
        assert "plugin cache" not in process.output + process.errors


def test_served(tmp_path: Path) -> None:
    """The log says what is served."""
    with launched(TWISTD, cwd=tmp_path) as process:
        process.wrote("pages: ")
        base = f"ws://127.0.0.1:{process.port}"
        assert f"rooms: chat at {base}/rooms/chat, mole at {base}/rooms/mole\n" in process.output
        with process.connect("/rooms/chat", subprotocols=["txroom.v1.json"]) as client:
            assert str(client.recv(timeout=PATIENCE)).startswith('["joined",')


@pytest.mark.parametrize("launcher", ["twistd", "twist"])
def test_version(launcher: str) -> None:
    """`--version` prints the version and nothing else."""
    done = subprocess.run(command((launcher,), "--version"), capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"txroom \S+ \(Twisted \S+\)\n", done.stdout)
