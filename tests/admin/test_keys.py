"""Tests for idempotency keys."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent

from tests.admin.case import AdminCase

ROOMS = "/api/v1/rooms"
KEY = "5e1f3a0c-key"


class KeyTests(AdminCase):
    """Requests that are sent again."""

    def test_once(self) -> None:
        """A request with the same key is carried out once, and has the same answer."""
        ada = self.start().client().join("chat")
        path = f"{ROOMS}/{ada.id}/publish"
        body = {"type": "news", "data": 1}
        with capturedLogs() as logs:
            answers = [self.ask("POST", path, body, Idempotency_Key=KEY).json for _ in range(3)]
        self.assertEqual(answers, [answers[0]] * 3)
        self.assertEqual(ada.expect("news"), 1)
        ada.expectNone("news")
        self.assertEqual(self.ask("POST", path, body, Idempotency_Key="other").status, 200)
        self.assertEqual(ada.expect("news"), 1)
        line = f"admin: manage from 127.0.0.1: POST {path} 200, key {KEY}"
        self.assertEqual([formatEvent(event) for event in logs].count(line), 3)

    def test_reused(self) -> None:
        """The same key with another body, path or query is refused, and nothing is done."""
        ada = self.start().client().join("chat")
        room = f"{ROOMS}/{ada.id}"
        self.ask("POST", f"{room}/publish", {"type": "news"}, Idempotency_Key=KEY)
        ada.expect("news")
        for method, path, body in (
            ("POST", f"{room}/publish", {"type": "other"}),
            ("POST", f"{room}/lock", {}),
            ("DELETE", room, None),
        ):
            refused = self.refusal(method, path, body, Idempotency_Key=KEY)
            self.assertEqual(refused, (422, "Idempotency-Key"))
        self.assertFalse(self.ask("GET", room).json["isLocked"])
        self.assertEqual(self.ask("POST", f"{room}/lock", {}, Idempotency_Key="other").status, 204)
        refused = self.refusal("POST", f"{room}/private", {}, Idempotency_Key="other")
        self.assertEqual(refused, (422, "Idempotency-Key"))
        ada.expectNone()

    def test_same(self) -> None:
        """A request is the same if it asks for the same, however its path is written."""
        ada = self.start().client().join("chat")
        for room in (ada.id, f"%{ord(ada.id[0]):x}{ada.id[1:]}"):
            path = f"{ROOMS}/{room}/publish"
            answer = self.ask("POST", path, {"type": "news"}, Idempotency_Key=KEY)
            self.assertEqual((answer.status, answer.json["offset"]), (200, 1), path)

    def test_wrong(self) -> None:
        """A key that is empty, long, has other characters or is for nothing is refused."""
        ada = self.start().client().join("chat")
        path = f"{ROOMS}/{ada.id}/publish"
        for key in ("", "x" * 256, "a b", "\x7f"):
            refused = self.refusal("POST", path, {"type": "x"}, Idempotency_Key=key)
            self.assertEqual(refused, (400, "Idempotency-Key"), key)
        self.assertEqual(self.refusal("GET", ROOMS, Idempotency_Key=KEY), (400, "Idempotency-Key"))
        ada.expectNone()
        self.assertEqual(self.ask("POST", path, {"type": "x"}, Idempotency_Key="x" * 255).status, 200)

    def test_create(self) -> None:
        """A room is created once; when it has ended, a request with its key creates no other."""
        self.start()
        body = {"name": "chat"}
        rooms = [self.ask("POST", ROOMS, body, Idempotency_Key=KEY).json["room"] for _ in range(2)]
        self.assertEqual(rooms[0], rooms[1])
        self.assertEqual(len(self.harness.server.rooms.rooms), 1)
        other = {"name": "chat", "options": {"topic": "x"}}
        refused = self.refusal("POST", ROOMS, other, Idempotency_Key=KEY)
        self.assertEqual(refused, (422, "Idempotency-Key"))
        self.ask("DELETE", f"{ROOMS}/{rooms[0]}")
        self.harness.advance(1.0)
        self.assertEqual(self.refusal("POST", ROOMS, body, Idempotency_Key=KEY)[0], 410)
