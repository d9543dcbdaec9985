"""The Python client sends messages and calls, and receives those of the server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.client.case import ClientTestCase
from txroom import RoomError
from txroom.client import Member


class MessageTests(ClientTestCase):
    """Messages and calls in both directions."""

    def test_send(self) -> None:
        """Frames are numbered; `Sent` tells when they were handled."""
        room = self.join()
        one, two = room.send("say", "a"), room.send("say")
        self.assertEqual(self.wire.take(), [["send", "r1", "say", "a", 1], ["send", "r1", "say", None, 2]])
        early = one.whenHandled()
        self.wire.receive("ack", "r1", 1)
        self.successResultOf(early)
        self.successResultOf(one.whenHandled())
        self.assertEqual((one.isHandled, two.isHandled), (True, False))

    def test_await(self) -> None:
        """A `Sent` can be awaited, and can be ignored."""
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
        """A call is answered with data or an error."""
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
        """A call without an answer times out; if it was still queued, it is not sent any more."""
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
        """A cancelled call leaves nothing behind."""
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
        """Data that cannot be encoded or is too large, and wrong types, are refused at once."""
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
        """`window` limits the unacknowledged frames and `maxBuffered` the queued ones; more are refused."""
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
        """A callback of an acknowledgement may send at once."""
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
        """A volatile message has no number and is not kept."""
        room = self.join()
        self.assertTrue(room.send("typing", True, volatile=True).isHandled)
        self.assertEqual(self.wire.take(), [["send", "r1", "typing", True]])
        self.wire.end()
        room.send("typing", True, volatile=True)
        self.assertEqual(room.buffered, 0)

    def test_receive(self) -> None:
        """Messages are delivered once and in the order of their offsets; volatile ones have none."""
        room = self.join(offset=3)
        for offset in (3, 4, None, 4, 5):
            self.wire.receive("msg", "r1", offset, "n", offset)
        self.assertEqual(room.log, [("n", 4, 4), ("n", None, None), ("n", 5, 5)])
        self.assertEqual(room.offset, 5)

    def test_listeners(self) -> None:
        """Listeners are added, removed and called once; `onMessage` takes types with the names of events."""
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
        """An exception of a listener is reported as "error", and the other listeners are called."""
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
        self.client.off("error")
        self.wire.receive("msg", "r1", 3, "said", 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.client.on("error", lambda error: 1 / 0)
        self.wire.receive("msg", "r1", 4, "said", 4)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_refusedSend(self) -> None:
        """An error without a ref is reported by its room, or by the client."""
        room = self.join()
        self.wire.receive("error", None, "r1", "unknownType", "", {"field": "type"})
        self.wire.receive("error", None, None, "badRequest", "", None)
        self.assertEqual([error.code for error in self.errors], ["unknownType", "badRequest"])
        errors: list[Any] = []
        room.on("error", errors.append)
        self.wire.receive("error", None, "r1", "rateLimited", "", None)
        self.assertEqual([error.code for error in errors], ["rateLimited"])

    def test_handle(self) -> None:
        """The server's calls are answered, by asynchronous handlers too."""
        room = self.join()
        slow: Deferred[int] = Deferred()
        room.handle("now", lambda data: data * 2)
        room.handle("later", lambda data: slow)
        self.wire.receive("call", 1, "r1", "later", 1)
        self.wire.receive("call", 2, "r1", "now", 21)
        slow.callback(3)
        self.assertEqual(self.wire.take(), [["reply", "r1", 2, 42], ["reply", "r1", 1, 3]])

    def test_handleFails(self) -> None:
        """The server receives a `RoomError` of the handler, but not the text of any other exception."""
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
        """An answer is sent only over the connection of its call."""
        room = self.join()
        slow: Deferred[int] = Deferred()
        room.handle("later", lambda data: slow)
        self.wire.receive("call", 1, "r1", "later", 1)
        self.resumed(self.reconnect()[0])
        slow.callback(3)
        self.assertEqual(self.wire.take(), [])

    def test_presence(self) -> None:
        """Members join and leave; users are known by their id, metas by their member."""
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
        """
        A user who changes the meta keeps the place among the users, and the meta among those of the user.
        """
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
        """
        A message that is not a frame closes the connection, and the client resumes; unknown kinds are
        ignored.
        """
        for bad in (
            b"", b"nonsense", b"{}", b"[]", b"[1]", b'["msg"]', b'["msg","r1",-1,"n",1]', b'["msg","r1",1]',
            b'["ack","r1",1.5]', b'["ack","r1",1]', b'["presence","r1",[{"user":1}],[]]', b'["reply"]',
            b'["joined",1,"r1",{}]', b"\xff", b"[" * 5000,
        ):  # fmt: skip
            self.begin()
            room = self.join()
            self.wire.attempt.received(bad, False)
            self.assertEqual((room.status, self.wire.closed), ("away", (4010, "not a frame")), bad)
            self.assertEqual([error.code for error in self.errors], ["badRequest"])
            self.nextWire()
            self.wire.open()
            self.resumed(self.wire.take()[0])
            self.assertEqual(room.status, "joined")
        for good in (b'["news",1]', b'["ack","elsewhere",9]', b'["reply",99,1]', b'["ack","r1",0,"more"]'):
            self.wire.attempt.received(good, False)
        self.assertEqual((room.status, len(self.errors)), ("joined", 1))
        self.wire.attempt.received(b"\x80", True)
        self.assertEqual(room.status, "away")

    def test_wrongAnswer(self) -> None:
        """A reply to a join is not an answer."""
        joining = self.client.join("chat")
        self.wire.open()
        self.wire.receive("reply", 1, None)
        self.assertEqual(self.codeOf(joining), "unavailable")
        self.assertEqual(self.wire.closed, (4010, "not a frame"))
