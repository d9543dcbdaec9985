"""
What can go wrong before the 101 response, one case per test, with a server on a real socket.

The rows are those of the project's catalogue of failures and bad input, part "Handshake and HTTP".
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any, NoReturn

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from tests.functional.support import (
    KEY,
    PING,
    SOON,
    TEXT,
    Frame,
    Net,
    Recorder,
    child,
    close,
    frame,
    get,
    head,
    python,
    reactor,
    sleep,
    text,
    until,
)
from txroom import Accept, Application, Deny, Handshake, Server, ServerOptions, UpgradeError


class Gate(Recorder):
    """An application whose `verifyClient` is pending until the test decides."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[Deferred[Any]] = []
        self.cancelled = 0

    def verifyClient(self, handshake: Handshake) -> Deferred[Any]:
        def count(failure: Failure) -> Failure:
            self.cancelled += bool(failure.check(CancelledError))
            return failure

        pending: Deferred[Any] = Deferred()
        self.asked.append(pending)
        return pending.addErrback(count)

    async def wasAsked(self, count: int = 1) -> None:
        await until(lambda: len(self.asked) >= count, "verifyClient was not called")


def refusals(server: Server) -> list[tuple[int, str]]:
    """A list to which `onClientError` adds pairs of status and reason."""
    told: list[tuple[int, str]] = []

    def onClientError(error: UpgradeError, handshake: Handshake | None) -> None:
        told.append((error.status, error.reason))

    server.onClientError = onClientError
    return told


# -- rows 1-12: the request


async def test_row01_plainGet(net: Net) -> None:
    """GET without Upgrade gets 426 or the page of the server, never a redirect."""
    server = await net.serve()
    told = refusals(server)
    answer = await net.refused(server, get("/"))
    assert answer.status == 426
    assert "location" not in answer.headers
    assert answer.headers["upgrade"] == "websocket"
    assert told == [], "a plain request is no failed upgrade"


@pytest.mark.parametrize(
    "query", ["redirect=http://evil.test", "redirect=http://evil.test&after=abc", "after=abc"]
)
async def test_row02_redirect(net: Net, query: str) -> None:
    """`?redirect=` and `after=`, which Autobahn's status page obeys, have no effect."""
    server = await net.serve()
    answer = await net.refused(server, get(f"/?{query}"))
    assert answer.status == 426
    assert "location" not in answer.headers
    assert b"evil" not in answer.body
    await net.open(server, f"/?{query}")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head(method="POST"), 405),
        (head(method="BREW"), 405),
        (head(version="HTTP/1.0"), 505),
        (get("/", version="HTTP/1.0"), 505),
        (head(version="HTTP/2.0"), 505),
        (head(version="HTTP/0.9"), 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (head(version="HTTP/1.11"), 400),
        (head(version="http/1.1"), 400),
    ],
)
async def test_row03_methodAndVersion(net: Net, request_: bytes, status: int) -> None:
    """POST, HTTP/1.0 and the preface of HTTP/2 get 405, 505 and 400."""
    server = await net.serve()
    answer = await net.refused(server, request_)
    assert answer.status == status
    assert answer.headers.get("allow") == ("GET" if status == 405 else None)


@pytest.mark.parametrize(
    ("request_", "status"),
    [(head(method="HEAD"), 405), (get(method="HEAD"), 426), (get("*", method="HEAD"), 426)],
)
async def test_row03_head(net: Net, request_: bytes, status: int) -> None:
    """The response to HEAD has no body, but the length of one."""
    server = await net.serve()
    probe = await net.ask(server, request_)
    answer = await probe.refusal(hasBody=False)
    assert answer.status == status
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize("name", ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
async def test_row04_missing(net: Net, name: str) -> None:
    """A missing Host, Key or Version gets 400."""
    server = await net.serve()
    assert (await net.refused(server, head(without=[name]))).status == 400


@pytest.mark.parametrize(
    "line",
    [
        "Host: other.test",
        "host: txroom.localhost",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Version: 8",
        "Origin: http://a.test\r\nOrigin: http://txroom.localhost",
        "Content-Length: 0\r\nContent-Length: 0",
    ],
)
async def test_row04_duplicate(net: Net, line: str) -> None:
    """A second Host, Key, Version, Origin or Content-Length gets 400, even if it is equal."""
    server = await net.serve()
    assert (await net.refused(server, head("/", line))).status == 400


@pytest.mark.parametrize(
    "key", ["", "abc", KEY[:-1], KEY + "=", "A" * 24, KEY.replace("d", "*"), f"{KEY}, {KEY}"]
)
async def test_row04_badKey(net: Net, key: str) -> None:
    """A key that is not sixteen bytes in base64 gets 400."""
    server = await net.serve()
    assert (await net.refused(server, head(key=key))).status == 400


@pytest.mark.parametrize("version", ["8", "7", "0", "14", "013", "13, 8", "x", ""])
async def test_row04_wrongVersion(net: Net, version: str) -> None:
    """Another version of the protocol gets 426 with the supported version."""
    server = await net.serve()
    answer = await net.refused(server, head(protocolVersion=version))
    assert answer.status == 426
    assert answer.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize("size", [8 * 1024, 64 * 1024])
async def test_row05_longTarget(net: Net, size: int) -> None:
    """A request line over 8 KiB gets 414, and the connection is closed."""
    server = await net.serve()
    told = refusals(server)
    assert (await net.refused(server, head("/" + "a" * size))).status == 414
    assert told == [(414, "size")]


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Long: " + "a" * 8192],
        ["X-Long: " + "a" * 65536],
        [f"X-{number}: {'b' * 200}" for number in range(90)],
        [f"X-{number}: b" for number in range(101)],
        [f"X-{number}: b" for number in range(2000)],
        [f"X-{number}: b" for number in range(10_000)],
    ],
    ids=[
        "line over 8 KiB",
        "64 KiB line",
        "total over 16 KiB",
        "101 headers",
        "2000 headers",
        "10000 headers",
    ],
)
async def test_row06_headerLimits(net: Net, lines: list[str]) -> None:
    """A header line over 8 KiB, over 16 KiB in total, or over 100 headers get 431."""
    server = await net.serve()
    assert (await net.refused(server, head("/", *lines))).status == 431


def pour(port: int, start: bytes, junk: bytes, megabytes: int) -> tuple[bytes, float, int]:
    """Send junk until the server stops reading; return its response, the seconds, and how much it read."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        begun = time.monotonic()
        sent = 0
        peer.sendall(start)
        block = junk * (65536 // len(junk))
        try:
            while sent < megabytes * 2**20:
                peer.sendall(block)
                sent += len(block)
        except ConnectionError:
            pass  # it closed before it had read all
        answer = b""
        try:
            while part := peer.recv(65536):
                answer += part
        except ConnectionError:
            pass
        return answer, time.monotonic() - begun, sent


@pytest.mark.parametrize(
    ("start", "junk", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: ", b"a", b"431"),
        (b"GET / HTTP/1.1\r\n", b"X-Y: z\r\n", b"431"),
        (b"GET /", b"a", b"414"),
        (b"", b"\r\n", b"400"),
        (b"", b"G", b"414"),
    ],
    ids=["one header", "many headers", "target", "empty lines", "method"],
)
async def test_row06_junk(net: Net, start: bytes, junk: bytes, status: bytes) -> None:
    """24 MB of header junk on one connection are refused at once, with work in linear time."""
    server = await net.serve()
    begun = time.thread_time()
    answer, seconds, _ = await deferToThread(pour, server.address().port, start, junk, 24)
    cpu = time.thread_time() - begun
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:100]
    assert answer.count(b"HTTP/1.1") == 1
    assert seconds < SOON, "the server let itself be fed"
    assert cpu < 0.5, "Autobahn spends 4.6 s on it"


CONTROLS = [*(set(range(0x20)) - {0x09}), 0x7F]


@pytest.mark.parametrize("code", CONTROLS)
async def test_row07_controls(net: Net, code: int) -> None:
    """A control character in the value of a header gets 400 at once."""
    server = await net.serve()
    line = f"X-A: a{chr(code)}X-Forwarded-For: 6.6.6.6"
    begun = reactor().seconds()
    assert (await net.refused(server, head("/", line))).status == 400
    assert reactor().seconds() - begun < SOON


@pytest.mark.parametrize("code", CONTROLS)
async def test_row07_controlsInPart(net: Net, code: int) -> None:
    """It is refused before the rest of the head has arrived."""
    server = await net.serve()
    line = f"X-A: a{chr(code)}b".encode("latin-1")
    assert (await net.refused(server, get()[:-2] + line + b" more")).status == 400


@pytest.mark.parametrize("code", range(0x80, 0x100))
async def test_row07_high(net: Net, code: int) -> None:
    """Bytes above ASCII are part of a value, and never the end of a line or a new header."""
    seen: list[Handshake] = []

    def verifyClient(handshake: Handshake) -> bool:
        seen.append(handshake)
        return True

    server = await net.serve(Application(verifyClient=verifyClient))
    value = f"a{chr(code)}X-Forwarded-For: 6.6.6.6"
    await net.open(server, "/", f"X-A: {value}")
    assert seen[0].headers["x-a"] == value
    assert "x-forwarded-for" not in seen[0].headers


@pytest.mark.parametrize(
    "lines",
    [
        b"X-A: a\r\n b\r\n",
        b"X-A: a\r\n\tb\r\n",
        b" X-A: a\r\n",
        b"X-A : a\r\n",
        b"X-A\t: a\r\n",
        b"X-A\r\n",
        b": a\r\n",
        b"X A: a\r\n",
        b"X(A): a\r\n",
        b"X-\xc4: a\r\n",
        b"X-A: a\n",
        b"X-A: a\r",
        b"X-A: a\n\r\n",
        b"X-A: a\r\r\n",
    ],
)
async def test_row07_lines(net: Net, lines: bytes) -> None:
    """Folded lines, bare LF and CR, space before the colon, no colon, and no name get 400."""
    server = await net.serve()
    request = head()
    assert (await net.refused(server, request[:-2] + lines + request[-2:])).status == 400


async def test_row07_onlyLF(net: Net) -> None:
    """A request whose lines end in LF alone gets 400 at once, not after a deadline."""
    server = await net.serve()
    begun = reactor().seconds()
    assert (await net.refused(server, head().replace(b"\r\n", b"\n"))).status == 400
    assert reactor().seconds() - begun < SOON


@pytest.mark.parametrize(
    "garbage",
    [
        bytes.fromhex("16030100a5010000a10303") + bytes(range(160)),
        bytes(range(256)),
        b"\x00" * 100,
        b"\xff" * 100,
        b"\x00",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"hello world\r\n\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + head(),
        b"{}\r\n\r\n",
        b"\r\n\r\n\r\n",
        b" " * 100,
    ],
)
async def test_row08_garbage(net: Net, garbage: bytes) -> None:
    """Random garbage, or a TLS ClientHello on a plain port, gets 400 within a second, and is not echoed."""
    server = await net.serve()
    begun = reactor().seconds()
    answer = await net.refused(server, garbage)
    assert answer.status == 400
    assert answer.phrase == "Bad Request"
    assert reactor().seconds() - begun < SOON


async def test_row09_silence(net: Net) -> None:
    """A client that sends nothing gets 408 and is closed at `handshakeTimeout`."""
    server = await net.serve(handshakeTimeout=0.5)
    begun = reactor().seconds()
    probe = await net.connect(server)
    answer = await probe.refusal()
    assert answer.status == 408
    assert 0.45 <= reactor().seconds() - begun < SOON


@pytest.mark.parametrize("pause", [0.02, 0.1])
async def test_row10_slowloris(net: Net, pause: float) -> None:
    """A client that sends single bytes does not extend the one absolute deadline."""
    server = await net.serve(handshakeTimeout=0.5)
    told = refusals(server)
    begun = reactor().seconds()
    probe = await net.connect(server)
    dribbling = probe.dribble(head("/" + "a" * 1000), 1, pause)
    waiting = Deferred.fromCoroutine(dribbling)
    assert (await probe.answer()).status == 408
    assert 0.45 <= reactor().seconds() - begun < SOON
    await probe.end()
    await waiting
    assert told == [(408, "timeout")]


async def test_row10_slowHead(net: Net) -> None:
    """A head that arrives in single bytes, but in time, is accepted."""
    server = await net.serve()
    probe = await net.connect(server)
    await probe.dribble(head())
    await probe.upgraded()


async def test_row11_halfHandshakes(net: Net) -> None:
    """
    2,000 half handshakes are bounded by dropping the oldest, and a good client connects within a second.
    """
    server = await net.serve(maxPendingHandshakes=256)
    peers: list[socket.socket] = []

    def herd() -> None:
        for number in range(2000):
            peer = socket.create_connection(("127.0.0.1", server.address().port), timeout=10)
            peer.sendall(b"GET / HTTP/1.1\r\nHost: " if number % 2 else b"")
            peers.append(peer)

    try:
        await deferToThread(herd)
        begun = reactor().seconds()
        good = await net.open(server)
        good.send(text("hello"))
        assert (await good.frame()).payload == b"hello"
        assert reactor().seconds() - begun < SOON
        assert len(server._gateway.admission.pending) <= 256
        peers[0].settimeout(5)
        assert peers[0].recv(100).startswith(b"HTTP/1.1 503 ")
    finally:
        for peer in peers:
            peer.close()


async def test_row11_defaults(net: Net) -> None:
    """The bound exists by default."""
    assert 0 < ServerOptions().maxPendingHandshakes <= 4096


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Content-Length: -1",
        "Content-Length: x",
        "Content-Length: 0, 5",
    ],
)
async def test_row12_body(net: Net, line: str) -> None:
    """A request with a body gets 400, and the body is not parsed as frames."""
    application = Recorder()
    server = await net.serve(application)
    assert (await net.refused(server, head("/", line), text("hello"))).status == 400
    assert application.events == []


async def test_row12_emptyBody(net: Net) -> None:
    """`Content-Length: 0` is not a body."""
    server = await net.serve()
    await net.open(server, "/", "Content-Length: 0")


# -- rows 13-18: while verifyClient pends


async def test_row13_pipelined(net: Net) -> None:
    """
    A second request while `verifyClient` is pending is never parsed: one call of the hook, one 101, then
    1002.
    """
    application = Gate()
    server = await net.serve(application)
    probe = await net.ask(server, head(), head("/second"))
    await application.wasAsked()
    await sleep(0.05)
    assert len(application.asked) == 1
    application.asked[0].callback(True)
    await probe.upgraded()
    closing = await probe.closed()
    assert closing.code == 1002
    assert len(application.asked) == 1
    await application.ended()  # the probe may see the end before the server does
    assert application.events == [("connect",), ("disconnect", 1002, application.disconnects[0][1])]


async def test_row13_pipelinedAfterRefusal(net: Net) -> None:
    """It is not parsed after a refusal either."""
    application = Gate()
    server = await net.serve(application)
    probe = await net.ask(server, head(), head("/second"))
    await application.wasAsked()
    application.asked[0].callback(False)
    assert (await probe.refusal()).status == 401
    assert len(application.asked) == 1


@pytest.mark.parametrize("size", [16 * 1024, 16 * 1024 + 1, 1024 * 1024])
async def test_row13_held(net: Net, size: int) -> None:
    """At most 16 KiB are buffered meanwhile; more drops the connection."""
    application = Gate()
    server = await net.serve(application)
    probe = await net.connect(server)
    probe.send(head())
    await application.wasAsked()
    message = frame(TEXT, b"a" * (size - 8))
    probe.send(message)
    if size <= 16 * 1024:
        await sleep(0.05)
        application.asked[0].callback(True)
        await probe.upgraded()
        await until(lambda: application.messages == ["a" * (size - 8)])
    else:
        assert await probe.end() == b""
        assert application.cancelled == 1
        assert application.events == []
        assert server.stats().rejected == {"flood": 1}


async def test_row13_emptyLineInFrame(net: Net) -> None:
    """A frame that contains an empty line is read as a frame."""
    application = Gate()
    server = await net.serve(application)
    probe = await net.ask(server, head(), text("a\r\n\r\nGET / HTTP/1.1\r\n\r\n", mask=bytes(4)))
    await application.wasAsked()
    application.asked[0].callback(True)
    await probe.upgraded()
    await until(lambda: application.messages == ["a\r\n\r\nGET / HTTP/1.1\r\n\r\n"])


@pytest.mark.parametrize("isLater", [False, True])
async def test_row14_early(net: Net, isLater: bool) -> None:
    """Frames in the segment of the request are handled in order after the 101."""
    application = Gate() if isLater else Recorder()
    server = await net.serve(application)
    early = b"".join(text(f"message {number}") for number in range(50)) + frame(PING, b"p") + text("last")
    probe = await net.ask(server, head(), early[:-3])
    if isinstance(application, Gate):
        await application.wasAsked()
        probe.send(early[-3:])
        await sleep(0.02)
        application.asked[0].callback(Accept("me"))
    else:
        probe.send(early[-3:])
    await probe.upgraded()
    assert await probe.frame() == Frame(10, b"p")
    await until(lambda: len(application.messages) == 51)
    assert application.events == [
        ("connect",),
        *(("message", f"message {number}") for number in range(50)),
        ("message", "last"),
    ]


async def test_row14_earlyWithinLimits(net: Net) -> None:
    """The limits apply to early frames too."""
    application = Recorder()
    server = await net.serve(application, maxPayload=10)
    probe = await net.open(server, early=text("a" * 10) + text("b" * 11) + text("c"))
    assert (await probe.closed()).code == 1009
    assert application.messages == ["a" * 10]


async def test_row14_earlyClose(net: Net) -> None:
    """A Close frame in the segment of the request is answered, and both hooks are called."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server, early=text("a") + close(3001, b"bye"))
    assert (await probe.closed()).code == 3001
    await application.ended()
    assert application.events == [("connect",), ("message", "a"), ("disconnect", 3001, "bye")]


@pytest.mark.parametrize("how", ["FIN", "RST", "half close"])
async def test_row15_clientLeaves(net: Net, how: str) -> None:
    """If the client leaves while `verifyClient` is pending, that is noticed at once, and nothing leaks."""
    application = Gate()
    server = await net.serve(application)
    told = refusals(server)
    count = 100
    for _ in range(count):
        probe = await net.ask(server, head(), text("early"))
        if how == "FIN":
            probe.transport.loseConnection()
        else:
            await application.wasAsked(len(application.asked) + 1)
            probe.reset() if how == "RST" else probe.halfClose()
    await until(lambda: len(told) == count, f"only {len(told)} were noticed")
    assert application.cancelled == len(application.asked)
    for pending in application.asked:
        pending.callback(True)
    assert application.events == []
    assert set(told) == {(0, "left")}
    assert server.stats().total == 0


async def test_row16_hookHangs(net: Net) -> None:
    """If `verifyClient` never answers, the client gets 503 at the deadline, and the Deferred is cancelled."""
    application = Gate()
    server = await net.serve(application, handshakeTimeout=1.5, maxConnections=1)
    begun = reactor().seconds()
    probe = await net.ask(server, head())
    assert (await probe.refusal()).status == 503
    assert 1.4 <= reactor().seconds() - begun < SOON
    assert application.cancelled == 1
    await net.ask(server, head())
    await application.wasAsked(2)
    application.asked[1].callback(True)
    await until(lambda: application.met)


@pytest.mark.parametrize("hook", ["acceptsOrigin", "verifyClient", "chooseProtocol", "responseHeaders"])
@pytest.mark.parametrize("isLater", [False, True])
async def test_row17_hookRaises(net: Net, hook: str, isLater: bool) -> None:
    """If a hook raises, the client gets 500 with a fixed text, and the exception is logged."""

    def raising(*args: object) -> object:
        if isLater:
            return deferLater(reactor(), 0.01, raiseSecret)
        raiseSecret()

    def raiseSecret() -> NoReturn:
        raise LookupError("the secret")

    hooks: dict[str, Any] = {hook: raising}
    server = await net.serve(Application(**hooks))
    answer = await net.refused(
        server, head("/", "Origin: http://txroom.localhost", "Sec-WebSocket-Protocol: a")
    )
    assert answer.status == 500
    assert answer.phrase == "Internal Server Error"
    assert b"secret" not in answer.body
    assert "secret" not in str(answer.headers)
    assert len(net.flush(LookupError)) == 1


async def test_row18_lateAnswer(net: Net) -> None:
    """If `verifyClient` answers after the deadline, that is ignored without an error."""

    class Stubborn(Recorder):
        answered = 0

        async def verifyClient(self, handshake: Handshake) -> bool:
            over: Deferred[None] = Deferred()
            try:
                await over
            except Exception:
                await deferLater(reactor(), 0.3)  # it doesn't let itself be cancelled
            self.answered += 1
            return True

    application = Stubborn()
    server = await net.serve(application, handshakeTimeout=0.3)
    probe = await net.ask(server, head())
    assert (await probe.refusal()).status == 503
    await until(lambda: application.answered)
    await sleep(0.35)
    assert application.events == []
    assert server.stats().total == 0


async def test_row18_leavesThenTimeout(net: Net) -> None:
    """If the client leaves, the hook times out and then answers, only the first is reported, once."""
    application = Gate()
    server = await net.serve(application, handshakeTimeout=0.3)
    told = refusals(server)
    probe = await net.ask(server, head())
    await application.wasAsked()
    probe.reset()
    await sleep(0.6)
    application.asked[0].callback(True)
    assert told == [(0, "left")]


# -- rows 19-26: who may


async def test_row19_wrongOrigin(net: Net) -> None:
    """A foreign Origin with the cookies of a user gets 403 before any other hook."""
    asked: list[object] = []
    application = Application(verifyClient=asked.append, chooseProtocol=asked.append, onConnect=asked.append)
    server = await net.serve(application)
    told = refusals(server)
    answer = await net.refused(server, head("/", "Origin: http://evil.test", "Cookie: session=1"))
    assert answer.status == 403
    assert asked == []
    assert told == [(403, "origin")]


@pytest.mark.parametrize(
    ("host", "origin", "isAllowed"),
    [
        ("good.localhost", "http://good.localhost", True),
        ("good.localhost", "https://good.localhost", True),
        ("GOOD.localhost", "http://good.localhost", True),
        ("good.localhost", "HTTP://GOOD.LOCALHOST", True),
        ("good.localhost:80", "http://good.localhost", True),
        ("good.localhost", "http://good.localhost:80", True),
        ("good.localhost:8080", "http://good.localhost:8080", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("good.localhost:8080", "http://good.localhost", False),
        ("good.localhost", "http://good.localhost:8080", False),
        ("good.localhost", "http://good.localhost:443", False),
        ("good.localhost", "null", False),
        ("good.localhost", "", False),
        ("good.localhost", "good.localhost", False),
        ("good.localhost", "http://", False),
        ("good.localhost", "file://", False),
        ("good.localhost", "file:///good.localhost", False),
        ("good.localhost", "http://good.localhost.evil.test", False),
        ("good.localhost", "http://evil.test", False),
        ("good.localhost", "http://evilgood.localhost", False),
        ("good.localhost", "http://sub.good.localhost", False),
        ("good.localhost", "http://good.localhost@evil.test", False),
        ("good.localhost", "http://good.localhost:80@evil.test", False),
        ("good.localhost", "http://user@good.localhost", False),
        ("good.localhost", "http://evil.test#good.localhost", False),
        ("good.localhost", "http://evil.test?good.localhost", False),
        ("good.localhost", "http://good.localhost/", False),
        ("good.localhost", "http://good.localhost:99999", False),
        ("good.localhost", "http://good.localhost:x", False),
        ("good.localhost", "http://good.localhost http://evil.test", False),
        ("good.localhost", "http://evil.test, http://good.localhost", False),
        ("good.localhost", "http://xn--good-boa.test", False),
        ("good.localhost", "http://g\xf6od.test", False),
        ("good.localhost", "http://good\u3002test".encode().decode("latin-1"), False),
    ],
)
async def test_row20_origins(net: Net, host: str, origin: str, isAllowed: bool) -> None:
    """`null`, IDN, user information, ports and case: only the same host and port is accepted."""
    server = await net.serve()
    request = head("/", f"Origin: {origin}", host=host)
    if isAllowed:
        probe = await net.ask(server, request)
        await probe.upgraded()
    else:
        assert (await net.refused(server, request)).status == 403


@pytest.mark.parametrize(
    ("origin", "isAllowed"),
    [
        ("https://page.test", True),
        ("HTTPS://PAGE.TEST:443", True),
        ("http://page.test", False),
        ("https://page.test:8443", False),
        ("https://other.test:8443", True),
        ("https://sub.page.test", False),
        ("null", False),
    ],
)
async def test_row20_allowedOrigins(net: Net, origin: str, isAllowed: bool) -> None:
    """`allowedOrigins` compares scheme, host and port exactly."""
    server = await net.serve(allowedOrigins=("https://page.test", "https://other.test:8443"))
    probe = await net.ask(server, head("/", f"Origin: {origin}"))
    assert (await probe.answer()).status == (101 if isAllowed else 403)


@pytest.mark.parametrize("requireOrigin", [False, True])
async def test_row21_noOrigin(net: Net, requireOrigin: bool) -> None:
    """A request without Origin, which is not from a browser, is accepted unless `requireOrigin` is set."""
    server = await net.serve(requireOrigin=requireOrigin)
    probe = await net.ask(server, head())
    assert (await probe.answer()).status == (403 if requireOrigin else 101)


async def peerOf(net: Net, server: Server, *lines: str, before: bytes = b"") -> Handshake:
    """The handshake that the application saw."""
    seen: list[Handshake] = []
    server.onConnection = lambda connection: seen.append(connection.handshake)
    probe = await net.ask(server, before, head("/", *lines))
    await probe.upgraded()
    return seen[0]


FORWARDED = "X-Forwarded-For: 6.6.6.6, 203.0.113.9"


async def test_row22_untrusted(net: Net) -> None:
    """X-Forwarded-For is ignored unless it is from a trusted proxy."""
    server = await net.serve(trustedProxies=("10.0.0.0/8",))
    handshake = await peerOf(net, server, FORWARDED, "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6")
    assert (handshake.peer, handshake.secure) == ("127.0.0.1", False)


@pytest.mark.parametrize(
    ("lines", "peer"),
    [
        ([FORWARDED], "203.0.113.9"),
        (["X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (["X-Forwarded-For: 203.0.113.9:4711"], "203.0.113.9"),
        (["X-Forwarded-For: 2001:db8::1"], "2001:db8::1"),
        (["X-Forwarded-For: [2001:db8::1]:4711"], "2001:db8::1"),
        (["X-Forwarded-For: ::ffff:203.0.113.9"], "203.0.113.9"),
        (["X-Forwarded-For: 203.0.113.9, evil"], "127.0.0.1"),
        (["X-Forwarded-For: 203.0.113.9, evil, 10.1.2.3"], "10.1.2.3"),
        (["X-Forwarded-For: "], "127.0.0.1"),
        (["X-Forwarded-For: 10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        ([], "127.0.0.1"),
    ],
)
async def test_row22_trusted(net: Net, lines: list[str], peer: str) -> None:
    """Behind trusted proxies, the client is the right-most hop that is not one of them."""
    server = await net.serve(trustedProxies=("127.0.0.1", "10.0.0.0/8"))
    handshake = await peerOf(net, server, *lines, "X-Forwarded-Proto: https")
    assert (handshake.peer, handshake.secure) == (peer, True)


async def test_row22_limitsPerClient(net: Net) -> None:
    """`maxConnectionsPerAddress` counts clients, not the proxy in front of them."""
    server = await net.serve(trustedProxies=("127.0.0.1",), maxConnectionsPerAddress=1)
    await net.open(server, "/", "X-Forwarded-For: 203.0.113.1")
    await net.open(server, "/", "X-Forwarded-For: 203.0.113.2")
    assert (await net.refused(server, head("/", "X-Forwarded-For: 203.0.113.1"))).status == 429


V1 = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n"
V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V2 = (
    V2_SIGNATURE
    + b"\x21\x11\x00\x0c"
    + bytes([203, 0, 113, 9, 198, 51, 100, 1])
    + struct.pack("!HH", 4711, 443)
)
HAPROXY = "haproxy:tcp:0:interface=127.0.0.1"


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
async def test_row22_proxyProtocol(net: Net, header: bytes) -> None:
    """The PROXY protocol, in both versions, gives the address of the client."""
    server = await net.serve(where=HAPROXY)
    handshake = await peerOf(net, server, before=header)
    assert (handshake.peer, handshake.peerPort) == ("203.0.113.9", 4711)


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("cut", [1, 5, 8, 13, 16, 27])
async def test_row22_proxyProtocolFragmented(net: Net, header: bytes, cut: int) -> None:
    """Its header may arrive in two segments, cut anywhere."""
    seen: list[Handshake] = []
    server = await net.serve(where=HAPROXY)
    server.onConnection = lambda connection: seen.append(connection.handshake)
    probe = await net.connect(server)
    probe.send(header[:cut])
    await sleep(0.03)
    probe.send(header[cut:], head())
    await probe.upgraded()
    assert seen[0].peer == "203.0.113.9"


@pytest.mark.parametrize(
    "header",
    [
        V2_SIGNATURE + b"\x20\x00\x00\x00",
        V2_SIGNATURE + b"\x20\x11\x00\x0c" + bytes(12),
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN 203.0.113.9 198.51.100.1 1 2\r\n",
    ],
    ids=["LOCAL", "LOCAL with addresses", "UNKNOWN", "UNKNOWN with addresses"],
)
async def test_row22_proxyProtocolLocal(net: Net, header: bytes) -> None:
    """With LOCAL and UNKNOWN, which a proxy's own health checks send, the peer of the socket is used."""
    server = await net.serve(where=HAPROXY)
    handshake = await peerOf(net, server, before=header)
    assert handshake.peer == "127.0.0.1"


@pytest.mark.parametrize(
    "header",
    [
        head(),
        b"PROXY",
        b"PROXY TCP4 a b\r\n" + head(),
        b"PROXY TCP4 1.2.3.4 5.6.7.8 x y\r\n" + head(),
        b"PROXY TCP4 " + b"1" * 200,
        b"PROXY UNKNOWN" + b"1" * 200,
        V2_SIGNATURE + b"\x21\x11\x00\x02ab" + head(),
        V2_SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12) + head(),
        V2_SIGNATURE + b"\x21\x11\xff\xff" + bytes(30),
        b"\r\n\r\n\x00\r\nQUIX\n" + head(),
    ],
    ids=[
        "none",
        "short v1",
        "no addresses",
        "bad ports",
        "endless v1",
        "endless UNKNOWN",
        "short v2",
        "version 3",
        "huge v2",
        "bad v2",
    ],
)
async def test_row22_proxyProtocolMalformed(net: Net, header: bytes) -> None:
    """A malformed or missing PROXY header closes the connection, at the deadline at the latest."""
    application = Recorder()
    server = await net.serve(application, where=HAPROXY, handshakeTimeout=0.5)
    probe = await net.ask(server, header)
    rest = await probe.end()
    assert b" 101 " not in rest
    assert application.events == []


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/chat", 101),
        ("/chat?a=b", 101),
        ("/chat?a=%zz", 400),
        ("/", 404),
        ("/Chat", 404),
        ("/chat/", 404),
        ("//chat", 404),
        ("/chat//", 404),
        ("//evil.test/chat", 404),
        ("/a;b", 404),
        ("/chat;x", 404),
        ("/%63hat", 404),
        ("/../chat", 400),
        ("/./chat", 400),
        ("/x/../chat", 400),
        ("/%2e%2e/chat", 400),
        ("/x/%2E%2e/chat", 400),
        ("/%2e/chat", 400),
        ("/x%2f..%2fchat", 400),
        ("/chat%00", 400),
        ("/chat%0d%0aX:y", 400),
        ("/chat%zz", 400),
        ("/chat%", 400),
        ("/chat%4", 400),
        ("/chat#fragment", 400),
        ("chat", 400),
        ("", 400),
        ("*", 404),
        ("/ch\xe4t", 400),
        ("/ch at", 400),
        ("http://txroom.localhost/chat", 101),
        ("HTTP://txroom.localhost/chat?x", 101),
        ("http://txroom.localhost", 404),
        ("http://txroom.localhost?x", 404),
        ("ftp://txroom.localhost/chat", 400),
        ("http:///chat", 400),
        ("/" + "a" * 1000, 404),
        ("/chat\\..", 404),
    ],
)
async def test_row23_targets(net: Net, target: str, status: int) -> None:
    """Unknown paths, encoded traversal, `%00`, `%zz`, `//` and non-ASCII get 404 or 400, never 101."""
    server = Server()
    server.addApplication(Application(), path="/chat")
    await net.start(server)
    request = head().replace(b"GET / ", f"GET {target} ".encode("latin-1"))
    probe = await net.ask(server, request)
    assert (await probe.answer()).status == status


async def test_row23_prefix(net: Net) -> None:
    """A request cannot leave the prefix of an application by encoding its path."""
    server = Server()
    server.addApplication(Application(), path="/rooms/*")
    await net.start(server)
    for target, status in (
        ("/rooms/a", 101),
        ("/rooms/", 101),
        ("/rooms", 404),
        ("/roomsx/a", 404),
        ("/rooms/../x", 400),
        ("/rooms/%2e%2e/x", 400),
        ("/rooms%2fa", 404),
    ):
        probe = await net.ask(server, head(target))
        assert (await probe.answer()).status == status, target


@pytest.mark.parametrize("method", ["OPTIONS", "CONNECT", "GET"])
async def test_row23_asterisk(net: Net, method: str) -> None:
    """`OPTIONS *` and similar requests get one clean response."""
    server = await net.serve()
    answer = await net.refused(server, get("*", method=method))
    assert answer.status in (400, 426)


PROTOCOL = "Sec-WebSocket-Protocol: "


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        ([], None),
        ([PROTOCOL + "a"], "a"),
        ([PROTOCOL + "a, b"], "a"),
        ([PROTOCOL + "b", PROTOCOL + "a"], "b"),
        ([PROTOCOL + ",,a ,, b,"], "a"),
        ([PROTOCOL], None),
        ([PROTOCOL + ",,"], None),
        ([PROTOCOL + ",".join(f"p{number}" for number in range(1000))], "p0"),
        ([PROTOCOL + "a, a"], False),
        ([PROTOCOL + "a", PROTOCOL + "a"], False),
        ([PROTOCOL + "cha t"], False),
        ([PROTOCOL + "caf\xe9"], False),
        ([PROTOCOL + "a/b"], False),
        ([PROTOCOL + '"a"'], False),
    ],
)
async def test_row24_protocols(net: Net, lines: list[str], chosen: str | bool | None) -> None:
    """
    No, unknown and 1000 sub-protocols: one of them is chosen, or there is no header; duplicates and
    non-tokens get 400.
    """
    server = await net.serve()
    probe = await net.ask(server, head("/", *lines))
    if chosen is False:
        assert (await probe.refusal()).status == 400
    else:
        assert (await probe.upgraded()).headers.get("sec-websocket-protocol") == chosen


@pytest.mark.parametrize(
    ("choice", "status"),
    [("b", 101), (None, 101), (False, 400), ("c", 500), ("b\r\nX: y", 500), (True, 500), ("", 500)],
)
async def test_row24_chooseProtocol(net: Net, choice: Any, status: int) -> None:
    """`chooseProtocol` may return an offered name, None or False; anything else gets 500 and is logged."""
    server = await net.serve(Application(chooseProtocol=lambda offered, handshake: choice))
    probe = await net.ask(server, head("/", PROTOCOL + "a, b"))
    answer = await probe.answer()
    assert answer.status == status
    assert answer.headers.get("sec-websocket-protocol") == ("b" if choice == "b" else None)
    assert "x" not in answer.headers
    assert len(net.flush(ValueError)) == (status == 500)


EXTENSIONS = "Sec-WebSocket-Extensions: "
DEFLATE = "permessage-deflate"


@pytest.mark.parametrize(
    "offer",
    [
        DEFLATE + "; client_max_window_bits=99",
        DEFLATE + "; client_max_window_bits=7",
        DEFLATE + "; client_max_window_bits=16",
        DEFLATE + "; client_max_window_bits=08",
        DEFLATE + "; server_max_window_bits",
        DEFLATE + "; server_max_window_bits=x",
        DEFLATE + "; server_max_window_bits=8",
        DEFLATE + "; server_no_context_takeover=1",
        DEFLATE + "; server_no_context_takeover; server_no_context_takeover",
        DEFLATE + "; nonsense",
        DEFLATE + ";" * 1000,
        DEFLATE + "".join(f"; p{number}=1" for number in range(700)),
        DEFLATE + '; client_max_window_bits="',
        DEFLATE + '; client_max_window_bits="15',
        DEFLATE + '; x="' + "\\" * 4000,
        DEFLATE + '; x="' + " " * 4000,
        "x-webkit-deflate-frame",
        ", ".join(f"ext-{number}" for number in range(600)),
        "; ; ;",
        "\xff\xfe",
    ],
    ids=lambda offer: offer[:60].encode("ascii", "replace").decode(),
)
async def test_row25_extensions(net: Net, offer: str) -> None:
    """Bad extension headers are ignored in linear time, and the next good offer is accepted."""
    server = await net.serve(compression="dedicated")
    begun = time.thread_time()
    probe = await net.open(server, "/", EXTENSIONS + offer)
    assert time.thread_time() - begun < 0.2
    probe.send(text("hello"))
    assert (await probe.frame()).payload == b"hello"
    other = await net.connect(server)
    other.send(head("/", EXTENSIONS + offer[:3000], EXTENSIONS + DEFLATE))
    answer = await other.upgraded()
    assert answer.headers.get("sec-websocket-extensions", "").startswith(DEFLATE)


@pytest.mark.parametrize(
    ("offer", "agreed"),
    [
        (DEFLATE, DEFLATE),
        (DEFLATE + "; client_max_window_bits", DEFLATE),
        (DEFLATE + "; client_max_window_bits=8", DEFLATE + "; client_max_window_bits=8"),
        (DEFLATE + "; server_max_window_bits=9", DEFLATE + "; server_max_window_bits=9"),
        (DEFLATE + '; server_max_window_bits="10"', DEFLATE + "; server_max_window_bits=10"),
        (DEFLATE + "; server_no_context_takeover", DEFLATE + "; server_no_context_takeover"),
    ],
)
async def test_row25_agreements(net: Net, offer: str, agreed: str) -> None:
    """Only what was offered is agreed on."""
    server = await net.serve(compression="dedicated")
    probe = await net.ask(server, head("/", EXTENSIONS + offer))
    assert (await probe.upgraded()).headers["sec-websocket-extensions"] == agreed


@pytest.mark.parametrize(
    ("option", "status"),
    [("maxConnections", 503), ("maxConnectionsPerAddress", 429)],
    ids=["global", "address"],
)
async def test_row26_limits(net: Net, option: str, status: int) -> None:
    """
    One connection too many gets 503 or 429 with Retry-After before any hook; a place becomes free again.
    """
    application = Recorder()
    options: dict[str, Any] = {option: 2}
    server = await net.serve(application, **options)
    first = await net.open(server)
    await net.open(server)
    for _ in range(3):
        answer = await net.refused(server, head())
        assert answer.status == status
        assert answer.headers["retry-after"].isdigit()
    assert application.count("connect") == 2
    first.send(close())
    await first.closed()
    await application.ended()
    await net.open(server)
    assert server.stats().rejected == {"limit": 3}


async def test_row26_pendingCounts(net: Net) -> None:
    """A client that waits for `verifyClient` counts as a connection."""
    application = Gate()
    server = await net.serve(application, maxConnections=1)
    probe = await net.ask(server, head())
    await application.wasAsked()
    assert (await net.refused(server, head())).status == 503
    application.asked[0].callback(False)
    assert (await probe.refusal()).status == 401
    await net.ask(server, head())
    await application.wasAsked(2)


FEW_FILES = """
    import resource
    from twisted.internet import reactor
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    from txroom import Application, Server
    server = Server()
    server.addApplication(Application(onMessage=lambda connection, message: connection.send(message)))
    server.listen("tcp:0:interface=127.0.0.1").addCallback(lambda port: print(port.getHost().port))
    server.startService()
    reactor.run()
"""


async def test_row27_noMoreFiles(net: Net) -> None:
    """If accept() fails with EMFILE, open connections are served, the loop does not spin, and it recovers."""
    from types import SimpleNamespace

    with child(*python(FEW_FILES)) as process:
        where = SimpleNamespace(port=int(await process.line()))
        good = await net.open(where)
        crowd = [await net.connect(where) for _ in range(100)]
        begun = cpuSeconds(process.process.pid)
        for number in range(5):
            good.send(text(str(number)))
            assert (await good.frame()).payload == str(number).encode()
            await sleep(0.2)
        assert cpuSeconds(process.process.pid) - begun < 0.5, "it spins"
        for probe in crowd:
            probe.reset()
        again = await net.open(where)
        again.send(text("again"))
        assert (await again.frame()).payload == b"again"
        assert process.process.poll() is None


def cpuSeconds(pid: int) -> float:
    """The CPU time that a process has used."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def test_row28_backlog(net: Net) -> None:
    """With 1,000 connects at once, the reactor keeps running while it accepts, and all are served."""
    application = Recorder()
    server = await net.serve(application)
    old = await net.open(await net.serve())
    peers: list[socket.socket] = []
    port = server.address().port

    def connect() -> None:
        for _ in range(1000):
            peer = socket.socket()
            peer.setblocking(False)
            peer.connect_ex(("127.0.0.1", port))
            peers.append(peer)
        for peer in peers:
            peer.settimeout(20)
            peer.sendall(head()[:20])

    def upgrade() -> None:
        for peer in peers:
            peer.sendall(head()[20:])
        for peer in peers:
            assert peer.recv(4096).startswith(b"HTTP/1.1 101 ")

    try:
        connecting = deferToThread(connect)
        worst = 0.0
        while not connecting.called or len(server._gateway.admission.pending) < 1000:
            begun = time.thread_time()
            old.send(text("x"))
            assert (await old.frame()).payload == b"x"
            worst = max(worst, time.thread_time() - begun)
        await connecting
        await deferToThread(upgrade)
        assert application.count("connect") == 1000
        assert worst < 0.5
    finally:
        for peer in peers:
            peer.close()


# -- the rest of the checklist


@pytest.mark.parametrize(
    "connection",
    ["upgrade", "UPGRADE", "keep-alive, Upgrade", "Upgrade,keep-alive", "a,,Upgrade ,b", "\tUpgrade\t"],
)
@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket", "WEBSOCKET", "h2c, websocket"])
async def test_check04_tokens(net: Net, connection: str, upgrade: str) -> None:
    """Upgrade and Connection are lists of tokens, in any case."""
    server = await net.serve()
    probe = await net.ask(server, head(connection=connection, upgrade=upgrade))
    await probe.upgraded()


@pytest.mark.parametrize(
    ("connection", "upgrade"),
    [
        ("close", "websocket"),
        ("Upgrade", "h2c"),
        ("Upgrade", ""),
        ("", "websocket"),
        ("Upgrades", "websocket"),
        ("Upgrade", "websockets"),
    ],
)
async def test_check04_noTokens(net: Net, connection: str, upgrade: str) -> None:
    """Without both tokens, a request is not a WebSocket request: 426."""
    server = await net.serve()
    assert (await net.refused(server, head(connection=connection, upgrade=upgrade))).status == 426


@pytest.mark.parametrize(
    "bad",
    [
        {"X-A": "a\r\nX-B: c"},
        {"X-A": "a\nb"},
        {"X-A": "a\x00"},
        {"X-A": "\u20ac"},
        {"Sec-WebSocket-Accept": "x"},
        {"a b": "c"},
    ],
)
@pytest.mark.parametrize("hook", ["responseHeaders", "server", "Accept", "Deny"])
async def test_check07_headersOfHooks(net: Net, hook: str, bad: dict[str, str]) -> None:
    """If a hook returns headers with line breaks, the client gets one 500 without them."""
    hooks: dict[str, Any] = {
        "responseHeaders": {"responseHeaders": lambda handshake: bad},
        "Accept": {"verifyClient": lambda handshake: Accept(headers=bad)},
        "Deny": {"verifyClient": lambda handshake: Deny(403, headers=bad)},
    }
    server = await net.serve(Application(**hooks.get(hook, {})))
    if hook == "server":
        server.responseHeaders = lambda handshake: bad
    answer = await net.refused(server, head())
    assert answer.status == 500
    assert "x-b" not in answer.headers
    assert len(net.flush(ValueError)) == 1


@pytest.mark.parametrize("isLater", [False, True])
async def test_check07_deny(net: Net, isLater: bool) -> None:
    """A refusal has the status, the body and the headers that `verifyClient` returned."""
    denial = Deny(403, "Banned until noon", {"X-Until": "noon"})
    verifyClient = (lambda _: deferLater(reactor(), 0.01, lambda: denial)) if isLater else (lambda _: denial)
    server = await net.serve(Application(verifyClient=verifyClient))
    answer = await net.refused(server, head(), text("early"))
    assert (answer.status, answer.phrase, answer.body) == (403, "Forbidden", b"Banned until noon")
    assert answer.headers["x-until"] == "noon"
    assert answer.headers["content-type"].startswith("text/plain")


async def test_check07_accept(net: Net) -> None:
    """The 101 has the headers of `Accept` and `responseHeaders`."""
    application = Recorder(
        verifyClient=lambda handshake: Accept("ann", headers={"X-Who": "ann"}),
        responseHeaders=lambda handshake: {"Set-Cookie": "a=b"},
    )
    server = await net.serve(application)
    probe = await net.ask(server, head())
    answer = await probe.upgraded()
    assert (answer.headers["x-who"], answer.headers["set-cookie"]) == ("ann", "a=b")
    assert application.met[0].user == "ann"


async def test_check08_descriptors(net: Net) -> None:
    """After idle, half, silent, unanswered and unread connections, no file descriptors are left open."""
    import os

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    application = Recorder()
    server = await net.serve(
        application, handshakeTimeout=0.5, closeTimeout=0.5, idleTimeout=0.5, pingInterval=0.0
    )
    await sleep(0.05)
    before = descriptors()
    idle = [await net.connect(server) for _ in range(50)]
    half = [await net.ask(server, head()[:40]) for _ in range(50)]
    silent = [await net.open(server) for _ in range(50)]
    neverAnswers = [await net.open(server) for _ in range(50)]
    neverReads = [await net.open(server) for _ in range(50)]
    for connection in application.met[50:]:
        connection.close(1000)
    for probe in neverReads:
        probe.stall()
        probe.send(close())
    await until(lambda: server.stats().active == 0)
    assert application.count("disconnect") == 150
    for probe in neverReads:
        probe.unstall()
    everybody = [*idle, *half, *silent, *neverAnswers, *neverReads]
    for probe in everybody:
        await probe.end()
    await until(lambda: descriptors() <= before, "descriptors leak")


async def test_check08_lingerer(net: Net) -> None:
    """A client that was refused and does not close is dropped soon."""
    server = await net.serve()
    port = server.address().port
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(get())
        peer.settimeout(5)
        await deferToThread(peer.recv, 4096)
        begun = reactor().seconds()
        probe = await deferToThread(stillOpen, peer)
        assert not probe
        assert reactor().seconds() - begun < SOON


def stillOpen(peer: socket.socket) -> bool:
    """Whether the other side still accepts data after some time."""
    for _ in range(40):
        time.sleep(0.1)
        try:
            peer.send(b"x")
        except OSError:
            return False
    return True


async def test_upgradeOrder(net: Net) -> None:
    """The checks are made in their order: if two things are wrong, the first one is answered."""
    server = Server(ServerOptions(maxConnections=1))
    server.addApplication(Application(verifyClient=lambda handshake: "x-ok" in handshake.headers), path="/a")
    await net.start(server)
    await net.open(server, "/a", "X-Ok: yes")
    foreign = "Origin: http://evil.test"
    for request, status in (
        (head("/b", foreign, "X\x00: y", method="POST", version="HTTP/1.0"), 400),
        (head("/b", foreign, method="POST", version="HTTP/1.0", protocolVersion="8"), 505),
        (head("/a", foreign, method="POST", upgrade="h2c", protocolVersion="8"), 426),
        (head("/b", foreign, method="POST", upgrade="h2c", protocolVersion="8"), 404),
        (head("/b", foreign, method="POST", protocolVersion="8"), 405),
        (head("/b", foreign, protocolVersion="8"), 426),
        (head("/b", foreign), 404),
        (head("/a", foreign), 503),
    ):
        assert (await net.refused(server, request)).status == status, request
