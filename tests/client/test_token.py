"""A client continues the membership of another client."""

from __future__ import annotations

from typing import Any

from tests.client.case import ClientTestCase, membership
from txroom.client import Unconfirmed


class TokenTests(ClientTestCase):
    """`Client.resume`."""

    def leave(self, **options: Any) -> str:
        """Join a room and send something; return the reconnection token."""
        self.begin(auth="secret")
        room = self.join("r1", {"name": "ada", "seat": "once", **options}, offset=7)
        room.call("roll")
        token = room.reconnectionToken
        self.begin()
        return str(token)

    def resume(self, token: str, **joined: Any) -> Any:
        """The room of a second client that resumes with the token."""
        resuming = self.client.resume(token)
        self.wire.open()
        [frame] = self.wire.take()
        self.assertEqual((frame[0], *frame[2:6]), ("resume", "r1", "t1", "", 0))
        self.wire.receive("joined", frame[1], "r1", membership(token="t2", **joined))
        room: Any = self.successResultOf(resuming)
        room.log = []
        room.on("lost", lambda loss: room.log.append(loss))
        self.clock.advance(0)
        return room

    def test_resume(self) -> None:
        """The client is the same member, and gets a new snapshot."""
        room = self.resume(self.leave(), offset=9, snapshot="s", handled=2)
        self.assertEqual((room.id, room.name, room.member, room.status), ("r1", "chat", "m1", "joined"))
        self.assertEqual((room.offset, room.snapshot, room.log), (9, "s", []))
        self.assertEqual(self.client.joined, [room])
        room.send("say", "on")
        self.assertEqual(self.wire.take(), [["send", "r1", "say", "on", 3]])
        self.assertEqual(self.reconnect()[0][2:6], ["r1", "t2", "e1", 9])

    def test_accepted(self) -> None:
        """
        Numbers that the server has accepted are not used again, though their frames are not handled yet.
        """
        room = self.resume(self.leave(), handled=2, accepted=4)
        sent = room.send("say", "on")
        self.assertEqual(self.wire.take(), [["send", "r1", "say", "on", 5]])
        self.wire.receive("ack", "r1", 4)
        self.assertFalse(sent.isHandled)
        self.wire.receive("ack", "r1", 5)
        self.assertTrue(sent.isHandled)

    def test_acceptedAndForgotten(self) -> None:
        """If the server has forgotten them, the sent frames are unconfirmed."""
        room = self.resume(self.leave(), handled=2, accepted=4)
        room.send("say", "on")
        self.resumed(self.reconnect()[0], handled=2)
        self.assertEqual([loss.unconfirmed for loss in room.log], [[Unconfirmed("say", "on")]])
        room.send("say", "again")
        self.assertEqual(self.wire.take(), [["send", "r1", "say", "again", 3]])

    def test_answers(self) -> None:
        """Answers to the former client's requests do not answer those of this client."""
        room = self.resume(self.leave())
        call = room.call("roll")
        ref = self.wire.take()[0][1]
        for other in range(1, 9):
            self.wire.receive("reply", other, "to the former")
        self.assertNoResult(call)
        self.wire.receive("reply", ref, 6)
        self.assertEqual(self.successResultOf(call), 6)

    def test_forgotten(self) -> None:
        """The client joins again as the former one had, without its reserved seat and its credentials."""
        self.resume(self.leave(auth="mine"))
        self.refuse(self.reconnect()[0][1], "unauthorized")
        [[kind, ref, target, options, _]] = self.wire.take()
        self.assertEqual((kind, target, options), ("joinById", "r1", {"name": "ada"}))
        self.refuse(ref, "noSuchRoom")
        self.assertEqual([frame[0:3:2] for frame in self.wire.take()], [["join", "chat"]])

    def test_refused(self) -> None:
        """The resume fails with the server's error, and the client does not join instead."""
        for code in ("unauthorized", "forbidden", "noSuchRoom"):
            resuming = self.client.resume(self.leave())
            self.wire.open()
            self.refuse(self.wire.take()[0][1], code)
            self.assertEqual(self.codeOf(resuming), code)
            self.assertEqual((self.wire.take(), self.client.joined), ([], []))

    def test_noToken(self) -> None:
        """A malformed token is refused without a connection."""
        token = self.leave()
        for wrong in ("", "x", "é", "e30=", token[4:], token[:-8], token.swapcase()):
            self.assertEqual(self.codeOf(self.client.resume(wrong)), "badRequest")
        self.assertEqual(self.wires, [])

    def test_left(self) -> None:
        """A room that was left has no token; one that is away has."""
        room = self.join()
        self.wire.end()
        self.assertIsNotNone(room.reconnectionToken)
        self.client.close()
        self.assertIsNone(room.reconnectionToken)
