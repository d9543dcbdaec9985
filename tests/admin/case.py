"""
What the tests of the admin listener share: a server in memory with that listener, and requests to it.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.case import HarnessTestCase
from tests.engine.redis.nodes import Chat
from txroom.admin.endedsessions import EndedSessions
from txroom.service.workerplace import WorkerPlace
from txroom.testing import RawClient, RoomHarness

TOKEN = "manage-" + "m" * 32
READ = "read-" + "r" * 32
WHERE = "tcp:9000:interface=127.0.0.1"


class Answer(NamedTuple):
    """An answer to a request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class AdminCase(HarnessTestCase):
    """A server with rooms and an admin listener."""

    #: The time of day when the clock of the server is at 0.
    day = 1_700_000_000.0
    #: Which worker the server is.
    place: WorkerPlace | None = None

    def start(self, where: int | str = WHERE, **options: Any) -> RoomHarness:
        self.harness = self.serve({"chat": Chat})
        options = {"token": TOKEN, "readToken": READ, **options}
        server, clock = self.harness.server, self.harness.clock
        server.worker, server.endedSessions = self.place, EndedSessions(lambda: self.day + clock.seconds())
        server.addAdmin(where, **options)
        return self.harness

    def connect(self, data: bytes = b"", peer: str = "127.0.0.1") -> RawClient:
        """A client of the admin listener that sends these bytes."""
        (port,) = self.harness.server.adminPorts
        to: Any = port
        return self.harness.raw(data, peer=peer, to=to.factory)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = TOKEN,
        peer: str = "127.0.0.1",
        host: str = "localhost",
        **headers: str,
    ) -> RawClient:
        """Send one request on a connection of its own. A body that is no bytes is sent as JSON."""
        return self.connect(request(method, path, body, token, host, **headers), peer)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Send a request, let the server work, and return its answer."""
        client = self.send(method, path, body, **more)
        for _ in range(20):
            if client.response is not None:
                break
            self.harness.advance(0.05)
        answer = answerOf(client.output)
        client.drop()
        return answer

    def refusal(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str]:
        """The status of an answer, and the field of its problem."""
        answer = self.ask(method, path, body, **more)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(answer.json["status"], answer.status)
        return answer.status, answer.json.get("field", "")


def request(
    method: str,
    path: str,
    body: Any = None,
    token: str | None = TOKEN,
    host: str = "localhost",
    **headers: str,
) -> bytes:
    """The bytes of a request."""
    fields = {"Host": host}
    if token is not None:
        fields["Authorization"] = f"Bearer {token}"
    data = b""
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data


def answerOf(output: bytes) -> Answer:
    """The answer at the start of these bytes."""
    head, _, rest = output.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in fields)}
    length = int(headers.get("content-length", len(rest)))
    return Answer(int(line.split()[1]), headers, rest[:length])
