"""The numbers and texts in the head of a frame."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txroom.compat.colyseus.numbers import integer, messageType, readInteger, readType
from txroom.protocol.errors import BadFrame
from txroom.protocol.limits import MAX_NAME, MAX_NUMBER
from txroom.state.schema.wire import text


class IntegerTests(SynchronousTestCase):
    """Whole numbers."""

    def test_forms(self) -> None:
        """The forms of @colyseus/schema, whose bytes are in little-endian order."""
        for encoded, number in (
            ("00", 0),
            ("7f", 127),
            ("cc80", 128),
            ("cd2c01", 300),
            ("ce70110100", 70000),
            ("cf0000000001000000", 2**32),
            ("ff", -1),
            ("e0", -32),
            ("d0df", -33),
            ("d12cff", -212),
            ("d200000080", -(2**31)),
            ("d3ffffffffffffffff", -1),
            ("ca0000803f", 1),
            ("cb0000000000000840", 3),
        ):
            data = bytes.fromhex(encoded)
            self.assertEqual(readInteger(b"x" + data, 1), (number, 1 + len(data)), encoded)

    def test_wrong(self) -> None:
        """What is no whole number, or isn't exact in JavaScript, is refused."""
        for encoded in (
            "",
            "c0",
            "a0",
            "80",
            "cc",
            "cd2c",
            "cf000000000000",
            "ca0000003f",
            "ca0000c07f",
            "cb000000000000f07f",
            "cfffffffffffffffff",
            "d30000000000000080",
        ):
            self.assertRaises(BadFrame, readInteger, bytes.fromhex(encoded), 0)

    @given(st.integers(0, MAX_NUMBER))
    def test_roundTrip(self, number: int) -> None:
        """A number is read as it was written."""
        data = integer(number)
        self.assertEqual(readInteger(data, 0), (number, len(data)))

    @given(st.binary(max_size=12), st.integers(0, 12))
    def test_anything(self, data: bytes, at: int) -> None:
        """Reading anything gives a result, or `BadFrame`."""
        for read in (readInteger, readType):
            try:
                _, end = read(data, at)
            except BadFrame:
                continue
            self.assertLessEqual(end, len(data))


class TypeTests(SynchronousTestCase):
    """The types of messages."""

    @given(st.text(min_size=1, max_size=MAX_NAME))
    def test_text(self, name: str) -> None:
        """A text is read as it was written."""
        data = text(name)
        self.assertEqual(readType(data, 0), (name, len(data)))

    def test_numbers(self) -> None:
        """The digits of a number are that number to clients."""
        for name in ("0", "7", "127", "128", "4294967295"):
            data = messageType(name)
            self.assertFalse(0xA0 <= data[0] < 0xC0, name)
            self.assertEqual(readType(data, 0), (name, len(data)))
        for name in ("", "007", "-1", "1.5", "4294967296", "٣", "7a"):
            self.assertEqual(messageType(name), text(name), name)

    def test_wrong(self) -> None:
        """A type that is incomplete, too long or no UTF-8 is refused."""
        for data in (
            b"",
            b"\xa2a",
            b"\xd9",
            b"\xda\x01",
            b"\xd9\x05abc",
            b"\xa1\xff",
            text("x" * (MAX_NAME + 1)),
            b"\xdb" + struct.pack("<I", 1) + b"x",
        ):
            self.assertRaises(BadFrame, readType, data, 0)
