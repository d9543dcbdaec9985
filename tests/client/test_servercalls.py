"""The server's calls of a client: their limit, and where the answers are sent."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.client.case import ClientTestCase, membership


class OpenCallTests(ClientTestCase):
    """Calls that are not answered yet."""

    def setUp(self) -> None:
        super().setUp()
        self.room = self.join()
        self.answers: list[Deferred[Any]] = []
        self.room.handle("ask", self.later)

    def later(self, data: Any) -> Deferred[Any]:
        self.answers.append(Deferred())
        return self.answers[-1]

    def call(self, *refs: int) -> list[list[Any]]:
        """Let the server call; return what the client sends at once."""
        for ref in refs:
            self.wire.receive("call", ref, "r1", "ask", None)
        return self.wire.take()

    def test_limit(self) -> None:
        """More than 256 open calls are refused; each answer makes room for another call."""
        self.assertEqual(self.call(*range(256)), [])
        [[kind, room, ref, code, _]] = self.call(256)
        self.assertEqual((kind, room, ref, code), ("error", "r1", 256, "rateLimited"))
        self.answers[3].callback("x")
        self.assertEqual(self.wire.take(), [["reply", "r1", 3, "x"]])
        self.assertEqual(self.call(257), [])
        self.assertEqual(self.call(258)[0][2:4], [258, "rateLimited"])

    def test_otherConnection(self) -> None:
        """An answer to a call of a lost connection is not sent, and the call does not count any more."""
        self.call(*range(256))
        [resume] = self.reconnect()
        self.resumed(resume)
        self.assertEqual(self.call(0), [])
        for answer in self.answers[:256]:
            answer.callback("late")
        self.assertEqual(self.wire.take(), [])
        self.answers[256].callback("in time")
        self.assertEqual(self.wire.take(), [["reply", "r1", 0, "in time"]])

    def test_otherMember(self) -> None:
        """Nor is an answer to a call of a former membership on the same connection."""
        self.call(*range(256))
        joining = self.client.joinById("r1")
        self.wire.receive("joined", self.wire.take()[0][1], "r1", membership(member="m2", token="t2"))
        self.successResultOf(joining)
        self.clock.advance(0)
        self.assertEqual(self.call(0), [])
        self.answers[0].callback("late")
        self.assertEqual(self.wire.take(), [])
        self.answers[256].callback("in time")
        self.assertEqual(self.wire.take(), [["reply", "r1", 0, "in time"]])
