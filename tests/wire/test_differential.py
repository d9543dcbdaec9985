"""
The way in against Autobahn's own, on random frames cut anywhere; and random bytes as handshakes.

`Reference` is a stock Autobahn server that doesn't drop on errors. What both deliver must be the same,
message by message, and so must the code they close with. Where txroom differs it means to:

- Autobahn takes no Close code 1012-1014, which the registry has added since RFC 6455;
- after its own failure Autobahn still parses, txroom throws away;
- bounds that Autobahn doesn't know (fragments, control frames) are off here or out of reach;
- a final DEFLATE block silences Autobahn for ever; `test_compression` has those.
"""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport

from tests.case import HarnessTestCase, Recorder
from tests.functional.support import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, takeFrame
from txroom import Application
from txroom.core.handshake import Handshake, UpgradeError
from txroom.http.request import HeadReader, checkUpgrade
from txroom.testing import RoomHarness, upgradeRequest

#: The longest message that either side takes.
LIMIT = 1000
OFFER = ("Sec-WebSocket-Extensions", "permessage-deflate")

quick = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


class Reference(WebSocketServerProtocol):
    """A stock Autobahn server without a socket, its handshake done."""

    def __init__(self, isDeflating: bool) -> None:
        super().__init__()
        self.factory = WebSocketServerFactory()
        self.factory.setProtocolOptions(
            failByDrop=False,
            echoCloseCodeReason=True,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            maxMessagePayloadSize=LIMIT,
            perMessageCompressionAccept=self.accept,
        )
        self.messages: list[str | bytes] = []
        self.pings: list[bytes] = []
        self.sent = StringTransport()
        self.makeConnection(self.sent)
        self.dataReceived(upgradeRequest("/", [OFFER] if isDeflating else []))
        self.sent.clear()

    @staticmethod
    def accept(offers: list[Any]) -> Any:
        for offer in offers:
            if isinstance(offer, PerMessageDeflateOffer):
                return PerMessageDeflateOfferAccept(offer)
        return None

    def unregisterProducer(self) -> None:
        """A `StringTransport` minds being told it without having one."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.messages.append(payload if isBinary else payload.decode())

    def onPing(self, payload: bytes) -> None:
        self.pings.append(payload)

    def closedWith(self) -> int | None:
        return closeCode(self.sent.value())


def closeCode(output: bytes) -> int | None:
    """The code of the Close frame that a server sent; 0 for one without, `None` if it sent none."""
    data = bytearray(output)
    while (sent := takeFrame(data)) is not None:
        if sent.opcode == CLOSE:
            return sent.code or 0
    return None


# -- frames, good and bad

texts = st.text(max_size=40).map(str.encode)
badTexts = st.sampled_from(
    [b"\xff", b"a\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xce", b"\xf0\x9f\x98"]
)
blobs = st.binary(max_size=40)
large = st.one_of(st.sampled_from([125, 126, LIMIT, LIMIT + 1]), st.integers(100, LIMIT + 100)).map(
    lambda size: b"x" * size
)
payloads = st.one_of(texts, texts, texts, blobs, badTexts, large)
opcodes = st.sampled_from([TEXT, TEXT, TEXT, BINARY, BINARY, CONTINUATION, CONTINUATION, PING, PONG])
closeCodes = st.one_of(
    st.sampled_from([1000, 1001, 1011, 3000, 4999]), st.sampled_from([0, 999, 1004, 1005, 1006])
)
masks = st.binary(min_size=4, max_size=4)

goodFrames = st.builds(
    frame, st.sampled_from([TEXT, TEXT, BINARY]), st.one_of(texts, texts, texts, large), mask=masks
)
controls = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125), mask=masks)
anyFrames = st.builds(frame, opcodes, payloads, fin=st.booleans(), mask=masks)
closes = st.builds(
    lambda code, reason: frame(CLOSE, code.to_bytes(2, "big") + reason),
    closeCodes,
    st.one_of(texts, badTexts),
)
oddCloses = st.sampled_from([frame(CLOSE), frame(CLOSE, b"\x03"), frame(CLOSE, b"\x03\xe8", fin=False)])
badFrames = st.one_of(
    st.builds(frame, opcodes, texts, rsv=st.integers(0, 7), fin=st.booleans()),
    st.builds(frame, opcodes, texts, mask=st.none()),
    st.builds(frame, st.integers(0, 15), blobs),
    st.builds(frame, opcodes, blobs, lengthBytes=st.sampled_from([2, 8])),
    st.builds(
        lambda opcode, length: frame(opcode, length=length), opcodes, st.sampled_from([LIMIT, 2**62, 2**63])
    ),
    st.builds(frame, st.sampled_from([PING, PONG, CLOSE]), st.binary(min_size=126, max_size=130)),
)


@st.composite
def fragmented(draw: Any) -> bytes:
    """A message in parts, pings between them."""
    payload = draw(st.one_of(texts, texts, blobs, large))
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    opcode = draw(st.sampled_from([TEXT, BINARY]))
    data = b""
    for start, end in zip([0, *cuts], [*cuts, len(payload)], strict=True):
        data += frame(opcode, payload[start:end], fin=False)
        opcode = CONTINUATION
        if draw(st.booleans()):
            data += frame(PING, b"between")
    return data + frame(CONTINUATION, mask=draw(masks))


sequences = st.lists(
    st.one_of(
        goodFrames,
        goodFrames,
        goodFrames,
        controls,
        fragmented(),
        fragmented(),
        anyFrames,
        closes,
        oddCloses,
        badFrames,
    ),
    max_size=8,
).map(b"".join)


@st.composite
def segments(draw: Any, sequence: Any) -> list[bytes]:
    """A sequence as TCP may deliver it."""
    data = draw(sequence)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    parts = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [part for part in parts if part]


@st.composite
def compressedMessages(draw: Any) -> bytes:
    """Messages of one client that deflates some of them, now and then wrongly."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b""
    for payload in draw(st.lists(st.one_of(texts, texts, blobs, large), max_size=6)):
        opcode = draw(st.sampled_from([TEXT, BINARY]))
        how = draw(
            st.sampled_from(
                ["deflated", "deflated", "deflated", "fragmented", "plain", "continuation", "ping"]
            )
        )
        if how == "plain":
            data += frame(opcode, payload)
            continue
        if how == "ping":
            data += frame(PING, b"a", rsv=draw(st.sampled_from([0, 0, 0, 4])))
            continue
        wire = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(
            b"\x00\x00\xff\xff"
        )
        wire = wire or b"\x00"
        if how == "deflated":
            data += frame(opcode, wire, rsv=4)
        else:
            half = len(wire) // 2
            data += frame(opcode, wire[:half], rsv=4, fin=False)
            data += frame(
                CONTINUATION, wire[half:], rsv=4 if how == "continuation" and draw(st.booleans()) else 0
            )
    return data


class ReceiveTests(HarnessTestCase):
    """What is received, and what it is answered with."""

    def compare(self, parts: list[bytes], isDeflating: bool) -> None:
        reference = Reference(isDeflating)
        for part in parts:
            reference.dataReceived(part)
        application = Recorder()
        harness = RoomHarness(
            application,
            maxPayload=LIMIT,
            maxFragments=0,
            compression="dedicated" if isDeflating else "disabled",
        )
        try:
            client = self.upgraded(harness, headers=[OFFER] if isDeflating else [])
            for part in parts:
                client.send(part)
            context = (b"|".join(parts), application.events)
            self.assertEqual(application.named("message"), reference.messages, context)
            self.assertEqual(closeCode(client.output), reference.closedWith(), context)
            if reference.closedWith() is None:
                self.assertEqual(application.named("ping"), reference.pings, context)
        finally:
            harness.stop()

    @quick
    @given(segments(sequences))
    def test_frames(self, parts: list[bytes]) -> None:
        """Frames of every kind."""
        self.compare(parts, isDeflating=False)

    @quick
    @given(segments(sequences))
    def test_framesWithExtension(self, parts: list[bytes]) -> None:
        """The same while compression is agreed on, which gives RSV1 a meaning."""
        self.compare(parts, isDeflating=True)

    @quick
    @given(segments(compressedMessages()))
    def test_compressed(self, parts: list[bytes]) -> None:
        """Compressed messages, in fragments, between others."""
        self.compare(parts, isDeflating=True)

    @settings(quick, max_examples=150)
    @given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4), st.booleans())
    def test_noise(self, data: bytes, cuts: list[int], isDeflating: bool) -> None:
        """Random bytes end in a Close frame, in waiting, or in the peer's leaving; nothing is logged."""
        application = Recorder()
        harness = RoomHarness(application, compression="dedicated" if isDeflating else "disabled")
        try:
            client = self.upgraded(harness, headers=[OFFER] if isDeflating else [])
            edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
            for start, end in pairwise(edges):
                client.send(data[start:end])
            self.assertIn(closeCode(client.output), (None, 0, 1002, 1007, 1009, *range(1000, 5000)))
            client.drop()
            harness.flush()
            self.assertEqual(len(application.named("disconnect")), 1)
        finally:
            harness.stop()
        self.assertEqual(self.flushLoggedErrors(), [])


# -- heads

HEAD = upgradeRequest("/chat?room=a", [("Origin", "http://a.test"), ("X-Long", "x" * 50)])
pieces = st.sampled_from(
    [
        b"\r\n",
        b"\r",
        b"\n",
        b":",
        b" ",
        b"\t",
        b"\x00",
        b"\x85",
        b",",
        b";",
        b"\r\n\r\n",
        b"%",
        b"..",
        b"HTTP/1.1",
    ]
)
edits = st.tuples(
    st.integers(0, len(HEAD)),
    st.integers(0, 4),
    st.one_of(pieces, pieces, st.binary(max_size=3), st.just(b"")),
)


@st.composite
def mutatedHeads(draw: Any) -> bytes:
    """A good head with some bytes replaced, removed, inserted."""
    data = HEAD
    for at, count, new in draw(st.lists(edits, min_size=1, max_size=4)):
        data = data[:at] + new + data[at + count :]
    return data


lines = st.lists(
    st.one_of(st.just(b"GET / HTTP/1.1"), st.just(b"Host: a"), st.binary(max_size=30)), max_size=8
)
heads = st.one_of(
    mutatedHeads(), st.binary(max_size=200), lines.map(lambda found: b"\r\n".join([*found, b"", b""]))
)


class HeadTests(HarnessTestCase):
    """The head of a request never raises anything but `UpgradeError`."""

    def outcome(self, parts: list[bytes]) -> Any:
        """What reading comes to: the parts of the head, the refusal, or "more"."""
        reader = HeadReader()
        try:
            for number, part in enumerate(parts):
                head = reader.feed(part)
                if head is not None:
                    found = (head.method, head.target, head.version, head.headers.pairs)
                    return found, head.rest + b"".join(parts[number + 1 :])
        except UpgradeError as error:
            self.assertIn(error.status, (400, 414, 431, 505))
            return "refused"
        return "more"

    @settings(quick, max_examples=600)
    @given(heads, st.lists(st.integers(0, 300), max_size=5))
    def test_cuts(self, data: bytes, cuts: list[int]) -> None:
        """Whole, byte by byte and cut anywhere: the outcome is the same."""
        whole = self.outcome([data])
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        anywhere = [data[start:end] for start, end in pairwise(edges)]
        self.assertEqual(self.outcome(anywhere), whole)
        self.assertEqual(self.outcome([data[at : at + 1] for at in range(len(data))]), whole)

    @settings(quick, max_examples=600)
    @given(heads)
    def test_upgrade(self, data: bytes) -> None:
        """What is a head is judged by `checkUpgrade`, and what hooks may ask of it can be asked."""
        reader = HeadReader()
        try:
            head = reader.feed(data)
            if head is None:
                return
            handshake = Handshake(method=head.method, target=head.target, headers=head.headers)
            _ = (handshake.path, handshake.query, handshake.host, handshake.origin, handshake.cookies)
            _ = (handshake.protocols, handshake.extensions)
            for name, value in head.headers.pairs:
                self.assertNotRegex(name + value, "[\r\n\0]")
            checkUpgrade(handshake)
        except UpgradeError as error:
            self.assertIn(error.status, (400, 405, 414, 426, 431, 505))

    @settings(quick, max_examples=200)
    @given(st.one_of(mutatedHeads(), heads), st.binary(max_size=50))
    def test_server(self, data: bytes, rest: bytes) -> None:
        """A server answers with one status line or waits; nothing is logged, nothing is left."""
        harness = RoomHarness(Application(), compression="shared")
        try:
            client = harness.raw(data + rest)
            if client.output:
                self.assertRegex(client.output, rb"\AHTTP/1\.1 (101|4\d\d|503|505) ")
            if not client.output.startswith(b"HTTP/1.1 101 "):
                self.assertLessEqual(client.output.count(b"HTTP/1.1"), 1)
            client.drop()
        finally:
            harness.stop()
        self.assertEqual(self.flushLoggedErrors(), [])


headerValues = st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n"), max_size=60)
protocols = st.one_of(
    headerValues, st.lists(st.sampled_from(["a", "b", "chat", "", " ", '"']), max_size=6).map(",".join)
)
extensions = st.one_of(
    headerValues,
    st.lists(
        st.sampled_from(
            [
                "permessage-deflate",
                "; client_max_window_bits",
                "; server_max_window_bits=",
                "=9",
                "=15",
                '"',
                ",",
                "; server_no_context_takeover",
                "x",
                " ",
            ]
        ),
        max_size=8,
    ).map("".join),
)
origins = st.one_of(
    headerValues, st.sampled_from(["null", "http://[", "http://a:b", "http://a.test", "//", "http://[::1"])
)
cookies = st.one_of(headerValues, st.sampled_from(["a=b; c", '="', "a=\x80; \xff=1", "$Version=1"]))
hosts = st.one_of(st.sampled_from(["a.test", "[::1]:80", "[", "a:99999", ":", "a:", "%"]), headerValues)


class HandshakeTests(HarnessTestCase):
    """Whatever the headers say: 101, or a refusal by the client's fault."""

    @settings(quick, max_examples=300)
    @given(hosts, origins, protocols, extensions, cookies)
    def test_headers(self, host: str, origin: str, protocol: str, extension: str, cookie: str) -> None:
        """No header raises, not even to the application that reads them all."""

        def verifyClient(handshake: Handshake) -> bool:
            _ = (handshake.cookies, handshake.query, handshake.protocols, handshake.extensions)
            return True

        application = Recorder(verifyClient=verifyClient, acceptsOrigin=lambda origin: True)
        harness = RoomHarness(application, compression="dedicated", allowedOrigins=("http://b.test",))
        strict = RoomHarness(Recorder(), allowedOrigins=("http://b.test",))
        fields = [
            ("Origin", origin),
            ("Sec-WebSocket-Protocol", protocol),
            ("Sec-WebSocket-Extensions", extension),
            ("Cookie", cookie),
        ]
        request = b"\r\n".join(
            [
                b"GET /?%C3%28&=&a HTTP/1.1",
                b"Host: " + host.encode("latin-1"),
                b"Upgrade: websocket",
                b"Connection: Upgrade",
                b"Sec-WebSocket-Version: 13",
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                *(f"{name}: {value}".encode("latin-1") for name, value in fields),
                b"",
                b"",
            ]
        )
        try:
            for one in (harness, strict):
                client = one.raw(request)
                self.assertRegex(client.output, rb"\AHTTP/1\.1 (101|400|403) ")
                for line in client.output.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
                    self.assertRegex(line, rb"\A[A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\Z")
        finally:
            harness.stop()
            strict.stop()
        self.assertEqual(self.flushLoggedErrors(), [])
