"""The lives of rooms in the log."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from tests.rooms.case import NotingRoom, RoomTestCase, onBothEngines
from txroom import Accept, RoomApplication
from txroom import Client as RoomClient
from txroom.rooms.owner import lifecyclelog


class Fails(NotingRoom):
    """Can't be made, or not be joined."""

    def onCreate(self, options: Any) -> None:
        if "create" in options:
            raise ValueError

    def onJoin(self, client: RoomClient, options: Any) -> None:
        if "kick" in options:
            client.kick()
        raise ValueError


@onBothEngines
class LivesTests(RoomTestCase):
    """What is logged, and how much."""

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[LogEvent] = []
        observe: Any = self.observe
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def observe(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "txroom.rooms":
            self.assertIs(event["log_level"], LogLevel.info)
            self.lines.append(event)

    def told(self) -> list[str]:
        """The lines since the last call, without the ids of nodes."""
        lines, self.lines = self.lines, []
        return [re.sub(r" node=\S+", "", formatEvent(event)) for event in lines]

    def serveUsers(self, *classes: type[NotingRoom], **options: Any) -> None:
        """Rooms whose clients say who they are in a header."""
        app = RoomApplication(verifyClient=lambda handshake: Accept(user=handshake.headers.get("x-user")))
        self.rooms(*classes, app=app, **options)

    def test_lives(self) -> None:
        """A line for each event, in order, with all that it is of."""
        self.serveUsers(linger=1.0)
        ada = self.player(headers={"X-User": "ada"})
        ada.join()
        member = ada.joined["member"]
        room = f"room={ada.room} name='chat'"
        who = f"{room} member={member} user='ada'"
        self.assertEqual(self.told(), [f"create {room}", f"join {who}"])
        self.assertEqual(self.lines, [])
        ada.client.drop()
        self.settle()
        self.assertEqual(self.told(), [f"drop {who}"])
        again = self.player(headers={"X-User": "ada"})
        again.resume(ada)
        self.assertEqual(self.told(), [f"resume {who}"])
        again.ask("leave", ada.room)
        self.assertEqual(self.told(), [f"leave {who} reason='left'"])
        self.advance(3)
        self.assertEqual(self.told(), [f"dispose {room} reason='empty'"])

    def test_fields(self) -> None:
        """The parts of an event by themselves."""
        self.serveUsers()
        ada = self.player(headers={"X-User": "ada"})
        ada.join()
        self.room().kick(self.room().clients[0], "rude")
        self.settle()
        fields = ("life", "room", "name", "member", "user", "reason")
        self.assertEqual(
            [self.lines[-1].get(field) for field in fields],
            ["leave", ada.room, "chat", ada.joined["member"], "ada", "rude"],
        )

    def test_reasons(self) -> None:
        """Why somebody leaves, and why a room ends."""
        self.rooms(resumeSeconds=2.0)
        _, bob = self.joined(), self.joined()
        self.told()
        bob.client.drop()
        self.advance(3)
        self.room().disconnect("enough")
        self.advance(1)
        reasons = [line.partition(" reason=")[2] for line in self.told()]
        self.assertEqual(reasons, ["", "'dropped'", "'enough'", "'enough'"])
        self.joined()
        self.told()
        self.harness.stop()
        self.advance(1)
        last = [line.partition(" reason=")[2] for line in self.told()][-2:]
        self.assertEqual(
            last[-1] if self.isOnRedis else last, "'handed over'" if self.isOnRedis else ["'shutdown'"] * 2
        )

    def test_nobody(self) -> None:
        """An unknown client has no user; one that never joined has no line, nor has a room never made."""
        self.rooms(Fails)
        self.player().join()
        self.player().join(kick=1)
        self.player().join(create=1)
        self.advance(3)
        self.assertEqual(
            [line.partition(" ")[0] + line.partition("'chat'")[2] for line in self.told()],
            ["create", "dispose reason='its creator was refused'"] * 2,
        )
        self.flushLoggedErrors(ValueError)

    def test_injection(self) -> None:
        """Texts of clients stay on their line, and short."""

        class Chat(NotingRoom):
            def userId(self, user: Any) -> str:
                return "\n{life}\x1b[2J" + "x" * 5000

        self.rooms(Chat)
        self.joined()
        line = self.told()[-1]
        self.assertIn("user='\\n{life}\\x1b[2Jxxx", line)
        self.assertTrue(line.isprintable() and len(line) < 250, line)

    def test_bounded(self) -> None:
        """No more than so many at once; the rest is counted."""
        burst = 100  # the lagging engine takes long for the usual number
        self.patch(lifecyclelog, "BURST", float(burst))
        self.rooms(autoDispose=False)
        number = burst + 100
        made: list[Deferred[str]] = [self.app.createRoom("chat") for _ in range(number)]
        self.settle()
        self.assertEqual(len(made), len(self.app.rooms))
        lines = self.told()
        self.assertTrue(burst <= len(lines) < number, len(lines))
        self.advance(1)
        self.joined()
        lines = [*lines, *self.told()]
        more = [line for line in lines if "more events of rooms: no more than 50 a second are logged" in line]
        untold = sum(int(line.partition(" ")[0]) for line in more)
        self.assertEqual(untold + len(lines) - len(more), number + 1)
