"""Frames as bytes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.core.codes import CloseCode
from txroom.core.message import Prepared
from txroom.wire.deflate import DeflateParameters, Deflater, Inflater
from txroom.wire.frames import (
    BINARY,
    CLOSE,
    COMPRESSED,
    PING,
    PONG,
    TEXT,
    Violation,
    closePayload,
    frame,
    parseClose,
    preparedDeflatedFrame,
    preparedFrame,
)


class BuildTests(SynchronousTestCase):
    """The server's frames (RFC 6455 §5.2)."""

    def test_examples(self) -> None:
        """Those of §5.7."""
        self.assertEqual(frame(TEXT, b"Hello").hex(), "810548656c6c6f")
        self.assertEqual(frame(PING, b"Hello").hex(), "890548656c6c6f")
        self.assertEqual(frame(PONG, b"").hex(), "8a00")
        self.assertEqual(frame(BINARY, bytes(256))[:4].hex(), "827e0100")
        self.assertEqual(frame(BINARY, bytes(65536))[:10].hex(), "827f0000000000010000")

    def test_shortestForm(self) -> None:
        """The length takes the shortest form that holds it."""
        sizes = {0: 2, 125: 2, 126: 4, 65535: 4, 65536: 10}
        for length, header in sizes.items():
            built = frame(BINARY, bytes(length))
            self.assertEqual(len(built), length + header)

    def test_compressed(self) -> None:
        """RSV1 marks a compressed message (RFC 7692 §6)."""
        self.assertEqual(frame(TEXT | COMPRESSED, b"x").hex(), "c10178")
        self.assertEqual(frame(BINARY | COMPRESSED, bytes(200))[:4].hex(), "c27e00c8")


class CloseTests(SynchronousTestCase):
    """The payload of Close frames (§5.5.1)."""

    def test_build(self) -> None:
        """Code and reason, or nothing."""
        self.assertEqual(closePayload(1000, "é"), b"\x03\xe8\xc3\xa9")
        self.assertEqual(closePayload(None), b"")
        self.assertEqual(frame(CLOSE, closePayload(4000)), b"\x88\x02\x0f\xa0")

    def test_parse(self) -> None:
        """What was built."""
        self.assertEqual(parseClose(b""), (None, ""))
        self.assertEqual(parseClose(b"\x03\xe8"), (1000, ""))
        self.assertEqual(parseClose(closePayload(4999, "é")), (4999, "é"))

    def test_bad(self) -> None:
        """Half a code, codes that nobody may send, a reason that is no UTF-8."""
        bad = {b"\x03": 1002, b"\x03\xe8\xff": 1007, b"\x03\xe8\xc3": 1007, b"\x03\xe8\xed\xa0\x80": 1007}
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535):
            bad[code.to_bytes(2, "big")] = 1002
        for payload, expected in bad.items():
            with self.assertRaises(Violation) as caught:
                parseClose(payload)
            self.assertEqual(caught.exception.code, expected, payload)
            self.assertIsInstance(caught.exception.code, CloseCode)


class PreparedTests(SynchronousTestCase):
    """Frames that are built once."""

    def test_once(self) -> None:
        """The same object for all."""
        prepared = Prepared("a")
        self.assertEqual(preparedFrame(prepared), b"\x81\x01a")
        self.assertIs(preparedFrame(prepared), preparedFrame(prepared))
        self.assertEqual(preparedFrame(Prepared(b"a")), b"\x82\x01a")

    def test_deflatedOnce(self) -> None:
        """Once for each deflater; it inflates to the message."""
        parameters = DeflateParameters(serverTakeover=False)
        one, other = Deflater(parameters), Deflater(parameters)
        prepared = Prepared("a" * 2000)
        built = preparedDeflatedFrame(prepared, one)
        self.assertIs(preparedDeflatedFrame(prepared, one), built)
        self.assertIsNot(preparedDeflatedFrame(prepared, other), built)
        self.assertEqual(built[0], TEXT | COMPRESSED)
        inflater = Inflater(parameters)
        self.assertEqual(inflater.inflate(built[2:], None) + inflater.finish(None), b"a" * 2000)

    def test_deflatedBinary(self) -> None:
        """The kind of message is kept."""
        built = preparedDeflatedFrame(
            Prepared(b"a" * 2000), Deflater(DeflateParameters(serverTakeover=False))
        )
        self.assertEqual(built[0], BINARY | COMPRESSED)
