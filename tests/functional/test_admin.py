"""The HTTP API of a server in a process of its own: its endpoints, its documentation, and random requests."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import urlencode

from tests.functional.launched import PATIENCE, Launched, freePort, launched
from tests.functional.support import ROOT, environment
from tests.functional.test_commandline import certify
from tests.requires import requires, requiresModule

TOKEN = "0123456789abcdef" * 2
AUTH = {"Authorization": f"Bearer {TOKEN}"}
EXAMPLES = ROOT / "docs" / "examples" / "http_api"
PAGE = ROOT / "docs" / "howto" / "http-api.rst"


@contextmanager
def serving(tmp_path: Path, *admins: str, app: str = "") -> Iterator[Launched]:
    """The demo, or an app in `tmp_path`, with these admin listeners."""
    secret = tmp_path / "secret"
    secret.write_text(TOKEN)
    options = [each for where in admins for each in ("--admin", where)]
    if app:
        options += ["--app", app]
    with launched(("twistd", "-n"), *options, "--admin-token-file", str(secret), cwd=tmp_path) as server:
        server.ready()
        yield server


def asked(connection: HTTPConnection, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Send a request."""
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data, {**AUTH, "Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    return answer.status, json.loads(content) if content else None


def test_endpoints(tmp_path: Path) -> None:
    """TCP on loopback, TLS on all addresses and a private UNIX socket; the secret isn't shown by ps."""
    plain, secure, path = freePort(), freePort(), tmp_path / "admin"
    pem = certify(tmp_path, "localhost")
    tls = f"ssl:{secure}:privateKey={pem}:certKey={pem}"
    with serving(tmp_path, str(plain), tls, f"unix:{path}") as server:
        server.wrote(f"admin: http://127.0.0.1:{plain}/")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for connection in (
            HTTPConnection("127.0.0.1", plain, timeout=PATIENCE),
            HTTPSConnection("127.0.0.1", secure, timeout=PATIENCE, context=context),
        ):
            for _ in range(2):  # on one connection
                assert asked(connection, "GET", "/api/v1/rooms")[0] == 200
            connection.close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        curl = [requires("curl"), "-sS", "--unix-socket", str(path), "http://x/api/v1/rooms"]
        refused = subprocess.run(curl, capture_output=True, check=True, timeout=PATIENCE)
        assert json.loads(refused.stdout)["status"] == 401
        (tmp_path / "auth").write_text(f"Authorization: Bearer {TOKEN}")
        curl += ["-H", f"@{tmp_path / 'auth'}"]
        found = subprocess.run(curl, capture_output=True, check=True, timeout=PATIENCE)
        assert json.loads(found.stdout) == {"rooms": [], "next": None}
        arguments = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        assert TOKEN.encode() not in arguments
        assert TOKEN not in server.output + server.errors


class Browser:
    """A browser at the page of the operators; each request has a connection of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cookie = ""

    def open(self, method: str, path: str, **fields: str) -> bytes:
        """Return the body of the answer."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        kind = "application/x-www-form-urlencoded"
        connection.request(method, path, urlencode(fields), {"Cookie": self.cookie, "Content-Type": kind})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if path == "/login":
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return body

    def areLoggedIn(self) -> set[bool]:
        """Whether it is logged in, at any of the workers."""
        return {b'name="secret"' not in self.open("GET", "/") for _ in range(20)}


def test_sessions(tmp_path: Path) -> None:
    """
    All workers accept a session until its operator logs out, also those that a reload starts. All sessions
    end with the parent.
    """
    requires("redis-server")
    port, secret = freePort(), tmp_path / "secret"
    secret.write_text(TOKEN)
    options = ("--workers", "2", "--admin", str(port), "--admin-token-file", str(secret))
    stays, leaves = Browser(port), Browser(port)
    with launched(("twistd", "-n"), *options, cwd=tmp_path) as server:
        server.ready()
        for browser in (stays, leaves):
            browser.open("POST", "/login", secret=TOKEN)
            assert browser.areLoggedIn() == {True}
        leaves.open("POST", "/logout")
        server.signal(signal.SIGHUP)
        server.wrote("reload: the new workers serve")
        assert (stays.areLoggedIn(), leaves.areLoggedIn()) == ({True}, {False})
        server.signal(signal.SIGTERM)
        server.wait()
    with launched(("twistd", "-n"), *options, cwd=tmp_path) as server:
        server.ready()
        assert (stays.areLoggedIn(), leaves.areLoggedIn()) == ({False}, {False})


def commands() -> list[str]:
    """The commands on the page that use the API."""
    found = re.findall(r"^   \$ ((?:.*\\\n)*.*)$", PAGE.read_text(), re.MULTILINE)
    return [each for each in found if each.startswith(("curl", "(umask", "NAME="))]


def test_curl(tmp_path: Path) -> None:
    """Every command of the documentation works."""
    requires("curl")
    port = freePort()
    program = re.search(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", PAGE.read_text())
    assert program is not None
    (tmp_path / "chat.py").write_text(dedent(program[1]))
    with serving(tmp_path, str(port), f"unix:{tmp_path / 'admin.sock'}", app="chat:makeServer"):
        room = asked(HTTPConnection("127.0.0.1", port), "POST", "/api/v1/rooms", {"name": "chat"})[1]["room"]
        found = commands()
        assert len(found) >= 10
        found.sort(key=lambda each: "DELETE" in each)
        # curl ends with 28 if the answer goes on, as that of a follower does.
        curl = 'curl() { command curl --fail-with-body -sS --max-time 2 "$@" || test $? = 28; echo; }'
        script = "\n".join(["set -eu", curl, *found])
        script = script.replace(":9000/", f":{port}/").replace("/run/chat/", f"{tmp_path}/")
        variables = {"TXROOM_ADMIN_TOKEN": TOKEN, "ROOM": room}
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**environment(), **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert '{"offset":1}' in done.stdout
        assert '"type":"news"' in done.stdout  # of the follower
        assert '{"seat":"' in done.stdout


DJANGO = """
import django
from django.conf import settings
from django.test import RequestFactory

settings.configure(ALLOWED_HOSTS=["*"])
django.setup()
from views import ship

print(ship(RequestFactory().post("/", {"customer": "ada"}), 7).content.decode())
from shop import post, publish

room = post("/rooms", {"name": "chat"})["room"]
print(publish(room, "news", "hello"))
"""


def test_python(tmp_path: Path) -> None:
    """The program with requests, "shop", and the Django view that uses it, "views"."""
    requiresModule("django")
    requiresModule("requests")
    port = freePort()
    variables = {"TXROOM_ADMIN_TOKEN": TOKEN, "TXROOM_API": f"http://127.0.0.1:{port}/api/v1"}
    with serving(tmp_path, str(port)):
        done = subprocess.run(
            [sys.executable, "-c", DJANGO],
            cwd=EXAMPLES,
            env={**environment(), **variables, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.stdout.splitlines() == ['{"seen": false}', "1"], done.stderr


RUNNING = """
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import shop

problem = b'{"title":"Conflict","status":409,"field":"Idempotency-Key","code":"unavailable"}'
answers = [(409, problem), (503, b"{}"), (200, b'{"offset":7}'), (409, b'{"status":409}')]
keys = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = answers[len(keys)]
        keys.append(self.headers["Idempotency-Key"])
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = HTTPServer(("127.0.0.1", 0), Handler)
Thread(target=server.serve_forever, daemon=True).start()
shop.API = f"http://127.0.0.1:{server.server_port}"
print(shop.publish("r", "news", "hello"), len(keys), len(set(keys)))
try:
    shop.publish("r", "news", "hello")
except shop.requests.HTTPError as error:
    print(error.response.status_code, len(keys), len(set(keys)))
secure = shop.session.get_adapter("https://chat.internal/").max_retries
print(secure is shop.again)
"""


def test_running() -> None:
    """The program sends a request again while its first one is carried out, and with TLS as without."""
    requiresModule("requests")
    done = subprocess.run(
        [sys.executable, "-c", RUNNING],
        cwd=EXAMPLES,
        env={**environment(), "TXROOM_ADMIN_TOKEN": TOKEN, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout.splitlines() == ["7 3 1", "409 4 2", "True"], done.stderr


def test_php(tmp_path: Path) -> None:
    """The example in PHP; without PHP, its request is replayed."""
    source = (EXAMPLES / "notify.php").read_text()
    port = freePort()
    with serving(tmp_path, str(port)):
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        if shutil.which("php"):
            (tmp_path / "notify.php").write_text(source.replace(":9000/", f":{port}/"))
            command = ["php", "notify.php", "ada"]
            variables = {**environment(), "TXROOM_ADMIN_TOKEN": TOKEN}
            done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, timeout=PATIENCE)
            assert done.stdout == b"1\n", done.stderr
        path = re.search(r"curl_init\('http://127.0.0.1:9000(/[^']+)' \. rawurlencode", source)
        body = re.search(r"json_encode\((\[.*\])\)", source)
        headers = re.findall(r"^        '([\w-]+): ?([\w/]*)", source, re.MULTILINE)
        assert path is not None and body is not None
        assert dict(headers) == {
            "Authorization": "Bearer",
            "Content-Type": "application/json",
            "Idempotency-Key": "",
        }
        replayed = body[1].replace("=>", ":").replace("'", '"').replace("[", "{").replace("]", "}")
        status, answer = asked(connection, "POST", f"{path[1]}bob", json.loads(replayed))
        assert (status, answer["n"]) == (200, 1)


FUZZ = """
import sys

import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

url, token = sys.argv[1:]
auth = {"Authorization": f"Bearer {token}"}
room = requests.post(f"{url}/api/v1/rooms", json={"name": "chat"}, headers=auth, timeout=10).json()["room"]
schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json", headers=auth)
# What the schema can't say, such as that a filter is JSON, is refused with 400.
options = {"base_url": url, "headers": auth, "timeout": 10, "excluded_checks": [positive_data_acceptance]}
for found in schema.get_all_operations():
    operation = found.ok()

    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case):
        case.call_and_validate(**options)
        if "room" in case.path_parameters and operation.method.lower() != "delete":
            case.path_parameters["room"] = room
            case.call_and_validate(**options)

    check()
    print(operation.label, flush=True)
"""


def test_fuzz(tmp_path: Path) -> None:
    """Random requests of all kinds get answers that the OpenAPI document describes, and no server error."""
    requiresModule("schemathesis")
    port = freePort()
    with serving(tmp_path, str(port)) as server:
        url = f"http://127.0.0.1:{port}"
        document = asked(HTTPConnection("127.0.0.1", port), "GET", "/api/v1/openapi.json")[1]
        del document["paths"]["/api/v1/openapi.json"]  # schemathesis has just read it
        count = sum(len(operations) for operations in document["paths"].values())
        done = subprocess.run(
            [sys.executable, "-c", FUZZ, url, TOKEN],
            cwd=tmp_path,
            env={**os.environ, **environment()},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(done.stdout.splitlines()) == count
        assert "Traceback" not in server.output
