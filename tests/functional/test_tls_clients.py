"""
txroom's TLS listeners with curl, Chromium, Node and Python clients.

Each client loads a page and opens a socket over "ssl:", "tls:" and "haproxy:tls:", the last with a real
HAProxy that passes the client's address on; and again after SIGHUP with another certificate. The clients
offer their usual protocols by ALPN, and all but the browser check the certificate.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from tests.authority import Authority
from tests.functional.launched import PATIENCE, Launched, freePort, launched
from tests.functional.proxies import haproxy
from tests.requires import CLIENTS, requires, requiresNode

PAGE = """<!doctype html><title>TLS</title><link rel="icon" href="data:,"><p id="first"><p id="echo"><script>
const socket = new WebSocket(location.href.replace("https:", "wss:") + "ws");
socket.onmessage = ({ data }) => {
  first.textContent = data;
  socket.onmessage = ({ data }) => { echo.textContent = data; };
  socket.send("hello");
};
</script>"""

APP = f"""
import json
from twisted.web.static import Data
from txroom import Application, Server

class Echo(Application):
    def onConnect(self, connection):
        connection.send(json.dumps([connection.handshake.peer, connection.handshake.secure]))

    def onMessage(self, connection, message):
        connection.send(message)

def makeServer():
    server = Server()
    server.addApplication(Echo(), path="/ws")
    server.addPage("/", Data({PAGE.encode()!r}, "text/html"))
    server.addHealthPage()
    return server
"""

# The proxy connects from an address of its own, and passes TLS on without decrypting it.
BALANCER = """
defaults
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen first
    mode tcp
    bind 127.0.0.1:{first}
    server chat 127.0.0.1:{port} send-proxy source 127.0.0.9 check inter 100
listen second
    mode tcp
    bind 127.0.0.1:{second}
    server chat 127.0.0.1:{port} send-proxy-v2 source 127.0.0.9 check inter 100
"""

#: The first message of a socket on every path: the client's address, and that the connection is secure.
FIRST = ["127.0.0.1", True]


@attrs.frozen
class Secured:
    """A server with a certificate, and its addresses."""

    process: Launched
    authority: Authority
    serial: int
    #: The URLs of the page by the kind of listener.
    urls: dict[str, str]

    def portOf(self, kind: str) -> int:
        return int(self.urls[kind].rpartition(":")[2].strip("/"))


@pytest.fixture(scope="module", params=["started", "reloaded"])
def secured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A server that was just started, and one that has read another certificate since then."""
    directory = tmp_path_factory.mktemp("secured")
    (directory / "chat.py").write_text(APP)
    (directory / "live").mkdir()
    file = directory / "live" / "both.pem"
    authority = Authority(directory)
    serial = authority.issue(file, "localhost", "127.0.0.1")
    ports = {kind: freePort() for kind in ("ssl", "tls", "proxied", "proxied 1", "proxied 2")}
    options = (
        *("--listen", f"ssl:{ports['ssl']}:interface=127.0.0.1:privateKey={file}:certKey={file}"),
        *("--listen", f"tls:{directory}/live:{ports['tls']}:interface=127.0.0.1"),
        *("--listen", f"haproxy:tls:{directory}/live:{ports['proxied']}:interface=127.0.0.1"),
    )
    launcher = ("twistd", "-n")
    balancer = BALANCER.format(first=ports["proxied 1"], second=ports["proxied 2"], port=ports["proxied"])
    with launched(
        launcher, "--app", "chat:makeServer", *options, cwd=directory, port=ports["ssl"]
    ) as process:
        process.ready()
        if request.param == "reloaded":
            serial = authority.issue(file, "localhost", "127.0.0.1")
            process.signal(signal.SIGHUP)
            process.wrote("the certificates were reloaded")
        with haproxy(balancer, (ports["proxied 1"], ports["proxied 2"]), directory):
            urls = {kind: f"https://localhost:{port}/" for kind, port in ports.items() if kind != "proxied"}
            yield Secured(process, authority, serial, urls)
        assert "Traceback" not in process.output, process.output


def run(*command: Any, **environment: str) -> str:
    """The output of a client."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=CLIENTS,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def curl(secured: Secured, *arguments: str) -> str:
    """The output of curl, which trusts the authority, over IPv4."""
    return run(requires("curl"), "-sS4", "-m", PATIENCE, "--cacert", secured.authority.file, *arguments)


def test_certificate(secured: Secured) -> None:
    """All listeners use the current certificate."""
    trusting = ssl.create_default_context(cafile=str(secured.authority.file))
    for kind in secured.urls:
        with (
            socket.create_connection(("127.0.0.1", secured.portOf(kind)), PATIENCE) as plain,
            trusting.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            shown = secure.getpeercert()
            assert shown is not None
            assert int(str(shown["serialNumber"]), 16) == secured.serial, kind


def test_curl(secured: Secured) -> None:
    """curl works whatever it offers: HTTP/2 and 1.1 as by default, one of them, nothing, or HTTP/1.0."""
    for url in secured.urls.values():
        for offers in ("--http2", "--http1.1", "--no-alpn", "-0", "--http2-prior-knowledge"):
            assert curl(secured, offers, url) == PAGE, (url, offers)
        status = curl(secured, "-I", "-o", os.devnull, "-w", "%{http_code} %{http_version}", url)
        assert status == "200 1.1"


def test_onlyHTTP2(secured: Secured) -> None:
    """A client that offers only HTTP/2 gets a TLS alert (RFC 7301 §3.2)."""
    trusting = ssl.create_default_context(cafile=str(secured.authority.file))
    trusting.set_alpn_protocols(["h2"])
    for kind in secured.urls:
        with (
            socket.create_connection(("127.0.0.1", secured.portOf(kind)), PATIENCE) as plain,
            pytest.raises(ssl.SSLError, match=r"(?i)alert.no.application.protocol"),
            trusting.wrap_socket(plain, server_hostname="localhost"),
        ):
            pass


def test_agreed(secured: Secured) -> None:
    """Of HTTP/2 and 1.1 the server chooses 1.1, whatever the client prefers."""
    for offered in (["h2", "http/1.1"], ["http/1.1", "h2"], ["h2", "spdy/3", "http/1.1"]):
        trusting = ssl.create_default_context(cafile=str(secured.authority.file))
        trusting.set_alpn_protocols(offered)
        for kind in secured.urls:
            with (
                socket.create_connection(("127.0.0.1", secured.portOf(kind)), PATIENCE) as plain,
                trusting.wrap_socket(plain, server_hostname="localhost") as secure,
            ):
                assert secure.selected_alpn_protocol() == "http/1.1"


def test_node(secured: Secured) -> None:
    """npm's ws, undici, which can offer HTTP/2, and Node's own fetch work."""
    node = requiresNode()
    trusted = {"NODE_EXTRA_CA_CERTS": str(secured.authority.file)}
    report = json.loads(run(node, "secure.mjs", *secured.urls.values(), **trusted))
    for url in secured.urls.values():
        assert report[url] == {
            "pages": [[200, PAGE]] * 2,
            "ws": [FIRST, "hello"],
            "undici": [FIRST, "hello"],
            "undiciBoth": [FIRST, "hello"],
        }, url


def test_python(secured: Secured) -> None:
    """Python's websockets and aiohttp work, with and without ALPN."""
    report = json.loads(
        run(sys.executable, "secure_client.py", secured.authority.file, *secured.urls.values())
    )
    for url in secured.urls.values():
        assert report[url] == {
            "websockets": [[FIRST, "hello"]] * 2,
            "aiohttp": [[200, PAGE, FIRST, "hello"]] * 2,
        }, url


def test_browser(secured: Secured) -> None:
    """Chromium loads the page over https and its socket over wss."""
    node, chromium = requiresNode(), requires("chromium")
    report = json.loads(run(node, "secure_browser.mjs", chromium, *secured.urls.values()))
    assert report.pop("errors") == []
    assert report == dict.fromkeys(secured.urls.values(), FIRST)


def test_names(secured: Secured) -> None:
    """
    A server name without a certificate, even a malformed one, fails the client's check and logs nothing.
    """
    before = secured.process.output
    anybody = ssl.create_default_context()
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    for name in ("nowhere.example", "LOCALHOST", "xn--bcher-kva.example"):
        with (
            socket.create_connection(("127.0.0.1", secured.portOf("tls")), PATIENCE) as plain,
            anybody.wrap_socket(plain, server_hostname=name) as secure,
        ):
            secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert secure.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert secured.process.output == before
