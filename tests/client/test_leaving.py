"""The Python client leaves its rooms, and closes."""

from __future__ import annotations

from tests.client.case import DEFAULTS, ClientTestCase
from txroom import RoomError


class LeaveTests(ClientTestCase):
    """Leaving a room and closing a client."""

    def test_leave(self) -> None:
        """The client leaves after the messages that were sent before."""
        self.begin(window=1)
        room = self.join()
        room.send("say", 1)
        room.send("say", 2)
        leaving = [room.leave(), room.leave()]
        self.assertEqual(self.assertRaises(RoomError, room.send, "say").code, "roomGone")
        self.assertEqual(self.codeOf(room.call("say")), "roomGone")
        self.assertEqual(len(self.wire.take()), 1)
        self.wire.receive("ack", "r1", 1)
        [send, leave] = self.wire.take()
        self.assertEqual((send[0], leave[0], leave[2]), ("send", "leave", "r1"))
        self.wire.receive("reply", leave[1], None)
        for each in leaving:
            self.successResultOf(each)
        self.successResultOf(room.leave())
        self.assertEqual(room.log, [("left", 1000, "left")])
        self.assertEqual((room.status, self.client.joined), ("left", []))

    def test_leaveTimeout(self) -> None:
        """`leave` fires after `leaveTimeout` even if the server does not answer."""
        room = self.join()
        leaving = room.leave()
        self.clock.advance(DEFAULTS.leaveTimeout)
        self.successResultOf(leaving)
        self.assertEqual([frame[0] for frame in self.wire.take()], ["leave"])

    def test_leaveBlocked(self) -> None:
        """If queued messages cannot be sent until `leaveTimeout`, the client leaves without them."""
        self.begin(window=1)
        room = self.join()
        for i in range(3):
            room.send("say", i)
        leaving = room.leave()
        self.assertEqual([frame[0] for frame in self.wire.take()], ["send"])
        self.clock.advance(DEFAULTS.leaveTimeout)
        self.successResultOf(leaving)
        self.assertEqual([(frame[0], frame[2]) for frame in self.wire.take()], [("leave", "r1")])

    def test_leaveWhileResuming(self) -> None:
        """If a resume is answered after the room was left, the client leaves again."""
        room = self.join()
        [resume] = self.reconnect()
        leaving = room.leave()
        self.clock.advance(DEFAULTS.leaveTimeout)
        self.successResultOf(leaving)
        self.assertEqual(self.wire.take(), [])
        self.resumed(resume)
        self.assertEqual([(frame[0], frame[2]) for frame in self.wire.take()], [("leave", "r1")])
        self.assertEqual(room.status, "left")

    def test_leaveWhileLost(self) -> None:
        """
        If the connection is lost after the leave was sent, the room is left; if before, the server ends the
        membership itself.
        """
        room = self.join()
        leaving = room.leave()
        self.wire.end()
        self.successResultOf(leaving)
        self.assertEqual(self.client.state, "idle")

    def test_close(self) -> None:
        """`close` leaves all rooms, fails pending requests, and fires when the connection is closed."""
        room = self.join()
        call, ping = room.call("roll"), self.client.ping()
        self.wire.take(withPings=True)
        closing = self.client.close()
        self.assertEqual([frame[0] for frame in self.wire.take()], ["leave"])
        self.assertEqual(self.wire.closed, (1000, ""))
        self.assertEqual((self.codeOf(call), self.codeOf(ping)), ("roomGone", "unavailable"))
        self.assertEqual((room.status, self.client.state), ("left", "closed"))
        self.assertNoResult(closing)
        again = self.client.close()
        self.wire.gone.callback(None)
        self.successResultOf(closing)
        self.successResultOf(again)
        self.successResultOf(self.client.close())
        self.assertEqual(self.codeOf(self.client.join("chat")), "unavailable")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closeIdle(self) -> None:
        """`close` works without a connection."""
        self.successResultOf(self.client.close())

    def test_closeWhenTold(self) -> None:
        """Any listener may close the client."""
        for event in ("reconnecting", "left", "recovered"):
            self.begin()
            room = self.join()
            room.on(event, lambda *args: self.client.close())
            if event != "recovered":
                self.wire.end(4003 if event == "left" else 1006)
            else:
                self.resumed(self.reconnect()[0])
            self.assertEqual(self.client.state, "closed")
            self.assertEqual(self.clock.getDelayedCalls(), [])
