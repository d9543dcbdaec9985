"""Tests that try to get past the checks of each route of the HTTP API."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from twisted.logger import capturedLogs, formatEvent

from tests.admin.case import READ, TOKEN, AdminCase, Answer
from tests.case import fired
from txroom.admin import site
from txroom.admin.routes import MOST_ID, Route, isOptional
from txroom.admin.secrets import Role
from txroom.testing import RoomHarness

#: A body that each route would take, by its name.
BODIES: dict[str, Any] = {
    "createRoom": {"name": "chat"},
    "publish": {"type": "news"},
    "setMetadata": {"metadata": {"hacked": True}},
    "kickMember": {"userId": "ada"},
    "notify": {"type": "news"},
    "notifyShort": {"type": "news"},
    "notifyAll": {"type": "news"},
}


class Sent(NamedTuple):
    """A request for a route."""

    route: Route
    method: str
    path: str
    body: Any


class RoutesTests(AdminCase):
    """All routes of the listener."""

    def start(self, *args: Any, **options: Any) -> RoomHarness:
        harness = super().start(*args, **options)
        self.ada = harness.client().join("chat")
        self.before = self.state()
        return harness

    def state(self) -> Any:
        """What requests could change."""
        inspected = self.ask("GET", f"/api/v1/rooms/{self.ada.id}?members=100", token=READ)
        return inspected.json, sorted(self.harness.server.rooms.rooms)

    def requests(self, room: str = "") -> list[Sent]:
        """A request for each route, which would be carried out."""
        (admin,) = self.harness.server._admins
        found = []
        for route in admin._routes(self.harness.server):
            path = route.path.replace("{room}", room or self.ada.id).replace("{userId}", "ada")
            assert "{" not in path, path
            body = None if route.body is None else BODIES.get(route.name, {})
            found.append(Sent(route, route.method, path, body))
        self.assertGreater(len(found), 15)
        return found

    def refused(self, status: int, sent: Sent, field: str | None = None, **more: Any) -> Answer:
        """Send a request that is refused, and changes nothing."""
        body = more.pop("body", sent.body)
        answer = self.ask(more.pop("method", sent.method), more.pop("path", sent.path), body, **more)
        self.assertEqual(answer.status, status, (sent, answer))
        if sent.method != "HEAD":
            self.assertEqual(answer.headers["content-type"], "application/problem+json")
            if field is not None:
                self.assertEqual(answer.json.get("field", ""), field, sent)
        return answer

    def unchanged(self) -> None:
        """Nothing has been changed, also when time has passed."""
        self.harness.advance(60.0)
        self.assertEqual(self.state(), self.before)
        self.ada.expectNone()
        (first,) = fired(self.harness.server.notify("ada", "news"))
        self.assertEqual(first.n, 1)

    def test_role(self) -> None:
        """Each route that is no plain GET or query needs the role `manage`, and says so."""
        self.start()
        for sent in self.requests():
            isReading = sent.method == "GET" or sent.route.name == "queryRooms"
            self.assertEqual(sent.route.role, Role.READ if isReading else Role.MANAGE, sent)
            if isReading:
                self.assertEqual(self.ask(sent.method, sent.path, sent.body, token=READ).status, 200, sent)
            else:
                self.refused(403, sent, token=READ)
                self.refused(403, sent, token=READ, Idempotency_Key="x")
        self.unchanged()

    def test_secret(self) -> None:
        """Each route needs a secret, one that is whole, and nowhere but in its header."""
        self.start()
        for sent in self.requests():
            self.refused(401, sent, token=None)
            self.refused(401, sent, token=None, path=f"{sent.path}?access_token={TOKEN}")
            self.refused(401, sent, token=None, X_Authorization=f"Bearer {TOKEN}", Cookie=f"token={TOKEN}")
            for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), READ[:32], "", "*"):
                self.refused(401, sent, token=wrong)
                self.harness.advance(2.0)
        self.unchanged()

    def test_site(self) -> None:
        """No page of another site gets through, and no name that leads here."""
        self.start()
        for sent in self.requests():
            self.refused(421, sent, "Host", host="evil.example")
            self.refused(403, sent, "Origin", Origin="http://evil.example")
            self.refused(403, sent, "Origin", Origin="null")
        self.unchanged()

    def test_form(self) -> None:
        """A body that a form of any page could send is refused, and one where none is expected."""
        self.start()
        for sent in self.requests():
            if sent.route.body is None:
                self.refused(400, sent, body={})
                continue
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
                self.refused(415, sent, "Content-Type", Content_Type=kind)
        self.unchanged()

    def test_wrong(self) -> None:
        """Bodies and queries that aren't what is asked for are refused, and so are long ones."""
        self.start()
        for sent in self.requests():
            self.refused(400, sent, "hacked", path=f"{sent.path}?hacked=1")
            if sent.route.body is not None:
                bodies = (b"[]", b"null", b"{", b"\xff", b"{}{}", b"[" * 60_000)
                for body in bodies if isOptional(sent.route.body) else (b"", *bodies):
                    self.refused(400, sent, body=body)
                self.refused(400, sent, "hacked", body={**sent.body, "hacked": 1})
                self.refused(413, sent, body=b" " * (site.MOST_BODY + 1))
                self.harness.advance(site.LINGER + 0.1)
        self.unchanged()

    def test_path(self) -> None:
        """A path that only looks like that of a route isn't there."""
        self.start()
        for sent in self.requests():
            for path in (
                sent.path + "/",
                "/" + sent.path,
                sent.path.replace("/v1/", "/v1/./").replace("/api/n", "/api/./n"),
                sent.path.replace("/api/", "/api/x/../"),
                sent.path.replace("/api/", "/api%2f"),
                sent.path + "%00",
                sent.path + "%0d%0aX:%20y",
                sent.path + ";x",
                f"http://localhost{sent.path}",
                sent.path.replace("/api/", "/API/"),
            ):
                answer = self.ask(sent.method, path, sent.body)
                # What a parameter at the end takes is the id of a room or a user that isn't there.
                isId = sent.route.path.endswith("}") and re.search(r"(%00|%0d.*|;x)$", path)
                self.assertTrue(answer.status in (404, 405) or isId, (path, answer))
                self.assertNotIn("x", answer.headers)
            if sent.route.params:
                for wrong in ("x" * (MOST_ID + 1), "", "%ff", "%ed%a0%80"):
                    path = sent.route.path.replace("{room}", wrong).replace("{userId}", wrong)
                    self.refused(404, sent, path=path)

    def test_method(self) -> None:
        """No other method does anything, also one that a header asks for."""
        self.start()
        taken: dict[str, set[str]] = {}
        for sent in self.requests():
            taken.setdefault(sent.path, set()).add(sent.method)
        for sent in self.requests():
            others = {"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "get"} - taken[sent.path]
            for method in sorted(others):
                answer = self.refused(405, sent, method=method)
                allowed = set(answer.headers["allow"].split(", "))
                self.assertEqual(allowed - {"HEAD"}, taken[sent.path])
                self.refused(405, sent, method=method, X_HTTP_Method_Override=sent.method)
        self.unchanged()

    def test_key(self) -> None:
        """A key is taken by what changes something, except for what can't be carried out only once."""
        self.start()
        for sent in self.requests():
            if sent.route.takesKey:
                for wrong in ("", "x" * 256, "a b"):
                    self.refused(400, sent, "Idempotency-Key", Idempotency_Key=wrong)
            else:
                self.refused(400, sent, "Idempotency-Key", Idempotency_Key="x")
                self.assertTrue(sent.route.role is Role.READ or sent.route.name == "notifyAll", sent)
        self.unchanged()

    def test_missing(self) -> None:
        """Nothing happens to a room that isn't there."""
        self.start()
        for sent in self.requests("nix"):
            if "{room}" in sent.route.path:
                self.refused(404, sent)
                if sent.route.takesKey:
                    self.refused(404, sent, Idempotency_Key="x")
        self.unchanged()

    def test_log(self) -> None:
        """Each change is logged, on one line, whatever its path and key are; what only reads is not."""
        self.start()
        for sent in self.requests("a%0a%1b%5b2J%7Brole%7Db"):
            with capturedLogs() as logs:
                self.ask(
                    sent.method,
                    sent.path,
                    sent.body,
                    **{"Idempotency_Key": "{x}"} if sent.route.takesKey else {},
                )
            lines = [formatEvent(event) or "" for event in logs]
            changes = [line for line in lines if line.startswith("admin: ")]
            self.assertEqual(len(changes), sent.route.changes, (sent, lines))
            for line in lines:
                self.assertTrue(line.isprintable() and line.isascii(), line)
                self.assertNotIn(TOKEN, line)

    def test_body(self) -> None:
        """What a wrong body says comes back as JSON only, so that nothing can be injected."""
        self.start()
        path = f"/api/v1/rooms/{self.ada.id}/publish"
        evil = '"}\r\nX: <script>\x00'
        answer = self.ask("POST", path, {"type": "x", evil: 1})
        self.assertEqual(answer.status, 400)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertIn(evil, answer.json["field"])
        self.assertEqual(self.ask("GET", f"/api/v1/rooms?{quote(evil)}=1").json["field"], evil)
        self.assertEqual(msgspec.json.decode(answer.body)["status"], 400)
        self.unchanged()
