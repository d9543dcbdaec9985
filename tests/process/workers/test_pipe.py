"""
Tests for the messages between the parent and a worker.
"""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from txroom.process.settings import Settings
from txroom.process.workers.pipe import Down, Gone, Messages, Ready, SharedSocket, Start, Stop, Up, encode


class PipeTests(SynchronousTestCase):
    """`encode` and `Messages`."""

    def test_line(self) -> None:
        """A message is one line: an array with its name and its fields."""
        self.assertEqual(encode(Gone(["a", "b"])), b'["gone",["a","b"]]\n')
        self.assertEqual(encode(Stop()), b'["stop"]\n')

    def test_start(self) -> None:
        """All that a worker needs arrives as it was sent."""
        settings = Settings(app="chat:app", redis="redis://:secret@host", options={"maxPayload": 5, "a": 1.5})
        start = Start(2, 4, settings, [SharedSocket(8080, 5), SharedSocket("unix:/a", 6)], [7], "reactor")
        messages: Messages[Down] = Messages(Down)
        self.assertEqual(messages.feed(encode(start)), [start])

    def test_pieces(self) -> None:
        """Lines may arrive in pieces, or several at a time."""
        messages: Messages[Up] = Messages(Up)
        ready = Ready("node", 10.0, [])
        data = encode(ready) * 2
        self.assertEqual(messages.feed(data[:5]), [])
        self.assertEqual(messages.feed(data[5:-1]), [ready])
        self.assertEqual(messages.feed(b"\n"), [ready])

    def test_wrong(self) -> None:
        """A message of the other direction, an unknown name or a wrong field is an error."""
        for line in (encode(Stop()), b'["unknown"]\n', b'["ready",5,10.0,[]]\n', b"{}\n"):
            self.assertRaises(msgspec.DecodeError, Messages(Up).feed, line)
