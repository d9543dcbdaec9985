"""The sockets of the server's own applications, through the admin listener."""

from __future__ import annotations

from typing import Any

from tests.admin.rpccase import READ, TOKEN, RpcCase
from tests.case import Recorder
from txroom import Accept, Handshake


class TestPlayground(RpcCase):
    def setUp(self) -> None:
        self.seen: list[Handshake] = []
        self.start()
        self.harness.server.rooms.verifyClient = self.verify

    def verify(self, handshake: Handshake) -> Accept:
        self.seen.append(handshake)
        return Accept({"id": "ada"})

    def status(self, path: str, token: str | None = TOKEN, **options: Any) -> int:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = self.harness.connect(path, headers, (), peer="127.0.0.1", to=self.to, **options)
        assert client.response is not None
        return client.response.status

    def test_rooms(self) -> None:
        """A client joins a room of the server, whose hooks run as always but don't get the secret."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Cookie": "txroom-admin-9000=x.y.z; theirs=1"}
        for path in ("/play", "/play/rooms"):
            client = self.harness.client(path, headers, peer="127.0.0.1", to=self.to)
            room = client.join("chat")
            self.assertIn(room.id, [each.id for each in self.harness.rooms])
            handshake = self.seen[-1]
            self.assertEqual(
                (handshake.path, handshake.host, handshake.origin), ("/rooms", "localhost", None)
            )
            self.assertEqual(
                (handshake.cookies, handshake.headers.get("authorization")), ({"theirs": "1"}, None)
            )
            self.assertEqual(handshake.peer, "127.0.0.1")
        self.assertEqual([each.user for each in self.harness.server.connections], [{"id": "ada"}] * 2)
        self.assertEqual(self.admin._site.channels, set())

    def test_plain(self) -> None:
        """Other applications are reached too, those of other hosts included, with the query."""
        application = Recorder()
        self.harness.server.addApplication(application, host="game.example", path="/echo")
        self.assertEqual(self.status("/play/echo?a=1"), 101)
        handshake = application.connection.handshake
        self.assertEqual((handshake.target, handshake.host), ("/echo?a=1", "game.example"))

    def test_hosts(self) -> None:
        """The name of the admin listener need not be one of the server's."""
        self.harness.server.rooms.overrides = {"allowedHosts": ("*.example.org",)}
        self.assertEqual(self.status("/play/rooms"), 101)
        self.assertEqual(self.seen[-1].host, "localhost.example.org")

    def test_origin(self) -> None:
        """A browser has the origin of a page of the server, also if the server requires one."""
        self.harness.server.rooms.overrides = {"requireOrigin": True}
        self.assertEqual(self.status("/play/rooms"), 403)
        self.assertEqual(
            self.status("/play/rooms", origin="http://127.0.0.1:9000", host="127.0.0.1:9000"), 101
        )
        self.assertEqual((self.seen[-1].origin, self.seen[-1].host), ("http://localhost", "localhost"))

    def test_refused(self) -> None:
        """Who may only read doesn't get there, nor anybody from elsewhere; the rest is as at the server."""
        self.assertEqual(self.status("/play", READ), 403)
        self.assertEqual(self.status("/play", None), 401)
        self.assertEqual(self.status("/play", origin="http://evil.example"), 403)
        self.assertEqual(self.status("/play/nothing"), 404)
        self.assertEqual(self.status("/play/rooms/nothing"), 404)
        self.assertEqual(self.status("/playing"), 404)
        self.assertEqual(self.ask("GET", "/play").status, 426)
        self.assertEqual(self.seen, [])
