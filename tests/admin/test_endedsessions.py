"""What ends when an operator logs out: the session at all workers, and its sockets."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tests.admin.case import TOKEN, answerOf
from tests.admin.rpccase import RpcCase
from tests.engine.redis.nodes import NodesTestCase
from txroom.admin import endedsessions
from txroom.admin.endedsessions import EndedSessions
from txroom.admin.secrets import Role
from txroom.admin.session import SECONDS, Session
from txroom.admin.sessionsockets import LOOK
from txroom.testing import Client

ORIGIN = "http://127.0.0.1:9000"


def session(id: str, now: float = 0.0, role: Role = Role.MANAGE) -> Session:
    """A session that has just begun."""
    return Session(role, id, int(now) + SECONDS)


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

    def test_forgotten(self) -> None:
        """Sockets that are closed are forgotten, and nothing is left to do then."""
        for path in ("/rpc", "/play/rooms"):
            self.socket(path, self.logIn()).close()
        self.harness.clock.rightNow += LOOK + 1
        self.harness.flush()
        for each in (self.admin._playground._bySession, self.admin._sockets._bySession):
            self.assertEqual((len(each), each._timer), (0, None))


class EndedTests(NodesTestCase):
    """Sessions that several workers accept."""

    def setUp(self) -> None:
        super().setUp()
        self.first, self.second = self.start()
        self.advance(3)

    def of(self, node: Any) -> EndedSessions:
        ended = EndedSessions(node.harness.server.cluster, self.clock)
        ended.begin()
        return ended

    def test_others(self) -> None:
        """The others are told at once; a worker that comes later asks them when it first needs to know."""
        one, other = self.of(self.first), self.of(self.second)
        told: list[Session] = []
        other.onEnd.append(told.append)
        mine = session("a" * 32, self.clock.seconds())
        self.assertFalse(other.isEnded(mine))
        one.end(mine)
        self.assertTrue(one.isEnded(mine))
        self.settle()
        self.assertTrue(other.isEnded(mine))
        self.assertEqual(told, [mine])
        self.assertFalse(one.isEnded(session("b" * 32, self.clock.seconds())))

    def test_later(self) -> None:
        """A worker without any knowledge gets it."""
        one = self.of(self.first)
        mine = session("a" * 32, self.clock.seconds())
        one.end(mine)
        self.settle()
        later = self.of(self.second)
        later.isEnded(mine)
        self.settle()
        self.assertTrue(later.isEnded(mine))

    def test_bounded(self) -> None:
        """Those that have ended anyway are forgotten. If there are too many, all before end with them."""
        self.patch(endedsessions, "MOST", 3)
        ended = self.of(self.first)
        for number in range(3):
            ended.end(session(f"{number:032}", self.clock.seconds() - SECONDS + 10))
        self.clock.advance(20)
        now = self.clock.seconds()
        mine = [session(f"{number:032}", now) for number in range(10, 15)]
        for each in mine[:3]:
            ended.end(each)
        self.assertEqual([ended.isEnded(each) for each in mine], [True] * 3 + [False] * 2)
        ended.end(mine[3])
        self.assertEqual([ended.isEnded(each) for each in mine], [True] * 5)
        self.assertLessEqual(len(ended._ended[Role.MANAGE]), 3)
        self.assertFalse(ended.isEnded(session("9" * 32, now, Role.READ)))
        self.clock.advance(2)
        self.assertFalse(ended.isEnded(session("9" * 32, self.clock.seconds())))
