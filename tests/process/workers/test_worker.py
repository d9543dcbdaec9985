"""
Tests for the begin of a worker.
"""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tests.process.workers.fakeprocesses import startOf
from txroom.process.workers.pipe import Down, Messages, Stop, encode
from txroom.process.workers.worker import firstMessages


class FirstMessagesTests(SynchronousTestCase):
    """`firstMessages`."""

    def setUp(self) -> None:
        self.read, self.write = os.pipe()
        self.addCleanup(os.close, self.read)
        self.messages: Messages[Down] = Messages(Down)

    def test_more(self) -> None:
        """Messages that arrive with the first one are not lost, nor is the begin of the next."""
        os.write(self.write, encode(startOf()) + encode(Stop()) + b'["st')
        os.close(self.write)
        self.assertEqual(firstMessages(self.messages, self.read), [startOf(), Stop()])
        self.assertEqual(self.messages.feed(b'op"]\n'), [Stop()])

    def test_noParent(self) -> None:
        """Without a parent the process ends."""
        os.write(self.write, encode(startOf())[:-1])
        os.close(self.write)
        error = self.assertRaises(SystemExit, firstMessages, self.messages, self.read)
        self.assertEqual(error.code, "txroom: the parent of this worker has ended")
