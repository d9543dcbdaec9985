"""Tests for who may send requests to the admin listener."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent
from twisted.web.http import Request

from tests.admin.case import READ, TOKEN, AdminCase, answerOf, request
from txroom.admin import api, guard
from txroom.core.refusallog import MAX_KINDS

ROOMS = "/api/v1/rooms"


class SecretTests(AdminCase):
    """Secrets."""

    def test_right(self) -> None:
        """Both secrets open the door."""
        self.start()
        for token in (TOKEN, READ):
            self.assertEqual(self.ask("GET", ROOMS, token=token).status, 200)

    def test_missing(self) -> None:
        """Without a secret, or with another scheme or two headers, there is nothing, whatever the path."""
        self.start()
        for path in (ROOMS, "/nix", "/api/v1/openapi.json"):
            self.assertEqual(self.refusal("GET", path, token=None)[0], 401)
        for value in (TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer ", f"Bearer {TOKEN} {TOKEN}"):
            answer = self.ask("GET", ROOMS, token=None, Authorization=value)
            self.assertEqual(answer.status, 401, value)
            self.assertEqual(answer.headers["www-authenticate"], 'Bearer realm="txroom"')
            self.harness.advance(2.0)
        twice = request("GET", ROOMS).replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer x\r\n\r\n")
        self.assertEqual(answerOf(self.connect(twice).output).status, 401)

    def test_notInPath(self) -> None:
        """A secret in the query isn't taken: it would be in logs."""
        self.start()
        self.assertEqual(self.ask("GET", f"{ROOMS}?token={TOKEN}", token=None).status, 401)
        self.assertEqual(self.refusal("GET", f"{ROOMS}?access_token={TOKEN}"), (400, "access_token"))

    def test_roles(self) -> None:
        """The secret of `read` changes nothing."""
        self.start()
        body = {"name": "chat"}
        self.assertEqual(self.refusal("POST", ROOMS, body, token=READ)[0], 403)
        self.assertFalse(self.harness.server.rooms.rooms)
        self.assertEqual(self.ask("POST", ROOMS, body).status, 201)

    def test_slow(self) -> None:
        """
        Wrong secrets of one address are answered ever more slowly; right ones, and other addresses, are not.
        """
        self.start()
        for _ in range(int(guard.WRONG_BURST)):
            self.assertEqual(answerOf(self.send("GET", ROOMS, token="x").output).status, 401)
        late = [self.send("GET", ROOMS, token="x") for _ in range(2)]
        self.assertEqual([client.output for client in late], [b"", b""])
        self.assertEqual(answerOf(self.send("GET", ROOMS).output).status, 200)
        self.assertEqual(answerOf(self.send("GET", ROOMS, token="x", peer="127.0.0.2").output).status, 401)
        self.harness.advance(1.1)
        self.assertEqual([bool(client.output) for client in late], [True, False])
        self.harness.advance(1.1)
        self.assertEqual([answerOf(client.output).status for client in late], [401, 401])
        self.assertTrue(all(client.isClosed for client in late))

    def test_flood(self) -> None:
        """Only so many answers wait; more wrong secrets disconnect clients, and right ones still work."""
        self.start()
        count = int(guard.WRONG_BURST) + guard.MOST_WAITING
        waiting = [self.send("GET", ROOMS, token="x") for _ in range(count)]
        dropped = self.send("GET", ROOMS, token="x")
        self.assertEqual((dropped.output, dropped.isClosed), (b"", True))
        self.assertEqual(answerOf(self.send("GET", ROOMS).output).status, 200)
        for client in waiting[-10:]:  # those who leave make room
            client.drop()
        self.assertFalse(self.send("GET", ROOMS, token="x").isClosed)
        self.harness.advance(guard.LONGEST_WAIT + 1.0)
        self.assertEqual([each.output != b"" for each in waiting[:-10]], [True] * (count - 10))

    def test_forgotten(self) -> None:
        """Only so many addresses are remembered."""
        buckets = guard.Buckets(1.0, 1.0)
        self.patch(guard, "MOST_ADDRESSES", 3)
        first = buckets.of("0", 0.0)
        for address in "1203":
            buckets.of(address, 0.0)
        self.assertIs(buckets.of("0", 0.0), first)  # used again, so "1" was forgotten
        self.assertEqual(len(buckets), 3)

    def test_logged(self) -> None:
        """Wrong secrets are logged with the address, and never shown."""
        self.start()
        with capturedLogs() as logs:
            self.send("GET", ROOMS, token="wrong-secret", peer="127.0.0.7")
            self.ask("POST", ROOMS, {"name": "chat"})
            self.ask("POST", ROOMS, {"name": "chat"}, token=READ)
        lines = [formatEvent(event) for event in logs]
        self.assertIn("admin: read from 127.0.0.1: POST /api/v1/rooms 403", lines)
        self.assertIn("admin request refused: wrong secret; /api/v1/rooms from 127.0.0.7", lines)
        self.assertIn("admin: manage from 127.0.0.1: POST /api/v1/rooms 201", lines)
        for secret in ("wrong-secret", TOKEN):
            self.assertFalse([event for event in logs if secret in repr(event)])

    def test_hidden(self) -> None:
        """Refusals with many paths, from one address, don't keep wrong secrets of another out of the log."""
        self.start()
        with capturedLogs() as logs:
            for number in range(2 * MAX_KINDS):
                self.send("GET", f"/nix/{number}", token=None, peer="127.0.0.7")
                self.send("GET", f"/nix/{number}", token="x", peer="127.0.0.7")
            self.send("GET", ROOMS, token="x", peer="127.0.0.8")
        lines = [formatEvent(event) or "" for event in logs]
        wrong = [line for line in lines if "wrong secret" in line]
        self.assertEqual(
            wrong,
            [
                "admin request refused: wrong secret; /nix/0 from 127.0.0.7",
                "admin request refused: wrong secret; /api/v1/rooms from 127.0.0.8",
            ],
        )
        self.assertEqual(len([line for line in lines if "no secret" in line]), MAX_KINDS)

    def test_unix(self) -> None:
        """
        A UNIX socket goes without secrets; if there are any, they are needed there too. The name of a site of
        its own is refused, since it may come from a page by way of a tunnel.
        """
        self.start("unix:/nowhere/admin", token=None, readToken=None)
        self.assertEqual(self.ask("GET", ROOMS, token=None, host="any").status, 200)
        self.assertEqual(self.ask("GET", ROOMS, token=None, host="any.example").status, 421)
        self.start("unix:/nowhere/admin")
        self.assertEqual(self.ask("GET", ROOMS, token=None).status, 401)
        self.assertEqual(self.ask("GET", ROOMS).status, 200)


class SiteTests(AdminCase):
    """Pages of other sites."""

    def test_host(self) -> None:
        """A name that isn't one of the listener is refused, even with the secret."""
        self.start(allowedHosts=["admin.example", "*.ours.example"])
        for host in (
            "localhost:9000",
            "127.0.0.1",
            "[::1]:9000",
            "10.1.2.3",
            "admin.example",
            "a.ours.example",
        ):
            self.assertEqual(self.ask("GET", ROOMS, host=host).status, 200, host)
        for host in ("evil.example", "admin.example.evil.example", "ours.example", "", "127.0.0.1.nip.io"):
            self.assertEqual(self.refusal("GET", ROOMS, host=host), (421, "Host"), host)
        self.assertIn("--admin-host", self.ask("GET", ROOMS, host="evil.example").json["detail"])
        none = request("GET", ROOMS).replace(b"Host: localhost\r\n", b"")
        self.assertEqual(answerOf(self.connect(none).output).status, 421)

    def test_origin(self) -> None:
        """A page of another site can send nothing, and learns nothing of CORS."""
        self.start()
        for origin in ("http://evil.example", "null", "http://localhost:1", "https://127.0.0.1"):
            answer = self.ask("GET", ROOMS, Origin=origin)
            self.assertEqual(answer.status, 403, origin)
            self.assertFalse([name for name in answer.headers if name.startswith("access-control")])
        same = self.ask("GET", ROOMS, host="localhost:9000", Origin="http://localhost:9000")
        self.assertEqual(same.status, 200)
        # With TLS, a page that came without it may be an attacker's.
        self.patch(Request, "isSecure", lambda request: True)
        for scheme, status in (("http", 403), ("https", 200), ("HTTPS", 200)):
            answer = self.ask("GET", ROOMS, host="localhost:9000", Origin=f"{scheme}://localhost:9000")
            self.assertEqual(answer.status, status)
        options = self.ask("OPTIONS", ROOMS, Origin="https://localhost")
        self.assertEqual((options.status, options.headers["allow"]), (405, "GET, POST, HEAD"))


class HeaderTests(AdminCase):
    """Headers that aren't ASCII."""

    def test_bytes(self) -> None:
        """They are refused, those that are read without a secret too."""
        ada = self.start().client().join("chat")
        for name, method, path in (
            ("Host", "GET", ROOMS),
            ("Origin", "GET", ROOMS),
            ("Idempotency-Key", "POST", ROOMS),
            ("Content-Type", "POST", ROOMS),
            ("Accept", "GET", f"{ROOMS}/{ada.id}/log"),
            ("Last-Event-ID", "GET", f"{ROOMS}/{ada.id}/log"),
        ):
            for value in (b"\xff\xfe", "é".encode()):
                headers = {name: "VALUE"}
                if name == "Last-Event-ID":
                    headers["Accept"] = "text/event-stream"
                token = None if name in ("Host", "Origin") else TOKEN
                body = {"name": "chat"} if method == "POST" else None
                data = request(method, path, body, token, **headers).replace(b"VALUE", value)
                answer = answerOf(self.connect(data).output)
                self.assertEqual((answer.status, answer.json["field"]), (400, name))
                self.assertEqual(answer.headers["content-type"], "application/problem+json")

    def test_broken(self) -> None:
        """An error of the checks themselves is a problem too, and is logged."""
        self.start()
        (admin,) = self.harness.server._admins
        for target, name in ((api, "onceOf"), (admin.guard, "admit")):
            self.patch(target, name, lambda *args: 1 // 0)
            self.assertEqual(self.refusal("POST", ROOMS, {"name": "chat"}), (500, ""))
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(self.harness.server.rooms.rooms)


class LimitTests(AdminCase):
    """Limits on requests."""

    def test_rate(self) -> None:
        """An address may send so many requests per second."""
        self.patch(guard, "RATE", 1.0)
        self.patch(guard, "BURST", 3.0)
        self.start()
        statuses = [self.send("GET", ROOMS).output[9:12] for _ in range(4)]
        self.assertEqual(statuses, [b"200", b"200", b"200", b"429"])
        answer = answerOf(self.send("GET", ROOMS).output)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (429, "1"))
        self.assertEqual(answerOf(self.send("GET", ROOMS, peer="127.0.0.2").output).status, 200)
        self.harness.advance(1.5)
        self.assertEqual(answerOf(self.send("GET", ROOMS).output).status, 200)
