"""
Tests for the pages of applications.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import Data

from tests.case import HarnessTestCase
from txroom import Application, Room, RoomApplication, Server
from txroom.testing import MemoryReactor, RoomHarness


class Matchmake(Resource):
    """``POST .../NAME`` reserves a seat in a room of that name, like Colyseus's matchmaking."""

    isLeaf = True

    def __init__(self, rooms: RoomApplication) -> None:
        super().__init__()
        self.rooms = rooms

    def render_POST(self, request: Request) -> int:
        names: Any = request.prepath
        made = self.rooms.createRoom(names[-1].decode())

        def reserve(room: str) -> Any:
            return self.rooms.reserveSeat(room).addCallback(answer, room)

        def answer(seat: str, room: str) -> None:
            body = json.dumps({"room": room, "seat": seat}).encode()
            request.setHeader("Content-Length", str(len(body)))
            request.write(body)
            request.finish()

        made.addCallback(reserve)
        return NOT_DONE_YET


class Branch(Resource):
    """A resource whose children are all the same."""

    def __init__(self, leaf: Resource) -> None:
        super().__init__()
        self.leaf = leaf

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self.leaf


class WithMatchmaking(RoomApplication):
    """Rooms with a page that reserves seats."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pages = {"/matchmake": Branch(Matchmake(self))}


def page(text: bytes) -> Data:
    """Return a page."""
    return Data(text, "text/plain")


class ApplicationPagesTests(HarnessTestCase):
    """`Application.pages`."""

    def bodyOf(self, harness: RoomHarness, path: str, method: str = "GET") -> bytes:
        """Return the body, or the status of a refusal, for a request."""
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        answer = bytes(harness.raw(head.encode()).output)
        return answer.partition(b"\r\n\r\n")[2] if answer.startswith(b"HTTP/1.1 200") else answer[9:12]

    def served(self, *added: tuple[Application, str | None]) -> RoomHarness:
        """Return a harness of a server with these applications, each at its path."""

        def make(clock: Any) -> Server:
            server = Server(clock=clock)
            for application, path in added:
                server.addApplication(application, path=path)
            return server

        return self.serve(make, clock=MemoryReactor())

    def test_matchmaking(self) -> None:
        """A seat reserved by HTTP can be taken by WebSocket; sockets at the same paths work as before."""
        application = WithMatchmaking()
        application.register("chat", Room)
        harness = self.served((application, "/play"))
        kept = msgspec.json.decode(self.bodyOf(harness, "/play/matchmake/chat", "POST"))
        client = harness.connect("/play")
        client.send(json.dumps(["joinById", 1, kept["room"], {"seat": kept["seat"]}]))
        harness.flush()
        self.assertEqual(msgspec.json.decode(client.received[0])[:3], ["joined", 1, kept["room"]])
        again = harness.connect("/play/chat")
        self.assertEqual(msgspec.json.decode(again.received[0])[0], "joined")

    def test_paths(self) -> None:
        """
        Pages are served at the path of their application or below it, for each path if there are several.
        """
        one: Any = Application()
        two: Any = Application()
        one.pages = {"": page(b"one"), "/a": page(b"a")}
        two.pages = {"/b": page(b"b")}
        harness = self.served((one, "/one/*"), (one, "/other"), (two, None))
        for path, body in (
            ("/one", b"one"),
            ("/one/a", b"a"),
            ("/other", b"one"),
            ("/other/a", b"a"),
            ("/b", b"b"),
            ("/a", b"426"),
        ):
            self.assertEqual(self.bodyOf(harness, path), body, path)
        self.assertEqual(harness.connect("/one/a").response.status, 101)  # type: ignore[union-attr]

    def test_root(self) -> None:
        """Rooms at the root have their pages there."""
        application = RoomApplication(path="/")
        application.pages = {"/info": page(b"info")}
        self.assertEqual(self.bodyOf(self.served((application, None)), "/info"), b"info")

    def test_taken(self) -> None:
        """A page never replaces another one; the application is then not added."""
        server = Server(clock=MemoryReactor())
        server.addPage("/x/a", page(b"first"))
        application = Application()
        application.pages = {"/b": page(b"b"), "/a": page(b"a")}
        error = self.assertRaises(ValueError, server.addApplication, application, path="/x")
        self.assertIn("'/x/a'", str(error))
        self.assertEqual((server.pages, server.applications), (["/x/a"], []))

    def test_failed(self) -> None:
        """An application that can't be added leaves no page behind, and is not stopped with the server."""

        class Failing(Application):
            isStopped = False

            def tellErrors(self, isOn: bool) -> None:
                raise RuntimeError("no")

            def stop(self) -> Any:
                self.isStopped = True
                return super().stop()

        server = Server(clock=MemoryReactor())
        application = Failing()
        application.pages = {"/a": page(b"a")}
        self.assertRaises(RuntimeError, server.addApplication, application)
        self.assertEqual((server.pages, server.applications), ([], []))
        server.startService()
        self.successResultOf(server.stopService())
        self.assertFalse(application.isStopped)

    def test_wrong(self) -> None:
        """Wrong pages and paths are errors when the application is added."""
        for pages, kind in (
            ({"/a": "text"}, TypeError),
            ({"a?": page(b"")}, ValueError),
            ({"/a*": page(b"")}, ValueError),
            ([page(b"")], TypeError),
        ):
            server = Server(clock=MemoryReactor())
            application = Application()
            application.pages = pages  # type: ignore[assignment]
            self.assertRaises(kind, server.addApplication, application)
            self.assertEqual(server.applications, [])
