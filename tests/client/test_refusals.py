"""Servers that refuse connections or cannot be reached: which errors the user of the client gets."""

from __future__ import annotations

from typing import Any

import msgspec
from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.client.case import DEFAULTS, ClientTestCase, membership
from txroom import RoomError
from txroom.client import Client
from txroom.client.httpresponse import HTTPResponse
from txroom.protocol.serverframes import Bye
from txroom.testing import MemoryReactor


class ProtocolTests(ClientTestCase):
    """
    Refusals in the protocol: an error without a ref and a room right after the upgrade, then a close code.
    """

    def refused(self, error: str, code: int, details: Any = None) -> None:
        """The server opens the connection and refuses it."""
        self.wire.open()
        self.wire.receive("error", None, None, error, "because", details)
        self.wire.end(code, "")

    def test_final(self) -> None:
        """After 4001 and 4004 everything fails at once, with the server's error."""
        for code, error in ((4001, "unauthorized"), (4001, "forbidden"), (4004, "noSuchRoom")):
            self.begin()
            joining, listing = self.client.join("chat"), self.client.query()
            ends: list[Any] = []
            self.client.on("disconnected", lambda *args, ends=ends: ends.append(args))
            self.refused(error, code, {"why": 1})
            for each in (joining, listing):
                failure = self.failureResultOf(each, RoomError).value
                self.assertEqual((failure.code, failure.message), (error, "because"))
                self.assertEqual(failure.details, {"why": 1})
            self.assertEqual(ends, [(code, f"{error}: because")])
            self.assertEqual((self.client.state, self.errors), ("idle", []))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_roomsGo(self) -> None:
        """Rooms that were to be resumed end too."""
        room = self.join()
        self.wire.end()
        self.nextWire()
        self.refused("unauthorized", 4001)
        self.assertEqual(room.log[-1], ("left", 4001, "unauthorized: because"))

    def test_later(self) -> None:
        """After 1013 the client waits as long as the server asks; pending requests are sent again."""
        self.begin(random=lambda: 1.0)
        joining = self.client.join("chat")
        told: list[Any] = []
        self.client.on("reconnecting", lambda *args: told.append(args))
        self.refused("rateLimited", 1013, {"retryAfter": 2})
        self.assertNoResult(joining)
        self.assertEqual(told, [(1013, "rateLimited: because", 1, 2.65)])
        self.assertEqual(self.nextWire(), 2.65)
        self.wire.open()
        [[kind, ref, *_]] = self.wire.take()
        self.assertEqual(kind, "joinOnly")
        self.wire.receive("joined", ref, "r1", membership())
        self.successResultOf(joining)
        self.assertEqual(self.errors, [])

    def test_hookRaised(self) -> None:
        """After 1011 the client tries again with growing delays."""
        joining = self.client.join("chat")
        self.refused("internal", 1011)
        self.assertEqual(self.nextWire(), 0.125)
        self.assertNoResult(joining)

    def test_roomsStay(self) -> None:
        """A room that is away stays so and resumes once, whatever was sent before."""
        room = self.join()
        self.wire.end()
        self.nextWire()
        self.refused("unavailable", 1013, {"retryAfter": 1})
        self.assertEqual(room.status, "away")
        self.nextWire()
        self.wire.open()
        [resume] = self.wire.take()
        self.resumed(resume)
        self.assertEqual(room.status, "joined")

    def test_tooLong(self) -> None:
        """
        If the server asks to wait longer than a request has time, the request fails at once with the
        server's error.
        """
        joining = self.client.join("chat")
        self.refused("rateLimited", 1013, {"retryAfter": DEFAULTS.requestTimeout})
        error = self.failureResultOf(joining, RoomError).value
        self.assertEqual((error.code, error.details), ("rateLimited", {"retryAfter": 15.0}))
        error = self.failureResultOf(self.client.join("chat"), RoomError).value
        self.assertEqual(str(error), "unavailable: rateLimited: because")
        self.begin()
        unavailable = self.client.join("chat")
        self.wire.end(1006, "ws://server/rooms: HTTP 503 Service Unavailable", 20.0)
        error = self.failureResultOf(unavailable, RoomError).value
        self.assertEqual(str(error), "unavailable: ws://server/rooms: HTTP 503 Service Unavailable")

    def test_oddDetails(self) -> None:
        """Details of any type give a valid delay."""
        details: Any
        for details in (None, 5, [], {"retryAfter": None}, {"retryAfter": "9"}, {"retryAfter": -9},
                        {"retryAfter": True}):  # fmt: skip
            self.begin()
            self.client.join("chat")
            self.refused("unavailable", 1013, details)
            self.assertEqual(self.nextWire(), 0.125)

    def test_laterError(self) -> None:
        """The same error after other frames is not a refusal."""
        joining = self.client.join("chat")
        self.wire.open()
        self.wire.receive("msg", "r9", 1, "said", "hi")
        self.wire.receive("error", None, None, "badRequest", "what?", None)
        self.assertEqual([error.code for error in self.errors], ["badRequest"])
        self.wire.end(4100)
        self.assertEqual(self.codeOf(joining), "unavailable")


class TroubleTests(ClientTestCase):
    """There is no connection at all."""

    def test_neverThere(self) -> None:
        """A client that was never connected makes five attempts, and the error says why they failed."""
        joining, listing = self.client.join("chat"), self.client.query()
        for _ in range(4):
            self.wire.end(1006, "ws://server/rooms: refused")
            self.assertNoResult(joining)
            self.nextWire()
        self.wire.end(1006, "ws://server/rooms: refused")
        for each in (joining, listing):
            error = self.failureResultOf(each, RoomError).value
            self.assertEqual(str(error), "unavailable: ws://server/rooms: refused")
        self.assertEqual((self.client.state, self.clock.getDelayedCalls()), ("idle", []))
        self.client.join("chat")
        self.assertEqual(len(self.wires), 6)

    def test_notOpen(self) -> None:
        """The error names a server that does not answer the upgrade."""
        joining = self.client.join("chat")
        self.clock.advance(DEFAULTS.connectTimeout)
        self.clock.advance(5)
        error = self.failureResultOf(joining, RoomError).value
        where = "ws://server/rooms: the connection did not open within 10 s"
        self.assertEqual(error.message, f"no connection within 15 s: {where}")

    def test_wasThere(self) -> None:
        """A client that was connected before tries without a limit."""
        room = self.join()
        for _ in range(20):
            self.wire.end(1006, "refused")
            self.nextWire()
        self.assertEqual(room.status, "away")

    def test_maxAttempts(self) -> None:
        """The option `maxAttempts` overrides both."""
        self.begin(maxAttempts=7)
        joining = self.client.join("chat")
        for _ in range(7):
            self.wire.end()
            self.nextWire()
        self.wire.end()
        self.assertEqual((self.codeOf(joining), self.client.state), ("unavailable", "idle"))


@implementer(IStreamClientEndpoint)
class FailingEndpoint:
    """Fails, or connects to a transport whose server the test plays."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.protocol: Any = None
        self.transport = AbortableTransport()

    def connect(self, factory: Any) -> Deferred[Any]:
        """Fail, or connect."""
        if self.error is not None:
            return fail(self.error)
        self.protocol = factory.buildProtocol(None)
        self.transport = AbortableTransport()
        self.protocol.makeConnection(self.transport)
        return Deferred()


class AbortableTransport(StringTransport):
    """Remembers whether it was dropped."""

    isAborted = False

    def abortConnection(self) -> None:
        self.isAborted = True

    def unregisterProducer(self) -> None:
        """Do nothing: like in a real transport, there may be no producer."""


class WireTests(SynchronousTestCase):
    """What the errors of the network say."""

    def client(self, endpoint: Any, url: str = "ws://ada:secret@server/rooms?auth=secret") -> Client:
        self.clock = MemoryReactor()
        return Client(url, endpoint=endpoint, reactor=self.clock, maxAttempts=0)

    def errorOf(self, joining: Deferred[Any]) -> RoomError:
        error = self.failureResultOf(joining, RoomError).value
        self.assertIsInstance(error, RoomError)
        assert isinstance(error, RoomError)
        return error

    def test_noConnection(self) -> None:
        """Refused connections, unknown hosts, TLS errors; the URL is shown without its secrets."""
        tls = TLSError([("SSL routines", "", "certificate verify failed")])
        for error, expected in (
            (ConnectionRefusedError(), "Connection was refused by other side."),
            (DNSLookupError("no results for hostname lookup: server"),
             "DNS lookup failed: no results for hostname lookup: server."),
            (tls, "TLS failed: certificate verify failed"),
            (TLSError(), "TLS failed: "),
            (VerificationError(errors=[]),
             "TLS failed: the certificate is not valid for this host: VerificationError"),
        ):  # fmt: skip
            joining = self.client(FailingEndpoint(error)).join("chat")
            self.clock.flush()
            text = str(self.errorOf(joining))
            self.assertTrue(text.startswith(f"unavailable: ws://server/rooms: {expected}"), text)

    def answered(self, answer: bytes, *, isEnded: bool = True) -> RoomError:
        """The error of a join after that HTTP response to the upgrade."""
        endpoint = FailingEndpoint()
        joining = self.client(endpoint).join("chat")
        self.clock.flush()
        endpoint.protocol.dataReceived(answer)
        if isEnded:
            endpoint.protocol.connectionLost(Failure(connectionDone.value))
        else:
            self.assertNoResult(joining)
            self.clock.advance(1.0)
            self.assertTrue(endpoint.transport.isAborted)
            endpoint.protocol.connectionLost(Failure(connectionDone.value))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return self.errorOf(joining)

    def test_answers(self) -> None:
        """The error has the status of a refused upgrade, and its body if that is text."""
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n"
        for answer, expected in (
            (head + b"not\r\nyou!", "unauthorized: ws://server/rooms: HTTP 403 Forbidden: not you!"),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", "noSuchRoom: ws://server/rooms: HTTP 404 Not Found"),
            (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>hi",
             "unavailable: ws://server/rooms: HTTP 200 OK"),
            (b"HTTP/1.0 502 Bad Gateway\r\n\r\nnginx",
             "unavailable: ws://server/rooms: HTTP 502 Bad Gateway: nginx"),
            (b"HTTP/1.1 400 \r\n\r\n" + b"x" * 5000,
             f"unavailable: ws://server/rooms: HTTP 400: {'x' * 197}..."),
        ):  # fmt: skip
            self.assertEqual(str(self.answered(answer)), expected)

    def test_slowBody(self) -> None:
        """The client does not wait for a body that does not arrive."""
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nnot"
        error = self.answered(head, isEnded=False)
        self.assertEqual(str(error), "unauthorized: ws://server/rooms: HTTP 403 Forbidden: not")

    def test_parts(self) -> None:
        """Head and body may arrive in parts; the connection is dropped when the body is complete."""
        endpoint = FailingEndpoint()
        joining = self.client(endpoint).join("chat")
        self.clock.flush()
        for part in (b"HTTP/1.1 403 Forb", b"idden\r\nContent-Length: 4\r\n\r", b"\nno", b"pe"):
            self.assertFalse(endpoint.transport.isAborted)
            endpoint.protocol.dataReceived(part)
        self.assertTrue(endpoint.transport.isAborted)
        endpoint.protocol.connectionLost(Failure(connectionDone.value))
        self.assertEqual(self.errorOf(joining).message, "ws://server/rooms: HTTP 403 Forbidden: nope")

    def test_noHTTP(self) -> None:
        """A response that is not HTTP, or has no end, is reported and not kept."""
        for answer in (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"x" * 70_000):
            endpoint = FailingEndpoint()
            joining = self.client(endpoint).join("chat")
            self.clock.flush()
            endpoint.protocol.dataReceived(answer)
            self.assertTrue(endpoint.transport.isAborted)
            endpoint.protocol.connectionLost(Failure(connectionDone.value))
            self.assertTrue(self.errorOf(joining).message.startswith("ws://server/rooms: "))

    def test_droppedEarly(self) -> None:
        """A server closes the connection instead of answering."""
        endpoint = FailingEndpoint()
        joining = self.client(endpoint).join("chat")
        self.clock.flush()
        endpoint.protocol.connectionLost(Failure(connectionDone.value))
        self.assertEqual(self.errorOf(joining).message, "ws://server/rooms: Connection was closed cleanly.")

    def test_through(self) -> None:
        """The error names the endpoint too."""
        client = Client(
            "ws://server/rooms", endpoint="tcp:127.0.0.1:1", reactor=MemoryReactor(), connectTimeout=1
        )
        joining = client.join("chat")
        client._dispatcher.queue.clock.advance(60)  # type: ignore[attr-defined]
        message = self.errorOf(joining).message
        self.assertIn("ws://server/rooms through tcp:127.0.0.1:1: ", message)

    def test_retryAfter(self) -> None:
        """`Retry-After` is read if it is a reasonable number of seconds."""
        for text, expected in (("2", 2.0), ("9" * 400, 0.0), ("soon", 0.0), ("-1", 0.0), ("", 0.0)):
            answer = HTTPResponse.read(f"HTTP/1.1 503 Busy\r\nRetry-After: {text}".encode())
            assert answer is not None
            self.assertEqual(answer.retryAfter, expected)
        self.assertIsNone(HTTPResponse.read(b"HTTP/1.1 abc\r\n"))
        self.assertIsNone(HTTPResponse.read(b"GET / HTTP/1.1\r\n"))


class BadServerTests(ClientTestCase):
    """A malicious or broken server does no harm."""

    def test_uninvited(self) -> None:
        """The client drops a connection over which the server sends `joined` without a request."""
        room = self.join()
        self.wire.receive("joined", 77, "r3", membership())
        self.assertEqual((room.status, self.wire.closed), ("away", (4010, "not a frame")))

    def test_urlOfRoom(self) -> None:
        """
        The URL of one room, which the server joins by itself, is refused, and the error has the right URL.
        """
        for before in (False, True):
            self.begin()
            room = self.join() if before else None
            joining = self.client.join("mole")
            if not before:
                self.wire.open()
            self.wire.url = "ws://server/play/chat"
            self.wire.receive("joined", None, "r2", membership())
            failure = self.failureResultOf(joining, RoomError).value
            expected = (
                "ws://server/play/chat is the URL of one room: "
                "pass the URL of all rooms, ws://server/play, and join by the name of the room"
            )
            self.assertEqual((failure.code, failure.message), ("badRequest", expected))
            self.clock.advance(600)
            self.assertEqual((self.wire.closed, self.client.state), ((1000, ""), "idle"))
            if room is not None:
                self.assertEqual(room.log, [("left", 1000, expected)])
            self.assertEqual((self.errors, self.clock.getDelayedCalls()), ([], []))

    def test_twice(self) -> None:
        """A request is answered once."""
        joining = self.client.join("chat")
        self.wire.open()
        for _ in range(2):
            self.wire.receive("joined", 1, "r1", membership())
        self.successResultOf(joining)
        self.assertEqual(self.wire.closed, (4010, "not a frame"))

    def test_retryAfter(self) -> None:
        """A server can make a client wait an hour at most; what is not a time counts as 0."""
        for retryAfter, expected in (
            (1e300, 3600.125), (2_147_483, 3600.125), (-5, 0.125), (None, 0.125), (float("nan"), 0.125),
        ):  # fmt: skip
            self.begin()
            self.join()
            told: list[Any] = []
            self.client.on("bye", lambda code, seconds, told=told: told.append(seconds))
            frame = ("bye", 4100, retryAfter)
            if retryAfter is None or retryAfter == retryAfter:
                self.wire.attempt.received(msgspec.json.encode(frame), False)
            else:
                bye = msgspec.msgpack.decode(msgspec.msgpack.encode(frame), type=Bye)
                self.client._dispatcher._dispatch(bye)
            self.wire.end(4100)
            self.assertEqual((told, self.nextWire()), ([expected - 0.125], expected))
            self.wire.end(1006, "", float("inf"))
            self.assertEqual(self.nextWire(), 3600.25)

    def test_calls(self) -> None:
        """A server cannot start any number of handlers at once."""
        room = self.join()
        slow: list[Deferred[Any]] = []

        def ask(data: Any) -> Deferred[Any]:
            slow.append(Deferred())
            return slow[-1]

        room.handle("ask", ask)
        for ref in range(300):
            self.wire.receive("call", ref, "r1", "ask", None)
        self.assertEqual(len(slow), 256)
        self.assertEqual({frame[3] for frame in self.wire.take()}, {"rateLimited"})
        slow[0].callback(1)
        self.wire.receive("call", 300, "r1", "ask", None)
        self.assertEqual(len(slow), 257)

    def test_details(self) -> None:
        """An error whose details are not plain data is not a frame."""
        self.begin(protocol="txroom.v1.msgpack")
        joining = self.client.join("chat")
        self.wire.open("txroom.v1.msgpack")
        error = msgspec.msgpack.encode(["error", 1, None, "full", "", {None: 1}])
        self.wire.attempt.received(error, True)
        self.assertEqual(self.codeOf(joining), "unavailable")
        self.assertEqual(self.wire.closed, (4010, "not a frame"))

    def test_longTexts(self) -> None:
        """The error about a malformed frame is short."""
        self.join()
        self.wire.attempt.received(msgspec.json.encode(["msg", "r1", "x" * 10_000, "t", 1]), False)
        self.assertLess(len(str(self.errors[0])), 600)
