"""
nginx and HAProxy in front of `twistd txroom`, configured as the documentation says.

The configurations are taken from the pages; only ports and the paths of certificates are replaced.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.authority import Authority
from tests.functional.launched import PATIENCE, Launched, freePort, launched
from tests.functional.proxies import haproxy, nginx
from tests.functional.support import ROOT
from tests.functional.test_tls_clients import APP, PAGE, run
from tests.requires import requires, requiresNode

DOCS = ROOT / "docs" / "howto"
TWISTD = ("twistd", "-n")
#: The address of the clients, as the server sees it.
ELSEWHERE = "127.0.0.5"

#: An application that sends each socket the number of its process.
WHICH = """
import os
from txroom import Application
app = Application(onConnect=lambda connection: connection.send(str(os.getpid())))
"""


def recipe(page: str, start: str) -> str:
    """The one listing on a page of the how-tos that begins with `start`."""
    text = (DOCS / page).read_text("utf-8")
    listings = re.findall(r"\.\. code-block:: (?:nginx|none)\n\n((?:   .*\n|\n)+)", text)
    (found,) = (each for each in listings if each.strip().startswith(start))
    return str(found)


def replaced(text: str, *pairs: tuple[str, object]) -> str:
    """The text with other ports and files, each of which must occur in it."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, str(new))
    return text


class Place:
    """A proxy in front of a server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = freePort()
        self.authority = Authority(directory)
        self.certificate = directory / "both.pem"
        self.authority.issue(self.certificate, "localhost", "chat.example.org")
        (directory / "chat.py").write_text(APP)

    @contextmanager
    def serving(self, listen: str, *options: str) -> Iterator[Launched]:
        """The server at an endpoint."""
        options = ("--app", "chat:makeServer", "--listen", listen, *options)
        with launched(TWISTD, *options, cwd=self.directory, port=freePort()) as process:
            process.ready()
            yield process
            assert "Traceback" not in process.output, process.output

    def first(self, isSecure: bool = True) -> list[Any]:
        """
        The first message that the socket sends to a client on another address; the socket must also echo.
        """
        context = ssl.create_default_context(cafile=str(self.authority.file)) if isSecure else None
        plain = socket.create_connection(("127.0.0.1", self.port), PATIENCE, (ELSEWHERE, 0))
        url = f"{'wss' if isSecure else 'ws'}://localhost:{self.port}/ws"
        origin = Origin(f"{'https' if isSecure else 'http'}://localhost:{self.port}")
        with connect(url, sock=plain, ssl=context, origin=origin) as client:
            first = json.loads(client.recv(timeout=PATIENCE))
            client.send("hello")
            assert client.recv(timeout=PATIENCE) == "hello"
        assert isinstance(first, list)
        return first

    def page(self, *arguments: str) -> str:
        """The page, loaded with curl."""
        url = f"https://localhost:{self.port}/"
        return run(requires("curl"), "-sS4", "--cacert", self.authority.file, *arguments, url)

    def browse(self) -> None:
        """Load the page over https and its socket over wss in Chromium."""
        node, chromium = requiresNode(), requires("chromium")
        url = f"https://localhost:{self.port}/"
        report = json.loads(run(node, "secure_browser.mjs", chromium, url))
        assert report == {"errors": [], url: ["127.0.0.1", True]}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def nginxRecipe(place: Place, upstream: str) -> str:
    """The configuration of the page about TLS, for a server at `upstream`."""
    live = "/etc/letsencrypt/live/chat.example.org"
    return replaced(
        recipe("tls.rst", "map $http_upgrade"),
        ("127.0.0.1:8080", upstream),
        ("listen 443", f"listen 127.0.0.1:{place.port}"),
        (f"{live}/fullchain.pem", place.certificate),
        (f"{live}/privkey.pem", place.certificate),
    )


def test_nginx(place: Place) -> None:
    """Pages and sockets pass nginx, with the client's address, and the page's origin is accepted."""
    requires("nginx")
    port = freePort()
    with (
        place.serving(f"tcp:{port}:interface=127.0.0.1", "--trusted-proxy", "127.0.0.1"),
        nginx(nginxRecipe(place, f"127.0.0.1:{port}"), [place.port], place.directory),
    ):
        assert place.first() == [ELSEWHERE, True]
        for offers in ("--http2", "--http1.1", "-0"):
            assert place.page(offers) == PAGE
        place.browse()


def test_nginxOverUnix(place: Place) -> None:
    """The same over a UNIX socket, to which only nginx has access."""
    requires("nginx")
    path = place.directory / "s"
    text = (DOCS / "tls.rst").read_text("utf-8")
    assert "--listen unix:/run/chat/socket:mode=660 --trusted-proxy unix" in text
    assert "server unix:/run/chat/socket;" in text
    with (
        place.serving(f"unix:{path}:mode=660", "--trusted-proxy", "unix"),
        nginx(nginxRecipe(place, f"unix:{path}"), [place.port], place.directory),
    ):
        assert place.first() == [ELSEWHERE, True]
        assert place.page() == PAGE


def test_haproxy(place: Place) -> None:
    """HAProxy speaks TLS; browsers use HTTP/2 with it, also for WebSockets (RFC 8441)."""
    requires("haproxy")
    port = freePort()
    configuration = replaced(
        recipe("tls.rst", "frontend chat"),
        ("127.0.0.1:8080", f"127.0.0.1:{port}"),
        ("bind :443", f"bind 127.0.0.1:{place.port}"),
        ("/etc/haproxy/chat.example.org.pem", place.certificate),
    )
    with (
        place.serving(f"tcp:{port}:interface=127.0.0.1", "--trusted-proxy", "127.0.0.1"),
        haproxy(configuration, [place.port], place.directory),
    ):
        assert place.first() == [ELSEWHERE, True]
        for offers in ("--http2", "--http1.1", "-0"):
            assert place.page(offers) == PAGE
        place.browse()


def test_proxyProtocol(place: Place) -> None:
    """HAProxy passes connections on with a PROXY header, and checks health with HTTP/1.0."""
    requires("haproxy")
    port = freePort()
    configuration = replaced(
        recipe("tls.rst", "listen chat"),
        ("127.0.0.1:8080", f"127.0.0.1:{port}"),
        ("bind :80", f"bind 127.0.0.1:{place.port}"),
        (" check", " check inter 100"),
    )
    with (
        place.serving(f"haproxy:tcp:{port}:interface=127.0.0.1", "--access-log") as process,
        haproxy(configuration, [place.port], place.directory),
    ):
        process.wrote("GET /healthz HTTP/1.0")
        assert place.first(isSecure=False) == [ELSEWHERE, False]


def test_rooms(place: Place) -> None:
    """nginx with two processes behind it sends the same topic to the same process each time."""
    requires("nginx")
    ports = [freePort() for _ in range(2)]
    upstream = replaced(
        recipe("deployment.rst", "upstream chat"),
        ("127.0.0.1:8080", f"127.0.0.1:{ports[0]}"),
        ("127.0.0.1:8081", f"127.0.0.1:{ports[1]}"),
    )
    whole = nginxRecipe(place, "127.0.0.1:1")
    configuration = re.sub(r" *upstream chat \{[^}]*\}\n", lambda _: upstream, whole)
    (place.directory / "which.py").write_text(WHICH)
    trusting = ssl.create_default_context(cafile=str(place.authority.file))

    def askFor(topic: str) -> object:
        url = f"wss://localhost:{place.port}/rooms/chat?topic={topic}"
        with connect(url, ssl=trusting) as client:
            return client.recv(timeout=PATIENCE)

    with ExitStack() as stack:
        for port in ports:
            options = ("--app", "which:app", "--listen", f"tcp:{port}:interface=127.0.0.1")
            process = launched(TWISTD, *options, cwd=place.directory, port=port)
            stack.enter_context(process).ready()
        stack.enter_context(nginx(configuration, [place.port], place.directory))
        first = {topic: askFor(topic) for topic in map(str, range(12))}
        assert {topic: askFor(topic) for topic in first} == first
        assert len(set(first.values())) == 2
