"""Several processes on one machine: a parent with workers, as a user starts it."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.functional.cluster.parent import PATIENCE, Group, exists
from tests.functional.cluster.test_cluster import settled
from tests.functional.cluster.witness import Crowd
from tests.functional.launched import freePort, launched
from tests.functional.redisserver import RedisServer
from tests.functional.support import until


@asynccontextmanager
async def group(directory: Path, redis: str, *options: str) -> AsyncIterator[tuple[Group, Crowd]]:
    """Two workers, and clients in some rooms."""
    parent = Group(directory, redis, "--workers", "2", *options)
    crowd = Crowd([parent.url], perNode=4)
    processes: list[int] = []
    try:
        await parent.start()
        await parent.complete()
        processes = parent.children
        await crowd.join()
        crowd.begin()
        await crowd.heard()
        yield parent, crowd
    except BaseException:
        print(parent.output[-6000:])
        raise
    finally:
        await crowd.close()
        if parent.status is None and parent.pid:
            processes += parent.children
        parent.kill()
        await until(lambda: not any(map(exists, processes)), "processes are left", PATIENCE)


async def test_workers(directory: Path) -> None:
    """
    The workers share one port and the rooms. If one is killed, its rooms go on at once in the other one, and
    it is replaced. Ctrl-C, which reaches all processes of the terminal, and a new start lose nothing.
    """
    with RedisServer(directory) as redis:
        await killedAndStopped(directory, redis.url)


async def killedAndStopped(directory: Path, redis: str) -> None:
    """The body of `test_workers`."""
    async with group(directory, redis) as (parent, crowd):
        last = crowd.witnesses[0].last
        assert last is not None and last.owner in parent.workers
        crowd.listenAgain()
        os.kill(last.owner, signal.SIGKILL)
        await crowd.during(4)
        await settled("kill -9 of a worker", crowd)
        assert "was ended by signal 9; it is started again in 0.1 s" in parent.output
        await parent.complete()
        assert len(parent.workers) == 2

        crowd.begin()
        await crowd.during(1)
        workers = parent.workers
        os.killpg(parent.pid, signal.SIGINT)
        await until(lambda: parent.status is not None, f"it does not stop: {parent.output}", PATIENCE)
        assert not any(map(exists, workers))
        assert "Traceback" not in parent.output
        await parent.start()
        await crowd.during(1)
        await settled("Ctrl-C and start", crowd)


async def test_store(directory: Path) -> None:
    """
    With a store of their own: if it is killed, it is started again. If the parent is killed, everything ends.
    The next parent, which is started at once, waits for that, and goes on with the rooms.
    """
    async with group(directory, "", "--state-dir", str(directory / "state")) as (parent, crowd):
        os.kill(parent.store, signal.SIGKILL)
        await crowd.during(2)
        await settled("kill -9 of the store", crowd)
        crowd.begin()
        left = parent.children
        parent.kill()
        await parent.start()
        await crowd.during(1)
        await settled("kill -9 of the parent", crowd)
        assert not any(map(exists, left))


@pytest.mark.parametrize("hasStore", [True, False], ids=["store", "redis"])
async def test_stoppedWorker(directory: Path, hasStore: bool) -> None:
    """
    A worker that was stopped by a signal when its parent is killed ends too, and so does all else. The next
    parent waits for it.
    """
    if hasStore:
        await stoppedWorker(directory, "", "--state-dir", str(directory / "state"))
    else:
        with RedisServer(directory) as redis:
            await stoppedWorker(directory, redis.url)


async def stoppedWorker(directory: Path, redis: str, *options: str) -> None:
    """The body of `test_stoppedWorker`."""
    parent = Group(directory, redis, "--workers", "2", *options)
    children: list[int] = []
    try:
        await parent.start()
        await parent.complete()
        children = parent.children
        os.kill(parent.workers[0], signal.SIGSTOP)
        parent.kill()
        await parent.start()
        assert "Address already in use.; it is tried again for 15 s" in parent.output
        await until(lambda: not any(map(exists, children)), "processes are left", PATIENCE)
        await parent.complete()
        await parent.killed()
    finally:
        parent.kill()
        for each in children:
            if exists(each):
                os.kill(each, signal.SIGKILL)


TALKING = """
from twisted.logger import Logger
from txroom import Application

class Talking(Application):
    _log = Logger()

    def onMessage(self, connection, message):
        self._log.info("noted: {message}", message=message)
        print("printed:", message, flush=True)
        connection.send(message)
"""


def test_parentHangs(directory: Path) -> None:
    """
    A worker goes on when its parent stands still and reads nothing, also if it has more to say than a pipe
    takes. The parent gets it later.
    """
    (directory / "talking.py").write_text(TALKING, "utf-8")
    options = ("--workers", "1", "--app", "talking:Talking")
    with launched(("twistd", "-n"), *options, cwd=directory) as process:
        process.ready()
        with process.connect() as client:
            process.signal(signal.SIGSTOP)
            try:
                for number in range(200):
                    client.send(f"{number} {'-' * 1000}")
                    assert client.recv(PATIENCE) == f"{number} {'-' * 1000}"
            finally:
                process.signal(signal.SIGCONT)
            for number in range(200):
                process.wrote(f"noted: {number} -")
                process.wrote(f"printed: {number} -")
        process.signal(signal.SIGTERM)
        process.wait()


async def test_twoParents(directory: Path) -> None:
    """A second parent with the same state directory waits for ten seconds, and then ends with status 1."""
    options = ("--workers", "1", "--state-dir", str(directory / "state"))
    first, second = Group(directory, "", *options), Group(directory, "", *options)
    try:
        await first.start()
        await first.complete(1)
        begun = time.monotonic()
        second.begin()
        await until(lambda: second.status is not None, f"it does not end: {second.output}", PATIENCE)
        assert time.monotonic() - begun >= 10
        assert second.status == 1
        why = f"txroom: state directory {directory / 'state'}: must not be in use by another txroom\n"
        assert why in second.output
        await first.complete(1)
    finally:
        first.kill()
        second.kill()


async def test_foreignPort(directory: Path) -> None:
    """A port that some other program has is an error at once, since nobody has the state directory."""
    parent = Group(directory, "", "--workers", "1", "--state-dir", str(directory / "state"))
    with socket.create_server(("127.0.0.1", parent.port)):
        parent.begin()
        await until(lambda: parent.status is not None, f"it does not end: {parent.output}", PATIENCE)
        assert parent.status == 1
        assert "Address already in use" in parent.output
        assert "it is tried again" not in parent.output


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up root")
@pytest.mark.parametrize("kind", ["ssl", "tls"])
def test_keys(directory: Path, kind: str) -> None:
    """If the user of the workers can't read the key, the parent says so and ends with status 1."""
    directory.chmod(0o711)
    certificates = directory / "certificates"
    certificates.mkdir()
    file = certificates / "localhost.pem"
    Authority(directory).issue(file, "localhost")
    file.chmod(0o600)
    where = f"{certificates}:0" if kind == "tls" else f"0:privateKey={file}:certKey={file}"
    launcher = ("twistd", "-n", "--uid", "nobody", "--gid", "nogroup")
    options = ("--workers", "1", "--listen", f"{kind}:{where}:interface=127.0.0.1")
    with launched(launcher, *options, cwd=directory, port=0) as process:
        assert process.wait() == 1
        why = f"[Errno 13] Permission denied: '{file}'"
        assert process.errors == f"txroom: the certificates can't be read as nobody: {why}\n"


def hasIPv6() -> bool:
    """Whether this machine has the address ::1."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def healthOver(client: socket.socket, first: bytes = b"") -> bytes:
    """The first line of the answer to a request for the health page, after some other bytes."""
    with client:
        client.settimeout(PATIENCE)
        client.sendall(first + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return client.makefile("rb").readline()


def test_endpoints(directory: Path) -> None:
    """A worker serves on endpoints of all kinds that its parent has opened."""
    authority, pem = Authority(directory), directory / "localhost.pem"
    authority.issue(pem, "localhost")
    path = str(directory / "socket")
    tls, proxied, six = freePort(), freePort(), freePort()
    local = "interface=127.0.0.1"
    wheres = [
        f"unix:{path}", f"ssl:{tls}:privateKey={pem}:certKey={pem}:{local}", f"haproxy:tcp:{proxied}:{local}",
    ]  # fmt: skip
    if hasIPv6():
        wheres.append(rf"tcp6:{six}:interface=\:\:1")
    options = [word for where in wheres for word in ("--listen", where)]
    with launched(("twistd", "-n"), "--workers", "1", *options, cwd=directory) as process:
        process.ready()
        well = b"HTTP/1.1 200 OK\r\n"
        assert healthOver(socket.create_connection(("127.0.0.1", process.port), PATIENCE)) == well
        unix = socket.socket(socket.AF_UNIX)
        unix.connect(path)
        assert healthOver(unix) == well
        context = ssl.create_default_context(cafile=str(authority.file))
        plain = socket.create_connection(("127.0.0.1", tls), PATIENCE)
        assert healthOver(context.wrap_socket(plain, server_hostname="localhost")) == well
        proxy = socket.create_connection(("127.0.0.1", proxied), PATIENCE)
        assert healthOver(proxy, b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 80\r\n") == well
        if hasIPv6():
            assert healthOver(socket.create_connection(("::1", six), PATIENCE)) == well
        process.signal(signal.SIGTERM)
        process.wait()


COLLECTING = """
import gc
from twisted.web.resource import Resource
from txroom import Server

class Page(Resource):
    def render_GET(self, request):
        return str(gc.isenabled()).encode()

def app():
    server = Server()
    server.addPage("/collector", Page())
    return server
"""


def test_collector(directory: Path) -> None:
    """A worker imports its app without the garbage collector, and serves with it."""
    (directory / "collecting.py").write_text(COLLECTING, "utf-8")
    options = ("--workers", "1", "--app", "collecting:app")
    with launched(("twistd", "-n"), *options, cwd=directory) as process:
        process.ready()
        assert process.get("/collector") == (200, b"True")
        process.signal(signal.SIGTERM)
        process.wait()


async def test_noWorker(directory: Path) -> None:
    """If no worker can start, the parent ends with status 1 and says why."""
    parent = Group(directory, "unix:///nowhere", "--workers", "2", "--app", "nosuch:app")
    parent.begin()
    await until(lambda: parent.status is not None, f"it does not end: {parent.output}", PATIENCE)
    assert parent.status == 1
    why = "txroom: --app nosuch:app: there is no module 'nosuch'"
    assert "txroom: no worker could start; the last lines of worker" in parent.output
    assert f":\n{why}\n" in parent.output, parent.output
