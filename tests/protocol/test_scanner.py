"""What is in encoded data, seen without building it: against what the decoders build."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txroom.protocol import scanner
from txroom.protocol.scanner import Malformed, TooLong

quick = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["x" * 40, "é" * 200, '"[{\\', "[" * 300])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=3), inner, max_size=20),
    max_leaves=30,
)
encode = msgspec.msgpack.encode


def inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def containers(value: Any) -> int:
    return isinstance(value, list | dict) + sum(map(containers, inside(value)))


def depth(value: Any) -> int:
    return isinstance(value, list | dict) + max(map(depth, inside(value)), default=0)


class ScannerTests(SynchronousTestCase):
    """Both formats."""

    @quick
    @given(values)
    def test_messagePack(self, value: Any) -> None:
        """Containers, depth and the end of a MessagePack value."""
        data = encode(value)
        found = scanner.scan(b"\xc0" + data + b"\xc0", 1)
        seen = (found.end, found.containers, found.depth)
        self.assertEqual(seen, (1 + len(data), containers(value), depth(value)))
        self.assertFalse(found.hasBytes or found.hasExtensions or found.hasNaN or found.hasOddKeys)
        self.assertFalse(scanner.hasMoreContainers(data, containers(value)))
        if containers(value):
            self.assertTrue(scanner.hasMoreContainers(data, containers(value) - 1))
        frame = encode(["send", value, 1])
        self.assertEqual(scanner.splitMessagePack(frame), [encode("send"), data, encode(1)])

    def test_containersBetweenAnything(self) -> None:
        """What is between containers is skipped, however its length is written and whatever it has inside."""
        between = [
            b"\xc0",
            b"\xcd\x80\x80",
            b"\xcb" + b"\x90" * 8,
            b"\xd6\xff\x80\x80\x80\x80",
            b"\xd8" + b"\x80" * 17,
        ]
        for size in (0, 1, 31, 32, 200):
            inside = b"\x80" * size
            between += [bytes([first, size]) + inside for first in (0xD9, 0xC4)]
            between += [bytes([first, 0, size]) + inside for first in (0xDA, 0xC5)]
            between += [bytes([first, 0, 0, 0, size]) + inside for first in (0xDB, 0xC6)]
            between += [first + bytes([size, 5]) + inside for first in (b"\xc7", b"\xc8\0", b"\xc9\0\0\0")]
            between += [bytes([0xA0 + size]) + inside] if size < 32 else []
        opening = [b"\x80", b"\x90", b"\xdc\0\0", b"\xdd\0\0\0\0", b"\xde\0\0", b"\xdf\0\0\0\0"]
        for each in between:
            for many in (1, 31, 32, 33, 1100):
                parts = [each + opening[index % 6] for index in range(many)]
                data = b"\xdd" + (2 * many + 1).to_bytes(4, "big") + b"".join(parts) + each
                self.assertEqual(scanner.scan(data).containers, many + 1)
                self.assertFalse(scanner.hasMoreContainers(data, many + 1), each)
                self.assertTrue(scanner.hasMoreContainers(data, many), each)

    def test_stepsOfContainers(self) -> None:
        """Containers are counted many at once, not one a step, whatever short is between them."""
        steps = 0

        def counted(match: scanner.Match) -> scanner.Match:
            def matches(*span: Any) -> Any:
                nonlocal steps
                steps += 1
                return match(*span)

            return matches

        self.patch(scanner, "_CONTAINERS", [(many, counted(match)) for many, match in scanner._CONTAINERS])
        self.patch(scanner, "_noContainers", counted(scanner._noContainers))
        for each in (b"\x80", b"\x80\x01", b"\x90\xa1a", b"\x80\xd9\x01a", b"\xdd\0\0\0\0\xdb\0\0\0\0"):
            data = b"\xdd\0\0\x4e\x20" + each * 9_990
            self.assertFalse(scanner.hasMoreContainers(data, 10_000))
        self.assertLess(steps, 500)

    @quick
    @given(values, st.sampled_from([None, 1]))
    def test_json(self, value: Any, indent: int | None) -> None:
        """Brackets, depth and parts of JSON, however it is spaced and escaped."""
        nesting = scanner.brackets(json.dumps(value, indent=indent).encode())
        self.assertEqual(len(nesting), 2 * containers(value))
        self.assertFalse(scanner.isDeeper(nesting, depth(value)))
        if depth(value):
            self.assertTrue(scanner.isDeeper(nesting, depth(value) - 1))
        for ascii in (True, False):
            frame = json.dumps(["send", value, 1], indent=indent, ensure_ascii=ascii).encode()
            self.assertEqual([json.loads(part) for part in scanner.splitJSON(frame)], ["send", value, 1])

    @quick
    @given(st.text('[]{}",:\\ a1-.eu0tn', max_size=12).map(str.encode))
    def test_noJSON(self, inner: bytes) -> None:
        """What Python's own reader refuses is malformed, and nothing else is."""
        text = b"[" + inner + b"]"
        try:
            expected = json.loads(text)
        except ValueError:
            self.assertRaises(Malformed, scanner.splitJSON, text)
        else:
            self.assertEqual([json.loads(part) for part in scanner.splitJSON(text)], expected)

    @quick
    @given(st.binary(max_size=12))
    def test_noMessagePack(self, inner: bytes) -> None:
        """What msgspec refuses is malformed, but for what is only no date, no Unicode or no key."""
        try:
            msgspec.msgpack.decode(inner, type=msgspec.Raw)
        except ValueError:
            try:
                self.assertNotEqual(scanner.scan(inner).end, len(inner))
            except Malformed:
                pass
        else:
            self.assertEqual(scanner.scan(inner).end, len(inner))

    def test_strange(self) -> None:
        """What only MessagePack can say, wherever it is."""
        found = scanner.scan(encode([1, {"a": b"x"}]))
        self.assertTrue(found.hasBytes)
        for code, isStrange in ((-1, False), (5, True)):
            for size in (1, 2, 4, 8, 12, 16, 300, 70_000):
                data = encode([msgspec.msgpack.Ext(code, b"x" * size)])
                self.assertEqual(scanner.scan(data).hasExtensions, isStrange, (code, size))
        for key in (None, True, 1, -1, 2**40, 1.5, b"x", (1,), datetime.now(UTC)):
            self.assertTrue(scanner.scan(encode([{"a": {key: 1}}])).hasOddKeys, key)
        for value in ("nan", "inf", "-inf"):
            for data in (encode([1.5, float(value)]), encode({"a": float(value)})):
                self.assertTrue(scanner.scan(data).hasNaN, value)
        self.assertTrue(scanner.scan(b"\x91\xca\x7f\x80\x00\x00").hasNaN)
        self.assertFalse(scanner.scan(encode([1.5, 1e308, -1e-320])).hasNaN)

    def test_longIntegers(self) -> None:
        """Only integers, only in numbers, and not their fractions and exponents."""
        text = (
            b'["1234567890123456789", 1.2345678901234567890, 1234567890123456789.5, 1e-1234567890123456789,'
        )
        self.assertEqual(scanner.longIntegers(text + b"0]"), [])
        self.assertEqual(scanner.longIntegers(text + b"-1234567890123456789]"), [b"-1234567890123456789"])

    def test_halves(self) -> None:
        """A text may have half a character, a number may be none: the parts are known."""
        parts = scanner.splitJSON(rb'["send",null,"say",{"a":"\ud83d","b":[NaN, -Infinity , []]},1]')
        self.assertEqual(parts[3:], [rb'{"a":"\ud83d","b":[NaN, -Infinity , []]}', b"1"])

    def test_deep(self) -> None:
        """Nothing recurses."""
        for inner in (b"[" * 1100 + b"]" * 1100, b'{"a":' * 1100 + b"0" + b"}" * 1100):
            self.assertEqual(scanner.splitJSON(b"[1," + inner + b",2]"), [b"1", inner, b"2"])
        for level in (b"\x91", b"\x92\x00", b"\x81\xa1a", b"\xdc\x00\x01"):
            inner = level * 5000 + b"\xc0"
            self.assertEqual(
                scanner.splitMessagePack(b"\x93\x01" + inner + b"\x02"), [b"\x01", inner, b"\x02"]
            )

    def test_steps(self) -> None:
        """A walk takes one step for a run of numbers, and no more steps than are allowed."""
        numbers = encode([1.5] * 100_000 + [1] * 100_000 + [2**40] * 1000)
        self.assertEqual(scanner.scan(numbers, 0, 4).end, len(numbers))
        self.assertRaises(TooLong, scanner.scan, b"\x92\x00\x00", 0, 1)
        self.assertRaises(TooLong, scanner.scan, b"\x92\x00" * 100_000)
        self.assertRaises(TooLong, scanner.splitJSON, b"[" * 100_000)
        self.assertRaises(TooLong, scanner.splitJSON, b"[1,2,3,4,5,6,7,8,9]")
        self.assertRaises(TooLong, scanner.splitMessagePack, encode([1] * 9))
