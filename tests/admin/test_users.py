"""Tests for the part of the HTTP API that is about users."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import succeed

from tests.admin.case import READ, AdminCase
from txroom import Accept
from txroom.admin.problems import Problem
from txroom.admin.users import checkedSend
from txroom.service.cluster import ClusterMember, FoundMembers
from txroom.service.users import FoundUser, UserConnection
from txroom.testing import RoomHarness

USERS, NOTIFY = "/api/v1/users", "/api/v1/notify"


class UsersCase(AdminCase):
    """A server whose clients say who they are."""

    def start(self, *args: object, **options: object) -> RoomHarness:
        harness = super().start()
        harness.server.rooms.verifyClient = lambda handshake: Accept(user=handshake.query.get("user", "ada"))
        return harness


class UserTests(UsersCase):
    """Users."""

    def test_find(self) -> None:
        """A user is found with its connections and rooms."""
        harness = self.start()
        room = harness.client().join("chat")
        info = self.ask("GET", f"{USERS}/ada", token=READ).json
        self.assertEqual((info["userId"], info["unanswered"]), ("ada", []))
        (connection,) = info["connections"]
        self.assertEqual(connection["path"], "/rooms")
        self.assertEqual((info["connectionCount"], info["roomCount"]), (1, 1))
        (place,) = info["rooms"]
        self.assertEqual((place["room"], place["member"]), (room.id, room.member))
        nobody = self.ask("GET", f"{USERS}/n%2Fb").json
        self.assertEqual((nobody["userId"], nobody["connections"], nobody["rooms"]), ("n/b", [], []))

    def test_kick(self) -> None:
        """A user leaves all rooms."""
        harness = self.start()
        room = harness.client().join("chat")
        self.assertEqual(self.refusal("POST", f"{USERS}/ada/kick", {}, token=READ)[0], 403)
        answer = self.ask("POST", f"{USERS}/ada/kick", {"reason": "go"})
        self.assertEqual(answer.json, {"rooms": {room.id: 1}, "unanswered": []})
        self.assertIsNotNone(room.closeInfo)

    def test_kickAgain(self) -> None:
        """A key may be given, but the user is kicked for each request; one for all users takes no key."""
        harness = self.start()
        for _ in range(2):
            room = harness.client().join("chat")
            answer = self.ask("POST", f"{USERS}/ada/kick", {}, Idempotency_Key="x")
            self.assertEqual(answer.json, {"rooms": {room.id: 1}, "unanswered": []})
        refused = self.refusal("POST", f"{USERS}/ada/kick", {}, Idempotency_Key="a b")
        self.assertEqual(refused, (400, "Idempotency-Key"))
        refused = self.refusal("POST", NOTIFY, {"type": "x"}, Idempotency_Key="x")
        self.assertEqual(refused, (400, "Idempotency-Key"))


class NotifyTests(UsersCase):
    """Notifications."""

    def test_notify(self) -> None:
        """A notification waits in the queue of the user, at both paths, and is sent once for each key."""
        self.start()
        body = {"type": "news", "data": {"x": 1}}
        for path in (f"{NOTIFY}/ada", "/api/notify/ada"):
            first = self.ask("POST", path, body, Idempotency_Key=path.replace("/", "-"))
            self.assertEqual((first.status, first.json["isRepeated"]), (200, False))
            again = self.ask("POST", path, body, Idempotency_Key=path.replace("/", "-"))
            self.assertEqual(again.json, {**first.json, "isRepeated": True})
        short = self.ask("POST", "/api/notify/ada", body, Idempotency_Key="-api-v1-notify-ada")
        self.assertEqual((short.json["n"], short.json["isRepeated"]), (1, True))
        third = self.ask("POST", f"{NOTIFY}/ada", body)
        self.assertEqual((third.json["n"], third.json["isListening"]), (3, False))
        other = self.refusal("POST", f"{NOTIFY}/ada", {"type": "x"}, Idempotency_Key="-api-v1-notify-ada")
        self.assertEqual(other, (422, "Idempotency-Key"))
        unqueued = self.ask("POST", f"{NOTIFY}/ada", {**body, "queue": False}).json
        self.assertEqual((unqueued["epoch"], unqueued["n"]), (None, 0))
        self.assertEqual(self.ask("POST", NOTIFY, body).status, 204)

    def test_wrong(self) -> None:
        """Wrong bodies name the field; `read` may not notify."""
        self.start()
        for body, field in (
            ({}, "type"),
            ({"type": "x" * 129}, "type"),
            ({"type": "x", "limit": 0}, "limit"),
            ({"type": "x", "seconds": 0}, "seconds"),
            (b'{"type": "x", "data": [' + b"1e1," * 10_000 + b"1]}", "data"),
            ({"type": "x", "datum": 1}, "datum"),
        ):
            self.assertEqual(self.refusal("POST", f"{NOTIFY}/ada", body), (400, field))
        self.assertEqual(self.refusal("POST", f"{NOTIFY}/ada", {"type": "x"}, token=READ)[0], 403)
        self.assertEqual(self.refusal("POST", NOTIFY, {"type": "x"}, token=READ)[0], 403)
        self.assertEqual(self.refusal("POST", f"{NOTIFY}/", {"type": "x"})[0], 404)

    def test_field(self) -> None:
        """Whatever a notification is refused for, that is named."""
        self.start()
        notify: Any = self.harness.server.notify
        for args, more, field in (
            (("", "x"), {}, "userId"),
            (("ada", "x" * 129), {}, "type"),
            (("ada", 7), {}, "type"),
            (("ada", "x", {"type": object()}), {}, "data"),
            (("ada", "x", "x" * 66_000), {}, "data"),
            (("ada", "x"), {"limit": 0}, "limit"),
            (("ada", "x"), {"seconds": -1}, "seconds"),
        ):
            with self.assertRaises(Problem) as caught:
                checkedSend(partial(notify, *args, **more))
            self.assertEqual(caught.exception.body.field, field)


class ManyTests(UsersCase):
    """A user with very many connections and rooms."""

    def test_many(self) -> None:
        """As many are told as fit, and how many there are."""
        harness = self.start()
        users, cluster = harness.server.users, harness.server.cluster
        connections = [UserConnection(f"{n}", "node", "/" + "x" * 250, "peer", 1.0) for n in range(2500)]
        members = [ClusterMember(f"{n}", "ada", "room", "node", True) for n in range(9000)]
        self.patch(users, "find", lambda userId: succeed(FoundUser(connections, ())))
        self.patch(cluster, "members", lambda userId: succeed(FoundMembers(members, ())))
        answer = self.ask("GET", f"{USERS}/ada", token=READ)
        self.assertLess(len(answer.body), 800_000)
        info = answer.json
        self.assertEqual((info["connectionCount"], info["roomCount"]), (2500, 9000))
        for names, key in ((info["connections"], "id"), (info["rooms"], "member")):
            self.assertGreater(len(names), 800)
            self.assertEqual([each[key] for each in names], [f"{n}" for n in range(len(names))])
