"""Tests for the part of the HTTP API that is about rooms."""

from __future__ import annotations

from typing import Any

from tests.admin.case import READ, AdminCase
from txroom import Room
from txroom.testing import RoomHarness

ROOMS = "/api/v1/rooms"


class Game(Room):
    """A room that is found by its mode."""

    autoDispose = False


class RoomsCase(AdminCase):
    """A server with some rooms."""

    def start(self, *args: Any, **options: Any) -> RoomHarness:
        harness = super().start(*args, **options)
        harness.server.register("game", Game).filterBy("mode")
        return harness

    def create(self, name: str = "chat", **options: Any) -> str:
        answer = self.ask("POST", ROOMS, {"name": name, "options": options})
        self.assertEqual(answer.status, 201, answer.body)
        room: str = answer.json["room"]
        return room


class ListTests(RoomsCase):
    """Lists of rooms."""

    def test_pages(self) -> None:
        """All rooms are listed page by page, in each order, and none twice."""
        self.start()
        rooms = [self.create("game" if n % 2 else "chat") for n in range(5)]
        for order, expected in (("age", rooms), ("-age", rooms[::-1])):
            self.assertEqual(self.pages(f"order={order}"), expected)
        self.assertEqual(sorted(self.pages("order=name")), sorted(rooms))
        self.assertEqual(self.pages("name=game"), rooms[1::2])

    def pages(self, query: str) -> list[str]:
        found, cursor = [], ""
        while True:
            answer = self.ask("GET", f"{ROOMS}?{query}&limit=2&cursor={cursor}", token=READ).json
            self.assertLessEqual(len(answer["rooms"]), 2)
            found += [each["room"] for each in answer["rooms"]]
            cursor = answer["next"]
            if cursor is None:
                return found

    def test_clients(self) -> None:
        """Rooms are sorted by their clients, and one of them tells what it is."""
        harness = self.start()
        empty = self.create()
        ada = harness.client().create("game", mode="x")
        self.assertEqual(self.pages("order=clients"), [empty, ada.id])
        self.assertEqual(self.pages("order=-clients"), [ada.id, empty])
        (info,) = self.ask("GET", f"{ROOMS}?filter=%7B%22mode%22%3A%22x%22%7D").json["rooms"]
        self.assertEqual(info["room"], ada.id)
        self.assertEqual((info["name"], info["clients"], info["filters"]), ("game", 1, {"mode": "x"}))

    def test_large(self) -> None:
        """A page of rooms with long options ends early."""
        self.start()
        rooms = [self.create(about="x" * 60_000) for _ in range(20)]
        page = self.ask("GET", f"{ROOMS}?limit=1000", token=READ)
        self.assertLess(len(page.body), 600_000)
        rest = self.ask("GET", f"{ROOMS}?limit=1000&cursor={page.json['next']}").json
        last = self.ask("GET", f"{ROOMS}?limit=1000&cursor={rest['next']}").json
        found = [each["room"] for each in page.json["rooms"] + rest["rooms"] + last["rooms"]]
        self.assertEqual((found, last["next"]), (rooms, None))

    def test_wrong(self) -> None:
        """A wrong query names the field."""
        self.start()
        cursor = "WyJhZ2UiLDEsIngiXQ"
        for query, field in (
            ("limit=0", "limit"),
            ("limit=x", "limit"),
            ("limit=1&limit=2", "limit"),
            ("order=size", "order"),
            ("cursor=x", "cursor"),
            ("cursor=%C3%A4", "cursor"),
            (f"order=-age&cursor={cursor}", "cursor"),
            (f"order=name&cursor={cursor}", "cursor"),
            ("filter=x", "filter"),
            ("filter=[]", "filter"),
            (f"filter={'[' * 5_000}", "filter"),
            ("name=", "name"),
            ("name=%ff", "name"),
            ("nix=1", "nix"),
        ):
            self.assertEqual(self.refusal("GET", f"{ROOMS}?{query}"), (400, field), query)
        self.assertEqual(self.ask("GET", f"{ROOMS}?cursor={cursor}").json["rooms"], [])

    def test_nested(self) -> None:
        """A filter that is nested deeply is refused, whether Python can still read it or not."""
        self.start()
        nested = "[" * 2_000 + "]" * 2_000
        status, field = self.refusal("GET", f'{ROOMS}?filter={{"x":{nested}}}')
        self.assertEqual(status, 400)
        self.assertIn(field, ("filter", "x"))

    def test_query(self) -> None:
        """A query finds the rooms that clients find."""
        harness = self.start()
        room = self.create("game", mode="x")
        hidden = self.create("game", mode="x")
        self.create("game", mode="y")
        self.ask("POST", f"{ROOMS}/{hidden}/private", {})
        answer = self.ask("POST", f"{ROOMS}/query", {"name": "game", "filter": {"mode": "x"}}, token=READ)
        self.assertEqual([each["room"] for each in answer.json["rooms"]], [room])
        self.assertEqual(self.refusal("POST", f"{ROOMS}/query", {"name": "nix"})[0], 404)
        self.assertEqual(self.refusal("POST", f"{ROOMS}/query", {"filter": {"mode": []}})[0], 400)
        self.assertEqual(len(self.ask("POST", f"{ROOMS}/query", {"limit": 1}).json["rooms"]), 1)
        self.assertEqual(len(harness.server.rooms.rooms), 3)


class RoomTests(RoomsCase):
    """One room."""

    def test_create(self) -> None:
        """A room is created with its options."""
        self.start()
        room = self.create("game", mode="x")
        info = self.ask("GET", f"{ROOMS}/{room}", token=READ).json
        self.assertEqual((info["name"], info["options"], info["members"]), ("game", {"mode": "x"}, []))
        self.assertEqual(self.refusal("POST", ROOMS, {"name": "nix"})[0], 404)
        self.assertEqual(self.refusal("POST", ROOMS, {"name": "game", "options": {"mode": []}})[0], 400)

    def test_inspect(self) -> None:
        """The members of a room are told page by page, and a page ends early if they are large."""
        harness = self.start()
        clients = [harness.client().join("chat") for _ in range(3)]
        path = f"{ROOMS}/{clients[0].id}"
        ids = sorted(each.member for each in clients)
        room = harness.server.rooms.rooms[clients[0].id]
        for query, meta, count in (("?members=2", {}, 2), ("", {}, 3), ("", {"about": "x" * 200_000}, 2)):
            for each in room.clients:
                each.meta = meta
            page = self.ask("GET", f"{path}{query}", token=READ).json
            self.assertEqual([each["member"] for each in page["members"]], ids[:count])
            self.assertEqual(page["next"], None if count == 3 else ids[1])
        rest = self.ask("GET", f"{path}?cursor={ids[1]}").json
        self.assertEqual(([each["member"] for each in rest["members"]], rest["next"]), (ids[2:], None))
        none = self.ask("GET", f"{path}?members=0").json
        self.assertEqual((none["members"], none["next"]), ([], None))

    def test_publish(self) -> None:
        """A message reaches all members, or some."""
        harness = self.start()
        ada, bob = harness.client().join("chat"), harness.client().join("chat")
        path = f"{ROOMS}/{ada.id}/publish"
        answer = self.ask("POST", path, {"type": "news", "data": {"x": [1, None]}})
        self.assertEqual((answer.status, answer.json), (200, {"offset": 1}))
        self.assertEqual((ada.expect("news"), bob.expect("news")), ({"x": [1, None]}, {"x": [1, None]}))
        self.assertEqual(self.ask("POST", path, {"type": "secret", "members": [bob.member]}).status, 200)
        bob.expect("secret")
        self.assertEqual(self.ask("POST", path, {"type": "group", "groups": ["nix"]}).status, 200)
        volatile = self.ask("POST", path, {"type": "now", "isVolatile": True})
        self.assertEqual(volatile.json, {"offset": None})
        self.assertEqual((ada.expect("now"), bob.expect("now")), (None, None))

    def test_wrong(self) -> None:
        """Wrong bodies name the field; nothing is sent."""
        harness = self.start()
        ada = harness.client().join("chat")
        path = f"{ROOMS}/{ada.id}/publish"
        deep = b'{"type": "x", "data": ' + b"[" * 200 + b"]" * 200 + b"}"
        for body, field in (
            ({}, "type"),
            ({"type": 7}, "type"),
            ({"type": ""}, "type"),
            ({"type": "x" * 129}, "type"),
            ({"type": "x", "datum": 1}, "datum"),
            ({"type": "x", "members": "all"}, "members"),
            ({"type": "x", "members": [7]}, "members[0]"),
            ({"type": "x", "isVolatile": 1}, "isVolatile"),
            ([], ""),
            (b"", ""),
            (b"{", ""),
            (b"\xff", ""),
            (b"[" * 60_000, ""),
            (b'{"type": "x", "data": NaN}', ""),
            (b'{"type": "x", "data": 1e999}', "data"),
            (b'{"type": "x", "data": 99999999999999999999}', "data"),
            (deep, "data"),
        ):
            self.assertEqual(self.refusal("POST", path, body), (400, field), body)
        self.assertEqual(self.ask("GET", f"{ROOMS}/{ada.id}").json["offset"], 0)

    def test_unsendable(self) -> None:
        """JSON that can't be sent to rooms, a huge number or one that is nested too deep, is refused."""
        self.start()
        room = f"{ROOMS}/{self.create()}"
        deep = "[" * 200 + "]" * 200
        for value in ("-1533416817185464516608", "1e999", deep):
            for method, path, start, field in (
                ("POST", ROOMS, '"name": "game", "options": {"x": ', "options"),
                ("POST", f"{room}/publish", '"type": "x", "data": {"x": ', "data"),
                ("PUT", f"{room}/metadata", '"metadata": {"x": ', "metadata"),
                ("POST", f"{room}/reserve", '"user": {"x": ', "user"),
            ):
                body = f"{{{start}{value}}}}}".encode()
                status, wrong = self.refusal(method, path, body)
                self.assertEqual((status, wrong.partition("[")[0]), (400, field), (path, value[:9]))

    def test_type(self) -> None:
        """A body that isn't announced as JSON is refused: a form of another site could send it."""
        self.start()
        room = self.create()
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
        ):
            for path in (ROOMS, f"{ROOMS}/{room}/lock"):
                refused = self.refusal("POST", path, {"name": "chat"}, Content_Type=kind)
                self.assertEqual(refused, (415, "Content-Type"), kind)
        answer = self.ask("POST", f"{ROOMS}/{room}/lock", {}, Content_Type="Application/JSON; charset=utf-8")
        self.assertEqual(answer.status, 204)

    def test_empty(self) -> None:
        """A body all of whose fields are optional may be empty, or missing; another one may not."""
        self.start()
        room = self.create()
        for more in ({}, {"Content_Type": "application/json"}):
            self.assertEqual(self.ask("POST", f"{ROOMS}/{room}/lock", **more).status, 204)
            answer = self.ask("POST", ROOMS, **more)
            self.assertEqual((answer.status, answer.json["detail"]), (400, "the body is empty"))
        refused = self.refusal("POST", f"{ROOMS}/{room}/lock", Content_Type="text/plain")
        self.assertEqual(refused, (415, "Content-Type"))
        refused = self.refusal("POST", f"{ROOMS}/{room}/lock", Origin="http://evil.example")
        self.assertEqual(refused, (403, "Origin"))

    def test_changes(self) -> None:
        """A room is locked, hidden, described and ended."""
        self.start()
        room = self.create()
        for change, body, field in (
            ("lock", {"isLocked": True}, "isLocked"),
            ("private", {"isPrivate": True}, "isPrivate"),
        ):
            for value in (True, False):
                answer = self.ask("POST", f"{ROOMS}/{room}/{change}", {**body, field: value})
                self.assertEqual((answer.status, answer.body), (204, b""))
                self.assertEqual(self.ask("GET", f"{ROOMS}/{room}").json[field], value)
        answer = self.ask("PUT", f"{ROOMS}/{room}/metadata", {"metadata": {"title": "A"}})
        self.assertEqual(answer.status, 204)
        self.assertEqual(self.ask("GET", f"{ROOMS}/{room}").json["metadata"], {"title": "A"})
        self.assertEqual(self.ask("DELETE", f"{ROOMS}/{room}?reason=over").status, 204)
        self.harness.advance(1.0)
        self.assertEqual(self.refusal("GET", f"{ROOMS}/{room}")[0], 404)

    def test_kick(self) -> None:
        """Members leave by their ids, or by their user's."""
        harness = self.start()
        ada, bob = harness.client().join("chat"), harness.client().join("chat")
        path = f"{ROOMS}/{ada.id}/kick"
        self.assertEqual(self.refusal("POST", path, {}), (400, "member"))
        self.assertEqual(self.ask("POST", path, {"member": ada.member, "reason": "go"}).json, {"kicked": 1})
        users = {each["member"]: each for each in self.ask("GET", f"{ROOMS}/{ada.id}").json["members"]}
        self.assertEqual(list(users), [bob.member])
        self.assertTrue(users[bob.member]["isConnected"])
        self.assertEqual(self.ask("POST", path, {"userId": users[bob.member]["userId"]}).json, {"kicked": 1})
        self.assertEqual(self.ask("POST", path, {"userId": "nix"}).json, {"kicked": 0})

    def test_reserve(self) -> None:
        """A seat is reserved."""
        harness = self.start()
        room = self.create()
        self.ask("POST", f"{ROOMS}/{room}/lock", {})
        seat = self.ask("POST", f"{ROOMS}/{room}/reserve", {"seconds": 5}).json["seat"]
        self.assertEqual(harness.client().joinById(room, seat=seat).id, room)
        self.assertEqual(self.refusal("POST", f"{ROOMS}/{room}/reserve", {"seconds": -1}), (400, "seconds"))
        self.assertEqual(self.refusal("POST", f"{ROOMS}/{room}/reserve", {"user": {}}), (400, "user"))

    def test_missing(self) -> None:
        """There is nothing of a room that isn't there."""
        self.start()
        for method, path, body in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("POST", "/publish", {"type": "x"}),
            ("POST", "/lock", {}),
            ("POST", "/private", {}),
            ("PUT", "/metadata", {"metadata": {}}),
            ("POST", "/kick", {"member": "x"}),
            ("POST", "/reserve", {}),
        ):
            for room in ("nix", "%C3%A4%2F..", "x" * 256):
                self.assertEqual(self.refusal(method, f"{ROOMS}/{room}{path}", body)[0], 404)
            self.assertEqual(self.refusal(method, f"{ROOMS}/nix{path}", body, token=None)[0], 401)
            if method != "GET":
                self.assertEqual(self.refusal(method, f"{ROOMS}/nix{path}", body, token=READ)[0], 403)


class PathTests(RoomsCase):
    """Paths and methods."""

    def test_unknown(self) -> None:
        """Other paths aren't there, and other methods are refused with those that are allowed."""
        self.start()
        long = "x" * 257
        for path in (
            "/api",
            "/api/v1",
            "/api/v1/",
            "/api/v2/rooms",
            f"{ROOMS}/",
            f"{ROOMS}/{long}",
            f"{ROOMS}//publish",
            f"{ROOMS}/x/nix",
            f"{ROOMS}/x/publish/",
            f"{ROOMS}/%ff",
            "/api/v1//rooms",
            "/../api/v1/rooms",
            "/API/v1/rooms",
        ):
            self.assertEqual(self.refusal("GET", path)[0], 404, path)
        for method, path, allowed in (
            ("DELETE", ROOMS, "GET, POST, HEAD"),
            ("PUT", f"{ROOMS}/x", "GET, DELETE, HEAD"),
            ("GET", f"{ROOMS}/x/publish", "POST"),
            ("TRACE", ROOMS, "GET, POST, HEAD"),
            ("NIX", ROOMS, "GET, POST, HEAD"),
        ):
            answer = self.ask(method, path)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, allowed))

    def test_head(self) -> None:
        """HEAD is GET without the body."""
        self.start()
        answer = self.ask("HEAD", ROOMS)
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.headers["content-length"], self.ask("GET", ROOMS).headers["content-length"])

    def test_body(self) -> None:
        """A request without a body must not have one."""
        self.start()
        self.assertEqual(self.refusal("GET", ROOMS, {})[0], 400)
