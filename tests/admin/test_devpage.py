"""Tests for the playground of a server for developers."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from tests.case import HarnessTestCase
from txroom import Client, Room, Server, ServerOptions, message
from txroom.admin.devpage import PATH, DevPage
from txroom.testing import RoomHarness


class Move(Struct):
    """Where to."""

    x: int


class Game(Room):
    """A game for two."""

    @message("move")
    def move(self, client: Client, data: Move) -> None:
        """Move a piece."""


class DevPageTests(HarnessTestCase):
    """A server with the page."""

    def setUp(self) -> None:
        def make(clock: Any) -> Server:
            server = Server(ServerOptions(), clock=clock)
            server.register("game", Game)
            server.addPage(PATH, DevPage(server, clock))
            return server

        self.harness: RoomHarness = self.serve(make)

    def get(self, path: str, host: str = "localhost", method: str = "GET") -> tuple[int, bytes, bytes]:
        """The status, the head and the body of an answer."""
        client = self.harness.raw(
            f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        head, _, body = client.output.partition(b"\r\n\r\n")
        return int(head.split()[1]), head, body

    def test_files(self) -> None:
        """The page loads nothing but files below it, all of which are there."""
        for path in (
            PATH,
            f"{PATH}/dev.js",
            f"{PATH}/playground.js",
            f"{PATH}/txroom.js",
            f"{PATH}/admin.css",
        ):
            status, head, body = self.get(path)
            self.assertEqual(status, 200, path)
            self.assertIn(b"Content-Security-Policy: default-src 'none'; script-src 'self'", head)
            self.assertTrue(body and b'\nimport { Client } from "/' not in body, path)
        self.assertIn(b'src="/_dev/dev.js"', self.get(PATH)[2])
        self.assertEqual(self.get(f"{PATH}/index.html")[0], 404)
        self.assertEqual(self.get(f"{PATH}/rooms.list")[0], 404)

    def test_answers(self) -> None:
        """Which rooms there are, and what they take; errors are those of the calls."""
        names = json.loads(self.get(f"{PATH}/rooms.names")[2])["names"]
        self.assertEqual([(each["name"], each["path"]) for each in names], [("game", "/rooms")])
        schema = json.loads(self.get(f"{PATH}/rooms.schema?name=game")[2])
        self.assertEqual(
            [(each["type"], each["description"]) for each in schema["messages"]], [("move", "Move a piece.")]
        )
        for path, status, code in (
            ("rooms.schema?name=nix", 404, "noSuchRoom"),
            ("rooms.schema", 400, "badRequest"),
            ("rooms.names?x=%ff", 400, "badRequest"),
        ):
            answer = self.get(f"{PATH}/{path}")
            self.assertEqual((answer[0], json.loads(answer[2])["code"]), (status, code))
        self.assertEqual(self.get(f"{PATH}/rooms.names", method="POST")[0], 405)

    def test_hosts(self) -> None:
        """Only at names of this machine, whatever the server allows."""
        for path in (PATH, f"{PATH}/rooms.names"):
            self.assertEqual(self.get(path, "127.0.0.1:8080")[0], 200)
            self.assertEqual(self.get(path, "[::1]:8080")[0], 200)
            self.assertEqual(self.get(path, "evil.example")[0], 403)
