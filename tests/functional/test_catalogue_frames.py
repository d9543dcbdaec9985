"""
What can go wrong on an open WebSocket, one case per test, with a server on a real socket.

The rows are those of the project's catalogue of failures and bad input, part "Frames and messages". Rows 46
and 47 are about the contents of messages, and tested with the rooms.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.functional.support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PATIENCE,
    PING,
    PONG,
    SOON,
    TEXT,
    Echo,
    Frame,
    Net,
    Probe,
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
from txroom import Application, Connection, Prepared, ReadyState, SendStatus, Server
from txroom.wire import ratelimit

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
#: Sent behind everything that must end a connection; it must never be delivered.
AFTER = text("after")


async def mustFail(net: Net, code: int, *parts: bytes, offer: str = "", **options: Any) -> Recorder:
    """Send, and check that the connection is closed with `code` and nothing behind is delivered."""
    application = Recorder()
    server = await net.serve(application, **options)
    probe = await net.open(server, "/", *([offer] if offer else []))
    probe.send(*parts, AFTER, AFTER)
    closing = await probe.closed()
    assert closing.code == code, closing
    told, _ = await application.ended()
    assert told == code
    assert "after" not in application.messages
    assert [event[0] for event in application.events].count("disconnect") == 1
    return application


def deflated(payload: bytes, flush: int = zlib.Z_SYNC_FLUSH, bits: int = 15) -> bytes:
    """One message, compressed with permessage-deflate."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -bits)
    data = compressor.compress(payload) + compressor.flush(flush)
    return data.removesuffix(b"\x00\x00\xff\xff") if flush == zlib.Z_SYNC_FLUSH else data


def inflated(data: bytes, inflater: Any = None) -> bytes:
    """The payload of a compressed message."""
    return bytes((inflater or zlib.decompressobj(-15)).decompress(data + b"\x00\x00\xff\xff"))


def residentBytes() -> int:
    """The resident memory of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- rows 31-38: what RFC 6455 forbids, and sizes


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
async def test_row31_reservedBits(net: Net, opcode: int, rsv: int) -> None:
    """RSV1 to RSV3 without an extension close with 1002."""
    await mustFail(net, 1002, frame(opcode, b"\x03\xe8", rsv=rsv))


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("payload", [b"", b"x"])
async def test_row31_reservedOpcodes(net: Net, opcode: int, payload: bytes) -> None:
    """Opcodes 3 to 7 and 11 to 15 close with 1002."""
    await mustFail(net, 1002, frame(opcode, payload))


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE, CONTINUATION])
async def test_row31_unmasked(net: Net, opcode: int) -> None:
    """An unmasked frame closes with 1002."""
    await mustFail(net, 1002, frame(opcode, b"\x03\xe8hi", mask=None))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 70_000])
async def test_row31_unmaskedSizes(net: Net, size: int) -> None:
    """An unmasked frame of any size closes with 1002."""
    await mustFail(net, 1002, frame(TEXT, b"a" * size, mask=None))


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
async def test_row32_control(net: Net, opcode: int) -> None:
    """A fragmented control frame, or one over 125 bytes, closes with 1002."""
    await mustFail(net, 1002, frame(opcode, b"\x03\xe8", fin=False))
    await mustFail(net, 1002, frame(opcode, b"\x03\xe8" + b"a" * 124))
    await mustFail(net, 1002, frame(opcode, b"\x03\xe8", lengthBytes=2, length=65535))
    await mustFail(net, 1002, frame(opcode, b"\x03\xe8", lengthBytes=8, length=2**40))


@pytest.mark.parametrize("fin", [False, True])
async def test_row33_continuation(net: Net, fin: bool) -> None:
    """A continuation without a message closes with 1002."""
    await mustFail(net, 1002, frame(CONTINUATION, b"x", fin=fin))
    application = await mustFail(net, 1002, text("a"), frame(CONTINUATION, b"x", fin=fin))
    assert application.messages == ["a"]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_row33_interleaved(net: Net, opcode: int) -> None:
    """A new message inside a fragmented one closes with 1002, and neither is delivered."""
    application = await mustFail(net, 1002, frame(TEXT, b"a", fin=False), frame(opcode, b"b"))
    assert application.messages == []


BAD_TEXTS = [
    b"\xff",
    b"\x80",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"ok \xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
]


@pytest.mark.parametrize("payload", BAD_TEXTS)
async def test_row34_utf8(net: Net, payload: bytes) -> None:
    """
    Text that is not UTF-8, including surrogates and truncated code points, closes with 1007, in one frame
    or several.
    """
    await mustFail(net, 1007, frame(TEXT, payload))
    await mustFail(net, 1007, frame(TEXT, payload[:1], fin=False), frame(CONTINUATION, payload[1:]))
    await mustFail(net, 1007, frame(TEXT, b"a" * 70_000 + payload))
    await mustFail(net, 1007, frame(CLOSE, b"\x03\xe8" + payload))


async def test_row34_failFast(net: Net) -> None:
    """The mistake is found before the message is complete."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    probe.send(frame(TEXT, b"good", fin=False), frame(CONTINUATION, b"\xff", fin=False))
    assert (await probe.closed()).code == 1007
    probe = await net.open(server)
    probe.send(frame(TEXT, b"a\xff" + b"a" * 1000, length=100_000)[:600])
    assert (await probe.closed()).code == 1007


async def test_row34_splitCodePoint(net: Net) -> None:
    """A code point split over fragments and segments is accepted."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    data = "κόσμε 😀".encode()
    probe.send(
        *(frame(TEXT if not at else CONTINUATION, data[at : at + 1], fin=False) for at in range(len(data)))
    )
    probe.send(frame(CONTINUATION))
    await probe.dribble(frame(TEXT, data))
    await until(lambda: application.messages == ["κόσμε 😀"] * 2)


@pytest.mark.parametrize(
    "code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65535]
)
async def test_row35_badCloseCodes(net: Net, code: int) -> None:
    """A Close frame with a forbidden code closes with 1002."""
    await mustFail(net, 1002, close(code))


async def test_row35_oneByteClose(net: Net) -> None:
    """A Close frame with one byte closes with 1002."""
    await mustFail(net, 1002, frame(CLOSE, b"\x03"))


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
async def test_row35_goodCloseCodes(net: Net, code: int) -> None:
    """An allowed code is echoed, and passed on with its reason."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    probe.send(close(code, "tschüß".encode()), AFTER)
    assert await probe.frames() == [Frame(CLOSE, code.to_bytes(2, "big"))]
    assert await application.ended() == (code, "tschüß")
    assert application.messages == []


async def test_row35_emptyClose(net: Net) -> None:
    """A Close frame without a code is answered with the same, and passed on as 1005."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    probe.send(close(None), AFTER)
    assert await probe.frames() == [Frame(CLOSE, b"")]
    assert await application.ended() == (1005, "")


@pytest.mark.parametrize(("size", "lengthBytes"), [(0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)])
async def test_row36_notMinimal(net: Net, size: int, lengthBytes: int) -> None:
    """A length that is not in its shortest form closes with 1002."""
    await mustFail(net, 1002, frame(TEXT, b"a" * size, lengthBytes=lengthBytes))


@pytest.mark.parametrize("length", [2**63, 2**64 - 1])
async def test_row36_highestBit(net: Net, length: int) -> None:
    """A length with its highest bit set closes with 1002."""
    await mustFail(net, 1002, frame(TEXT, b"a", length=length))


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("length", [2**20 + 1, 2**31, 2**32, 2**62, 2**63 - 1])
async def test_row37_declared(net: Net, opcode: int, length: int) -> None:
    """A frame with a huge length closes with 1009 when its header has arrived."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    probe.send(frame(opcode, length=length))
    assert (await probe.closed()).code == 1009
    assert (await application.ended())[0] == 1009


async def test_row38_limit(net: Net) -> None:
    """
    A message over `maxPayload` closes with 1009, in one frame or several; one of exactly that size is
    delivered.
    """
    limit = 1000
    for parts in (
        [frame(BINARY, b"a" * (limit + 1))],
        [frame(BINARY, b"a" * limit, fin=False), frame(CONTINUATION, b"b")],
        [frame(BINARY, b"a", fin=False)] * 1 + [frame(CONTINUATION, b"b", fin=False)] * limit,
    ):
        application = await mustFail(net, 1009, *parts, maxPayload=limit)
        assert application.messages == []
    application = Recorder()
    server = await net.serve(application, maxPayload=limit)
    probe = await net.open(server)
    probe.send(frame(BINARY, b"a" * limit))
    probe.send(frame(BINARY, b"a" * (limit // 2), fin=False), frame(CONTINUATION, b"a" * (limit // 2)))
    await until(lambda: application.messages == [b"a" * limit] * 2)


async def test_row38_receiveOnly(net: Net) -> None:
    """The limit applies to received messages only."""
    server = await net.serve(
        Recorder(onConnect=lambda connection: connection.send(b"a" * 5000)), maxPayload=10
    )
    probe = await net.open(server)
    assert (await probe.frame()).payload == b"a" * 5000


# -- rows 39-43: many and slow


async def test_row39_emptyFragments(net: Net) -> None:
    """200,000 empty fragments in one message close with 1008 after `maxFragments`."""
    await mustFail(net, 1008, frame(TEXT, fin=False), frame(CONTINUATION, fin=False) * 200_000)


async def test_row39_boundary(net: Net) -> None:
    """`maxFragments` fragments are accepted, one more is not; control frames are not counted."""
    parts = [frame(TEXT, b"a", fin=False), *([frame(CONTINUATION, b"a", fin=False), frame(PING)] * 6)]
    application = Recorder()
    server = await net.serve(application, maxFragments=8)
    probe = await net.open(server)
    probe.send(*parts, frame(CONTINUATION, b"a"))
    await until(lambda: application.messages == ["a" * 8])
    await mustFail(
        net, 1008, *parts, frame(CONTINUATION, b"a", fin=False), frame(CONTINUATION), maxFragments=8
    )


async def test_row39_unlimited(net: Net) -> None:
    """`maxFragments` 0 means no limit."""
    application = Recorder()
    server = await net.serve(application, maxFragments=0)
    probe = await net.open(server)
    probe.send(frame(TEXT, fin=False), frame(CONTINUATION, b"a", fin=False) * 5000, frame(CONTINUATION))
    await until(lambda: application.messages == ["a" * 5000])


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (frame(TEXT, b"a", fin=False), frame(CONTINUATION, b"a", fin=False)),
        (frame(TEXT, b"a", fin=False), frame(PING)),
        (frame(BINARY, length=1000), b"a"),
        (frame(BINARY, length=1000)[:3], b""),
    ],
    ids=["fragments", "pings", "bytes", "half a header"],
)
async def test_row40_assembly(net: Net, start: bytes, more: bytes) -> None:
    """
    A message that is never complete closes with 1008 after `messageTimeout`, even if data keeps arriving.
    """
    server = await net.serve(messageTimeout=0.5, pingInterval=0)
    begun = reactor().seconds()
    probe = await net.open(server)
    probe.send(start)
    while not probe.ended:
        assert reactor().seconds() - begun < SOON
        probe.send(more)
        await sleep(0.05)
    assert (await probe.closed()).code == 1008
    assert reactor().seconds() - begun >= 0.45


async def test_row40_inTime(net: Net) -> None:
    """A message that is complete in time is delivered, and the time of the next one starts again."""
    application = Recorder()
    server = await net.serve(application, messageTimeout=2)
    probe = await net.open(server)
    for _ in range(3):
        probe.send(frame(TEXT, b"a", fin=False))
        await sleep(0.75)
        probe.send(frame(CONTINUATION, b"b"))
    await until(lambda: application.messages == ["ab"] * 3)


@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_row41_flood(net: Net, opcode: int) -> None:
    """Endless pings or pongs from a client that reads close with 1008."""
    await mustFail(net, 1008, frame(opcode, b"flood") * 20_000)


async def test_row41_fewPings(net: Net) -> None:
    """A few pings are answered in order, each with its own payload."""
    server = await net.serve()
    probe = await net.open(server)
    payloads = [bytes([number]) * number for number in range(126)]
    probe.send(*(frame(PING, payload) for payload in payloads))
    assert [await probe.frame() for _ in payloads] == [Frame(PONG, payload) for payload in payloads]


async def test_row42_pongsWait(net: Net) -> None:
    """For a client that sends pings and does not read, at most the newest pong is queued."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    connection = await stuffed(application, probe)
    before = connection.bufferedAmount
    count = ratelimit.CONTROL_BURST * 0.9
    probe.send(*(frame(PING, number.to_bytes(2, "big") * 60) for number in range(int(count))))
    connection.onPing = lambda connection, payload: application.events.append(("ping", payload))
    await until(lambda: application.count("ping") == int(count))
    assert connection.bufferedAmount <= before
    probe.unstall()
    probe.send(close())
    pongs = [one for one in await probe.frames() if one.opcode == PONG]
    assert len(pongs) <= 1


async def test_row42_newestPong(net: Net) -> None:
    """The newest ping is answered as soon as the queue is empty."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    await stuffed(application, probe)
    probe.send(*(frame(PING, number.to_bytes(2, "big")) for number in range(100)))
    await sleep(0.1)
    probe.unstall()
    answer = await probe.frame()
    while answer.opcode != PONG:
        answer = await probe.frame()
    assert answer.payload == (99).to_bytes(2, "big")
    probe.send(frame(PING, b"again"))
    assert await probe.frame() == Frame(PONG, b"again")


async def test_row42_neverReads(net: Net) -> None:
    """A client that floods and never reads uses bounded memory, and is dropped after `closeTimeout`."""
    application = Recorder()
    server = await net.serve(application, closeTimeout=0.5)
    probe = await net.open(server)
    connection = await stuffed(application, probe)
    before = connection.bufferedAmount
    worst = 0
    for _ in range(50):
        probe.send(frame(PING, b"a" * 125) * 1000)
        await sleep(0.005)
        worst = max(worst, connection.bufferedAmount)
    assert worst <= before + 256
    assert (await application.ended())[0] == 1008


async def stuffed(application: Recorder, probe: Probe) -> Connection:
    """Stop the client from reading, and fill all buffers between it and the server."""
    await until(lambda: application.met)
    connection: Connection = application.met[-1]
    probe.stall()
    full = 0
    while full < 5:
        status = connection.send(b"x" * 60_000)
        full = 0 if status is SendStatus.SENT else full + 1
        await sleep(0.002)
    return connection


async def test_row43_pongs(net: Net) -> None:
    """Unsolicited pongs are passed on, and count as control frames."""
    application = Recorder()
    application.onPong = lambda connection, payload: application.events.append(("pong", payload))
    server = await net.serve(application)
    probe = await net.open(server)
    probe.send(frame(PONG, b"hi"), text("a"))
    await until(lambda: application.messages)
    assert application.events[1:] == [("pong", b"hi"), ("message", "a")]


# -- rows 44-45: compression


@pytest.mark.parametrize("compression", ["shared", "dedicated"])
async def test_row44_bomb(net: Net, compression: str) -> None:
    """64 KB that inflate to 64 MiB close with 1009, and never more than the limit is inflated."""
    bomb = deflated(bytes(64 * 2**20))
    assert len(bomb) < 2**17
    tracemalloc.start()
    try:
        application = await mustFail(
            net,
            1009,
            frame(BINARY, bomb, rsv=4),
            offer=DEFLATE,
            compression=compression,
            maxPayload=2**20,
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert application.messages == []
    assert peak < 8 * 2**20


async def test_row44_bombInFragments(net: Net) -> None:
    """The same in fragments."""
    bomb = deflated(bytes(64 * 2**20))
    parts = [bomb[at : at + 500] for at in range(0, len(bomb), 500)]
    await mustFail(
        net,
        1009,
        frame(BINARY, parts[0], rsv=4, fin=False),
        *(frame(CONTINUATION, part, fin=False) for part in parts[1:]),
        offer=DEFLATE,
        compression="dedicated",
    )


@pytest.mark.parametrize("size", [999, 1000, 1001])
async def test_row44_limit(net: Net, size: int) -> None:
    """The limit is exact, and applies to the inflated size."""
    message = frame(BINARY, deflated(b"a" * size), rsv=4)
    if size > 1000:
        await mustFail(net, 1009, message, offer=DEFLATE, compression="shared", maxPayload=1000)
    else:
        application = Recorder()
        server = await net.serve(application, compression="shared", maxPayload=1000)
        probe = await net.open(server, "/", DEFLATE)
        probe.send(message)
        await until(lambda: application.messages == [b"a" * size])


async def test_row44_incompressible(net: Net) -> None:
    """`maxCompressedSize` limits the received size before inflation."""
    payload = random.Random(1).randbytes(2000)
    message = frame(BINARY, deflated(payload), rsv=4)
    options: dict[str, Any] = {"compression": "shared", "maxPayload": 100_000}
    await mustFail(net, 1009, message, offer=DEFLATE, maxCompressedSize=1000, **options)
    application = Recorder()
    server = await net.serve(application, maxCompressedSize=3000, **options)
    probe = await net.open(server, "/", DEFLATE)
    probe.send(message)
    await until(lambda: application.messages == [payload])


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 50, b"\x07", b"\x06garbage", deflated(b"a" * 500)[:-3] + b"\xff\xff\xff"]
)
async def test_row45_garbage(net: Net, garbage: bytes) -> None:
    """Garbage in a compressed message closes with 1007."""
    await mustFail(net, 1007, frame(TEXT, garbage, rsv=4), offer=DEFLATE, compression="dedicated")


async def test_row45_badTextInflated(net: Net) -> None:
    """Compressed text must be UTF-8 too."""
    await mustFail(net, 1007, frame(TEXT, deflated(b"ok\xff"), rsv=4), offer=DEFLATE, compression="shared")


async def test_row45_truncated(net: Net) -> None:
    """A stream that is cut anywhere gives a message or 1007, and never an exception."""
    application = Recorder()
    server = await net.serve(application, compression="dedicated")
    whole = deflated(random.Random(2).randbytes(40) * 3)
    for size in range(len(whole)):
        probe = await net.open(server, "/", DEFLATE)
        probe.send(frame(BINARY, whole[:size], rsv=4), close())
        assert (await probe.closed()).code in (1000, 1007)


@pytest.mark.parametrize(
    "parts",
    [
        [frame(TEXT, b"a", fin=False), frame(CONTINUATION, b"b", rsv=4)],
        [frame(TEXT, deflated(b"a"), rsv=4, fin=False), frame(CONTINUATION, b"b", rsv=4)],
        [frame(PING, b"a", rsv=4)],
        [frame(CLOSE, b"\x03\xe8", rsv=4)],
        [frame(TEXT, b"a", rsv=2)],
        [frame(TEXT, b"a", rsv=5)],
    ],
)
async def test_row45_reservedBits(net: Net, parts: list[bytes]) -> None:
    """RSV1 on a continuation or a control frame, and the other bits anywhere, close with 1002."""
    await mustFail(net, 1002, *parts, offer=DEFLATE, compression="dedicated")


async def test_row45_empty(net: Net) -> None:
    """Empty compressed messages are accepted in all forms of RFC 7692."""
    application = Recorder()
    server = await net.serve(application, compression="dedicated")
    probe = await net.open(server, "/", DEFLATE)
    probe.send(frame(TEXT, b"\x00", rsv=4), frame(TEXT, b"\x02\x00", rsv=4), frame(TEXT))
    probe.send(frame(TEXT, deflated(b"end"), rsv=4))
    await until(lambda: application.messages == ["", "", "", "end"])


async def test_row45_finalBlocks(net: Net) -> None:
    """After a final DEFLATE block the next messages are complete, and the memory does not grow."""
    application = Recorder()
    server = await net.serve(application, compression="dedicated")
    probe = await net.open(server, "/", DEFLATE)
    payload = random.Random(3).randbytes(60_000)
    final = deflated(payload, zlib.Z_FINISH)
    expected: list[Any] = []
    for _ in range(30):
        probe.send(frame(BINARY, final + b"\x00", rsv=4), frame(BINARY, deflated(b"next"), rsv=4))
        expected += [payload, b"next"]
    await until(lambda: len(application.messages) == 60)
    assert application.messages == expected


async def test_row45_behindFinalBlock(net: Net) -> None:
    """Data behind a final block in the same message is not DEFLATE data, and closes with 1007."""
    message = deflated(b"a", zlib.Z_FINISH) + b"\x00" * 5000
    await mustFail(net, 1007, frame(BINARY, message, rsv=4), offer=DEFLATE, compression="dedicated")


@pytest.mark.parametrize("compression", ["shared", "dedicated"])
async def test_row45_takeover(net: Net, compression: str) -> None:
    """Context takeover works in both directions; with "shared" there is none towards the client."""
    server = await net.serve(compression=compression, threshold=0)
    probe = await net.connect(server)
    probe.send(head("/", DEFLATE))
    agreed = (await probe.upgraded()).headers["sec-websocket-extensions"]
    assert ("server_no_context_takeover" in agreed) is (compression == "shared")
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    inflater = zlib.decompressobj(-15)
    message = random.Random(4).randbytes(300)
    sizes = []
    for _ in range(5):
        data = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        probe.send(frame(BINARY, data[:-4], rsv=4))
        answer = await probe.frame()
        assert (answer.opcode, answer.rsv) == (BINARY, 4)
        assert inflated(answer.payload, inflater if compression == "dedicated" else None) == message
        sizes.append(len(answer.payload))
    assert (sizes[-1] < 50) is (compression == "dedicated")


async def test_row45_window(net: Net) -> None:
    """Sent messages respect the window size that the client has asked for."""
    server = await net.serve(compression="dedicated", threshold=0)
    probe = await net.open(server, "/", DEFLATE + "; server_max_window_bits=9")
    block = random.Random(5).randbytes(400)
    probe.send(frame(BINARY, block + bytes(1000) + block))
    answer = await probe.frame()
    assert inflated(answer.payload, zlib.decompressobj(-9)) == block + bytes(1000) + block


async def test_row45_memory(net: Net) -> None:
    """With "shared" and without takeover, connections use no memory for windows, however many there are."""
    application = Echo()
    server = await net.serve(application, compression="shared", threshold=0, clientNoContextTakeover=True)
    message = frame(TEXT, deflated(b"hello " * 100), rsv=4)
    probes = [await net.open(server, "/", DEFLATE + "; client_no_context_takeover") for _ in range(20)]
    for probe in probes:
        probe.send(message)
        await probe.frame()
    before = residentBytes()
    more = [await net.open(server, "/", DEFLATE + "; client_no_context_takeover") for _ in range(200)]
    for probe in more:
        probe.send(message)
        await probe.frame()
    assert (residentBytes() - before) / len(more) < 32 * 1024, "both ends are counted here"
    assert len({id(connection._wire._deflater) for connection in application.met}) == 1


# -- row 48: rates


async def test_row48_slowsDown(net: Net) -> None:
    """Over `messageRate` the server reads more slowly, and loses nothing."""
    application = Recorder()
    server = await net.serve(application, messageRate=100, messageBurst=20)
    probe = await net.open(server)
    begun = reactor().seconds()
    probe.send(*(text(str(number)) for number in range(60)))
    await sleep(0.1)
    assert 20 <= len(application.messages) <= 25 + 100 * (reactor().seconds() - begun)
    await until(lambda: len(application.messages) == 60)
    assert 0.3 <= reactor().seconds() - begun < SOON
    assert application.messages == [str(number) for number in range(60)]
    probe.send(close())
    assert (await probe.closed()).code == 1000


async def test_row48_byteRate(net: Net) -> None:
    """The same with `byteRate`."""
    application = Recorder()
    server = await net.serve(application, byteRate=100_000, byteBurst=10_000)
    probe = await net.open(server)
    begun = reactor().seconds()
    probe.send(*(frame(BINARY, b"a" * 5000) for _ in range(10)))
    await until(lambda: len(application.messages) == 10)
    assert 0.3 <= reactor().seconds() - begun < SOON


async def test_row48_abuse(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never slows down is closed with 1008; little is read from it before."""
    monkeypatch.setattr(ratelimit, "PATIENCE", 0.5)
    application = Recorder()
    server = await net.serve(application, messageRate=100, messageBurst=50)
    probe = await net.open(server)
    block = text("x") * 5000
    worst = 0
    begun = reactor().seconds()
    while not probe.ended:
        assert reactor().seconds() - begun < PATIENCE
        probe.send(block)
        await sleep(0.02)
        for connection in application.met:
            worst = max(worst, len(connection._wire.receiver.data))
    assert (await application.ended())[0] == 1008
    assert worst <= 256 * 1024
    assert len(application.messages) < 200 + 100 * (reactor().seconds() - begun)


# -- rows 49-54: the end


async def test_row49_afterClose(net: Net) -> None:
    """Data after the Close frame is ignored, in the same segment or later."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    probe.send(text("a"), close(), AFTER, frame(PING), b"\xff" * 1000)
    for _ in range(5):
        probe.send(AFTER)
        await sleep(0.01)
    assert await probe.frames() == [Frame(CLOSE, b"\x03\xe8")]
    await application.ended()
    assert application.messages == ["a"]


async def test_row49_afterOurClose(net: Net) -> None:
    """After the server's close nothing is delivered, and the closing handshake completes."""

    class Closing(Recorder):
        def onMessage(self, connection: Connection, message: str | bytes) -> None:
            super().onMessage(connection, message)
            connection.close(3000, "enough")

    application = Closing()
    server = await net.serve(application)
    probe = await net.open(server)
    probe.send(text("a"), AFTER, frame(BINARY, b"x", fin=False), frame(PING, b"p"), frame(CONTINUATION))
    assert await probe.frame() == Frame(CLOSE, (3000).to_bytes(2, "big") + b"enough")
    probe.send(text("late"), close(3000))
    assert await probe.frames() == []
    assert (await application.ended())[0] == 3000
    assert application.messages == ["a"]


async def test_row50_bothAtOnce(net: Net) -> None:
    """
    If both sides close at once, there is one Close frame each way and one `onDisconnect`, many times over.
    """
    application = Recorder()
    server = await net.serve(application, closeTimeout=2)
    rounds = 200
    dice = random.Random(6)
    for number in range(rounds):
        probe = await net.open(server)
        actions = [
            lambda probe=probe: probe.send(close(3001)),  # type: ignore[misc]
            lambda: application.met[-1].close(3002),
            lambda probe=probe: probe.send(text("x"), frame(PING)),  # type: ignore[misc]
        ]
        dice.shuffle(actions)
        for action in actions:
            action()
            if dice.random() < 0.3:
                await sleep(0)
        ending = dice.choice(["wait", "wait", "reset", "leave"])
        if ending == "reset":
            probe.reset()
        elif ending == "leave":
            probe.transport.loseConnection()
        else:
            assert (await probe.closed()).code in (3001, 3002)
        code, _ = await application.ended(number + 1)
        assert code in (1006, 3001)
    await sleep(0.05)
    assert application.count("connect") == application.count("disconnect") == rounds


@pytest.mark.parametrize("keepsReading", [True, False])
async def test_row50_neverAnswers(net: Net, keepsReading: bool) -> None:
    """If the Close frame is not answered, the connection is dropped after `closeTimeout`, with 1006."""
    application = Recorder()
    server = await net.serve(application, closeTimeout=0.5)
    probe = await net.open(server)
    await until(lambda: application.met)
    if not keepsReading:
        await stuffed(application, probe)
    begun = reactor().seconds()
    application.met[0].close(3000)
    code, _ = await application.ended()
    assert 0.45 <= reactor().seconds() - begun < SOON
    assert code == 1006


@pytest.mark.parametrize("keepsReading", [True, False])
async def test_row50_neverLeaves(net: Net, keepsReading: bool) -> None:
    """A peer that closes or breaks a rule, but keeps its end open, is dropped after `closeTimeout`."""
    application = Recorder()
    server = await net.serve(application, closeTimeout=0.5)
    for number, last in enumerate((close(3000), frame(7))):
        probe = await net.open(server)
        if not keepsReading:
            await until(lambda number=number: len(application.met) > number)  # type: ignore[misc]
            await stuffed(application, probe)
        probe.transport.protocol.connectionLost = lambda reason: None
        probe.send(last)
        assert (await application.ended(number + 1))[0] in (3000, 1002)


async def test_row51_halfClose(net: Net) -> None:
    """FIN of the client alone counts as a lost connection, 1006."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    probe.send(text("last words"))
    probe.halfClose()
    assert await application.ended() == (1006, "")
    assert application.messages == ["last words"]
    await probe.end()


async def test_row51_halfCloseAfterClose(net: Net) -> None:
    """A client that sends a Close frame and FIN at once still gets its answer."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    probe.send(close(3000))
    probe.halfClose()
    assert (await application.ended())[0] == 3000
    assert (await probe.closed()).code == 3000


VANISHING = """
    import socket, sys, time
    peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    peer.sendall(sys.argv[2].encode().replace(b"|", b"\\r\\n"))
    print(peer.recv(1000).split()[1].decode())
    time.sleep(60)
"""


async def test_row52_vanished(net: Net) -> None:
    """A client that is stopped (SIGSTOP) is dropped within `pingInterval` + `pingTimeout`, with 1011."""
    application = Recorder()
    server = await net.serve(application, pingInterval=0.4, pingTimeout=0.4)
    request = head().decode().replace("\r\n", "|")
    port = server.address().port
    with child(*python(VANISHING), str(port), request) as process:
        assert await process.line() == "101"
        process.send(signal.SIGSTOP)
        begun = reactor().seconds()
        code, _ = await application.ended()
        assert reactor().seconds() - begun < SOON
        assert code == 1011
        process.send(signal.SIGCONT)


async def test_row52_alive(net: Net) -> None:
    """A client that answers pings, or sends anything, is not dropped."""
    application = Recorder()
    server = await net.serve(application, pingInterval=0.3, pingTimeout=1.5)
    answering = await net.open(server)
    talking = await net.open(server)
    begun = reactor().seconds()
    pings = 0
    while reactor().seconds() - begun < 2.5 or pings < 4:
        assert reactor().seconds() - begun < PATIENCE
        talking.send(text("x"))
        await sleep(0.05)
        while answering.data:
            ping = await answering.frame()
            assert ping.opcode == PING
            answering.send(frame(PONG, ping.payload))
            pings += 1
    assert pings <= (reactor().seconds() - begun) / 0.3 + 1
    assert application.disconnects == []
    assert application.met[0].rtt is not None


async def test_row53_wrongPongs(net: Net) -> None:
    """Pongs for no ping of the server, or late ones, are passed on, and do not change `rtt`."""
    application = Recorder()
    server = await net.serve(application, pingInterval=0.3, pingTimeout=5)
    probe = await net.open(server)
    await until(lambda: application.met)
    connection: Any = application.met[0]
    probe.send(frame(PONG, b"junk"), frame(PONG), frame(PONG, bytes(8)))
    ping = await probe.frame()
    probe.send(frame(PONG, ping.payload[:-1]), frame(PONG, b"x" + ping.payload))
    await sleep(0.05)
    assert connection.rtt is None
    probe.send(frame(PONG, ping.payload))
    await until(lambda: connection.rtt is not None)
    measured: Any = connection.rtt
    assert 0.04 <= measured < SOON
    await sleep(0.1)
    probe.send(frame(PONG, ping.payload))
    await sleep(0.05)
    assert connection.rtt == measured, "that one was late, or a copy"


async def test_row54_reset(net: Net) -> None:
    """RST inside a frame or a broadcast ends only that connection."""
    application = Recorder()
    server = await net.serve(application)
    good = await net.open(server)
    bad = [await net.open(server) for _ in range(20)]
    await until(lambda: len(application.met) == 21)
    for probe in bad[:10]:
        probe.send(frame(TEXT, length=1000)[:50])
    await sleep(0.02)
    for probe in bad[:10]:
        probe.reset()
    for number in range(50):
        application.broadcast(b"b" * 10_000)
        if number == 20:
            for probe in bad[10:]:
                probe.reset()
        if number % 10 == 0:
            await sleep(0)
    for _ in range(50):
        assert (await good.frame()).payload == b"b" * 10_000
    await application.ended(20)
    assert application.disconnects == [(1006, "")] * 20
    good.send(text("still here"))
    await until(lambda: application.messages == ["still here"])


# -- rows 55-58: slow consumers, broadcasts, stalls


async def test_row55_stopped(net: Net) -> None:
    """
    1 GB broadcast to a client that does not read: a bounded queue, drops are reported, others are
    unaffected; then one drain.
    """
    application = Recorder()
    drains: list[Connection] = []
    application.onDrain = drains.append
    server = await net.serve(application)
    slow = await net.open(server)
    quick = await net.open(server)
    quick.discards = True
    await until(lambda: len(application.met) == 2)
    slowConnection, quickConnection = application.met
    slow.stall()
    limit = server.options.maxBackpressure
    message = Prepared(b"m" * 65536)
    statuses: set[SendStatus] = set()
    sent = 0
    memory = residentBytes()
    for _ in range(16_384):
        status = slowConnection.sendFrame(message)
        statuses.add(status)
        sent += status in (SendStatus.SENT, SendStatus.BACKPRESSURE)
        assert slowConnection.bufferedAmount <= limit + 14
    for _ in range(200):
        assert quickConnection.sendFrame(message) is not SendStatus.DROPPED
        await until(lambda: not quickConnection.bufferedAmount)
    assert statuses == {SendStatus.SENT, SendStatus.BACKPRESSURE, SendStatus.DROPPED}
    assert residentBytes() - memory < 32 * 2**20
    assert slowConnection not in drains
    slow.unstall()
    for _ in range(sent):
        assert (await slow.frame()).payload == message.payload
    await until(lambda: slowConnection in drains)
    assert drains.count(slowConnection) == 1
    assert slowConnection.send("on again") is SendStatus.SENT
    assert (await slow.frame()).payload == b"on again"


async def test_row55_closes(net: Net) -> None:
    """With `closeOnBackpressureLimit` the connection is closed with 1013, behind what was queued."""
    application = Recorder()
    server = await net.serve(application, closeOnBackpressureLimit=True)
    probe = await net.open(server)
    await until(lambda: application.met)
    connection = application.met[0]
    probe.stall()
    while connection.send(b"m" * 65536) not in (SendStatus.DROPPED, SendStatus.CLOSED):
        pass
    assert connection.readyState is ReadyState.CLOSING
    assert connection.send(b"x") is SendStatus.CLOSED
    probe.unstall()
    probe.send(close(1013))
    assert (await probe.closed()).code == 1013


async def test_row55_closeUnderPressure(net: Net) -> None:
    """A Close frame behind a full queue is sent when the client reads in time, and not otherwise."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    connection = await stuffed(application, probe)
    while connection.send(b"m" * 65536) is not SendStatus.DROPPED:
        pass
    connection.close(3000, "bye")
    probe.unstall()
    frame_ = await probe.frame()
    while frame_.opcode != CLOSE:
        frame_ = await probe.frame()
    assert frame_.code == 3000
    probe.send(close(3000))
    assert await probe.frames() == []
    assert (await application.ended())[0] == 3000


async def test_row55_hugeMessage(net: Net) -> None:
    """One message over the limit is sent if nothing is queued before it."""
    application = Recorder()
    server = await net.serve(application, maxBackpressure=65536)
    probe = await net.open(server)
    await until(lambda: application.met)
    # Linux buffers up to 4 MiB for a sender, so half of it is queued here.
    assert application.met[0].send(b"a" * 2**23) is SendStatus.BACKPRESSURE
    assert application.met[0].send(b"b") is SendStatus.DROPPED
    assert len((await probe.frame()).payload) == 2**23


async def test_row56_tooSlow(net: Net) -> None:
    """For a client that reads a little too slowly, the queue stays bounded all the time."""
    application = Recorder()
    server = await net.serve(application, maxBackpressure=256 * 1024)
    probe = await net.open(server)
    connection = await stuffed(application, probe)
    probe.discards = True
    worst = drops = 0
    for number in range(150):
        for _ in range(4):
            drops += connection.send(b"m" * 32_768) is SendStatus.DROPPED
        worst = max(worst, connection.bufferedAmount)
        (probe.unstall if number % 3 == 0 else probe.stall)()
        await sleep(0.002)
    assert worst <= 256 * 1024 + 14
    assert drops
    assert connection.readyState is ReadyState.OPEN


async def test_row57_broadcast(net: Net) -> None:
    """One 64 KiB message to 1,000 clients is framed once, and uses no memory for each."""
    application = Recorder()
    server = await net.serve(application)
    probes = [await net.open(server) for _ in range(1000)]
    await until(lambda: len(application.met) == 1000)
    for probe in probes:
        probe.discards = True
    message = Prepared(b"m" * 65536)
    application.broadcast(message)
    frameOnce = message.frame
    await until(lambda: all(probe.total > 65536 for probe in probes))
    memory = residentBytes()
    application.broadcast(message)
    grown = residentBytes() - memory
    assert message.frame is frameOnce
    await until(lambda: all(probe.total > 2 * 65536 for probe in probes))
    assert grown < 40 * 2**20


async def test_row58_stall(net: Net) -> None:
    """A hook that blocks is logged, and `/healthz` says degraded."""
    server = Server()
    server.addApplication(Recorder(onText=lambda connection, message: time.sleep(2.2)), path="/ws")
    server.addHealthPage()
    await net.start(server)

    async def health() -> dict[str, Any]:
        probe = await net.ask(server, get("/healthz"))
        answer = await probe.answer()
        assert answer.status == 200
        report: dict[str, Any] = json.loads(answer.body)
        return report

    assert (await health())["status"] == "ok"
    probe = await net.open(server, "/ws")
    probe.send(text("block"))
    await sleep(0.2)
    await until(lambda: server.stallDetector.lastStall is not None)
    assert (await health())["status"] == "degraded"


# -- the rest of the checklist


async def test_check11_interleavedPings(net: Net) -> None:
    """Pings inside a fragmented message are answered at once, and the message is complete."""
    application = Recorder()
    server = await net.serve(application)
    probe = await net.open(server)
    probe.send(
        frame(TEXT, b"a", fin=False),
        frame(PING, b"1"),
        frame(CONTINUATION, b"b", fin=False),
        frame(PING, b"2"),
    )
    assert [await probe.frame(), await probe.frame()] == [Frame(PONG, b"1"), Frame(PONG, b"2")]
    assert application.messages == []
    probe.send(frame(CONTINUATION, b"c"))
    await until(lambda: application.messages == ["abc"])


async def test_check11_oneByteFragments(net: Net) -> None:
    """One-byte fragments up to the limit on many connections use memory in proportion to what was sent."""
    server = await net.serve(maxFragments=0, maxPayload=10_000)
    memory = residentBytes()
    many = frame(BINARY, b"a", fin=False) + frame(CONTINUATION, b"a", fin=False) * 9_000
    probes = [await net.open(server) for _ in range(20)]
    for probe in probes:
        probe.send(many)
    await sleep(0.3)
    assert residentBytes() - memory < 20 * 200 * 1024


@pytest.mark.parametrize("pieces", [1, 2, 3, 7])
async def test_check_cuts(net: Net, pieces: int) -> None:
    """Frames that are cut into segments anywhere are read the same."""
    application = Echo()
    server = await net.serve(application)
    probe = await net.open(server)
    sizes = [0, 1, 125, 126, 127, 1000]
    data = b"".join(frame(BINARY, bytes([size % 256]) * size) for size in sizes)
    await probe.dribble(data, pieces)
    for size in sizes:
        assert await probe.frame() == Frame(BINARY, bytes([size % 256]) * size)


async def test_check14_fairness(net: Net) -> None:
    """
    While one client floods with frames of 6 bytes, another one waits for a few reads of them, not for all.
    """
    taken = 0

    def take(connection: Connection, message: str) -> None:
        nonlocal taken
        taken += 1

    server = await net.serve(
        Application(onText=take, onBinary=lambda connection, data: connection.send(data))
    )
    flooder = await net.open(server)
    other = await net.open(server)
    inOneRead = 65_536 // 6
    block = text("") * inOneRead
    flooder.send(block * 40)
    worst = 0
    while taken < 40 * inOneRead:
        before = taken
        other.send(frame(BINARY, b"x"))
        await other.frame()
        worst = max(worst, taken - before)
    assert 0 < worst < 8 * inOneRead


async def test_check15_handlerRaises(net: Net) -> None:
    """
    A hook that raises: `onError` is called, 1011 without its text is sent, and it is logged; other
    connections continue.
    """

    class Raising(Recorder):
        def onMessage(self, connection: Connection, message: str | bytes) -> Any:
            super().onMessage(connection, message)
            if message == "later":
                return deferLater(reactor(), 0.01, self.fail)
            return self.fail()

        def fail(self) -> None:
            raise LookupError("the secret")

        def onError(self, connection: Connection, failure: Any) -> None:
            self.events.append(("error", failure.value.args))

    application = Raising()
    server = await net.serve(application)
    good = await net.open(server)
    for number, message in enumerate(("now", "later")):
        probe = await net.open(server)
        probe.send(text(message), AFTER)
        assert await probe.frame() == Frame(CLOSE, (1011).to_bytes(2, "big"))
        probe.send(close(1011))
        assert await probe.frames() == []
        assert (await application.ended(number + 1))[0] == 1011
    assert application.messages == ["now", "later"]
    assert application.events.count(("error", ("the secret",))) == 2
    assert len(net.flush(LookupError)) == 2
    assert not good.ended


async def test_check15_closingPeers(net: Net) -> None:
    """A handler may close all connections while the server iterates over them."""

    class Sweeping(Recorder):
        def onMessage(self, connection: Connection, message: str | bytes) -> None:
            for other in connection.application.connections:
                other.close(3000)
            connection.application.broadcast("never")

        def onDisconnect(self, connection: Connection, code: int, reason: str) -> None:
            super().onDisconnect(connection, code, reason)
            for other in connection.application.connections:
                other.terminate()

    application = Sweeping()
    server = await net.serve(application, closeTimeout=0.3)
    probes = [await net.open(server) for _ in range(20)]
    probes[7].send(text("all"))
    await application.ended(20)
    assert server.connections == []


async def test_asynchronousHandlers(net: Net) -> None:
    """Messages wait for the one before; reading is paused meanwhile, and nothing is lost."""
    waiting: list[Deferred[None]] = []

    class Slow(Recorder):
        def onMessage(self, connection: Connection, message: str | bytes) -> Deferred[None]:
            super().onMessage(connection, message)
            waiting.append(Deferred())
            return waiting[-1]

    application = Slow()
    server = await net.serve(application)
    probe = await net.open(server, early=b"".join(text(str(number)) for number in range(5)))
    for number in range(5):
        await until(lambda number=number: len(waiting) == number + 1)  # type: ignore[misc]
        await sleep(0.01)
        assert application.messages == [str(one) for one in range(number + 1)]
        waiting[number].callback(None)
    probe.send(text("5"), close())
    await until(lambda: len(waiting) == 6)
    waiting[5].callback(None)
    assert (await probe.closed()).code == 1000
