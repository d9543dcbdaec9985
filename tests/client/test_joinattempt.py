"""The Python client joins rooms and gets the credentials for that."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed

from tests.client.case import DEFAULTS, ClientTestCase, membership
from txroom import RoomError

#: The text of an exception with half a surrogate pair, as it is shown in another error.
_HALF = "ZeroDivisionError: half \\ud83d"


class JoinTests(ClientTestCase):
    """Joining a room."""

    def test_lazy(self) -> None:
        """The client connects at the first join, and sends it when the connection is open."""
        self.assertEqual((self.client.state, self.wires), ("idle", []))
        joining = self.client.joinOrCreate("chat", {"name": "ada"})
        self.assertEqual(self.client.state, "connecting")
        self.assertEqual(self.wire.frames, [])
        self.wire.open()
        self.assertEqual(self.wire.take(), [["join", 1, "chat", {"name": "ada"}, {"state": 1}]])
        self.assertNoResult(joining)
        self.wire.receive("joined", 1, "r1", membership(snapshot={"x": 1}, offset=4))
        room = self.successResultOf(joining)
        self.assertEqual((room.id, room.name, room.member, room.epoch), ("r1", "chat", "m1", "e1"))
        self.assertEqual((room.offset, room.snapshot, room.status), (4, {"x": 1}, "joined"))
        self.assertIs(room.client, self.client)
        self.assertEqual(self.client.joined, [room])

    def test_ways(self) -> None:
        """Each method sends its own kind of frame."""
        for method, kind in (("join", "joinOnly"), ("create", "create"), ("joinById", "joinById")):
            self.begin()
            getattr(self.client, method)("x")
            self.wire.open()
            self.assertEqual(self.wire.take(), [[kind, 1, "x", {}, {"state": 1}]])

    def test_refused(self) -> None:
        """A join fails with the server's error."""
        joining = self.client.join("chat")
        self.wire.open()
        self.wire.receive("error", 1, None, "full", "come later", {"seats": 2})
        error = self.failureResultOf(joining, RoomError).value
        self.assertEqual((error.code, error.message, error.details), ("full", "come later", {"seats": 2}))

    def test_auth(self) -> None:
        """`auth` is sent with the options of each join, whether it is a value, a function or a Deferred."""
        slow: Deferred[Any] = Deferred()
        for auth in ("secret", lambda: "secret", lambda: succeed("secret"), lambda: slow):
            self.begin(auth=auth)
            self.client.join("chat", {"name": "ada"})
            if self.wires:
                self.wire.open()
            else:
                slow.callback("secret")
                self.wire.open()
            self.assertEqual(
                self.wire.take(), [["joinOnly", 1, "chat", {"name": "ada", "auth": "secret"}, {"state": 1}]]
            )
        self.client.join("chat", {"auth": "mine"})
        self.assertEqual(self.wire.take()[0][3], {"auth": "mine"})

    def test_authFails(self) -> None:
        """An `auth` that fails is called again, with growing delays, until `requestTimeout`."""
        asked: list[float] = []

        def fails() -> Any:
            asked.append(self.clock.seconds())
            raise ZeroDivisionError("half \ud83d")

        for auth in (fails, lambda: maybeDeferred(fails)):
            self.begin(auth=auth, minDelay=2.0)
            asked.clear()
            joining = self.client.join("chat")
            self.clock.pump([0.5] * 29)
            self.assertNoResult(joining)
            self.assertEqual(asked, [0.0, 1.0, 3.0, 7.0, 12.0])
            self.clock.advance(0.5)
            error = self.failureResultOf(joining, RoomError).value
            expected = ("unauthorized", "the option auth failed: " + _HALF)
            self.assertEqual((error.code, error.message), expected)
            self.assertIsInstance(error.__cause__, ZeroDivisionError)
            self.assertEqual((self.wires, self.clock.getDelayedCalls()), ([], []))

    def test_authFailsOnce(self) -> None:
        """If `auth` fails once and then succeeds, the join succeeds."""
        answers = iter([fail(ZeroDivisionError()), succeed("secret")])
        self.begin(auth=lambda: next(answers))
        joining = self.client.join("chat")
        self.assertEqual(self.wires, [])
        self.clock.advance(DEFAULTS.minDelay)
        self.wire.open()
        self.assertEqual(self.wire.take(), [["joinOnly", 1, "chat", {"auth": "secret"}, {"state": 1}]])
        self.wire.receive("joined", 1, "r1", membership())
        self.successResultOf(joining)

    def test_authMeansIt(self) -> None:
        """A `RoomError` of `auth` fails the join at once."""
        self.begin(auth=lambda: fail(RoomError("expired", "log in again")))
        self.assertEqual(self.codeOf(self.client.join("chat")), "expired")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_authNeverComes(self) -> None:
        """
        An `auth` that never fires is cancelled after `requestTimeout`, by `close`, and when the join is
        cancelled.
        """
        for end in ("timeout", "close", "cancel"):
            cancelled: list[object] = []
            self.begin(auth=lambda cancelled=cancelled: Deferred(cancelled.append))
            joining = self.client.join("chat")
            if end == "timeout":
                self.clock.advance(DEFAULTS.requestTimeout)
                self.assertEqual(self.codeOf(joining), "timeout")
            elif end == "close":
                self.client.close()
                self.assertEqual(self.codeOf(joining), "unavailable")
            else:
                joining.cancel()
                self.failureResultOf(joining, CancelledError)
                self.clock.advance(DEFAULTS.requestTimeout)
            self.assertEqual((len(cancelled), self.clock.getDelayedCalls()), (1, []), end)

    def test_authUnsendable(self) -> None:
        """An `auth` that cannot be sent fails the join at once."""
        self.begin(auth=lambda: {"key": b"bytes"})
        error = self.failureResultOf(self.client.join("chat"), RoomError).value
        self.assertEqual(error.message, "options.auth.key: bytes do not exist in JSON")

    def test_noConnection(self) -> None:
        """The client tries to connect until `requestTimeout`."""
        joining = self.client.join("chat")
        for _ in range(4):
            self.wire.end()
            self.nextWire()
        self.clock.advance(DEFAULTS.requestTimeout)
        self.assertEqual(self.codeOf(joining), "unavailable")

    def test_noAnswer(self) -> None:
        """
        A join without an answer times out; if the answer arrives later, the client leaves the room again.
        """
        self.begin(pingInterval=0)
        joining = self.client.join("chat")
        self.wire.open()
        self.clock.advance(DEFAULTS.requestTimeout)
        self.assertEqual(self.codeOf(joining), "timeout")
        self.wire.take()
        self.wire.receive("joined", 1, "r1", membership())
        self.assertEqual([frame[0] for frame in self.wire.take()], ["leave"])
        self.assertEqual(self.client.joined, [])

    def test_lostMeanwhile(self) -> None:
        """A join is not sent again after the connection was lost."""
        joining = self.client.join("chat")
        self.wire.open()
        self.wire.end()
        self.assertEqual(self.codeOf(joining), "unavailable")
        self.assertEqual(self.client.state, "idle")

    def test_crossesGoodbye(self) -> None:
        """
        After `bye` a join without an answer was not read, and is sent again: also one that was sent later.
        After the next connection it counts no more.
        """
        joining = self.client.join("chat")
        self.wire.open()
        self.wire.take()
        self.wire.receive("bye", 4100, 0)
        later = self.client.joinById("r2")
        self.wire.end(4100)
        self.assertNoResult(joining)
        self.nextWire()
        self.wire.open()
        frames = self.wire.take()
        self.assertEqual([frame[:3] for frame in frames], [["joinOnly", 1, "chat"], ["joinById", 3, "r2"]])
        self.wire.receive("joined", 3, "r2", membership())
        self.assertEqual(self.successResultOf(later).id, "r2")
        self.wire.end(4100)
        self.assertEqual(self.codeOf(joining), "unavailable")

    def test_goodbyeToNewRefs(self) -> None:
        """The server answers what it has read before `bye`, and such a join fails."""
        joining = self.client.join("chat")
        self.wire.open()
        self.wire.receive("error", 1, None, "unavailable", "the server closes the connection", None)
        self.wire.receive("bye", 4100, 0)
        self.assertEqual(self.codeOf(joining), "unavailable")

    def test_resumeCrossesGoodbye(self) -> None:
        """The resume of a token is sent again too, and one of a membership only once."""
        room = self.join()
        token = room.reconnectionToken
        self.wire.end()
        self.nextWire()
        self.wire.open()
        self.assertEqual([frame[0] for frame in self.wire.take()], ["resume"])
        resuming = self.client.resume(token)
        self.wire.receive("bye", 4100, 0)
        self.wire.end(4100)
        self.nextWire()
        self.wire.open()
        self.assertEqual([frame[0] for frame in self.wire.take()], ["resume", "resume"])
        self.assertNoResult(resuming)

    def test_cancelled(self) -> None:
        """If a cancelled join succeeds, the client leaves the room again."""
        joining = self.client.join("chat")
        self.wire.open()
        joining.cancel()
        self.failureResultOf(joining, CancelledError)
        self.wire.take()
        self.wire.receive("joined", 1, "r1", membership())
        self.assertEqual([(frame[0], frame[2]) for frame in self.wire.take()], [("leave", "r1")])

    def test_listenersInTime(self) -> None:
        """Messages that follow `joined` at once are delivered after the user could add listeners."""
        heard: list[Any] = []

        def enter(room: Any) -> None:
            room.on("said", lambda data, offset: heard.append(data))

        joining = self.client.join("chat")
        self.wire.open()
        self.wire.receive("joined", 1, "r1", membership())
        self.wire.receive("msg", "r1", 1, "said", "hi")
        joining.addCallback(enter)
        self.assertEqual(heard, [])
        self.clock.advance(0)
        self.assertEqual(heard, ["hi"])

    def test_requests(self) -> None:
        """`query` and `ping` are sent again after the connection was lost."""
        listing, ping = self.client.rooms("chat", {"mode": "x"}), self.client.ping()
        self.wire.open()
        self.assertEqual(
            self.wire.take(withPings=True)[:2], [["rooms", 1, "chat", {"mode": "x"}], ["ping", 2]]
        )
        self.wire.end()
        self.nextWire()
        self.wire.open()
        self.clock.advance(0.5)
        self.wire.receive("reply", 1, [{"room": "r1"}])
        self.wire.receive("reply", 2, None)
        self.assertEqual(self.successResultOf(listing), [{"room": "r1"}])
        self.assertEqual(self.successResultOf(ping), 0.5)
        self.assertEqual(self.client.latency, 0.5)
