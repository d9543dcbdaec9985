"""`twistd txroom` and `twist txroom`, as users start and stop them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.functional.launched import NOTING, PATIENCE, Launched, command, daemon, freePort, launched, until
from tests.requires import requires

TWISTD = ("twistd", "-n")
TWIST = ("twist", "--log-format=text")  # JSON, unless it logs to a terminal
REACTORS = ("epoll", "leanepoll", "asyncio", "poll", "select")
LAUNCHERS = {
    **{f"twistd {reactor}": (*TWISTD, f"--reactor={reactor}") for reactor in REACTORS},
    **{f"twist {reactor}": (*TWIST, f"--reactor={reactor}") for reactor in ("epoll", "leanepoll", "asyncio")},
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The working directory, with a module `chat`."""
    write(tmp_path, NOTING)
    return tmp_path


def write(directory: Path, source: str) -> None:
    (directory / "chat.py").write_text(textwrap.dedent(source), "utf-8")


def closeOf(client: object) -> tuple[int, str]:
    """The code and the reason with which a client is closed."""
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(timeout=PATIENCE)  # type: ignore[attr-defined]
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


# -- it serves, and stops


@pytest.mark.parametrize("name", LAUNCHERS)
def test_launchers(name: str, app: Path) -> None:
    """
    Each launcher serves on each reactor; after SIGTERM clients are closed with 1001 and the app is told.
    """
    with launched(LAUNCHERS[name], "--app", "chat:Noting", cwd=app) as process:
        process.ready()
        assert process.get("/healthz") == (200, b'{"status": "ok"}')
        with process.connect() as client:
            client.send("hello")
            assert client.recv(timeout=PATIENCE) == "hello"
            client.send(b"\x00\x01")
            assert client.recv(timeout=PATIENCE) == b"\x00\x01"
            process.signal(signal.SIGTERM)
            assert closeOf(client) == (1001, "server shutdown")
        assert process.wait() == -signal.SIGTERM
        assert process.output.count("noted: connect") == 1
        assert process.output.count("noted: disconnect 1001") == 1
        assert process.errors == ""


def test_interrupt(app: Path) -> None:
    """Ctrl-C has the effect of SIGTERM."""
    with launched(TWISTD, "--app", "chat:Noting", cwd=app) as process:
        process.ready()
        with process.connect() as client:
            process.signal(signal.SIGINT)
            assert closeOf(client) == (1001, "server shutdown")
        assert process.wait() == -signal.SIGINT


@pytest.mark.parametrize("reactor", ["epoll", "asyncio"])
def test_daemon(reactor: str, app: Path) -> None:
    """A daemon serves, logs to its file, and leaves no pid file when it stops."""
    write(app, NOTING)
    with daemon("--app", "chat:Noting", cwd=app) as process:
        process.ready()
        with process.connect() as client:
            client.send("hello")
            assert client.recv(timeout=PATIENCE) == "hello"
            process.signal(signal.SIGTERM)
            assert closeOf(client) == (1001, "server shutdown")
        process.wait()
        assert "noted: disconnect 1001" in process.output
        assert not (app / "daemon.pid").exists()


def test_demo(tmp_path: Path) -> None:
    """Without --app the demo is served, and the log has its URL."""
    with launched(TWISTD, cwd=tmp_path) as process:
        process.ready()
        url = f"http://127.0.0.1:{process.port}/"
        assert f"listening: {url} and ws://127.0.0.1:{process.port}/" in process.output
        assert process.get("/")[0] == 200
        with process.connect("/broadcast") as ann, process.connect("/broadcast") as bob:
            ann.send("hello")
            assert (ann.recv(timeout=PATIENCE), bob.recv(timeout=PATIENCE)) == ("hello", "hello")


def test_largeEcho(tmp_path: Path) -> None:
    """Messages of 16 MiB are sent back, one after another."""
    with launched(TWISTD, "--max-payload", "16777216", cwd=tmp_path) as process:
        process.ready()
        message = os.urandom(16 * 1024 * 1024)
        with process.connect("/echo", max_size=None, compression=None) as client:
            for _ in range(2):
                client.send(message)
                assert client.recv(timeout=PATIENCE) == message


def test_unixAndPort(tmp_path: Path) -> None:
    """Several endpoints serve at once; a number is a dual-stack port."""
    port, path = freePort(), tmp_path / "socket"
    options = ("--port", str(port), "--listen", f"unix:{path}")
    with launched(TWISTD, *options, cwd=tmp_path, port=port) as process:
        until(lambda: process.output.count("listening: ") == 2, "not listening")
        assert process.get("/healthz")[0] == 200
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")


def test_override(app: Path) -> None:
    """Flags override the options of a server that has its own listener; --no-http removes its pages."""
    port = freePort()
    source = f"""
        from txroom import Application, Server, ServerOptions
        server = Server(ServerOptions(maxPayload=5))
        server.listen("tcp:{port}:interface=127.0.0.1")
        server.addHealthPage()
        server.addApplication(Application(onMessage=lambda c, m: c.send(m)))
    """
    write(app, source)
    options = ("--app", "chat:server", "--max-payload", "10", "--no-http")
    with launched(TWISTD, *options, cwd=app, port=port) as process:
        process.ready()
        assert process.output.count("listening: ") == 1
        assert process.get("/healthz")[0] == 426  # the application serves every path
        with process.connect() as client:
            client.send("x" * 10)
            assert client.recv(timeout=PATIENCE) == "x" * 10
            client.send("x" * 11)
            assert closeOf(client)[0] == 1009


# -- it doesn't start

MISTAKES = {
    "option": (["--max-payload", "1k"], "--max-payload 1k: must be a whole number of bytes, 0 or more"),
    "unknown option": (["--nosuch"], "option --nosuch not recognized"),
    "port": (["--port", "tcp:80"], "--port tcp:80: must be a number from 1 to 65535"),
    "endpoint": (["--listen", "nosuch:1"], "--listen nosuch:1: Unknown endpoint type: 'nosuch'"),
    "certificate": (["--listen", "ssl:0:privateKey=none.pem"], "none.pem"),
    "module": (["--app", "nosuch:app"], "--app nosuch:app: there is no module 'nosuch'"),
    "attribute": (["--app", "chat:nosuch"], "--app chat:nosuch: module 'chat' has no 'nosuch'"),
    "import": (["--app", "broken:app"], "can't be imported: ZeroDivisionError: division by zero"),
    "busy": (["--listen", "tcp:{busy}:interface=127.0.0.1"], "Address already in use"),
}


@pytest.fixture
def busy() -> Iterator[int]:
    """A port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        yield port


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("launcher", ["twistd -n", "twistd", "twist"])
def test_mistakes(launcher: str, mistake: str, app: Path, busy: int) -> None:
    """A mistake prints one clear line and ends with status 1, without a traceback, and no process is left."""
    (app / "broken.py").write_text("1 / 0\n")
    options, line = MISTAKES[mistake]
    options = [option.format(busy=busy) for option in options]
    name, *own = launcher.split()
    if name == "twistd":
        own += ["--pidfile=txroom.pid"]
    done = subprocess.run(
        command((name, *own), *options), cwd=app, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 1, done
    assert line in done.stderr
    if not (launcher == "twistd" and mistake == "busy"):
        assert re.fullmatch(r"txroom: .*\n", done.stderr), done.stderr
    else:  # the daemon has forked: twistd prints the line, with words of its own
        assert len(done.stderr.splitlines()) == 2
        # It tells its parent first, and logs afterwards.
        until(lambda: line in (app / "twistd.log").read_text(), "not logged")
        assert "Traceback" not in (app / "twistd.log").read_text()
    assert "Traceback" not in done.stdout + done.stderr
    assert not (app / "txroom.pid").exists()


# -- signals

HANGING = """
from twisted.internet.defer import Deferred
from txroom import Application, Server
server = Server()
server.addApplication(Application())
server.addHealthPage()
server.onShutdown(Deferred)
"""


@pytest.mark.parametrize("name", LAUNCHERS)
def test_secondSignal(name: str, app: Path) -> None:
    """The first signal drains, however long that takes; the second stops at once."""
    write(app, HANGING)
    options = ("--app", "chat:server", "--shutdown-timeout", "60")
    with launched(LAUNCHERS[name], *options, cwd=app) as process:
        process.ready()
        with process.connect() as client:
            process.signal(signal.SIGTERM)
            until(lambda: process.get("/healthz") == (503, b'{"status": "draining"}'), "not draining")
            time.sleep(0.3)
            assert process.process.poll() is None
            process.signal(signal.SIGINT)
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=PATIENCE)
        assert process.wait() in (-signal.SIGTERM, -signal.SIGINT)
        assert "Can't stop reactor" not in process.output
        assert "Traceback" not in process.output


def test_signalStorm(app: Path) -> None:
    """Many signals, from the very beginning of draining, have the effect of two."""
    with launched(TWISTD, "--app", "chat:Noting", cwd=app) as process:
        process.ready()
        for _ in range(5000):
            if process.process.poll() is None:
                process.signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        assert "Traceback" not in process.output


def test_hangUpWithoutCertificates(tmp_path: Path) -> None:
    """SIGHUP does not end a server without TLS, even a thousand times."""
    with launched(TWISTD, cwd=tmp_path) as process:
        process.ready()
        for _ in range(1000):
            process.signal(signal.SIGHUP)
        process.wrote("SIGHUP: there are no certificates to reload")
        assert process.get("/healthz")[0] == 200
        assert "were reloaded" not in process.output


# -- certificates


def certify(directory: Path, name: str) -> Path:
    """Write a self-signed certificate for a name to a file, with its key."""
    key, certificate = directory / f"{name}.key", directory / f"{name}.crt"
    subprocess.run(
        [
            *(requires("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    both = directory / f"{name}.both"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def swap(source: Path | bytes, target: Path) -> None:
    """Replace a file atomically, as certbot does."""
    fresh = target.with_suffix(".fresh")
    fresh.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
    fresh.replace(target)


def trusting() -> ssl.SSLContext:
    """A client that accepts any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def certificateOf(port: int, name: str | None = None) -> bytes:
    """The certificate that a new connection gets."""
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
        trusting().wrap_socket(plain, server_hostname=name) as secure,
    ):
        return secure.getpeercert(binary_form=True) or b""


@pytest.fixture(params=["ssl", "tls"])
def secured(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Launched, Path]]:
    """A server with TLS, and the file of its certificate."""
    live = tmp_path / "live"
    live.mkdir()
    swap(certify(tmp_path, "a.example"), live / "cert.pem")
    port = freePort()
    description = {
        "ssl": f"ssl:{port}:interface=127.0.0.1:privateKey={live}/cert.pem:certKey={live}/cert.pem",
        "tls": f"tls:{live}:{port}:interface=127.0.0.1",
    }[request.param]
    with launched(TWISTD, "--listen", description, cwd=tmp_path, port=port) as process:
        process.ready()
        yield process, live / "cert.pem"


def test_reload(secured: tuple[Launched, Path], tmp_path: Path) -> None:
    """After SIGHUP new connections get the new certificate, and old ones continue."""
    process, file = secured
    assert f"listening: https://127.0.0.1:{process.port}/ and wss://" in process.output
    first = certificateOf(process.port, "a.example")
    with process.connect("/echo", ssl=trusting(), server_hostname="a.example") as client:
        swap(certify(tmp_path, "a.example"), file)
        assert certificateOf(process.port, "a.example") == first
        process.signal(signal.SIGHUP)
        process.wrote("the certificates were reloaded")
        second = certificateOf(process.port, "a.example")
        assert second != first
        client.send("still here")
        assert client.recv(timeout=PATIENCE) == "still here"

        swap(b"junk", file)
        process.signal(signal.SIGHUP)
        process.wrote("the certificates could not be reloaded, the old ones stay in force")
        assert certificateOf(process.port, "a.example") == second
        file.unlink()
        process.signal(signal.SIGHUP)
        until(lambda: process.output.count("the old ones stay in force") == 2, "not logged")
        assert certificateOf(process.port, "a.example") == second
        client.send("still here")
        assert client.recv(timeout=PATIENCE) == "still here"


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated")
def test_oldTLS(secured: tuple[Launched, Path]) -> None:
    """TLS 1.1 is refused, TLS 1.2 is not."""
    process, _ = secured
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        handshake(process.port, ssl.TLSVersion.TLSv1_1)
    assert handshake(process.port, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert handshake(process.port, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"


def test_renegotiation(secured: tuple[Launched, Path]) -> None:
    """
    A client that wants to renegotiate is refused, since that would be a cheap way to keep the server busy.
    """
    process, _ = secured
    client = subprocess.Popen(
        [requires("openssl"), "s_client", "-tls1_2", "-connect", f"127.0.0.1:{process.port}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert client.stdin is not None
    time.sleep(0.5)
    try:
        output, _ = client.communicate("R\n", timeout=PATIENCE)
    finally:
        client.kill()
    assert "RENEGOTIATING" in output
    assert "no renegotiation" in output


def handshake(port: int, version: ssl.TLSVersion) -> str | None:
    """Connect with one version of TLS."""
    context = trusting()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else OpenSSL itself would not even offer the old ones
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="a.example") as secure,
    ):
        return secure.version()


# -- privileges


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up root")
@pytest.mark.parametrize("reactor", ["epoll", "asyncio"])
def test_privileges(reactor: str, app: Path) -> None:
    """A low port is bound as root, and served without privileges."""
    port = next(port for port in range(81, 1024) if isFree(port))
    app.chmod(0o755)
    launcher = (*TWISTD, f"--reactor={reactor}", "--uid", "nobody", "--gid", "nogroup")
    options = ("--app", "chat:Noting", "--port", str(port))
    with launched(launcher, *options, cwd=app, port=port) as process:
        process.ready()
        status = Path(f"/proc/{process.process.pid}/status").read_text()
        assert re.search(r"^Uid:\s+65534\s+65534\s+65534", status, re.M)
        with process.connect() as client:
            process.signal(signal.SIGTERM)
            assert closeOf(client)[0] == 1001
        assert process.wait() == -signal.SIGTERM


def isFree(port: int) -> bool:
    try:
        socket.create_server(("", port)).close()
    except OSError:
        return False
    return True


# -- the log


@pytest.mark.parametrize(
    "launcher", [TWISTD, TWIST, (*TWIST, "--log-level=debug")], ids=["twistd", "twist", "twist's own"]
)
def test_debug(launcher: tuple[str, ...], app: Path) -> None:
    """At level debug every event of a connection is logged with its id."""
    level = () if "--log-level=debug" in launcher else ("--log-level", "debug")
    with launched(launcher, *level, cwd=app) as process:
        process.ready()
        with process.connect("/echo") as client:
            client.ping().wait(PATIENCE)
            client.send("hello")
            client.recv(timeout=PATIENCE)
        events = ("connect", "ping", "message", "close", "disconnect")
        process.wrote(" disconnect ")
        ids = {event: re.findall(rf"(\w+) {event}\b", process.output) for event in events}
        assert all(ids.values()), (ids, process.output)
        assert len({id for found in ids.values() for id in found}) == 1, ids


@pytest.mark.parametrize("launcher", [TWISTD, TWIST], ids=["twistd", "twist"])
def test_quiet(launcher: tuple[str, ...], app: Path) -> None:
    """At level warn only warnings and errors are logged."""
    source = """
        from twisted.logger import Logger
        from txroom import Application
        def onConnect(connection):
            Logger().info("too low"), Logger().warn("high enough")
        app = Application(onConnect=onConnect)
    """
    write(app, source)
    with launched(launcher, "--app", "chat:app", "--log-level", "warn", cwd=app) as process:
        until(lambda: accepts(process.port), "not listening")
        with process.connect():
            process.wrote("high enough")
        process.signal(signal.SIGTERM)
        process.wait()
        assert "too low" not in process.output
        assert "listening: " not in process.output


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


# -- the watchdog


@pytest.mark.parametrize("launcher", [TWISTD, TWIST], ids=["twistd", "twist"])
def test_stall(launcher: tuple[str, ...], app: Path) -> None:
    """A hook that blocks is logged with its stack while it blocks, and health reports it afterwards."""
    source = """
        import os, time
        from txroom import Application
        def sleepInHere(connection, message):
            while not os.path.exists("morning"):
                time.sleep(0.01)
            connection.send("awake")
        app = Application(onMessage=sleepInHere)
    """
    write(app, source)
    with launched(launcher, "--app", "chat:app", cwd=app) as process:
        process.ready()
        with process.connect(ping_interval=None) as client:
            client.send("good night")
            process.wrote("in sleepInHere")
            assert re.search(r"has been blocked for [2-9]", process.output)
            assert "the reactor was blocked" not in process.output
            (app / "morning").touch()
            assert client.recv(timeout=PATIENCE) == "awake"
        status, body = process.get("/healthz")
        assert status == 200
        report = json.loads(body)
        assert report["status"] == "degraded"
        assert report["stalledSeconds"] > 0
        assert process.output.count("in sleepInHere") == 1
        process.wrote("the reactor was blocked for ")
