"""permessage-deflate (RFC 7692)."""

from __future__ import annotations

import os
import zlib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.case import BINARY, TEXT, HarnessTestCase, Recorder, echo
from txroom import Application, Prepared
from txroom.core.options import ServerOptions
from txroom.testing import RawClient, RoomHarness, clientFrame
from txroom.wire.deflate import (
    CorruptDeflate,
    DeflateParameters,
    Deflater,
    InflatedTooLarge,
    Inflater,
    negotiate,
)

HELLO = bytes.fromhex("f248cdc9c90700")
#: §7.2.3.4: the same with a final block.
FINAL = bytes.fromhex("f348cdc9c9070000")
OFFER = "permessage-deflate"


def deflated(data: bytes, *, bits: int = 15, last: bool = False) -> bytes:
    """A message as a peer compresses it, with a window of its own."""
    deflater = zlib.compressobj(-1, zlib.DEFLATED, -bits)
    if last:
        return deflater.compress(data) + deflater.flush(zlib.Z_FINISH)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


class NegotiationTests(SynchronousTestCase):
    """Which parameters are agreed on (§7.1)."""

    def answer(self, *offers: str, compression: Any = "dedicated", **options: Any) -> str | None:
        parameters = negotiate(offers, ServerOptions(compression=compression, **options))
        return None if parameters is None else parameters.header

    def test_table(self) -> None:
        """What is offered, what is answered."""
        for offer, expected in (
            ("", ""),
            ("server_no_context_takeover", "server_no_context_takeover"),
            ("client_no_context_takeover", "client_no_context_takeover"),
            ("server_max_window_bits=10", "server_max_window_bits=10"),
            ("server_max_window_bits=15", ""),
            ('server_max_window_bits="10"', "server_max_window_bits=10"),
            ("client_max_window_bits", ""),
            ("client_max_window_bits=10", "client_max_window_bits=10"),
            ("client_max_window_bits=8", "client_max_window_bits=8"),
            (
                "client_no_context_takeover; server_no_context_takeover; server_max_window_bits=9",
                "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
            ),
        ):
            answer = self.answer(f"{OFFER}; {offer}" if offer else OFFER)
            self.assertEqual(answer, f"{OFFER}; {expected}" if expected else OFFER, offer)

    def test_declined(self) -> None:
        """An offer with errors is passed over, not answered with an error."""
        for offer in (
            "permessage-bzip2",
            "x-webkit-deflate-frame",
            "",
            f"{OFFER}; unknown",
            f"{OFFER}; server_no_context_takeover=1",
            f"{OFFER}; client_no_context_takeover=true",
            f"{OFFER}; server_no_context_takeover; server_no_context_takeover",
            f"{OFFER}; server_max_window_bits",
            f"{OFFER}; server_max_window_bits=7",
            f"{OFFER}; server_max_window_bits=8",
            f"{OFFER}; server_max_window_bits=16",
            f"{OFFER}; server_max_window_bits=010",
            f"{OFFER}; server_max_window_bits=1e1",
            f'{OFFER}; server_max_window_bits="10',
            f"{OFFER}; client_max_window_bits=16",
            f"{OFFER}; client_max_window_bits=x",
            f"{OFFER}; client_max_window_bits=",
            f"{OFFER};",
            f"{OFFER}; =1",
        ):
            self.assertIsNone(self.answer(offer), offer)

    def test_firstThatFits(self) -> None:
        """A client offers what it likes best first (§5)."""
        answer = self.answer("foo", f"{OFFER}; server_max_window_bits=8", f"{OFFER}; x", OFFER)
        self.assertEqual(answer, OFFER)
        answer = self.answer(f"{OFFER}; server_max_window_bits=12", OFFER)
        self.assertEqual(answer, f"{OFFER}; server_max_window_bits=12")

    def test_many(self) -> None:
        """A thousand bad offers are no trouble."""
        self.assertIsNone(self.answer(*[f"{OFFER}; x"] * 1000))

    def test_disabled(self) -> None:
        """Off, as it is by default."""
        self.assertIsNone(self.answer(OFFER, compression="disabled"))
        self.assertIsNone(negotiate([OFFER], ServerOptions()))

    def test_shared(self) -> None:
        """Without takeover towards the client, said or not."""
        for offer in (OFFER, f"{OFFER}; server_no_context_takeover"):
            answer = self.answer(offer, compression="shared")
            self.assertEqual(answer, f"{OFFER}; server_no_context_takeover")

    def test_options(self) -> None:
        """What the server wants of itself and of clients."""
        self.assertEqual(
            self.answer(OFFER, serverNoContextTakeover=True), f"{OFFER}; server_no_context_takeover"
        )
        self.assertEqual(
            self.answer(OFFER, clientNoContextTakeover=True), f"{OFFER}; client_no_context_takeover"
        )
        self.assertEqual(self.answer(OFFER, serverMaxWindowBits=11), f"{OFFER}; server_max_window_bits=11")

    def test_smaller(self) -> None:
        """Of two window sizes the smaller holds."""
        offer = f"{OFFER}; server_max_window_bits=12; client_max_window_bits=12"
        self.assertEqual(
            self.answer(offer, serverMaxWindowBits=10, clientMaxWindowBits=10),
            f"{OFFER}; server_max_window_bits=10; client_max_window_bits=10",
        )
        self.assertEqual(
            self.answer(offer, serverMaxWindowBits=14, clientMaxWindowBits=14),
            f"{OFFER}; server_max_window_bits=12; client_max_window_bits=12",
        )

    def test_clientBits(self) -> None:
        """A client that doesn't offer to be told its window isn't told (§7.1.2.2)."""
        self.assertEqual(self.answer(OFFER, clientMaxWindowBits=10), OFFER)
        self.assertEqual(
            self.answer(f"{OFFER}; client_max_window_bits", clientMaxWindowBits=10),
            f"{OFFER}; client_max_window_bits=10",
        )

    def test_caseAndBlanks(self) -> None:
        """The name in any case, blanks anywhere."""
        self.assertEqual(
            self.answer("PerMessage-Deflate ;\tserver_no_context_takeover "),
            f"{OFFER}; server_no_context_takeover",
        )


class DeflaterTests(SynchronousTestCase):
    """What is sent."""

    def test_example(self) -> None:
        """§7.2.3.1 and §7.2.3.2: the second message refers to the first."""
        deflater = Deflater(DeflateParameters())
        self.assertEqual(deflater.deflate(b"Hello"), HELLO)
        self.assertEqual(deflater.deflate(b"Hello").hex(), "f200110000")

    def test_noTakeover(self) -> None:
        """Without takeover each message stands by itself."""
        deflater = Deflater(DeflateParameters(serverTakeover=False))
        payload = os.urandom(300)
        for _ in range(3):
            message = deflater.deflate(payload)
            self.assertEqual(zlib.decompressobj(-15).decompress(message + b"\0\0\xff\xff"), payload)

    def test_window(self) -> None:
        """Nothing refers further back than was agreed on."""
        payload = os.urandom(2000) * 3
        for bits in (9, 10):
            message = Deflater(DeflateParameters(serverBits=bits)).deflate(payload)
            self.assertEqual(zlib.decompressobj(-bits).decompress(message + b"\0\0\xff\xff"), payload)
            self.assertGreater(len(message), 5000)
        self.assertLess(len(Deflater(DeflateParameters(serverBits=15)).deflate(payload)), 2500)


class InflaterTests(SynchronousTestCase):
    """What is received."""

    def inflate(self, inflater: Inflater, *parts: bytes, limit: int | None = 1000) -> bytes:
        found = b""
        for part in parts:
            found += inflater.inflate(part, None if limit is None else limit - len(found))
        return found + inflater.finish(None if limit is None else limit - len(found))

    def test_examples(self) -> None:
        """All of §7.2.3."""
        for payload in (
            "f248cdc9c90700",
            "000500faff48656c6c6f00",
            "f348cdc9c9070000",
            "f248050000 00ffff cac9c90700",
        ):
            self.assertEqual(
                self.inflate(Inflater(DeflateParameters()), bytes.fromhex(payload)), b"Hello", payload
            )

    def test_takeover(self) -> None:
        """§7.2.3.2: a message may refer to those before it, if that was agreed on."""
        second = bytes.fromhex("f200110000")
        inflater = Inflater(DeflateParameters())
        self.inflate(inflater, HELLO)
        self.assertEqual(self.inflate(inflater, second), b"Hello")
        inflater = Inflater(DeflateParameters(clientTakeover=False))
        self.inflate(inflater, HELLO)
        with self.assertRaises(CorruptDeflate):
            self.inflate(inflater, second)

    def test_pieces(self) -> None:
        """Byte by byte, final block included."""
        for payload in (HELLO, FINAL):
            parts = [payload[at : at + 1] for at in range(len(payload))]
            self.assertEqual(self.inflate(Inflater(DeflateParameters()), *parts), b"Hello")

    def test_final(self) -> None:
        """A final block ends a message, not the connection: later messages are whole."""
        inflater = Inflater(DeflateParameters())
        for _ in range(3):
            self.assertEqual(self.inflate(inflater, FINAL), b"Hello")
            self.assertEqual(self.inflate(inflater, HELLO), b"Hello")

    def test_finalWithoutPad(self) -> None:
        """A final block without the empty block behind it is taken as well."""
        self.assertEqual(self.inflate(Inflater(DeflateParameters()), FINAL[:-1]), b"Hello")
        self.assertEqual(
            self.inflate(Inflater(DeflateParameters()), deflated(b"x" * 50, last=True)), b"x" * 50
        )

    def test_behindFinal(self) -> None:
        """What follows a final block is nothing that may be swallowed, in the same part or a later one."""
        for parts in (
            (FINAL + b"\0",),
            (FINAL, b"\0\0"),
            (FINAL[:-1], HELLO),
            (FINAL + HELLO,),
            (FINAL, b"x"),
        ):
            with self.assertRaises(CorruptDeflate):
                self.inflate(Inflater(DeflateParameters()), *parts)

    def test_limit(self) -> None:
        """A message of exactly the limit passes, one byte more doesn't."""
        for data in (b"x" * 1000, os.urandom(1000)):
            payload = deflated(data)
            self.assertEqual(self.inflate(Inflater(DeflateParameters()), payload, limit=1000), data)
            with self.assertRaises(InflatedTooLarge):
                self.inflate(Inflater(DeflateParameters()), payload, limit=999)

    def test_limitPieces(self) -> None:
        """Over all parts together."""
        payload = deflated(b"x" * 1001)
        with self.assertRaises(InflatedTooLarge):
            self.inflate(Inflater(DeflateParameters()), *[payload[at : at + 1] for at in range(len(payload))])

    def test_bomb(self) -> None:
        """A bomb isn't inflated beyond the limit: no memory is taken."""
        bomb = deflated(bytes(50_000_000))
        self.assertLess(len(bomb), 60_000)
        with self.assertRaises(InflatedTooLarge):
            Inflater(DeflateParameters()).inflate(bomb, 1000)

    def test_zeroLimit(self) -> None:
        """A limit of nothing isn't "no limit"."""
        with self.assertRaises(InflatedTooLarge):
            Inflater(DeflateParameters()).inflate(HELLO, 0)
        self.assertEqual(self.inflate(Inflater(DeflateParameters()), b"\x02\x00", limit=0), b"")

    def test_noLimit(self) -> None:
        """`None`: any length."""
        data = bytes(1_000_000)
        self.assertEqual(self.inflate(Inflater(DeflateParameters()), deflated(data), limit=None), data)

    def test_corrupt(self) -> None:
        """What isn't DEFLATE."""
        for payload in (b"\xff\xff\xff", b"\x07", b"\x00\x05\x00\x00\x00"):
            with self.assertRaises(CorruptDeflate):
                self.inflate(Inflater(DeflateParameters()), payload)


class WireTests(HarnessTestCase):
    """Compressed messages on a connection."""

    def start(self, compression: str, offer: str = OFFER, **options: Any) -> RawClient:
        self.app = Recorder(onMessage=lambda connection, message: self.messages.append(message))
        self.messages: list[Any] = []
        self.harness: RoomHarness = self.serve(self.app, compression=compression, **options)
        return self.upgraded(self.harness, headers={"Sec-WebSocket-Extensions": offer})

    def send(self, client: RawClient, payload: bytes, opcode: int = TEXT, **more: Any) -> None:
        client.send(clientFrame(opcode, payload, rsv=4, **more))

    def assertFailed(self, client: RawClient, code: int) -> None:
        """The Close frame has that code, and the connection is gone with it."""
        self.assertEqual((client.output[:1], client.output[2:4]), (b"\x88", code.to_bytes(2, "big")))
        self.assertEqual([found for found, _ in self.app.named("disconnect")], [code])
        self.assertTrue(client.isClosed)

    def test_counted(self) -> None:
        """What a message counts is its payload, uncompressed, whichever way it goes."""
        for compression in ("shared", "dedicated"):
            client = self.start(compression)
            self.send(client, deflated(b"x" * 3000))
            self.app.connection.send("y" * 3000)
            self.app.connection.sendFrame(Prepared("y" * 3000))
            self.app.connection.send("y" * 70_000)
            self.harness.flush()
            self.assertLess(len(client.output), 1000)
            stats = self.harness.server.stats()
            self.assertEqual((stats.bytesReceived, stats.bytesSent), (3000, 76_000))

    def test_echo(self) -> None:
        """Autobahn's client and we understand one another, in both modes, message after message."""
        for compression in ("shared", "dedicated"):
            harness = self.serve(Application(onMessage=echo), compression=compression, threshold=1)
            client = harness.connect(compression=True)
            messages: list[Any] = ["", "x", "é" * 5000, b"", os.urandom(100_000), "x" * 70_000]
            for message in messages * 2:
                client.send(message)
            self.assertEqual(client.received, messages * 2)

    def test_receive(self) -> None:
        """Text and binary; an empty one; uncompressed ones between."""
        client = self.start("shared")
        self.send(client, HELLO)
        self.send(client, HELLO, BINARY)
        self.send(client, b"\x02\x00")
        client.send(clientFrame(TEXT, "plain"))
        self.assertEqual(self.messages, ["Hello", b"Hello", "", "plain"])

    def test_fragments(self) -> None:
        """RSV1 on the first frame only (§6.1); controls between."""
        client = self.start("dedicated")
        self.send(client, HELLO[:3], fin=False)
        client.send(clientFrame(9, "ping"))
        client.send(clientFrame(0, HELLO[3:], fin=False) + clientFrame(0, b""))
        self.assertEqual(self.messages, ["Hello"])

    def test_final(self) -> None:
        """The trap: after a final block every message is still whole."""
        client = self.start("dedicated")
        for payload in (FINAL, HELLO, FINAL, FINAL, HELLO):
            self.send(client, payload)
        self.assertEqual(self.messages, ["Hello"] * 5)

    def test_behindFinal(self) -> None:
        """Bytes behind a final block are an error, nothing that piles up."""
        client = self.start("dedicated")
        self.send(client, FINAL + b"x" * 60_000)
        self.assertFailed(client, 1007)
        self.assertEqual(self.messages, [])

    def test_corrupt(self) -> None:
        """1007."""
        client = self.start("dedicated")
        self.send(client, b"\xff\xff")
        self.assertFailed(client, 1007)

    def test_notUTF8(self) -> None:
        """What is inflated is checked."""
        client = self.start("dedicated")
        self.send(client, deflated(b"\xff"))
        self.assertFailed(client, 1007)

    def test_rsvContinuation(self) -> None:
        """RSV1 on a continuation: 1002."""
        client = self.start("dedicated")
        self.send(client, HELLO[:3], fin=False)
        client.send(clientFrame(0, HELLO[3:], rsv=4))
        self.assertFailed(client, 1002)

    def test_rsvControl(self) -> None:
        """RSV1 on a control frame: 1002."""
        client = self.start("dedicated")
        client.send(clientFrame(9, b"", rsv=4))
        self.assertFailed(client, 1002)

    def test_otherRsv(self) -> None:
        """The other two bits mean nothing: 1002."""
        for rsv in (1, 2, 5, 6):
            client = self.start("dedicated")
            client.send(clientFrame(TEXT, HELLO, rsv=rsv))
            self.assertFailed(client, 1002)

    def test_notAgreed(self) -> None:
        """RSV1 without the extension: 1002."""
        client = self.start("disabled")
        self.send(client, HELLO)
        self.assertFailed(client, 1002)

    def test_bomb(self) -> None:
        """1009 as soon as it is over the limit; exactly the limit passes."""
        client = self.start("shared", maxPayload=10_000)
        self.send(client, deflated(b"x" * 10_000))
        self.assertEqual(self.messages, ["x" * 10_000])
        self.send(client, deflated(b"x" * 10_001))
        self.assertFailed(client, 1009)
        self.assertEqual(len(self.messages), 1)

    def test_bombInFragments(self) -> None:
        """All fragments together."""
        client = self.start("shared", maxPayload=10_000)
        self.send(client, deflated(b"x" * 9_000) + b"\0\0\xff\xff", fin=False)
        self.assertEqual(client.output, b"")
        client.send(clientFrame(0, deflated(b"y" * 1_001)))
        self.assertFailed(client, 1009)

    def test_compressedSize(self) -> None:
        """`maxCompressedSize` counts before inflation, and may be more or less than `maxPayload`."""
        payload = deflated(os.urandom(500))
        client = self.start("shared", maxCompressedSize=400)
        self.send(client, payload, BINARY)
        self.assertFailed(client, 1009)
        client = self.start("shared", maxPayload=len(payload) - 1, maxCompressedSize=len(payload))
        self.send(client, payload, BINARY)
        self.assertEqual(len(self.messages), 1)
        # Without a limit of its own it may be a little longer than what it inflates to.
        client = self.start("shared", maxPayload=500)
        self.send(client, payload, BINARY)
        self.assertEqual(len(self.messages), 1)
        client = self.start("shared", maxPayload=400)
        self.send(client, payload, BINARY)
        self.assertFailed(client, 1009)

    def test_plainUnlimitedByCompressed(self) -> None:
        """`maxCompressedSize` isn't for messages that aren't compressed."""
        client = self.start("shared", maxCompressedSize=4)
        client.send(clientFrame(TEXT, "x" * 100))
        self.assertEqual(self.messages, ["x" * 100])

    def test_noLimit(self) -> None:
        """`maxPayload=0`: any length."""
        client = self.start("shared", maxPayload=0)
        self.send(client, deflated(bytes(3_000_000)), BINARY)
        self.assertEqual(len(self.messages[0]), 3_000_000)

    def test_clientTakeover(self) -> None:
        """What was agreed on towards us holds."""
        second = bytes.fromhex("f200110000")
        client = self.start("shared")
        self.send(client, HELLO)
        self.send(client, second)
        self.assertEqual(self.messages, ["Hello"] * 2)
        client = self.start("shared", clientNoContextTakeover=True)
        self.send(client, HELLO)
        self.send(client, second)
        self.assertFailed(client, 1007)

    def frames(self, *data: Any, client: RawClient) -> list[bytes]:
        sent = []
        for message in data:
            self.app.connection.send(message)
            self.harness.flush()
            sent.append(client.take())
        return sent

    def test_threshold(self) -> None:
        """Short messages aren't compressed: from the threshold on they are."""
        client = self.start("dedicated", threshold=5)
        short, long = self.frames("1234", "Hello", client=client)
        self.assertEqual(short, b"\x81\x041234")
        self.assertEqual(long, b"\xc1\x07" + HELLO)

    def test_thresholdPrepared(self) -> None:
        """The same for what is prepared, in both modes."""
        for compression in ("shared", "dedicated"):
            client = self.start(compression, threshold=5)
            self.app.broadcast("1234")
            self.app.broadcast("Hello")
            self.harness.flush()
            self.assertTrue(client.take().startswith(b"\x81\x041234\xc1"))

    def test_empty(self) -> None:
        """With a threshold of 0 all but empty messages are."""
        client = self.start("dedicated", threshold=0)
        empty, one = self.frames("", "x", client=client)
        self.assertEqual(empty, b"\x81\x00")
        self.assertEqual(one[0], 0xC1)

    def test_dedicated(self) -> None:
        """A window of its own: the second message refers to the first."""
        client = self.start("dedicated", threshold=1)
        first, second = self.frames("Hello", b"Hello", client=client)
        self.assertEqual((first[0], second[0]), (0xC1, 0xC2))
        self.assertLess(len(second), len(first))

    def test_noTakeoverAsked(self) -> None:
        """A client that asks for no takeover gets none."""
        client = self.start("dedicated", f"{OFFER}; server_no_context_takeover", threshold=1)
        first, second = self.frames("Hello", "Hello", client=client)
        for message in (first, second):
            self.assertEqual(zlib.decompressobj(-15).decompress(message[2:] + b"\0\0\xff\xff"), b"Hello")

    def test_oneDeflate(self) -> None:
        """ "shared": a broadcast is deflated once for all members, and each can read it."""
        count = 0
        original = Deflater.deflate

        def counting(deflater: Deflater, payload: bytes) -> bytes:
            nonlocal count
            count += 1
            return original(deflater, payload)

        self.patch(Deflater, "deflate", counting)
        app = Application()
        harness = self.serve(app, compression="shared")
        clients = [harness.connect(compression=True) for _ in range(20)]
        plain = harness.connect()
        for message in ("a" * 2000, b"b" * 2000):
            app.broadcast(message)
        harness.flush()
        self.assertEqual(count, 2)
        for client in (*clients, plain):
            self.assertEqual(client.received, ["a" * 2000, b"b" * 2000])

    def test_sharedMixed(self) -> None:
        """Windows of several sizes: one deflate for each; single messages between do no harm."""
        app = Application()
        harness = self.serve(app, compression="shared", threshold=1)
        offers = (OFFER, f"{OFFER}; server_max_window_bits=10", OFFER)
        clients = [harness.connect(headers={"Sec-WebSocket-Extensions": offer}) for offer in offers]
        for round in range(3):
            prepared = Prepared(f"round {round} " * 500)
            app.broadcast(prepared)
            assert prepared.deflated is not None
            self.assertEqual(len(prepared.deflated), 2)
            harness.connectionOf(clients[0]).send("single")
        harness.flush()
        self.assertEqual([len(client.received) for client in clients], [6, 3, 3])
        self.assertEqual(clients[2].received[-1], "round 2 " * 500)

    def test_dedicatedBroadcast(self) -> None:
        """With windows of their own each member's is deflated for it, and readable."""
        app = Application()
        harness = self.serve(app, compression="dedicated", threshold=1)
        clients = [harness.connect(compression=True) for _ in range(3)]
        harness.connectionOf(clients[0]).send("out of step")
        for _ in range(3):
            app.broadcast("a" * 2000)
        harness.flush()
        self.assertEqual([len(client.received) for client in clients], [4, 3, 3])
        self.assertEqual(clients[0].received[-1], "a" * 2000)

    def test_memoryLevel(self) -> None:
        """zlib gets the level that was asked for."""
        seen: list[Any] = []
        original = zlib.compressobj

        def making(*args: Any) -> Any:
            seen.append(args)
            return original(*args)

        self.patch(zlib, "compressobj", making)
        client = self.start("dedicated", threshold=1, memoryLevel=3, serverMaxWindowBits=11)
        self.frames("x", client=client)
        self.assertEqual(seen, [(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -11, 3)])
