"""
Tests for the log of refusals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.case import Recorder
from tests.rooms.case import NotingRoom, RoomTestCase
from txroom import Deny, RoomApplication, RoomError
from txroom.core.refusallog import INTERVAL, MAX_KINDS, RefusalLog, shown
from txroom.protocol.limits import JSON_PROTOCOL


def lines(events: Sequence[LogEvent]) -> list[str]:
    """Return the lines at level info about refusals."""
    texts = [formatEvent(event) or "" for event in events if event["log_level"] is LogLevel.info]
    return [text for text in texts if text.startswith(("upgrade refused", "join refused"))]


class RefusalLogTests(SynchronousTestCase):
    """`RefusalLog` by itself."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[Any] = []
        self.log = RefusalLog("join", Logger(observer=cast(ILogObserver, self.events.append)), self.clock)

    def lines(self) -> list[str]:
        """Return what was logged since the last call."""
        texts = lines(self.events)
        self.events.clear()
        return texts

    def test_first(self) -> None:
        """
        The first refusal of a cause and target is logged; the others are counted, and summed up at the end.
        """
        for _ in range(5):
            self.log.note("full", "join chat", "203.0.113.9")
        self.log.note("full", "join game")
        self.assertEqual(
            self.lines(),
            ["join refused: full; join chat from 203.0.113.9", "join refused: full; join game"],
        )
        self.clock.advance(3)
        self.log.sumUp()
        self.log.sumUp()
        self.assertEqual(self.lines(), ["join refused 4 more times in the last 3 s: full 4"])

    def test_interval(self) -> None:
        """After the interval the next refusal logs a summary, and is logged itself."""
        self.log.note("full", "join chat")
        self.log.note("full", "join chat")
        self.lines()
        self.clock.advance(INTERVAL - 1)
        self.log.note("full", "join chat")
        self.assertEqual(self.lines(), [])
        self.clock.advance(1)
        self.log.note("full", "join chat")
        self.assertEqual(
            self.lines(),
            ["join refused 2 more times in the last 600 s: full 2", "join refused: full; join chat"],
        )

    def test_quiet(self) -> None:
        """There is no timer, and no summary of nothing."""
        self.log.note("full", "join chat")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(10 * INTERVAL)
        self.log.note("full", "join chat")
        self.log.sumUp()
        self.assertEqual(self.lines(), ["join refused: full; join chat"] * 2)

    def test_bounded(self) -> None:
        """Made-up names and causes fill neither the log nor the memory."""
        for number in range(10_000):
            self.log.note(f"cause{number}", f"join {number}")
        self.assertEqual(len(self.lines()), MAX_KINDS)
        self.assertLessEqual(len(self.log._counted), MAX_KINDS + 1)
        self.log.sumUp()
        (line,) = self.lines()
        self.assertIn(f"refused {10_000 - MAX_KINDS} more times", line)
        self.assertLess(len(line), 300)

    def test_shown(self) -> None:
        """Line breaks and control characters are escaped, and long texts are shortened."""
        text = shown("a\r\nb\x1b[2J😀" + "x" * 1000)
        self.assertTrue(text.isascii() and text.isprintable())
        self.assertLess(len(text), 120)
        self.assertEqual(shown("/rooms/chat"), "/rooms/chat")


class ServerTests(RoomTestCase):
    """The log of a server."""

    def test_upgrades(self) -> None:
        """A line has the intended status, the path without its query, and the client, in-band and by HTTP."""
        self.rooms(app=RoomApplication(verifyClient=lambda handshake: Deny(403)))
        with capturedLogs() as events:
            for path in ("/rooms?token=secret", "/rooms/nix", "/rooms?token=secret"):
                self.harness.connect(path)
                self.harness.connect(path, protocols=[JSON_PROTOCOL])
            self.harness.raw(b"\0\0\0\0")
            self.harness.stop()
        self.assertEqual(
            lines(events),
            [
                "upgrade refused: 403 denied; /rooms from 203.0.113.9",
                "upgrade refused: 404 denied; /rooms/nix from 203.0.113.9",
                "upgrade refused: 400 syntax; a request that can't be read",
                "upgrade refused 4 more times in the last 0 s: 403 denied 3, 404 denied 1",
            ],
        )
        self.harness.start()

    def test_left(self) -> None:
        """A client that leaves is not refused."""
        harness = self.serve(Recorder())
        with capturedLogs() as events:
            harness.raw(b"GET / HTTP/1.1\r\n").drop()
        self.assertEqual(lines(events), [])

    def test_joins(self) -> None:
        """Each way to join a room is logged with the error code."""

        class Chat(NotingRoom):
            def onAuth(self, client: Any, options: Any, handshake: Any) -> bool:
                if "code" in options:
                    raise RoomError(options["code"])
                return "in" in options

        self.rooms(Chat)
        with capturedLogs() as events:
            player = self.player()
            player.join("chat")
            player.join("chat")
            player.join("chat", code="not\nnow")
            player.join("nix")
            player.ask("create", "chat", {})
            player.ask("joinById", "none", {})
            player.ask("resume", "none", "token", "epoch", 0)
            self.player("/rooms/chat")
            self.assertEqual(player.join("chat", **{"in": True})[0], "joined")
            self.harness.stop()
        self.assertEqual(
            lines(events),
            [
                f"join refused: {text} from 203.0.113.9"
                for text in (
                    "unauthorized; joinOrCreate chat",
                    "not\\nnow; joinOrCreate chat",
                    "noSuchRoom; joinOrCreate nix",
                    "unauthorized; create chat",
                    "noSuchRoom; joinById none",
                    "noSuchRoom; resume none",
                    "unauthorized; path chat",
                )
            ]
            + ["join refused 1 more times in the last 0 s: unauthorized 1"],
        )
        self.harness.start()

    def test_tooMany(self) -> None:
        """A client that asks too often is logged."""
        self.rooms()
        player = self.player()
        with capturedLogs() as events:
            for _ in range(60):
                player.ask("rooms", "chat", {})
        (line,) = lines(events)
        self.assertEqual(line, "join refused: rateLimited; request too many requests from 203.0.113.9")
