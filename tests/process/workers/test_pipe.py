"""
Tests for the messages between the parent and a worker.
"""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from txroom.admin.endedsessions import Ends
from txroom.admin.secrets import Role
from txroom.process.settings import Settings
from txroom.process.workers.pipe import (
    Down,
    Gone,
    Left,
    Messages,
    Ready,
    SharedSocket,
    Start,
    Stop,
    Up,
    encode,
)


class PipeTests(SynchronousTestCase):
    """`encode` and `Messages`."""

    def test_line(self) -> None:
        """A message is one line: an array with its name and its fields."""
        self.assertEqual(encode(Gone(["a", "b"])), b'["gone",["a","b"]]\n')
        self.assertEqual(encode(Stop()), b'["stop",0.0]\n')

    def test_start(self) -> None:
        """All that a worker needs arrives as it was sent."""
        settings = Settings(app="chat:app", redis="redis://:secret@host", options={"maxPayload": 5, "a": 1.5})
        sockets = [SharedSocket(8080, 5), SharedSocket("unix:/a", 6)]
        ended = [Ends(Role.MANAGE, {"a" * 32: 1_700_000_000}, 1_600_000_000)]
        start = Start(2, 4, settings, sockets, [7], "reactor", b"\0seed\xff", ended, 3)
        messages: Messages[Down] = Messages(Down)
        self.assertEqual(messages.feed(encode(start)), [start])

    def test_pieces(self) -> None:
        """Lines may arrive in pieces, or several at a time."""
        messages: Messages[Up] = Messages(Up)
        ready = Ready(10.0, [])
        data = encode(ready) * 2
        self.assertEqual(messages.feed(data[:5]), [])
        self.assertEqual(messages.feed(data[5:-1]), [ready])
        self.assertEqual(messages.feed(b"\n"), [ready])

    def test_wrong(self) -> None:
        """A line that is no array with a name, or a wrong field, is an error."""
        for line in (b"[", b"[]", b"[1]", b'["ready","10.0",[]]', b'["ready"]', b"{}", b""):
            self.assertRaises(msgspec.DecodeError, Messages(Up).feed, line + b"\n")

    def test_older(self) -> None:
        """A parent of an earlier version sends less."""
        start = Start(1, 1, Settings(), [], [], "reactor")
        shorter = msgspec.json.encode(msgspec.json.decode(encode(start))[:7]) + b"\n"
        self.assertEqual(Messages[Down](Down).feed(shorter), [start])

    def test_newer(self) -> None:
        """Messages and fields that the reader doesn't know are skipped."""
        up: Messages[Up] = Messages(Up)
        newer = b'["unknown",{"a":[1]},null]\n' + encode(Stop())
        self.assertEqual(up.feed(newer + b'["left",4,"",true]\n'), [Left(4)])
        down: Messages[Down] = Messages(Down)
        self.assertEqual(down.feed(newer + b'["unknown"]\n'), [Stop()])
