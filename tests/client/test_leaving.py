"""The Python client leaves its rooms, and closes."""

from __future__ import annotations

from tests.client.case import DEFAULTS, ClientTestCase
from txroom import RoomError


class LeaveTests(ClientTestCase):
    """Getting out."""

    def test_leave(self) -> None:
        """After what was sent before."""
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
        self.assertEqual((room.state, self.client.joined), ("left", []))

    def test_leaveTimeout(self) -> None:
        """It doesn't wait for ever."""
        room = self.join()
        leaving = room.leave()
        self.clock.advance(DEFAULTS.leaveTimeout)
        self.successResultOf(leaving)
        self.assertEqual([frame[0] for frame in self.wire.take()], ["leave"])

    def test_leaveBlocked(self) -> None:
        """Who can't send what waits leaves without it."""
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
        """A resume that is answered after that is taken back."""
        room = self.join()
        [resume] = self.reconnect()
        leaving = room.leave()
        self.clock.advance(DEFAULTS.leaveTimeout)
        self.successResultOf(leaving)
        self.assertEqual(self.wire.take(), [])
        self.resumed(resume)
        self.assertEqual([(frame[0], frame[2]) for frame in self.wire.take()], [("leave", "r1")])
        self.assertEqual(room.state, "left")

    def test_leaveWhileLost(self) -> None:
        """A leave that was on its way is as good as done; else the seat is given up by itself."""
        room = self.join()
        leaving = room.leave()
        self.wire.end()
        self.successResultOf(leaving)
        self.assertEqual(self.client.state, "idle")

    def test_close(self) -> None:
        """Leaves all rooms, fails what is pending, and fires when the connection is gone."""
        room = self.join()
        call, ping = room.call("roll"), self.client.ping()
        self.wire.take(withPings=True)
        closing = self.client.close()
        self.assertEqual([frame[0] for frame in self.wire.take()], ["leave"])
        self.assertEqual(self.wire.closed, (1000, ""))
        self.assertEqual((self.codeOf(call), self.codeOf(ping)), ("roomGone", "unavailable"))
        self.assertEqual((room.state, self.client.state), ("left", "closed"))
        self.assertNoResult(closing)
        again = self.client.close()
        self.wire.gone.callback(None)
        self.successResultOf(closing)
        self.successResultOf(again)
        self.successResultOf(self.client.close())
        self.assertEqual(self.codeOf(self.client.join("chat")), "unavailable")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closeIdle(self) -> None:
        """There may be nothing to close."""
        self.successResultOf(self.client.close())

    def test_closeWhenTold(self) -> None:
        """Whoever is told of anything may close the client."""
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
