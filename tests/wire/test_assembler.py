"""A message that comes in parts."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txroom.core.options import ServerOptions
from txroom.testing import clientFrame
from txroom.wire import parser
from txroom.wire.assembler import Assembler, Incoming
from txroom.wire.deflate import DeflateParameters, Deflater, Inflater
from txroom.wire.frames import Violation


class AssemblerTests(SynchronousTestCase):
    """Parts go in, a message or a `Violation` comes out."""

    def assembler(self, isText: bool = True, inflater: Inflater | None = None, **options: Any) -> Assembler:
        return Assembler(isText, inflater, ServerOptions(**options))

    def put(self, assembler: Assembler, *frames: bytes) -> str | bytes:
        for frame in frames:
            assembler.beginFrame(len(frame))
            assembler.append(frame)
        return assembler.finish()

    def violation(self, assembler: Assembler, *frames: bytes) -> tuple[int, str]:
        with self.assertRaises(Violation) as caught:
            self.put(assembler, *frames)
        return caught.exception.code, caught.exception.reason

    def test_kinds(self) -> None:
        """Text and binary, and how large they are."""
        assembler = self.assembler()
        self.assertEqual(self.put(assembler, b"\xe2", b"", b"\x82\xac"), "€")
        self.assertEqual(assembler.size, 3)
        self.assertEqual(self.put(self.assembler(False), b"\xe2", b"\x82"), b"\xe2\x82")
        self.assertEqual(self.put(self.assembler(False)), b"")

    def test_length(self) -> None:
        """Judged by the header, before anything is kept."""
        assembler = self.assembler(maxPayload=10)
        assembler.beginFrame(10)
        with self.assertRaises(Violation) as caught:
            assembler.beginFrame(1)
        self.assertEqual(caught.exception.code, 1009)
        self.assertEqual(assembler.size, 0)

    def test_frames(self) -> None:
        """1008 for one frame too many."""
        self.assertEqual(self.put(self.assembler(maxFragments=2), b"a", b"b"), "ab")
        self.assertEqual(
            self.violation(self.assembler(maxFragments=2), b"a", b"b", b""), (1008, "more than 2 fragments")
        )

    def test_text(self) -> None:
        """1007 as soon as it is certain, and at the end for what is cut off."""
        assembler = self.assembler()
        assembler.beginFrame(10)
        self.assertRaises(Violation, assembler.append, b"a\xff")
        self.assertEqual(self.violation(self.assembler(), b"a\xe2\x82"), (1007, "text that is not UTF-8"))

    def test_skip(self) -> None:
        """Unless nobody wants to know."""
        self.assertEqual(self.put(self.assembler(skipUTF8Validation=True), b"\xff\xe2"), "\ufffd\ufffd")

    def test_inflated(self) -> None:
        """Compressed messages; limits count before and after inflation."""
        parameters = DeflateParameters()
        data = Deflater(parameters).deflate(b"x" * 1000)
        self.assertEqual(self.put(self.assembler(True, Inflater(parameters)), data[:5], data[5:]), "x" * 1000)
        self.assertEqual(
            self.violation(self.assembler(True, Inflater(parameters), maxPayload=999), data),
            (1009, "message longer than 999 bytes"),
        )
        self.assertEqual(
            self.violation(self.assembler(True, Inflater(parameters), maxCompressedSize=5), data),
            (1009, "compressed message longer than 5 bytes"),
        )
        self.assertEqual(
            self.violation(self.assembler(True, Inflater(parameters)), b"\xff\xff"),
            (1007, "not DEFLATE data"),
        )

    def test_inflatedFull(self) -> None:
        """A message that has filled its limit exactly may still be ended by empty parts."""
        parameters = DeflateParameters()
        data = Deflater(parameters).deflate(b"x" * 1000)
        frames = (data, b"", b"")
        assembler = self.assembler(True, Inflater(parameters), maxPayload=1000)
        self.assertEqual(self.put(assembler, *frames), "x" * 1000)


class IncomingTests(SynchronousTestCase):
    """From frames to messages and control frames."""

    def incoming(self, **options: Any) -> Incoming:
        return Incoming(ServerOptions(**options), None)

    def test_oneAtATime(self) -> None:
        """Each call takes a frame, and tells what it completes and what is left."""
        incoming = self.incoming()
        second, third = clientFrame(9, "p"), clientFrame(0, "b")
        taken = incoming.take(clientFrame(1, "a", fin=False) + second + third)
        self.assertEqual((taken, incoming.isInside), ((0, b"", 0, second + third), True))
        self.assertEqual(incoming.take(second + third), (9, b"p", 1, third))
        self.assertEqual((incoming.received, incoming.take(third)), (1, (1, "ab", 2, b"")))
        self.assertEqual((incoming.isInside, incoming.received), (False, 0))

    def test_waits(self) -> None:
        """For the rest of a header, and for all of a control frame; a long payload is taken as it comes."""
        incoming = self.incoming()
        ping = clientFrame(9, "ping")
        for size in range(len(ping)):
            self.assertIsNone(incoming.take(ping[:size]))
        data = clientFrame(2, b"x" * 70_000)
        self.assertEqual(incoming.take(data[:14]), (0, b"", 0, b""))
        self.assertEqual(incoming.take(data[14:1014]), (0, b"", 0, b""))
        self.assertEqual(incoming.received, 1000)
        self.assertEqual(incoming.take(data[1014:] + b"rest"), (1, b"x" * 70_000, 70_000, b"rest"))

    def test_limitBeforePayload(self) -> None:
        """A length over the limit is refused by the header alone."""
        with self.assertRaises(Violation) as caught:
            self.incoming(maxPayload=1000).take(clientFrame(2, b"x" * 1001)[:8])
        self.assertEqual(caught.exception.code, 1009)

    def test_failsEarly(self) -> None:
        """Text that isn't UTF-8 is refused at the wrong byte, not at the end."""
        incoming = self.incoming()
        with self.assertRaises(Violation) as caught:
            incoming.take(clientFrame(1, b"abc\xff" + b"x" * 70_000)[:18])
        self.assertEqual((caught.exception.code, caught.exception.reason), (1007, "text that is not UTF-8"))

    def test_pieces(self) -> None:
        """Of a long frame each read takes its own part, and no more is put together than what is new."""
        incoming = self.incoming(maxPayload=0)
        size, piece = 1 << 22, bytes(4096)
        incoming.take(b"\x82\xff" + size.to_bytes(8, "big") + bytes(4))
        seen: list[int] = []

        def unmask(payload: bytes, mask: bytes) -> bytes:
            seen.append(len(payload))
            return payload

        self.patch(parser, "unmask", unmask)
        for _ in range(size // len(piece) - 1):
            self.assertEqual(incoming.take(piece), (0, b"", 0, b""))
        taken = incoming.take(piece)
        assert taken is not None
        self.assertEqual((taken[2], set(seen), sum(seen)), (size, {4096}, size))
