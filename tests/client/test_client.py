"""The Python client: its state machine by plain calls, and against a server in memory."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any
from unittest import skipUnless

import msgspec
from twisted.application.internet import backoffPolicy
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.case import HarnessTestCase, fired
from tests.client.case import DEFAULTS, FakeWire, SessionTestCase, membership
from txroom import Client as Player
from txroom import Deny, OptionError, Room, RoomApplication, RoomError, message
from txroom.client import (
    JSON_PROTOCOL,
    MSGPACK_PROTOCOL,
    Client,
    ClientOptions,
    Loss,
    Member,
    Unconfirmed,
    mayReconnect,
)
from txroom.client.codec import Codec
from txroom.client.connection import Attempt
from txroom.client.outbox import Outbox, Pending
from txroom.client.room import Room as ClientRoom
from txroom.client.session import Session
from txroom.client.transport import absolute
from txroom.testing import MemoryReactor, RoomHarness

#: An error whose text is no Unicode, as another error shows it.
_HALF = "ZeroDivisionError: half \\ud83d"
VECTORS = Path(__file__).parents[1] / "vectors" / "protocol-v1.json"


class JoinTests(SessionTestCase):
    """Getting in."""

    def test_lazy(self) -> None:
        """It connects at the first join, and sends that when the connection is open."""
        self.assertEqual((self.session.state, self.wires), ("idle", []))
        joining = self.session.joinOrCreate("chat", {"name": "ada"})
        self.assertEqual(self.session.state, "connecting")
        self.assertEqual(self.wire.frames, [])
        self.wire.open()
        self.assertEqual(self.wire.take(), [["join", 1, "chat", {"name": "ada"}]])
        self.assertNoResult(joining)
        self.wire.receive("joined", 1, "r1", membership(snapshot={"x": 1}, offset=4))
        room = self.successResultOf(joining)
        self.assertEqual((room.id, room.name, room.member, room.epoch), ("r1", "chat", "m1", "e1"))
        self.assertEqual((room.offset, room.snapshot, room.state), (4, {"x": 1}, "joined"))
        self.assertIs(room.client, self.session)
        self.assertEqual(self.session.joined, [room])

    def test_ways(self) -> None:
        """Each way in has its frame."""
        for method, kind in (("join", "joinOnly"), ("create", "create"), ("joinById", "joinById")):
            self.begin()
            getattr(self.session, method)("x")
            self.wire.open()
            self.assertEqual(self.wire.take(), [[kind, 1, "x", {}]])

    def test_refused(self) -> None:
        """The server's error is the join's."""
        joining = self.session.join("chat")
        self.wire.open()
        self.wire.receive("error", 1, None, "full", "come later", {"seats": 2})
        error = self.failureResultOf(joining, RoomError).value
        self.assertEqual((error.code, error.message, error.details), ("full", "come later", {"seats": 2}))

    def test_auth(self) -> None:
        """`auth` goes with the options of each join: a value, a function, a Deferred."""
        slow: Deferred[Any] = Deferred()
        for auth in ("secret", lambda: "secret", lambda: succeed("secret"), lambda: slow):
            self.begin(auth=auth)
            self.session.join("chat", {"name": "ada"})
            if self.wires:
                self.wire.open()
            else:
                slow.callback("secret")
                self.wire.open()
            self.assertEqual(self.wire.take(), [["joinOnly", 1, "chat", {"name": "ada", "auth": "secret"}]])
        self.session.join("chat", {"auth": "mine"})
        self.assertEqual(self.wire.take()[0][3], {"auth": "mine"})

    def test_authFails(self) -> None:
        """An `auth` that fails is asked again, slower and slower, until `requestTimeout`."""
        asked: list[float] = []

        def fails() -> Any:
            asked.append(self.clock.seconds())
            raise ZeroDivisionError("half \ud83d")

        for auth in (fails, lambda: maybeDeferred(fails)):
            self.begin(auth=auth, minDelay=2.0)
            asked.clear()
            joining = self.session.join("chat")
            self.clock.pump([0.5] * 29)
            self.assertNoResult(joining)
            self.assertEqual(asked, [0.0, 1.0, 3.0, 7.0, 12.0])
            self.clock.advance(0.5)
            error = self.failureResultOf(joining, RoomError).value
            self.assertEqual((error.code, error.message), ("unauthorized", "auth failed: " + _HALF))
            self.assertIsInstance(error.__cause__, ZeroDivisionError)
            self.assertEqual((self.wires, self.clock.getDelayedCalls()), ([], []))

    def test_authFailsOnce(self) -> None:
        """The next attempt counts."""
        answers = iter([fail(ZeroDivisionError()), succeed("secret")])
        self.begin(auth=lambda: next(answers))
        joining = self.session.join("chat")
        self.assertEqual(self.wires, [])
        self.clock.advance(DEFAULTS.minDelay)
        self.wire.open()
        self.assertEqual(self.wire.take(), [["joinOnly", 1, "chat", {"auth": "secret"}]])
        self.wire.receive("joined", 1, "r1", membership())
        self.successResultOf(joining)

    def test_authMeansIt(self) -> None:
        """A `RoomError` of `auth` is final at once."""
        self.begin(auth=lambda: fail(RoomError("expired", "log in again")))
        self.assertEqual(self.codeOf(self.session.join("chat")), "expired")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_authNeverComes(self) -> None:
        """`requestTimeout` covers it, `close` ends it, and who gives up lets it go; it is cancelled then."""
        for end in ("timeout", "close", "cancel"):
            cancelled: list[object] = []
            self.begin(auth=lambda cancelled=cancelled: Deferred(cancelled.append))
            joining = self.session.join("chat")
            if end == "timeout":
                self.clock.advance(DEFAULTS.requestTimeout)
                self.assertEqual(self.codeOf(joining), "timeout")
            elif end == "close":
                self.session.close()
                self.assertEqual(self.codeOf(joining), "unavailable")
            else:
                joining.cancel()
                self.failureResultOf(joining, CancelledError)
                self.clock.advance(DEFAULTS.requestTimeout)
            self.assertEqual((len(cancelled), self.clock.getDelayedCalls()), (1, []), end)

    def test_authUnsendable(self) -> None:
        """What can't be sent of it is said at once."""
        self.begin(auth=lambda: {"key": b"bytes"})
        error = self.failureResultOf(self.session.join("chat"), RoomError).value
        self.assertEqual(error.message, "options.auth.key: bytes can't be said in JSON")

    def test_noConnection(self) -> None:
        """It tries until `requestTimeout`."""
        joining = self.session.join("chat")
        for _ in range(4):
            self.wire.end()
            self.nextWire()
        self.clock.advance(DEFAULTS.requestTimeout)
        self.assertEqual(self.codeOf(joining), "unavailable")

    def test_noAnswer(self) -> None:
        """An answer that doesn't come is a timeout; one that comes too late is left again."""
        self.begin(pingInterval=0)
        joining = self.session.join("chat")
        self.wire.open()
        self.clock.advance(DEFAULTS.requestTimeout)
        self.assertEqual(self.codeOf(joining), "timeout")
        self.wire.take()
        self.wire.receive("joined", 1, "r1", membership())
        self.assertEqual([frame[0] for frame in self.wire.take()], ["leave"])
        self.assertEqual(self.session.joined, [])

    def test_lostMeanwhile(self) -> None:
        """A join is not tried again by itself."""
        joining = self.session.join("chat")
        self.wire.open()
        self.wire.end()
        self.assertEqual(self.codeOf(joining), "unavailable")
        self.assertEqual(self.session.state, "idle")

    def test_cancelled(self) -> None:
        """Who was let in after all is let go."""
        joining = self.session.join("chat")
        self.wire.open()
        joining.cancel()
        self.failureResultOf(joining, CancelledError)
        self.wire.take()
        self.wire.receive("joined", 1, "r1", membership())
        self.assertEqual([(frame[0], frame[2]) for frame in self.wire.take()], [("leave", "r1")])

    def test_listenersInTime(self) -> None:
        """What comes with `joined` waits until listeners could be added."""
        heard: list[Any] = []

        def enter(room: Any) -> None:
            room.on("said", lambda data, offset: heard.append(data))

        joining = self.session.join("chat")
        self.wire.open()
        self.wire.receive("joined", 1, "r1", membership())
        self.wire.receive("msg", "r1", 1, "said", "hi")
        joining.addCallback(enter)
        self.assertEqual(heard, [])
        self.clock.advance(0)
        self.assertEqual(heard, ["hi"])

    def test_requests(self) -> None:
        """Rooms are listed, and the way is measured; both outlive a connection."""
        listing, ping = self.session.rooms("chat", {"mode": "x"}), self.session.ping()
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
        self.assertEqual(self.session.latency, 0.5)


class MessageTests(SessionTestCase):
    """What is said, in both directions."""

    def test_send(self) -> None:
        """Frames are numbered; the receipt knows when they were handled."""
        room = self.join()
        one, two = room.send("say", "a"), room.send("say")
        self.assertEqual(self.wire.take(), [["send", "r1", "say", "a", 1], ["send", "r1", "say", None, 2]])
        early = one.whenHandled()
        self.wire.receive("ack", "r1", 1)
        self.successResultOf(early)
        self.successResultOf(one.whenHandled())
        self.assertEqual((one.isHandled, two.isHandled), (True, False))

    def test_await(self) -> None:
        """A receipt can be awaited, and need not be looked at."""
        room = self.join()

        async def say() -> str:
            await room.send("say")
            return "done"

        saying = Deferred.fromCoroutine(say())
        self.assertNoResult(saying)
        self.wire.receive("ack", "r1", 1)
        self.assertEqual(self.successResultOf(saying), "done")
        ignored, noticed = room.send("say"), room.send("say").whenHandled()
        self.wire.receive("left", "r1", 4003, "")
        self.assertEqual(ignored.error.code, "roomGone")
        self.assertEqual(self.codeOf(noticed), "roomGone")
        self.assertEqual(self.codeOf(ignored.whenHandled()), "roomGone")

    def test_call(self) -> None:
        """A call has an answer, or an error."""
        room = self.join()
        good, bad = room.call("roll", 6), room.call("roll")
        [[_, first, *rest], [_, second, *_]] = self.wire.take()
        self.assertEqual(rest, ["r1", "roll", 6, 1])
        self.wire.receive("error", second, "r1", "invalidData", "what?", {"field": "sides"})
        self.wire.receive("reply", first, 4)
        self.assertEqual(self.successResultOf(good), 4)
        self.assertEqual(self.codeOf(bad), "invalidData")
        self.wire.receive("reply", first, 5)
        self.assertEqual(self.errors, [])

    def test_callTimeout(self) -> None:
        """The answer may take so long; one that waited is not sent any more."""
        room = self.join()
        call = room.call("roll", timeout=2)
        self.clock.advance(1.9)
        self.assertNoResult(call)
        self.clock.advance(0.1)
        self.assertEqual(self.codeOf(call), "timeout")
        self.wire.end()
        waiting = room.call("roll", timeout=0.01)
        self.nextWire()
        self.assertEqual(self.codeOf(waiting), "timeout")
        self.assertEqual(room.buffered, 0)

    def test_callCancelled(self) -> None:
        """Who gives up leaves nothing behind."""
        self.begin(pingInterval=0)
        room = self.join()
        call = room.call("roll")
        ref = self.wire.take()[0][1]
        call.cancel()
        self.failureResultOf(call, CancelledError)
        self.wire.receive("ack", "r1", 1)
        self.wire.receive("reply", ref, 4)
        self.assertEqual(self.reconnect()[0][0], "resume")
        self.assertEqual(self.errors, [])
        self.assertEqual([one for one in self.clock.getDelayedCalls() if one.getTime() < 15], [])

    def test_refusedData(self) -> None:
        """What can't be encoded, or is too large, or has no type, is refused at once."""
        self.begin(maxPayload=1000)
        room = self.join()
        for type, data, code in (
            ("say", object(), "invalidData"),
            ("say", b"bytes", "invalidData"),
            ("say", 2**80, "invalidData"),
            ("say", "x" * 1000, "invalidData"),
            ("", 1, "badRequest"),
            ("x" * 129, 1, "badRequest"),
        ):
            error = self.assertRaises(RoomError, room.send, type, data)
            self.assertEqual(error.code, code)
            self.assertEqual(self.codeOf(room.call(type, data)), code)
        self.assertEqual(self.wire.take(), [])

    def test_window(self) -> None:
        """So many may be unacknowledged, and so many wait; beyond that it is refused."""
        self.begin(window=2, maxBuffered=3)
        room = self.join()
        for i in range(5):
            room.send("say", i)
        self.assertEqual([frame[4] for frame in self.wire.take()], [1, 2])
        self.assertEqual(room.buffered, 3)
        self.assertEqual(self.assertRaises(RoomError, room.send, "say").code, "rateLimited")
        self.wire.receive("ack", "r1", 1)
        self.assertEqual([frame[4] for frame in self.wire.take()], [3])
        self.wire.end()
        room.send("say")
        self.assertEqual(self.assertRaises(RoomError, room.send, "say").code, "unavailable")

    def test_sendFromListener(self) -> None:
        """What is told of an acknowledgement may send at once."""
        self.begin(window=1)
        room = self.join()
        for i in range(3):
            room.send("say", i).whenHandled().addCallback(lambda _, i=i: room.send("again", i))
        for n in range(1, 7):
            self.wire.receive("ack", "r1", n)
        self.assertEqual([frame[2:] for frame in self.wire.take()], [
            ["say", 0, 1], ["say", 1, 2], ["say", 2, 3], ["again", 0, 4], ["again", 1, 5], ["again", 2, 6],
        ])  # fmt: skip

    def test_volatile(self) -> None:
        """Has no number, and is not kept."""
        room = self.join()
        self.assertTrue(room.send("typing", True, volatile=True).isHandled)
        self.assertEqual(self.wire.take(), [["send", "r1", "typing", True]])
        self.wire.end()
        room.send("typing", True, volatile=True)
        self.assertEqual(room.buffered, 0)

    def test_receive(self) -> None:
        """Messages come once, in the order of their offsets; volatile ones have none."""
        room = self.join(offset=3)
        for offset in (3, 4, None, 4, 5):
            self.wire.receive("msg", "r1", offset, "n", offset)
        self.assertEqual(room.log, [("n", 4, 4), ("n", None, None), ("n", 5, 5)])
        self.assertEqual(room.offset, 5)

    def test_listeners(self) -> None:
        """They are added, removed, called once, and named like events if one insists."""
        room = self.join()
        heard: list[Any] = []
        off = room.on("said", lambda data, offset: heard.append(("on", data)))
        room.once("said", lambda data, offset: heard.append(("once", data)))
        room.onMessage("left", lambda data, offset: heard.append(("left", data)))
        for data in (1, 2):
            self.wire.receive("msg", "r1", data, "said", data)
        off()
        self.wire.receive("msg", "r1", 3, "said", 3)
        self.wire.receive("msg", "r1", 4, "left", 4)
        room.off("left")
        room.onMessage("said", heard.append)
        room.off("said")
        self.wire.receive("msg", "r1", 5, "said", 5)
        self.assertEqual(heard, [("on", 1), ("once", 1), ("on", 2), ("left", 4)])
        self.assertEqual(room.log, [("said", 3, 3), ("said", 5, 5)])
        self.assertRaises(TypeError, room.on, "said", None)
        self.assertRaises(TypeError, room.once, "said", None)
        self.assertRaises(TypeError, room.handle, "said", None)

    def test_listenerFails(self) -> None:
        """Whatever a listener raises is told as an error, and stops nothing."""
        room = self.join()
        heard: list[Any] = []

        async def later(data: Any, offset: Any) -> None:
            raise ZeroDivisionError("async")

        room.on("said", lambda data, offset: 1 / 0)
        room.on("said", later)
        room.on("said", lambda data, offset: heard.append(data))
        self.wire.receive("msg", "r1", 1, "said", 1)
        self.assertEqual(heard, [1])
        self.assertEqual([type(error) for error in self.errors], [ZeroDivisionError] * 2)
        room.on("error", lambda error: 1 / 0)
        self.wire.receive("msg", "r1", 2, "said", 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        room.off("error")
        self.session.off("error")
        self.wire.receive("msg", "r1", 3, "said", 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.session.on("error", lambda error: 1 / 0)
        self.wire.receive("msg", "r1", 4, "said", 4)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_refusedSend(self) -> None:
        """An error without a ref is the room's, or the client's."""
        room = self.join()
        self.wire.receive("error", None, "r1", "unknownType", "", {"field": "type"})
        self.wire.receive("error", None, None, "badRequest", "", None)
        self.assertEqual([error.code for error in self.errors], ["unknownType", "badRequest"])
        errors: list[Any] = []
        room.on("error", errors.append)
        self.wire.receive("error", None, "r1", "rateLimited", "", None)
        self.assertEqual([error.code for error in errors], ["rateLimited"])

    def test_handle(self) -> None:
        """The server's calls are answered, later too."""
        room = self.join()
        slow: Deferred[int] = Deferred()
        room.handle("now", lambda data: data * 2)
        room.handle("later", lambda data: slow)
        self.wire.receive("call", 1, "r1", "later", 1)
        self.wire.receive("call", 2, "r1", "now", 21)
        slow.callback(3)
        self.assertEqual(self.wire.take(), [["reply", "r1", 2, 42], ["reply", "r1", 1, 3]])

    def test_handleFails(self) -> None:
        """An error is told if it is meant; any other is not, nor is what can't be encoded."""
        room = self.join()

        def refuse(data: Any) -> None:
            raise RoomError("busy", "not now")

        room.handle("refuse", refuse)
        end = room.handle("fail", lambda data: 1 / 0)
        room.handle("odd", lambda data: object())
        for ref, kind in enumerate(("refuse", "fail", "odd", "none")):
            self.wire.receive("call", ref, "r1", kind, None)
        end()
        self.wire.receive("call", 9, "r1", "fail", None)
        frames = self.wire.take()
        self.assertEqual(
            [frame[:4] for frame in frames],
            [
                ["error", "r1", 0, "busy"],
                ["error", "r1", 1, "internal"],
                ["error", "r1", 2, "invalidData"],
                ["error", "r1", 3, "unknownType"],
                ["error", "r1", 9, "unknownType"],
            ],
        )
        self.assertEqual(frames[1][4], "the handler failed")
        self.assertEqual([type(error) for error in self.errors], [ZeroDivisionError, RoomError])
        self.assertEqual(
            str(self.errors[1]), "invalidData: answer: Encoding objects of type object is unsupported"
        )

    def test_answerAfterReturn(self) -> None:
        """An answer goes to the connection that asked, or nowhere."""
        room = self.join()
        slow: Deferred[int] = Deferred()
        room.handle("later", lambda data: slow)
        self.wire.receive("call", 1, "r1", "later", 1)
        self.resumed(self.reconnect()[0])
        slow.callback(3)
        self.assertEqual(self.wire.take(), [])

    def test_presence(self) -> None:
        """Who is here, and who comes and goes; users by their id, metas by their member."""
        ada = {"user": "ada", "metas": [{"member": "m1"}]}
        room = self.join(members=[ada])
        changes: list[Any] = []
        room.onPresence(lambda members, joined, left: changes.append((members, joined, left)))
        second: dict[str, Any] = {"user": "ada", "metas": [{"member": "m2", "mood": "fine"}]}
        self.wire.receive("presence", "r1", [second], [])
        both = Member("ada", [{"member": "m1"}, {"member": "m2", "mood": "fine"}])
        self.assertEqual(changes, [([both], [Member("ada", second["metas"])], [])])
        self.wire.receive("presence", "r1", [{"user": "ada", "metas": [{"member": "m2"}]}], [])
        self.assertEqual(room.members[0].metas, [{"member": "m1"}, {"member": "m2"}])
        self.wire.receive("presence", "r1", [], [ada])
        self.assertEqual(room.members, [Member("ada", [{"member": "m2"}])])
        self.wire.receive("presence", "r1", [], [{"user": "ada", "metas": [{"member": "m2"}]}])
        self.wire.receive("presence", "r1", [], [{"user": "who?", "metas": []}])
        self.assertEqual(room.members, [])

    def test_presenceInPlace(self) -> None:
        """Who changes the meta keeps the place, among the users and among the connections of one."""
        first, second, other = {"member": "m1"}, {"member": "m2"}, {"member": "m3"}
        bob = {"user": "bob", "metas": [other]}
        room = self.join(members=[{"user": "ada", "metas": [first, second]}, bob])
        changed = {"member": "m1", "name": "ADA"}
        now, before = [{"user": "ada", "metas": [changed]}], [{"user": "ada", "metas": [first]}]
        self.wire.receive("presence", "r1", now, before)
        self.assertEqual(room.members, [Member("ada", [changed, second]), Member("bob", [other])])
        self.wire.receive("presence", "r1", [], [{"user": "ada", "metas": [second]}])
        changed2 = {"member": "m1", "name": "Ada"}
        self.wire.receive("presence", "r1", [{"user": "ada", "metas": [changed2]}], now)
        self.assertEqual(room.members, [Member("ada", [changed2]), Member("bob", [other])])

    def test_malformed(self) -> None:
        """What is no frame costs the connection; it is resumed. What is unknown is ignored."""
        for bad in (
            b"", b"nonsense", b"{}", b"[]", b"[1]", b'["msg"]', b'["msg","r1",-1,"n",1]', b'["msg","r1",1]',
            b'["ack","r1",1.5]', b'["ack","r1",1]', b'["presence","r1",[{"user":1}],[]]', b'["reply"]',
            b'["joined",1,"r1",{}]', b"\xff", b"[" * 5000,
        ):  # fmt: skip
            self.begin()
            room = self.join()
            self.wire.attempt.received(bad, False)
            self.assertEqual((room.state, self.wire.closed), ("away", (4010, "not a frame")), bad)
            self.assertEqual([error.code for error in self.errors], ["badRequest"])
            self.nextWire()
            self.wire.open()
            self.resumed(self.wire.take()[0])
            self.assertEqual(room.state, "joined")
        for good in (b'["news",1]', b'["ack","elsewhere",9]', b'["reply",99,1]', b'["ack","r1",0,"more"]'):
            self.wire.attempt.received(good, False)
        self.assertEqual((room.state, len(self.errors)), ("joined", 1))
        self.wire.attempt.received(b"\x80", True)
        self.assertEqual(room.state, "away")

    def test_wrongAnswer(self) -> None:
        """A reply where `joined` is due is no answer."""
        joining = self.session.join("chat")
        self.wire.open()
        self.wire.receive("reply", 1, None)
        self.assertEqual(self.codeOf(joining), "unavailable")
        self.assertEqual(self.wire.closed, (4010, "not a frame"))


class LeaveTests(SessionTestCase):
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
        self.assertEqual((room.state, self.session.joined), ("left", []))

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
        self.assertEqual(self.session.state, "idle")

    def test_close(self) -> None:
        """Leaves all rooms, fails what is pending, and fires when the connection is gone."""
        room = self.join()
        call, ping = room.call("roll"), self.session.ping()
        self.wire.take(withPings=True)
        closing = self.session.close()
        self.assertEqual([frame[0] for frame in self.wire.take()], ["leave"])
        self.assertEqual(self.wire.closed, (1000, ""))
        self.assertEqual((self.codeOf(call), self.codeOf(ping)), ("roomGone", "unavailable"))
        self.assertEqual((room.state, self.session.state), ("left", "closed"))
        self.assertNoResult(closing)
        again = self.session.close()
        self.wire.gone.callback(None)
        self.successResultOf(closing)
        self.successResultOf(again)
        self.successResultOf(self.session.close())
        self.assertEqual(self.codeOf(self.session.join("chat")), "unavailable")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closeIdle(self) -> None:
        """There may be nothing to close."""
        self.successResultOf(self.session.close())

    def test_closeWhenTold(self) -> None:
        """Whoever is told of anything may close the client."""
        for event in ("reconnecting", "left", "recovered"):
            self.begin()
            room = self.join()
            room.on(event, lambda *args: self.session.close())
            if event != "recovered":
                self.wire.end(4003 if event == "left" else 1006)
            else:
                self.resumed(self.reconnect()[0])
            self.assertEqual(self.session.state, "closed")
            self.assertEqual(self.clock.getDelayedCalls(), [])


class RecoveryTests(SessionTestCase):
    """Connections that are lost."""

    def test_resume(self) -> None:
        """With token, epoch and last offset; nothing else goes before `joined`."""
        room = self.join(offset=3)
        self.wire.receive("msg", "r1", 5, "n", 5)
        self.wire.receive("msg", "r1", None, "volatile", 0)
        self.wire.end()
        self.assertEqual((room.state, self.session.state), ("away", "waiting"))
        room.send("say", "away")
        self.nextWire()
        room.send("say", "connecting")
        self.wire.open()
        room.send("say", "resuming")
        [resume] = self.wire.take()
        self.assertEqual(resume, ["resume", resume[1], "r1", "t1", "e1", 5])
        self.assertEqual(room.state, "resuming")
        self.resumed(resume)
        self.assertEqual(
            [frame[3:] for frame in self.wire.take()], [["away", 1], ["connecting", 2], ["resuming", 3]]
        )
        self.assertEqual(room.log[2:], [("reconnecting", 1006, ""), ("recovered",)])

    def test_again(self) -> None:
        """What is not acknowledged is sent again, in order, with its old number."""
        room = self.join()
        for i in (1, 2, 3):
            room.send("say", i)
        call = room.call("roll")
        ref = self.wire.take()[3][1]
        self.wire.receive("ack", "r1", 1)
        self.wire.end()
        room.send("say", 5)
        self.nextWire()
        self.wire.open()
        self.resumed(self.wire.take()[0], handled=2)
        self.assertEqual(self.wire.take(), [
            ["send", "r1", "say", 3, 3], ["call", ref, "r1", "roll", None, 4], ["send", "r1", "say", 5, 5],
        ])  # fmt: skip
        self.wire.receive("reply", ref, 6)
        self.assertEqual(self.successResultOf(call), 6)
        self.wire.receive("ack", "r1", 5)
        [resume] = self.reconnect()
        self.resumed(resume, handled=5)
        self.assertEqual(self.wire.take(), [])

    def test_answerAgain(self) -> None:
        """A call that was handled but not answered is sent again for its answer."""
        room = self.join()
        call = room.call("roll")
        ref = self.wire.take()[0][1]
        self.resumed(self.reconnect()[0], handled=1)
        self.assertEqual(self.wire.take(), [["call", ref, "r1", "roll", None, 1]])
        self.refuse(ref, "replyLost")
        self.assertEqual(self.codeOf(call), "replyLost")

    def test_tokens(self) -> None:
        """Each `joined` brings another; when it gets lost the former one is used."""
        self.join()
        self.assertEqual(self.reconnect()[0][3], "t1")
        [resume] = self.reconnect()
        self.assertEqual(resume[3], "t1")
        self.resumed(resume, token="t3")
        self.assertEqual(self.reconnect()[0][3], "t3")

    def test_lost(self) -> None:
        """The snapshot and the members, and the same numbers while the membership is the same."""
        room = self.join(offset=50)
        room.send("say", 1)
        room.send("say", 2)
        [resume] = self.reconnect()
        members = [{"user": "bob", "metas": [{"member": "m2"}]}]
        self.resumed(
            resume, recovered=False, epoch="e2", offset=7, handled=1, snapshot={"board": "x"}, members=members
        )
        self.assertEqual([frame[3:] for frame in self.wire.take()], [[2, 2]])
        loss = Loss({"board": "x"}, [Member("bob", [{"member": "m2"}])], 7, [])
        self.assertEqual(room.log[-1], ("lost", loss))
        self.assertEqual(self.reconnect()[0][3:], ["t2", "e2", 7])

    def test_forgotten(self) -> None:
        """Joins the same room anew, and says what is in doubt."""
        tokens = iter(range(1, 9))
        self.begin(auth=lambda: next(tokens))
        room = self.join("r1", {"name": "ada", "seat": "once"})
        doubtful, call = room.send("say", 1), room.call("roll")
        self.wire.end()
        room.send("say", "never sent")
        self.nextWire()
        self.wire.open()
        self.refuse(self.wire.take()[0][1], "unauthorized")
        [[kind, ref, target, options]] = self.wire.take()
        self.assertEqual((kind, target, options), ("joinById", "r1", {"name": "ada", "auth": 2}))
        self.wire.receive("joined", ref, "r1", membership(member="m7", offset=9, snapshot="s"))
        self.assertEqual(self.wire.take(), [["send", "r1", "say", "never sent", 1]])
        self.assertEqual(doubtful.error.code, "replyLost")
        self.assertEqual(self.codeOf(call), "replyLost")
        unconfirmed = [Unconfirmed("say", 1), Unconfirmed("roll", None)]
        self.assertEqual(room.log[-1], ("lost", Loss("s", [], 9, unconfirmed)))

    def test_roomGone(self) -> None:
        """Another one by its name, if that is how it was joined."""
        room = self.join("r1")
        self.refuse(self.reconnect()[0][1], "noSuchRoom")
        self.refuse(self.wire.take()[0][1], "noSuchRoom")
        [[kind, ref, target, _]] = self.wire.take()
        self.assertEqual((kind, target), ("join", "chat"))
        self.wire.receive("joined", ref, "r2", membership(member="m2"))
        self.assertEqual((room.id, self.session.joined), ("r2", [room]))
        self.wire.receive("msg", "r2", 1, "n", 1)
        self.wire.receive("msg", "r1", 2, "n", 2)
        self.assertEqual(room.log[-1], ("n", 1, 1))

    def test_roomGoneForGood(self) -> None:
        """The end for who had created it or joined it by its id, or with rejoin off."""
        for method, rejoin in (("create", True), ("joinById", True), ("joinOrCreate", False)):
            self.begin(rejoin=rejoin)
            joining = getattr(self.session, method)("r1")
            self.wire.open()
            self.wire.receive("joined", 1, "r1", membership())
            room = self.successResultOf(joining)
            ends: list[Any] = []
            room.on("left", lambda *args, ends=ends: ends.append(args))
            self.clock.advance(0)
            self.refuse(self.reconnect()[0][1], "noSuchRoom", "gone")
            for join in self.wire.take():
                self.refuse(join[1], "noSuchRoom", "gone")
            self.assertEqual(ends, [(4004, "gone")], method)

    def test_rejoinMeets(self) -> None:
        """A rejoin that ends in a room that one is in already: one of them is left over."""
        one, two = self.join("r1"), self.join("r2", member="m2")
        self.wire.receive("left", "r1", 4104, "")
        self.clock.advance(0.2)
        self.refuse(self.wire.take()[0][1], "noSuchRoom")
        self.refuse(self.wire.take()[0][1], "noSuchRoom")
        ref = self.wire.take()[0][1]
        self.wire.receive("joined", ref, "r2", membership(member="m2", token="u2"))
        self.assertEqual(one.log[-1][:2], ("left", 4008))
        self.assertEqual((two.log, self.session.joined), ([], [two]))

    def test_rejoinOvertaken(self) -> None:
        """A rejoin whose room was left meanwhile is left again."""
        room = self.join()
        self.refuse(self.reconnect()[0][1], "roomGone")
        ref = self.wire.take()[0][1]
        leaving = room.leave()
        self.clock.advance(DEFAULTS.leaveTimeout)
        self.successResultOf(leaving)
        self.wire.receive("joined", ref, "r1", membership(member="m2"))
        self.assertEqual([frame[0] for frame in self.wire.take()], ["leave"])

    def test_refusedForGood(self) -> None:
        """A resume that is refused for good ends the room."""
        room = self.join()
        self.refuse(self.reconnect()[0][1], "forbidden", "banned")
        self.assertEqual(room.log[-1], ("left", 4003, "banned"))

    def test_refusedForNow(self) -> None:
        """It is tried again on the same connection, slower and slower."""
        room = self.join()
        [resume] = self.reconnect()
        for delay in (0.125, 0.25, 0.5):
            self.refuse(resume[1], "unavailable")
            self.assertEqual(room.state, "away")
            self.clock.advance(delay - 0.01)
            self.assertEqual(self.wire.take(), [])
            self.clock.advance(0.01)
            [resume] = self.wire.take()
        self.resumed(resume)
        self.assertEqual((room.state, len(self.wires)), ("joined", 2))

    def test_mistakeOfServer(self) -> None:
        """Who is answered "internal" five times in a row on the way back gives up, and is told why."""
        room = self.join()
        errors: list[Any] = []
        room.on("error", errors.append)
        self.wire.end()
        self.nextWire()
        self.wire.open()
        for code in ["internal"] * 4 + ["unavailable"] + ["internal"] * 4:
            self.rejoinRefused(code)
            self.assertEqual(room.state, "away")
            self.clock.advance(DEFAULTS.maxDelay)
        self.rejoinRefused("internal")
        self.assertEqual([error.code for error in errors], ["internal"])
        self.assertEqual((room.log[-1], self.session.joined), (("left", 4008, "internal"), []))

    def rejoinRefused(self, code: str) -> None:
        """The server has forgotten us, and doesn't let us in anew."""
        self.refuse(self.wire.take()[0][1], "roomGone")
        self.refuse(self.wire.take()[0][1], code)

    def test_notAnswered(self) -> None:
        """A resume that is not answered costs the connection."""
        self.begin(pingInterval=0)
        self.join()
        self.reconnect()
        self.clock.advance(DEFAULTS.requestTimeout)
        self.assertEqual((self.session.state, self.wire.closed), ("waiting", (0, "")))

    def test_leftAndBack(self) -> None:
        """`left` 4100-4199: the room resumes over the connection there is."""
        for code in (4100, 4101, 4103, 4104, 4199):
            self.begin()
            room, other = self.join(), self.join("r2", member="m2")
            room.send("say", 1)
            self.wire.take()
            self.wire.receive("left", "r1", code, "moved")
            room.send("say", 2)
            self.clock.advance(0.125)
            [resume] = self.wire.take()
            # The end of the former link is no news.
            self.wire.receive("left", "r1", 4005, "replaced")
            self.wire.receive("msg", "r1", 9, "n", "of the former link")
            self.resumed(resume, handled=1)
            self.assertEqual([frame[3:] for frame in self.wire.take()], [[2, 2]])
            self.assertEqual(room.log, [("reconnecting", code, "moved"), ("recovered",)])
            self.assertEqual((other.state, len(self.wires)), ("joined", 1))

    def test_left(self) -> None:
        """Any other code of `left` is the end of the room, not of the connection."""
        for code in (1000, 4001, 4003, 4004, 4005, 4008, 4010, 4029, 4099):
            self.begin()
            room = self.join()
            call = room.call("roll")
            self.wire.receive("left", "r1", code, "why")
            self.assertEqual(room.log, [("left", code, "why")])
            self.assertEqual(self.codeOf(call), "roomGone")
            self.assertEqual(self.session.state, "open")
            self.wire.end(code)
            self.assertEqual(self.session.state, "idle")

    def test_codes(self) -> None:
        """Who comes back after which close code."""
        back = (1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 3000, 4100, 4102, 4106, 4199, 4500)
        final = (1002, 1003, 1007, 1008, 1009, 1010, 4000, 4001, 4003, 4005, 4010, 4029, 4099)
        for code in (*back, *final):
            self.begin()
            room = self.join()
            ends: list[Any] = []
            self.session.on("disconnected", lambda *args, ends=ends: ends.append(args))
            self.wire.end(code, "because")
            self.clock.advance(5)
            isBack = code in back
            self.assertEqual(mayReconnect(code), isBack)
            self.assertEqual((len(self.wires), room.state), (2, "away") if isBack else (1, "left"), code)
            self.assertEqual(ends, [] if isBack else [(code, "because")])
            self.session.close()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_backoff(self) -> None:
        """Doubling, bounded, half of it random, and told."""
        for random, expected in (
            (0.0, [0.125, 0.25, 0.5, 1, 2, 4, 5, 5]),
            (1.0, [0.25, 0.5, 1, 2, 4, 8, 10, 10]),
        ):
            self.begin(random=lambda random=random: random)
            self.join()
            told: list[Any] = []
            self.session.on("reconnecting", lambda code, reason, *rest, told=told: told.append(rest))
            delays = []
            for _ in expected:
                self.wire.end()
                delays.append(self.nextWire())
            self.assertEqual(delays, expected)
            self.assertEqual(told, [(index + 1, delay) for index, delay in enumerate(expected)])

    def test_policy(self) -> None:
        """Twisted's own policies serve as well."""
        self.begin(retryPolicy=backoffPolicy(1, 60, 1.5, lambda: 0.5))
        self.join()
        delays = []
        for _ in range(3):
            self.wire.end()
            delays.append(self.nextWire())
        self.assertEqual(delays, [1.5, 2.0, 2.75])

    def test_stable(self) -> None:
        """The delay begins anew after a connection that was good, not after one that was short."""
        self.join()
        delays = []
        for uptime in (0, 0, DEFAULTS.stableAfter - 0.1, DEFAULTS.stableAfter):
            self.clock.advance(uptime)
            self.wire.end()
            delays.append(self.nextWire())
            self.wire.open()
            self.resumed(self.wire.take()[0])
        self.assertEqual(delays, [0.125, 0.25, 0.5, 0.125])

    def test_maxAttempts(self) -> None:
        """It gives up."""
        self.begin(maxAttempts=2)
        room = self.join()
        for _ in range(2):
            self.wire.end()
            self.nextWire()
        self.wire.end(1006, "refused")
        self.assertEqual((self.session.state, room.log[-1]), ("idle", ("left", 1006, "refused")))

    def test_bye(self) -> None:
        """Stays away as long as it is asked to, once, and a little longer than the others."""
        for random, expected in ((0.0, 7.125), (1.0, 7 * 1.2 + 0.25)):
            self.begin(random=lambda random=random: random)
            self.join()
            byes: list[Any] = []
            self.session.on("bye", lambda *args, byes=byes: byes.append(args))
            self.wire.receive("bye", 4100, 7)
            self.wire.end(4100)
            self.assertEqual(self.nextWire(), round(expected, 3))
            self.wire.end()
            self.assertLess(self.nextWire(), 1)
            self.wire.end(retryAfter=3)
            self.assertGreater(self.nextWire(), 3)
            self.assertEqual(byes, [(4100, 7)])

    def test_byeForGood(self) -> None:
        """It tells the code also if the close does not."""
        room = self.join()
        self.wire.receive("bye", 4001, 0)
        self.wire.end(1006)
        self.assertEqual((room.state, self.session.state), ("left", "idle"))

    def test_heartbeat(self) -> None:
        """A server that is silent after a heartbeat is gone; any frame is life."""
        room = self.join()
        for i in range(1, 20):
            self.clock.advance(DEFAULTS.pingTimeout - 0.1)
            self.wire.receive("msg", "r1", i, "n", i)
        self.assertEqual(len(self.wires), 1)
        first = self.wire
        self.clock.pump([1] * 36)
        self.assertEqual((room.state, first.closed), ("away", (0, "")))
        first.receive("msg", "r1", 99, "n", "from the dead")
        first.end(4005)
        self.assertEqual((room.offset, room.state), (19, "away"))

    def test_notOpen(self) -> None:
        """A connection that does not open in time, or with another sub-protocol, is given up."""
        joining = self.session.join("chat")
        self.clock.advance(DEFAULTS.connectTimeout)
        self.assertEqual(self.wires[0].closed, (0, ""))
        self.nextWire()
        self.wire.open("txroom.v2.json")
        self.assertEqual(self.wire.closed, (4010, "sub-protocol txroom.v2.json"))
        self.nextWire()
        self.wire.open(None)
        self.wire.receive("joined", self.wire.take()[0][1], "r1", membership())
        self.successResultOf(joining)

    def test_reconnect(self) -> None:
        """A cut on purpose, for as long as one likes."""
        room = self.join()
        self.session.reconnect(3)
        self.assertEqual(room.state, "away")
        self.assertEqual(self.nextWire(), 3)
        self.wire.end()
        self.session.reconnect()
        self.assertEqual(self.nextWire(), 0)

    def test_final(self) -> None:
        """After a final close code the next join connects again."""
        self.join()
        self.wire.end(4005)
        self.assertEqual(self.session.state, "idle")
        self.assertEqual(self.join("r2").state, "joined")

    def test_atOnce(self) -> None:
        """A connection may fail before it has begun."""
        attempts: list[Attempt] = []

        def refuse(attempt: Attempt) -> FakeWire:
            attempts.append(attempt)
            attempt.lost(1006, "refused")
            return FakeWire(attempt)

        session = Session(refuse, self.clock, ClientRoom, ClientOptions(maxAttempts=3, minDelay=0))
        joining = session.join("chat")
        self.clock.pump([0] * 5)
        self.assertEqual((self.codeOf(joining), len(attempts)), ("unavailable", 4))


class OutboxTests(SynchronousTestCase):
    """What is held, and for how long."""

    def make(self, count: int, window: int = 64) -> tuple[Outbox, list[Pending]]:
        outbox, parcels = Outbox(window), [Pending("t", b"1") for _ in range(count)]
        for parcel in parcels:
            outbox.add(parcel)
        return outbox, parcels

    def test_windowOfCalls(self) -> None:
        """The window begins at the oldest frame that is held, acknowledged or not."""
        outbox, parcels = self.make(4, window=2)
        parcels[0].isAwaited = True
        self.assertEqual([outbox.next(), outbox.next(), outbox.next()], [*parcels[:2], None])
        outbox.acknowledge(2)
        self.assertEqual(outbox.held, [parcels[0]])
        self.assertIsNone(outbox.next())
        outbox.answered(parcels[0])
        self.assertEqual([outbox.next(), outbox.next(), outbox.next()], [*parcels[2:], None])

    def test_counts(self) -> None:
        """A count that can't be ours is noticed."""
        outbox, parcels = self.make(3)
        outbox.next(), outbox.next()
        self.assertFalse(outbox.acknowledge(3))
        self.assertTrue(outbox.acknowledge(1))
        self.assertEqual((outbox.resume(0, 0), outbox.resume(3, 3)), (None, None))
        self.assertEqual(outbox.resume(1, 1), [parcels[1]])
        self.assertEqual(outbox.restart(0, 0), [parcels[1]])
        self.assertIs(outbox.next(), parcels[2])
        self.assertEqual(parcels[2].n, 1)
        self.assertEqual((outbox.clear(), outbox.waiting), ([parcels[2]], 0))

    def test_base(self) -> None:
        """A server that has forgotten what an earlier client sent can't go on with ours."""
        outbox, parcels = self.make(1)
        self.assertEqual(outbox.restart(3, 5), [])
        self.assertIs(outbox.next(), parcels[0])
        self.assertEqual(parcels[0].n, 6)
        self.assertTrue(outbox.acknowledge(4))
        self.assertEqual(outbox.resume(4, 5), parcels)
        self.assertIsNone(outbox.resume(4, 4))


class TokenTests(SessionTestCase):
    """Going on for another client."""

    def leave(self, **options: Any) -> str:
        """What a client leaves behind that has joined, and asked something."""
        self.begin(auth="secret")
        room = self.join("r1", {"name": "ada", "seat": "once", **options}, offset=7)
        room.call("roll")
        token = room.reconnectionToken
        self.begin()
        return str(token)

    def resume(self, token: str, **joined: Any) -> Any:
        """The room that another client is in then."""
        resuming = self.session.resume(token)
        self.wire.open()
        [frame] = self.wire.take()
        self.assertEqual((frame[0], *frame[2:]), ("resume", "r1", "t1", "", 0))
        self.wire.receive("joined", frame[1], "r1", membership(token="t2", **joined))
        room: Any = self.successResultOf(resuming)
        room.log = []
        room.on("lost", lambda loss: room.log.append(loss))
        self.clock.advance(0)
        return room

    def test_resume(self) -> None:
        """The same member, with a fresh picture."""
        room = self.resume(self.leave(), offset=9, snapshot="s", handled=2)
        self.assertEqual((room.id, room.name, room.member, room.state), ("r1", "chat", "m1", "joined"))
        self.assertEqual((room.offset, room.snapshot, room.log), (9, "s", []))
        self.assertEqual(self.session.joined, [room])
        room.send("say", "on")
        self.assertEqual(self.wire.take(), [["send", "r1", "say", "on", 3]])
        self.assertEqual(self.reconnect()[0][2:], ["r1", "t2", "e1", 9])

    def test_accepted(self) -> None:
        """Numbers that the server has are not taken again, though their frames wait to be handled."""
        room = self.resume(self.leave(), handled=2, accepted=4)
        sent = room.send("say", "on")
        self.assertEqual(self.wire.take(), [["send", "r1", "say", "on", 5]])
        self.wire.receive("ack", "r1", 4)
        self.assertFalse(sent.isHandled)
        self.wire.receive("ack", "r1", 5)
        self.assertTrue(sent.isHandled)

    def test_acceptedAndForgotten(self) -> None:
        """Unless the server has forgotten them: then what was sent is in doubt."""
        room = self.resume(self.leave(), handled=2, accepted=4)
        room.send("say", "on")
        self.resumed(self.reconnect()[0], handled=2)
        self.assertEqual([loss.unconfirmed for loss in room.log], [[Unconfirmed("say", "on")]])
        room.send("say", "again")
        self.assertEqual(self.wire.take(), [["send", "r1", "say", "again", 3]])

    def test_answers(self) -> None:
        """What the former client asked is no answer to what this one asks."""
        room = self.resume(self.leave())
        call = room.call("roll")
        ref = self.wire.take()[0][1]
        for other in range(1, 9):
            self.wire.receive("reply", other, "to the former")
        self.assertNoResult(call)
        self.wire.receive("reply", ref, 6)
        self.assertEqual(self.successResultOf(call), 6)

    def test_forgotten(self) -> None:
        """It joins anew as the former would: by the same way, but for what is for once, and credentials."""
        self.resume(self.leave(auth="mine"))
        self.refuse(self.reconnect()[0][1], "unauthorized")
        [[kind, ref, target, options]] = self.wire.take()
        self.assertEqual((kind, target, options), ("joinById", "r1", {"name": "ada"}))
        self.refuse(ref, "noSuchRoom")
        self.assertEqual([frame[0:3:2] for frame in self.wire.take()], [["join", "chat"]])

    def test_refused(self) -> None:
        """The error is the server's, and nothing is tried instead."""
        for code in ("unauthorized", "forbidden", "noSuchRoom"):
            resuming = self.session.resume(self.leave())
            self.wire.open()
            self.refuse(self.wire.take()[0][1], code)
            self.assertEqual(self.codeOf(resuming), code)
            self.assertEqual((self.wire.take(), self.session.joined), ([], []))

    def test_noToken(self) -> None:
        """What is no token is refused without a connection."""
        token = self.leave()
        for wrong in ("", "x", "é", "e30=", token[4:], token[:-8], token.swapcase()):
            self.assertEqual(self.codeOf(self.session.resume(wrong)), "badRequest")
        self.assertEqual(self.wires, [])

    def test_left(self) -> None:
        """Who has left has none; who is away has."""
        room = self.join()
        self.wire.end()
        self.assertIsNotNone(room.reconnectionToken)
        self.session.close()
        self.assertIsNone(room.reconnectionToken)


class OptionTests(SynchronousTestCase):
    """How clients are made."""

    def test_refused(self) -> None:
        """An error names the option, the value and what it may be."""
        for name, value in (
            ("connectTimeout", 0), ("requestTimeout", -1), ("callTimeout", "x"), ("pingInterval", 1e999),
            ("window", 65), ("window", 0), ("maxBuffered", 1.5), ("maxPayload", 0), ("rejoin", 1),
            ("protocol", "chat"), ("maxAttempts", -1), ("retryPolicy", 5), ("minDelay", True),
        ):  # fmt: skip
            error = self.assertRaises(OptionError, ClientOptions, **{name: value})
            self.assertIn(f"{name}={value!r}: must be ", str(error))
        self.assertRaises(TypeError, Client, "ws://localhost", reactor=MemoryReactor(), windows=3)

    def test_urls(self) -> None:
        """As in a browser; without a path it is that of the rooms."""
        for url, expected in (
            ("ws://localhost", "ws://localhost/rooms"),
            ("http://localhost:8080/", "ws://localhost:8080/rooms"),
            ("https://example.org/x?y=z#w", "wss://example.org/x?y=z"),
            ("wss://[::1]:8443/rooms", "wss://[::1]:8443/rooms"),
        ):
            self.assertEqual(absolute(url), expected)
            Client(url, reactor=MemoryReactor())
        for url in ("localhost:8080", "ftp://localhost", "/rooms", ""):
            self.assertRaises(ValueError, absolute, url)


@skipUnless(VECTORS.exists(), "there are no vectors")
class VectorTests(SessionTestCase):
    """The protocol's test vectors, as far as a client is concerned."""

    def test_server(self) -> None:
        """Every frame of the server is read, in both dialects alike, and breaks nothing."""
        room = self.join(member="m1")
        for vector in json.loads(VECTORS.read_text())["server"]:
            frame = vector["frame"]
            found = Codec(JSON_PROTOCOL).read(msgspec.json.encode(frame), False)
            self.assertIsNotNone(found)
            self.assertEqual(found, Codec(MSGPACK_PROTOCOL).read(msgspec.msgpack.encode(frame), True))
            self.assertEqual(msgspec.to_builtins(found)[0], frame[0])
            if frame[0] not in ("ack", "joined"):  # of what was not sent, and not asked
                self.wire.receive(*frame)
        self.assertIsNone(self.wire.closed)
        self.assertEqual(room.state, "left" if room.log and room.log[-1][0] == "left" else room.state)

    def test_client(self) -> None:
        """What the client writes is as the vectors have it."""
        vectors = json.loads(VECTORS.read_text())["client"]
        kinds = {json.loads(vector["json"])[0] for vector in vectors}
        room = self.join("r1", {"name": "ada"})
        room.handle("double", lambda data: data)
        session = self.session
        asked: list[Deferred[Any]] = [session.join("chat"), session.create("chat"), session.joinById("r1")]
        asked += [session.rooms("chat"), session.ping(), room.send("say").whenHandled(), room.call("say")]
        for each in asked:
            each.addErrback(lambda failure: failure.trap(RoomError))
        self.wire.receive("call", 1, "r1", "double", 1)
        self.wire.receive("call", 1, "r1", "unheard", 1)
        frames = self.wire.take(withPings=True)
        for frame in frames:
            if frame[0] in ("joinOnly", "create", "joinById"):
                self.refuse(frame[1], "noSuchRoom")
        room.leave()
        frames += [*self.wire.take(withPings=True), *self.reconnect(), ["join", 1, "chat", {}]]
        self.assertEqual({frame[0] for frame in frames} - {"resume"}, kinds - {"resume"})
        for frame in frames:
            lengths = [
                len(json.loads(one["json"])) for one in vectors if json.loads(one["json"])[0] == frame[0]
            ]
            self.assertLessEqual(len(frame), max(lengths))


# -- against a server


@implementer(IStreamClientEndpoint)
class HarnessEndpoint:
    """Leads to the server of a harness."""

    def __init__(self, harness: RoomHarness) -> None:
        self.harness = harness
        self.protocol: Any = None
        self._port = 40000

    def connect(self, factory: Any) -> Deferred[Any]:
        clock = self.harness.clock
        if not clock.ports:
            return fail(ConnectionRefusedError("nobody listens"))
        self._port += 1
        made: list[Any] = []

        class Noting:
            """Notes the protocol that is made."""

            def buildProtocol(self, address: Any) -> Any:
                made.append(factory.buildProtocol(address))
                return made[-1]

        here = IPv4Address("TCP", "203.0.113.9", self._port)
        clock.connect(clock.ports[0].factory, Noting(), clock.ports[0].getHost(), here)  # type: ignore[arg-type]
        self.protocol = made[0]
        return succeed(self.protocol)

    def cut(self) -> None:
        """Lose the connection."""
        self.protocol.transport.abortConnection()
        self.harness.flush()


class Chat(Room):
    """A room for these tests."""

    presence = True
    resumeSeconds = 30

    def onCreate(self, options: Any) -> None:
        self.heard: list[Any] = []

    def snapshot(self, client: Player) -> Any:
        return len(self.heard)

    @message("say")
    def say(self, client: Player, data: Any) -> Any:
        self.heard.append(data)
        self.broadcast("said", data)
        return len(self.heard)


class ServerTests(HarnessTestCase):
    """The whole client, without sockets and without time."""

    def begin(self, **options: Any) -> None:
        self.app = RoomApplication()
        self.app.register("chat", Chat)
        self.harness = self.serve(self.app, **options)

    def client(self, url: str = "ws://localhost:8080", **options: Any) -> tuple[Client, HarnessEndpoint]:
        endpoint = HarnessEndpoint(self.harness)
        client = Client(url, endpoint=endpoint, reactor=self.harness.clock, **options)
        self.addCleanup(self.finish, client, self.harness)
        return client, endpoint

    def finish(self, client: Client, harness: RoomHarness) -> None:
        """Close a client; nothing of it stays."""
        closing = client.close()
        harness.advance(0.1)
        self.successResultOf(closing)

    def result(self, deferred: Deferred[Any]) -> Any:
        """What a Deferred fires with when everything is at rest."""
        results = fired(deferred)
        self.harness.flush()
        self.assertTrue(results, "still pending")
        return results[0]

    def test_both(self) -> None:
        """A conversation in either sub-protocol."""
        self.begin()
        for protocol in (JSON_PROTOCOL, MSGPACK_PROTOCOL):
            client, endpoint = self.client(protocol=protocol)
            room = self.result(client.create("chat", {"name": "ada"}))
            self.assertEqual(repr(client), "<Client ws://localhost:8080/rooms open>")
            self.assertEqual(repr(room), f"<Room 'chat' {room.id} joined>")
            heard: list[Any] = []
            room.on("said", lambda data, offset, heard=heard: heard.append((data, offset)))
            self.assertEqual(self.result(room.call("say", {"a": [1]})), 1)
            endpoint.cut()
            self.assertEqual(room.state, "away")
            sent = room.send("say", "x")
            self.harness.advance(2)
            self.assertTrue(sent.isHandled)
            self.assertEqual(heard, [({"a": [1]}, 1), ("x", 2)])
            self.assertIsNone(self.result(room.leave()))

    def test_resume(self) -> None:
        """Another client goes on as the same member, while the frames of the former are being handled."""
        gates: list[Deferred[Any]] = []

        class Slow(Chat):
            @message("wait")
            def wait(self, client: Player) -> Any:
                gates.append(Deferred())
                return gates[-1]

        self.begin()
        self.app.register("slow", Slow)
        for protocol in (JSON_PROTOCOL, MSGPACK_PROTOCOL):
            former, _ = self.client(protocol=protocol)
            room = self.result(former.create("slow", {"name": "ada"}))
            waiting = room.call("wait")
            room.send("say", "from the former")
            self.harness.flush()
            token = room.reconnectionToken
            former.reconnect(1000)  # it doesn't come back
            client, _ = self.client(protocol=protocol)
            again = self.result(client.resume(token))
            self.assertEqual((again.id, again.member, again.snapshot), (room.id, room.member, 0))
            heard: list[Any] = []
            again.on("said", lambda data, offset, heard=heard: heard.append(data))
            count = again.call("say", "from this one")
            self.harness.flush()
            gates.pop().callback("an answer to the former")
            self.assertEqual(self.result(count), 2)
            self.assertEqual(heard, ["from the former", "from this one"])
            self.assertNoResult(waiting)
            [player] = self.app.rooms[room.id].clients
            self.assertEqual(dict(player.options), {"name": "ada"})
            error = self.result(client.resume(token)).value
            self.assertEqual(error.code, "unauthorized")
            self.result(again.leave())
            self.result(former.close())
            waiting.addErrback(lambda failure: failure.trap(RoomError))

    def test_kickedWhileAway(self) -> None:
        """A kick that its client learns of later is no reason to join anew."""
        self.begin()
        self.result(self.client()[0].joinOrCreate("chat"))
        client, endpoint = self.client()
        room = self.result(client.joinOrCreate("chat"))
        ends: list[Any] = []
        room.on("left", lambda *ending: ends.append(ending))
        [chat] = self.app.rooms.values()
        player = chat.client(room.member)
        assert player is not None
        endpoint.cut()
        player.kick("out")
        self.harness.advance(3)
        self.assertEqual([code for code, _ in ends], [4003])
        self.assertEqual((room.state, len(chat.clients)), ("left", 1))

    def test_closed(self) -> None:
        """A client that closes has left its rooms, and its connection is gone."""
        self.begin()
        client, _ = self.client()
        self.result(client.joinOrCreate("chat"))
        self.assertIsNone(self.result(client.close()))
        self.assertEqual(self.harness.server.connections, [])
        self.harness.advance(1)
        self.assertEqual(list(self.app.rooms), [])

    def test_serverAway(self) -> None:
        """The server stops and starts again: the client stays away as asked, and joins anew."""
        self.begin()
        client, _ = self.client()
        room = self.result(client.joinOrCreate("chat"))
        member = room.member
        losses: list[Loss] = []
        room.on("lost", losses.append)
        self.harness.server.stopService()
        self.harness.advance(0.5)
        self.assertEqual(room.state, "away")
        self.harness.start()
        self.harness.advance(3)
        self.assertEqual((room.state, len(losses)), ("joined", 1))
        self.assertNotEqual(room.member, member)

    def test_refusals(self) -> None:
        """What the server says to the upgrade: for good, or for now."""
        self.begin(refusals="http")
        answer: list[Any] = [Deny(403)]
        self.app.verifyClient = lambda handshake: answer[0]
        client, _ = self.client(requestTimeout=5)
        error = self.result(client.join("chat")).value
        self.assertEqual((error.code, client.state), ("unauthorized", "idle"))
        told: list[Any] = []
        client.on("reconnecting", lambda code, reason, attempt, delay: told.append((code, reason, delay)))
        answer[0] = Deny(503, headers={"Retry-After": "2"})
        joining = client.joinOrCreate("chat")
        self.harness.flush()
        self.assertEqual(told[0][:2], (1006, "ws://localhost:8080/rooms: HTTP 503 Service Unavailable"))
        self.assertGreaterEqual(told[0][2], 2)
        answer[0] = True
        self.harness.advance(4)
        self.assertEqual(self.successResultOf(joining).state, "joined")
        elsewhere, _ = self.client("ws://localhost:8080/nowhere")
        self.assertEqual(self.result(elsewhere.join("chat")).value.code, "noSuchRoom")

    def test_serverDead(self) -> None:
        """A server that says nothing any more is given up, also when we close."""
        self.begin()
        client, endpoint = self.client()
        room = self.result(client.joinOrCreate("chat"))
        endpoint.protocol.transport.pauseProducing()
        self.harness.advance(DEFAULTS.pingInterval + DEFAULTS.pingTimeout)
        self.assertNotEqual(room.state, "joined")
        self.harness.advance(1)
        self.assertEqual(room.state, "joined")
        endpoint.protocol.transport.pauseProducing()
        closing = client.close()
        self.harness.advance(DEFAULTS.closeTimeout - 0.1)
        self.assertNoResult(closing)
        self.harness.advance(0.1)
        self.successResultOf(closing)

    def test_closeCodes(self) -> None:
        """Every code that a server may close with is told as it came."""
        for code in (1000, 1001, 1011, 1012, 1013, 1014, 3000, 4003, 4106):
            self.begin()
            client, _ = self.client()
            self.result(client.joinOrCreate("chat"))
            told: list[Any] = []
            client.on("reconnecting", lambda *args, told=told: told.append(args[:2]))
            client.on("disconnected", lambda *args, told=told: told.append(args[:2]))
            for connection in self.harness.server.connections:
                connection.close(code, "why")
            self.harness.flush()
            self.assertEqual(told, [(code, "why")])

    def test_cuts(self) -> None:
        """Connections are cut at any byte: nothing is lost, nothing comes twice, in either direction."""
        for seed in range(40):
            self.runCuts(Random(seed))

    def runCuts(self, random: Random) -> None:
        self.begin()
        clients = []
        for number in range(3):
            protocol = random.choice((JSON_PROTOCOL, MSGPACK_PROTOCOL))
            client, endpoint = self.client(
                protocol=protocol, random=random.random, window=random.choice((1, 3, 64))
            )
            room = self.result(client.joinOrCreate("chat"))
            heard: list[Any] = []
            room.on("said", lambda data, offset, heard=heard: heard.append((offset, *data)))
            room.on("lost", lambda loss: self.fail("lost"))
            clients.append((number, client, endpoint, room, heard))
        (chat,) = self.app.rooms.values()
        sent, answers = [0] * 3, 0
        calls: list[Deferred[Any]] = []
        for _ in range(60):
            number, client, endpoint, room, _ = random.choice(clients)
            action = random.random()
            if action < 0.6:
                sent[number] += 1
                if random.random() < 0.3:
                    calls.append(room.call("say", [number, sent[number]], timeout=300))
                    answers += 1
                else:
                    room.send("say", [number, sent[number]])
            elif action < 0.75 and client.state == "open":
                # Only some of what is under way arrives.
                for _ in range(random.randrange(4)):
                    self.harness.clock.turn()
                if endpoint.protocol.transport is not None:
                    endpoint.protocol.transport.abortConnection()
            elif action < 0.9:
                for _ in range(random.randrange(6)):
                    self.harness.clock.turn()
            else:
                self.harness.advance(random.random() * 2)
        self.harness.advance(30)
        heardByRoom = chat.heard  # type: ignore[attr-defined]
        for number in range(3):
            self.assertEqual([i for by, i in heardByRoom if by == number], list(range(1, sent[number] + 1)))
        for *_, heard in clients:
            self.assertEqual(heard, [(offset, *data) for offset, data in enumerate(heardByRoom, 1)])
        for call in calls:
            self.successResultOf(call)
