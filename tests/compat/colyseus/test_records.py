"""The data of messages, as msgpackr encodes it."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txroom.compat.colyseus.records import (
    LEAST_REPEATED,
    MAX_REPEATED,
    REPEATED_FACTOR,
    forBrowsers,
    plain,
)
from txroom.protocol.errors import BadFrame
from txroom.protocol.limits import MAX_CONTAINERS, MAX_DEPTH

decode = msgspec.msgpack.decode
encode = msgspec.msgpack.encode


def dataOf(integers: Any) -> Any:
    """Objects, arrays and scalars."""
    texts = st.text(max_size=20)
    scalars = st.none() | st.booleans() | integers | st.floats(allow_nan=False) | texts
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=12,
    )


data = dataOf(st.integers(-(2**63), 2**64 - 1))


class Packr:
    """Encodes as msgpackr does: objects are records, whose keys are sent once in each message."""

    def __init__(self) -> None:
        self.shapes: dict[tuple[str, ...], int] = {}
        self.next = 0x40

    def pack(self, value: Any) -> bytes:
        if isinstance(value, dict):
            keys = tuple(value)
            values = b"".join(map(self.pack, value.values())) if keys in self.shapes else None
            if values is not None:
                return bytes((self.shapes[keys],)) + values
            id, self.next = self.next, 0x40 if self.next == 0x7F else self.next + 1
            self.shapes = {each: other for each, other in self.shapes.items() if other != id}
            self.shapes[keys] = id
            head = b"\xd4\x72" + bytes((id,)) + encode(list(keys))
            return head + b"".join(map(self.pack, value.values()))
        if isinstance(value, list):
            return encode([None] * len(value))[: -len(value) or None] + b"".join(map(self.pack, value))
        if type(value) is int and 0x40 <= value < 0x80:
            return bytes((0xCC, value))
        return encode(value)


class PlainTests(SynchronousTestCase):
    """What clients send."""

    def read(self, text: str) -> Any:
        """The data for some bytes."""
        return decode(plain(bytes.fromhex(text)))

    def assertRefused(self, encoded: bytes) -> str:
        """Check that data is refused, and return why."""
        error: BadFrame = self.assertRaises(BadFrame, plain, encoded)
        return error.message

    def test_recorded(self) -> None:
        """What msgpackr has written."""
        for text, value in (
            ("", None),
            ("d40000", None),
            ("d4724091a17801", {"x": 1}),
            ("92d4724091a178014002", [{"x": 1}, {"x": 2}]),
            ("d4724092a161a163d4724191a162014102", {"a": {"b": 1}, "c": {"b": 2}}),
            ("d4724091a161d40000", {"a": None}),
            ("d4724090", {}),
            ("92d472409040", [{}, {}]),
            ("d4724093a161a162a163c0c3a2c3a9", {"a": None, "b": True, "c": "é"}),
            ("d6ff00000000", datetime(1970, 1, 1, tzinfo=UTC)),
            ("d7ff1d5353006553f100", datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)),
            ("c70cff00000000fffffffffffffffb", datetime(1969, 12, 31, 23, 59, 55, tzinfo=UTC)),
            ("d4ffff", None),
            ("93a54572726f72a178d40000", ["Error", "x", None]),
        ):
            self.assertEqual(self.read(text), value, text)

    def test_typedArrays(self) -> None:
        """Arrays of numbers become lists, those of bytes become bytes."""
        for kind, code in enumerate("bBBhHiIfdqQ"):
            content = struct.pack(f"<2{code}", 1, 3)
            expected = content if kind in (1, 2) else [1, 3]
            for head in (b"\xc7" + bytes((len(content) + 1,)), b"\xc8" + struct.pack(">H", len(content) + 1)):
                encoded = head + b"\x74" + bytes((kind,)) + content
                self.assertEqual(decode(plain(encoded)), expected, kind)
        self.assertEqual(self.read("d574107f"), b"\x7f")
        for text in ("d57403ff", "d4740b", "d57463ff", "c7000074"):
            self.assertRefused(bytes.fromhex(text))

    def test_plain(self) -> None:
        """Data without additions stays as it is, and the room checks it."""
        for value in (encode([1, "x", b"\x01", {"a": 2.5}]), b"\x93\x01", b"\xc1", b"\x01\x02"):
            self.assertIs(plain(value), value)

    @given(data)
    def test_roundTrip(self, value: Any) -> None:
        """Any data of objects, arrays and scalars comes as it was sent."""
        self.assertEqual(decode(plain(Packr().pack(value))), value)

    @given(st.binary(max_size=60))
    def test_anything(self, encoded: bytes) -> None:
        """Whatever comes is read, refused, or left to the room."""
        for each in (encoded, b"\xd4\x72\x40\x91\xa1x" + encoded, b"\x92\xd4\x00\x00" + encoded):
            try:
                found = plain(each)
            except BadFrame:
                continue
            self.assertIsInstance(found, bytes)

    @given(st.integers(0, 40), st.integers(0, 255), data)
    def test_damaged(self, at: int, byte: int, value: Any) -> None:
        """So is what was damaged, or cut off."""
        encoded = Packr().pack([value, {"a": 1}, {"a": 2}])
        at %= len(encoded)
        for each in (encoded[:at] + bytes((byte,)) + encoded[at + 1 :], encoded[:at]):
            try:
                plain(each)
            except BadFrame:
                pass

    def test_wrong(self) -> None:
        """What is no value, more than one, or of an unknown kind, is refused."""
        for text in (
            "d472",
            "d47240",
            "d4724091",
            "d4724091a178",
            "d4724091a1780102",
            "d4724001",
            "d472409101",
            "d4724081a178",
            "d573ffff",
            "d4420101",
            "d4000001",
            "92d40000c1",
            "92d40000a1ff",
            "92d4000081c001",
        ):
            self.assertRefused(bytes.fromhex(text))

    def test_keys(self) -> None:
        """Keys that are no texts are refused before they are hashed."""
        for key in (b"\x01", b"\xc0", b"\xcb" + bytes(8), b"\x90", b"\xc4\x01x"):
            self.assertIn("texts", self.assertRefused(b"\x92\xd4\x00\x00\x81" + key + b"\x01"))

    def test_depth(self) -> None:
        """Data may be nested as deep as in other dialects, and no deeper."""
        for opening, inner in ((b"\x91", b"\xd4\x00\x00"), (b"\xd4\x72\x40\x91\xa1x", b"\x01")):
            self.assertIsInstance(plain(opening * MAX_DEPTH + inner), bytes)
            self.assertIn("nested", self.assertRefused(opening * (MAX_DEPTH + 1) + inner))
        self.assertRefused(b"\xd4\x72\x40" * 10_000)

    def test_width(self) -> None:
        """The number of arrays and objects is limited, however short each of them is."""
        head = b"\xdd" + struct.pack(">I", MAX_CONTAINERS + 1)
        for first, others in ((b"\xd4\x72\x40\x90", b"\x40"), (b"\xd4\x00\x00", b"\x90")):
            self.assertIn("more than", self.assertRefused(head + first + others * MAX_CONTAINERS))
        self.assertRefused(b"\xdd\xff\xff\xff\xff\xd4\x00\x00")
        self.assertRefused(b"\xdf\xff\xff\xff\xff\xd4\x00\x00")

    def test_repeated(self) -> None:
        """A few bytes can't stand for long keys, over and over, however few characters these have."""
        for letter in ("k", "\N{GRINNING FACE}"):
            name = letter * (1000 // len(letter.encode()))
            record = b"\xd4\x72\x40\x91" + encode(name) + b"\x01"
            for count, isAllowed in ((60, True), (1000, False)):
                encoded = b"\xdc" + struct.pack(">H", count + 1) + record + b"\x40\x01" * count
                if isAllowed:
                    self.assertEqual(decode(plain(encoded)), [{name: 1}] * (count + 1))
                else:
                    self.assertIn("too long", self.assertRefused(encoded))

    def test_repeatedInLong(self) -> None:
        """The bound grows with the message, but not without end."""
        record = b"\xd4\x72\x40\x92" + encode("k" * 1000) + encode("x") + b"\x01"
        for size, count, isAllowed in ((20, 500, False), (300, 500, True), (300, 1100, False)):
            again = b"\x40\x01" + encode("x" * size)
            encoded = b"\xdc" + struct.pack(">H", count + 1) + record + b"\x01" + again * count
            if isAllowed:
                self.assertEqual(len(decode(plain(encoded))), count + 1)
            else:
                self.assertIn("too long", self.assertRefused(encoded))

    @given(st.integers(1, 20), st.text(min_size=1, max_size=300), st.integers(0, 500))
    def test_growth(self, width: int, name: str, count: int) -> None:
        """What is read is longer than the message by what it may repeat at most."""
        keys = [f"{name}{each}" for each in range(width)]
        record = b"\xd4\x72\x40" + encode(keys) + b"\x01" * width
        encoded = b"\xdc" + struct.pack(">H", count + 1) + record + (b"\x40" + b"\x01" * width) * count
        most = max(LEAST_REPEATED, min(REPEATED_FACTOR * len(encoded), MAX_REPEATED))
        if count * len(encode(keys)) <= most:
            self.assertLessEqual(len(plain(encoded)), len(encoded) + most)
        else:
            self.assertRefused(encoded)


class ForBrowsersTests(SynchronousTestCase):
    """What clients get."""

    @given(dataOf(st.integers(-(2**53), 2**53)))
    def test_same(self, value: Any) -> None:
        """The data stays the same."""
        self.assertEqual(decode(forBrowsers(encode(value))), value)

    def test_wide(self) -> None:
        """Clients would decode integers of 64 bits to BigInts."""
        for value in (2**32, -(2**31) - 1, 2**64 - 1, {"a": [2**40, 1]}, [2**53]):
            self.assertNotIn(0xCF, forBrowsers(encode(value)))
            self.assertNotIn(0xD3, forBrowsers(encode(value)))
        narrow = encode([2**32 - 1, -(2**31), math.pi])
        self.assertIs(forBrowsers(narrow), narrow)
