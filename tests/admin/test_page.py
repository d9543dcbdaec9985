"""Tests for the operators' page: its files, and how one logs in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from twisted.logger import capturedLogs, formatEvent

from tests.admin.case import READ, TOKEN, AdminCase, Answer, answerOf
from txroom.admin import guard, sessions
from txroom.admin.endedsessions import EndedSessions
from txroom.admin.secrets import Role, Secrets
from txroom.admin.session import SECONDS
from txroom.service.workerplace import WorkerPlace

ROOMS = "/api/v1/rooms"
FORM = "application/x-www-form-urlencoded"
HOST = "localhost:9000"


def form(**fields: str) -> bytes:
    return urlencode(fields).encode()


class PageCase(AdminCase):
    """A browser at the listener."""

    def logIn(self, secret: str = TOKEN, **more: str) -> Answer:
        headers = {"Origin": "http://localhost:9000", "Content_Type": FORM, **more}
        return self.post("/login", form(secret=secret), **headers)

    def post(self, path: str, body: bytes, host: str = HOST, **headers: str) -> Answer:
        client = self.connect(raw("POST", path, host, body, headers))
        for _ in range(400):
            if client.response is not None:
                break
            self.harness.advance(0.05)
        answer = answerOf(client.output)
        client.drop()
        return answer

    def cookieOf(self, answer: Answer) -> str:
        return answer.headers["set-cookie"].partition(";")[0]

    def open(self, cookie: str, path: str = "/", host: str = HOST, **headers: str) -> Answer:
        return self.ask("GET", path, token=None, host=host, Cookie=cookie, **headers)

    def isLoggedIn(self, cookie: str, **more: str) -> bool:
        answer = self.open(cookie, **more)
        self.assertEqual(answer.status, 200)
        return b'name="secret"' not in answer.body


def raw(method: str, path: str, host: str, body: bytes, headers: dict[str, str]) -> bytes:
    fields = {"Host": host, "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


class LoginTests(PageCase):
    """From the form to a session."""

    def test_form(self) -> None:
        """Without a session the page is a form, which needs no script; browsers don't keep it."""
        self.start()
        answer = self.open("")
        self.assertEqual((answer.status, answer.headers["cache-control"]), (200, "no-store"))
        self.assertIn(b'<form method="post" action="/login"', answer.body)
        self.assertNotIn(b'role="alert"', answer.body)

    def test_roles(self) -> None:
        """The secret begins a session of its role, and the cookie can't be read by scripts."""
        self.start()
        for secret, role in ((TOKEN, "manage"), (READ, "read")):
            with capturedLogs() as logs:
                answer = self.logIn(f" {secret}\n")
            self.assertEqual((answer.status, answer.headers["location"]), (303, "/"))
            self.assertEqual(
                answer.headers["set-cookie"].split("; ")[1:],
                ["Path=/", "HttpOnly", "SameSite=Strict", f"Max-Age={12 * 3600}"],
            )
            cookie = self.cookieOf(answer)
            self.assertIn(f'data-role="{role}" data-login="yes"'.encode(), self.open(cookie).body)
            self.assertNotIn(secret, answer.headers["set-cookie"])
            lines = [formatEvent(event) for event in logs]
            self.assertIn(f"admin: {role} from 127.0.0.1: logged in", lines)
            self.assertFalse([event for event in logs if secret in repr(event)])

    def test_wrong(self) -> None:
        """A wrong secret shows the form again, with the error; a right one later works."""
        self.start()
        for secret in ("x", ""):
            with capturedLogs() as logs:
                answer = self.logIn(secret)
            self.assertEqual(answer.status, 401)
            self.assertIn(b'role="alert"', answer.body)
            self.assertNotIn("set-cookie", answer.headers)
            line = "admin request refused: wrong secret; /login from 127.0.0.1"
            self.assertTrue(secret == "" or line in [formatEvent(event) for event in logs])
        self.assertEqual(self.logIn().status, 303)

    def test_slow(self) -> None:
        """Wrong secrets are slowed down together with those in headers."""
        self.start()
        for _ in range(int(guard.WRONG_BURST)):
            self.assertEqual(answerOf(self.send("GET", ROOMS, token="x").output).status, 401)
        client = self.connect(raw("POST", "/login", HOST, form(secret="x"), {"Content_Type": FORM}))
        self.assertEqual(client.output, b"")
        self.harness.advance(1.1)
        self.assertEqual(answerOf(client.output).status, 401)
        client.drop()
        waiting = [self.send("GET", ROOMS, token="x") for _ in range(guard.MOST_WAITING + 1)]
        self.assertTrue(waiting[-1].isClosed)
        client = self.connect(raw("POST", "/login", HOST, form(secret="x"), {"Content_Type": FORM}))
        self.assertEqual((client.output, client.isClosed), (b"", True))

    def test_refused(self) -> None:
        """What isn't such a form, or comes from a page of another site, begins no session."""
        self.start()
        for status, more in (
            (403, {"Origin": "http://evil.example"}),
            (403, {"Origin": "http://localhost:9001"}),
            (403, {"Origin": "null"}),
            (415, {"Content_Type": "text/plain"}),
            (415, {"Content_Type": "application/json"}),
        ):
            answer = self.logIn(**more)
            self.assertEqual(answer.status, status, more)
            self.assertNotIn("set-cookie", answer.headers)
        many = form(**{f"a{number}": "1" for number in range(20)})
        self.assertEqual(self.post("/login", many, Content_Type=FORM).status, 400)
        self.assertEqual(self.post("/login", b"\xff=\xff", Content_Type=FORM).status, 400)
        self.assertEqual(
            self.post("/login", form(secret=TOKEN), "evil.example", Content_Type=FORM).status, 421
        )

    def test_secure(self) -> None:
        """Over TLS, also of a proxy, the cookie goes over TLS only."""
        self.start(allowedHosts=["admin.example"])
        answer = self.post(
            "/login",
            form(secret=TOKEN),
            "admin.example",
            Content_Type=FORM,
            Origin="https://admin.example",
        )
        self.assertTrue(answer.headers["set-cookie"].endswith("; Secure"))
        self.assertTrue(self.isLoggedIn(self.cookieOf(answer), host="admin.example"))

    def test_unix(self) -> None:
        """Where nobody needs a secret, nobody logs in; a browser in a tunnel must ask for a right name."""
        self.start("unix:/nowhere/admin", token=None, readToken=None)
        self.assertIn(b'data-role="manage" data-login="no"', self.open("").body)
        answer = self.logIn("x")
        self.assertEqual((answer.status, "set-cookie" in answer.headers), (303, False))
        self.assertEqual(self.open("", host="evil.example:9000").status, 421)
        self.assertEqual(self.open("", host="evil.example", Origin="http://evil.example").status, 421)
        self.assertEqual(self.ask("GET", ROOMS, token=None, host="evil.example:9000").status, 421)


class SessionTests(PageCase):
    """Cookies."""

    def test_end(self) -> None:
        """A session ends when one logs out, for copies of the cookie too, or after its time."""
        self.start()
        cookie = self.cookieOf(self.logIn())
        answer = self.post("/logout", b"", Cookie=cookie, Origin="http://localhost:9000")
        self.assertEqual((answer.status, answer.headers["location"]), (303, "/"))
        self.assertIn("; Max-Age=0", answer.headers["set-cookie"])
        self.assertFalse(self.isLoggedIn(self.cookieOf(answer)))
        self.assertEqual(self.post("/logout", b"", Origin="http://evil.example").status, 403)
        self.assertFalse(self.isLoggedIn(cookie))
        cookie = self.cookieOf(self.logIn())
        self.harness.clock.advance(SECONDS - 5.0)
        self.assertTrue(self.isLoggedIn(cookie))
        self.harness.clock.advance(10.0)
        self.assertFalse(self.isLoggedIn(cookie))

    def test_forged(self) -> None:
        """Whatever is changed in a cookie makes it worthless; others beside it don't matter."""
        self.start()
        read, manage = (self.cookieOf(self.logIn(secret)) for secret in (READ, TOKEN))
        name, _, value = read.partition("=")
        role, end, id, signature = value.split(".")
        for forged in (
            f"manage.{end}.{id}.{signature}",
            f"{role}.{int(end) + 1}.{id}.{signature}",
            f"{role}.{end}.{'0' * 32}.{signature}",
            f"{role}.{end}.{id}.{signature[:-1]}0{signature[-1]}",
            f"{role}.{end}.{id}.{'0' * 64}",
            f"{role}.{end}.{id}",
            f"{role}.{end}.{signature}",
            f"admin.{end}.{id}.{signature}",
            f"{role}.{'9' * 13}.{id}.{signature}",
            "",
            "..",
        ):
            self.assertFalse(self.isLoggedIn(f"{name}={forged}"), forged)
        self.assertFalse(self.isLoggedIn(f"other={value}"))
        self.assertFalse(self.isLoggedIn(read, host="localhost:9001"))
        self.assertTrue(self.isLoggedIn(f"{name}=x; a=b;{read}; c"))
        self.assertIn(b'"manage"', self.open(manage).body)

    def test_keys(self) -> None:
        """The key is another one after each start and for another secret."""
        secrets = Secrets(TOKEN, READ)
        ended = EndedSessions(lambda: self.day)
        value = sessions.Sessions(secrets, b"a", ended).value(Role.READ)
        for given, seed, isRight in (
            (secrets, b"a", True),
            (Secrets(None, READ), b"a", True),
            (secrets, b"b", False),
            (Secrets(TOKEN, READ + "x"), b"a", False),
            (Secrets(TOKEN), b"a", False),
        ):
            found = sessions.Sessions(given, seed, ended)._checked(value)
            self.assertEqual(None if found is None else found.role, Role.READ if isRight else None)
        self.start()
        cookie = self.cookieOf(self.logIn())
        self.start()
        self.assertFalse(self.isLoggedIn(cookie))

    def test_workers(self) -> None:
        """Each worker accepts the sessions of the others, but not those of another start of their parent."""
        self.place = WorkerPlace(1, 100, b"a")
        self.start()
        cookie = self.cookieOf(self.logIn())
        for place, isOurs in (
            (WorkerPlace(2, 100, b"a"), True),
            (WorkerPlace(1, 100, b"b"), False),
            (WorkerPlace(1, 100), False),
        ):
            self.place = place
            self.start()
            self.assertEqual(self.isLoggedIn(cookie), isOurs, place)

    def test_reboot(self) -> None:
        """A session ends at a time of day: the clock of the server counts from 0 again after a reboot."""
        self.place = WorkerPlace(1, 100, b"a")
        self.start()
        cookie = self.cookieOf(self.logIn())
        for seconds, isOn in ((SECONDS - 5, True), (10, False), (30 * 86400, False)):
            self.day += seconds
            self.start()
            self.assertEqual(self.isLoggedIn(cookie), isOn, seconds)

    def test_suspended(self) -> None:
        """A session also ends while the machine sleeps, though the clock of the server stands still then."""
        self.start()
        cookie = self.cookieOf(self.logIn())
        self.day += SECONDS + 1
        self.assertFalse(self.isLoggedIn(cookie))

    def test_notForApi(self) -> None:
        """The HTTP API doesn't take the cookie."""
        self.start()
        cookie = self.cookieOf(self.logIn())
        origin = {"Origin": "http://localhost:9000"}
        self.assertEqual(self.open(cookie, ROOMS, **origin).status, 401)


class FileTests(PageCase):
    """Pages and files."""

    def test_headers(self) -> None:
        """No page of another site can use them, and nothing from elsewhere is loaded."""
        self.start()
        for path in ("/", "/admin.css", "/theme.js", "/txroom.js"):
            headers = self.open("", path).headers
            self.assertEqual(
                headers["content-security-policy"],
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
            )
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertEqual(headers["referrer-policy"], "same-origin")
            self.assertEqual(headers["cross-origin-resource-policy"], "same-origin")
            self.assertEqual(headers["cross-origin-opener-policy"], "same-origin")

    def test_changed(self) -> None:
        """Browsers ask whether a file has changed."""
        self.start()
        answer = self.open("", "/admin.css")
        self.assertEqual((answer.status, answer.headers["cache-control"]), (200, "no-cache"))
        self.assertEqual(answer.headers["content-type"], "text/css; charset=utf-8")
        again = self.ask("GET", "/admin.css", token=None, If_None_Match=answer.headers["etag"])
        self.assertEqual((again.status, again.body), (304, b""))

    def test_methods(self) -> None:
        """Other methods, paths and names are refused as everywhere."""
        self.start()
        for path, allowed in (("/", "GET, HEAD"), ("/admin.css", "GET, HEAD"), ("/login", "POST, GET, HEAD")):
            answer = self.ask("PUT", path, token=None)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, allowed))
        for path in ("/index.html", "/login.html", "/nix.js", "/web/admin.css", "/../guard.py"):
            self.assertEqual(self.refusal("GET", path)[0], 404)
        self.assertEqual(self.open("", "/login").status, 303)
        self.assertEqual(self.open("", "/", host="evil.example").status, 421)
        answer = self.ask("HEAD", "/", token=None)
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/html; charset=utf-8"))

    def test_rate(self) -> None:
        """Also those who have not logged in may send so many requests per second."""
        self.patch(guard, "RATE", 1.0)
        self.patch(guard, "BURST", 2.0)
        self.start()
        statuses = [self.open("", path).status for path in ("/", "/admin.css", "/")]
        self.assertEqual(statuses, [200, 200, 429])


class GuardTests(PageCase):
    """Requests for which the cookie will do: those for the page's WebSocket."""

    def test_session(self) -> None:
        """It will, if the page says with its Origin who sends it; the secret will too."""
        self.start()
        cookie = self.cookieOf(self.logIn())
        origin = "http://localhost:9000"
        self.assertEqual(self.status(origin, Cookie=cookie), 101)
        self.assertEqual(self.status(None, Cookie=cookie), 401)
        self.assertEqual(self.status("http://evil.example", Cookie=cookie), 403)
        self.assertEqual(self.status(origin), 401)
        self.assertEqual(self.status(None, Authorization=f"Bearer {TOKEN}"), 101)

    def status(self, origin: str | None, **headers: str) -> int:
        """The status of the answer to a request for the WebSocket."""
        port: Any = self.harness.server.adminPorts[0]
        client = self.harness.connect(
            "/rpc", headers, host="localhost:9000", origin=origin, peer="127.0.0.1", to=port.factory
        )
        assert client.response is not None
        return client.response.status
