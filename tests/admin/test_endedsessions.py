"""What ends when an operator logs out: the session at all workers, and its sockets."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.admin.case import TOKEN, answerOf
from tests.admin.rpccase import RpcCase
from txroom.admin import endedsessions
from txroom.admin.endedsessions import EndedSessions
from txroom.admin.secrets import Role
from txroom.admin.session import SECONDS, Session
from txroom.admin.sessionsockets import LOOK
from txroom.testing import Client

ORIGIN = "http://127.0.0.1:9000"


class SocketTests(RpcCase):
    """A browser with sockets of the RPC interface and of the playground."""

    def setUp(self) -> None:
        self.start()

    def post(self, path: str, **fields: str) -> str:
        """Send a form; return the cookie, if the answer has one."""
        body = urlencode(fields).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nOrigin: {ORIGIN}\r\n"
            f"Content-Length: {len(body)}\r\nCookie: {self.cookie}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        answer = answerOf(self.connect(head.encode() + body).output)
        self.assertEqual(answer.status, 303)
        return answer.headers["set-cookie"].partition(";")[0]

    def logIn(self) -> str:
        self.cookie = ""
        self.cookie = self.post("/login", secret=TOKEN)
        return self.cookie

    def socket(self, path: str, cookie: str) -> Client:
        headers = {"Cookie": cookie}
        options: dict[str, Any] = {"origin": ORIGIN, "host": "127.0.0.1:9000", "peer": "127.0.0.1"}
        protocols = ("jsonrpc",) if path == "/rpc" else ("txroom.v1.json",)
        return self.harness.connect(path, headers, protocols, to=self.to, **options)

    def status(self, path: str, cookie: str) -> int:
        response = self.socket(path, cookie).response
        assert response is not None
        return response.status

    def test_logOut(self) -> None:
        """All sockets of the session are closed, and a copy of the cookie opens none; others stay."""
        other = self.logIn()
        cookie = self.logIn()
        mine = [self.socket(path, cookie) for path in ("/rpc", "/play/rooms")]
        theirs = [self.socket(path, other) for path in ("/rpc", "/play/rooms")]
        byToken = self.jsonRpc()
        self.post("/logout")
        self.harness.flush()
        for client in mine:
            self.assertClosed(client, 4001, "logged out")
        for client in (*theirs, byToken):
            self.assertFalse(client.isClosed)
        for path in ("/rpc", "/play/rooms"):
            self.assertEqual(self.status(path, cookie), 401)
            self.assertEqual(self.status(path, other), 101)

    def test_lifetime(self) -> None:
        """Sockets end with the session, also those that were opened late, and others after as long a time."""
        cookie = self.logIn()
        self.harness.clock.rightNow += SECONDS - 100
        late = [self.socket(path, cookie) for path in ("/rpc", "/play/rooms")]
        for _ in range(4):
            self.harness.clock.rightNow += LOOK
            self.harness.flush()
        for client in late:
            self.assertEqual(client.closeCode, 1001)
        self.assertEqual(
            (len(self.admin._playground._bySession), len(self.admin._sockets._bySession)), (0, 0)
        )

    def test_suspended(self) -> None:
        """Sockets end with the session also if the machine sleeps, while the server's clock stands still."""
        cookie = self.logIn()
        clients = [self.socket(path, cookie) for path in ("/rpc", "/play/rooms")]
        self.day += SECONDS
        self.harness.clock.rightNow += LOOK
        self.harness.flush()
        self.assertEqual([client.closeCode for client in clients], [1001] * 2)

    def test_forgotten(self) -> None:
        """Sockets that are closed are forgotten, and nothing is left to do then."""
        for path in ("/rpc", "/play/rooms"):
            self.socket(path, self.logIn()).close()
        self.harness.clock.rightNow += LOOK + 1
        self.harness.flush()
        for each in (self.admin._playground._bySession, self.admin._sockets._bySession):
            self.assertEqual((len(each), each._timer), (0, None))


class EndedTests(SynchronousTestCase):
    """The list of the sessions that have ended."""

    now = 1_700_000_000.0

    def setUp(self) -> None:
        self.ended = EndedSessions(lambda: self.now)

    def session(self, number: int, age: float = 0.0, role: Role = Role.MANAGE) -> Session:
        return Session(role, f"{number:032}", int(self.now - age) + SECONDS)

    def test_told(self) -> None:
        """Others are told of a session that ends here, and not of one that has ended elsewhere."""
        told: list[Session] = []
        seen: list[Session] = []
        self.ended.tell = told.append
        self.ended.onEnd.append(seen.append)
        mine, theirs, other = (self.session(number) for number in range(3))
        self.assertFalse(self.ended.isEnded(mine))
        self.ended.end(mine)
        self.ended.add(theirs)
        self.ended.add(mine)
        self.assertEqual((told, seen), ([mine], [mine, theirs]))
        self.assertEqual([self.ended.isEnded(each) for each in (mine, theirs, other)], [True, True, False])

    def test_alone(self) -> None:
        """Without others, nobody is told."""
        self.ended.end(self.session(1))
        self.assertTrue(self.ended.isEnded(self.session(1)))

    def test_bounded(self) -> None:
        """Those that have ended anyway are forgotten. If there are too many, all before end with them."""
        self.patch(endedsessions, "MOST", 3)
        for number in range(3):
            self.ended.end(self.session(number, SECONDS - 10))
        self.now += 20
        mine = [self.session(number) for number in range(10, 15)]
        for each in mine[:3]:
            self.ended.end(each)
        self.assertEqual([self.ended.isEnded(each) for each in mine], [True] * 3 + [False] * 2)
        self.ended.end(mine[3])
        self.assertEqual([self.ended.isEnded(each) for each in mine], [True] * 5)
        self.assertLessEqual(sum(len(each.byId) for each in self.ended.all), 3)
        self.assertFalse(self.ended.isEnded(self.session(9, role=Role.READ)))
        self.now += 2
        self.assertFalse(self.ended.isEnded(self.session(9)))

    def test_passedOn(self) -> None:
        """The whole list can be passed on, also that all sessions before a time have ended."""
        self.patch(endedsessions, "MOST", 3)
        mine = [self.session(number) for number in range(5)]
        for each in mine[:4]:
            self.ended.end(each)
        self.now += 2
        later = [self.session(number) for number in range(5, 7)]
        reader = self.session(7, role=Role.READ)
        for each in (later[0], reader):
            self.ended.end(each)
        passed = msgspec.json.decode(msgspec.json.encode(self.ended.all), type=list[endedsessions.Ends])
        other = EndedSessions(lambda: self.now, passed)
        for ended in (self.ended, other):
            found = [ended.isEnded(each) for each in (*mine, *later, reader, self.session(8, role=Role.READ))]
            self.assertEqual(found, [True] * 6 + [False, True, False])
