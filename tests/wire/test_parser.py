"""Frames of a client: bytes in, frames out, under the headings of RFC 6455 and RFC 7692."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.functional.support import frame
from txroom.wire.frames import Violation
from txroom.wire.parser import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, parseHeader

#: What a test sees of a frame.
Seen = tuple[int, bool, bool, bytes]


def framesOf(*parts: bytes, mayCompress: bool = False) -> list[Seen]:
    """What is parsed of bytes that come in parts; of a frame that isn't complete nothing."""
    seen: list[Seen] = []
    data = payload = b""
    current = None
    isInside = False
    for part in parts:
        data += part
        while True:
            at = 0
            if current is None:
                current = parseHeader(data, isInside, mayCompress)
                if current is None:
                    break
                at = current.start
            piece = current.take(data, at)
            data = data[at + len(piece) :]
            payload += piece
            if current.received < current.length:
                break
            seen.append((current.opcode, current.isFinal, current.isCompressed, payload))
            if current.opcode < CLOSE:
                isInside = not current.isFinal
            current, payload = None, b""
    return seen


class ParserCase(SynchronousTestCase):
    """Assertions on bytes."""

    def assertParsed(self, data: bytes, *expected: Seen) -> None:
        """Whole, and byte by byte, they are these frames."""
        self.assertEqual(framesOf(data), list(expected))
        self.assertEqual(framesOf(*[data[at : at + 1] for at in range(len(data))]), list(expected))

    def assertViolation(
        self, reason: str, *frames: bytes, isInside: bool = False, mayCompress: bool = False
    ) -> None:
        """Their header is refused for that reason, with 1002."""
        for data in frames:
            with self.assertRaises(Violation) as caught:
                parseHeader(data, isInside, mayCompress)
            self.assertEqual((caught.exception.code, caught.exception.reason), (1002, reason), data[:16])


class FramingTests(ParserCase):
    """RFC 6455 §5.2: base framing protocol."""

    def test_opcodes(self) -> None:
        """All that are defined, outside and inside a message."""
        for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
            self.assertParsed(frame(opcode, b"ab"), (opcode, True, False, b"ab"))
        self.assertParsed(
            frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b"),
            (TEXT, False, False, b"a"),
            (CONTINUATION, True, False, b"b"),
        )

    def test_reservedOpcodes(self) -> None:
        """The others are refused, on the first two bytes."""
        for opcode in (*range(3, 8),):
            self.assertViolation(f"data frame using reserved opcode {opcode}", frame(opcode)[:2])
        for opcode in (*range(11, 16),):
            self.assertViolation(f"control frame using reserved opcode {opcode}", frame(opcode)[:2])

    def test_lengths(self) -> None:
        """Around the edges of the three forms."""
        for length in (0, 1, 125, 126, 127, 65535, 65536, 70000):
            payload = b"x" * length
            self.assertEqual(framesOf(frame(BINARY, payload)), [(BINARY, True, False, payload)])

    def test_shortest(self) -> None:
        """Only the shortest form is taken."""
        reason = "invalid data frame length (not using minimal length encoding)"
        self.assertViolation(
            reason,
            frame(BINARY, b"x", lengthBytes=2),
            frame(BINARY, b"x" * 125, lengthBytes=2),
            frame(BINARY, b"x", lengthBytes=8),
            frame(BINARY, b"x" * 65535, lengthBytes=8),
        )

    def test_highestBit(self) -> None:
        """Of a length of eight bytes it is 0; the longest that there is, is for others to refuse."""
        self.assertViolation("invalid data frame length (>2^63)", frame(BINARY, length=1 << 63))
        found = parseHeader(frame(BINARY, length=(1 << 63) - 1), False, False)
        assert found is not None
        self.assertEqual((found.length, found.received, found.start), ((1 << 63) - 1, 0, 14))

    def test_incomplete(self) -> None:
        """Of a header nothing is told before all of it has come."""
        for payload in (b"", b"x" * 10, b"x" * 200, b"x" * 70000):
            data = frame(BINARY, payload)
            start = len(data) - len(payload)
            for size in range(start):
                self.assertIsNone(parseHeader(data[:size], False, False))
            self.assertIsNotNone(parseHeader(data[:start], False, False))

    def test_reservedBits(self) -> None:
        """Each of them, in frames of all kinds."""
        for rsv in range(1, 8):
            self.assertViolation(
                f"RSV = {rsv} and no extension negotiated",
                *(frame(opcode, rsv=rsv) for opcode in (TEXT, BINARY, PING)),
            )


class MaskingTests(ParserCase):
    """§5.1, §5.3: a client's frames are masked."""

    def test_unmasked(self) -> None:
        """One that isn't is refused, whatever its size."""
        for payload in (b"", b"x" * 10, b"x" * 200, b"x" * 70000):
            self.assertViolation("unmasked client-to-server frame", frame(BINARY, payload, mask=None))

    def test_pieces(self) -> None:
        """The mask goes on where the last piece has ended, wherever that is."""
        payload = bytes(range(256)) * 3
        data = frame(BINARY, payload, mask=b"\x01\x20\x03\x40")
        for size in (1, 2, 3, 5, 7, 64, 500):
            parts = [data[at : at + size] for at in range(0, len(data), size)]
            self.assertEqual(framesOf(*parts), [(BINARY, True, False, payload)])

    def test_takesItsOwn(self) -> None:
        """A frame takes no byte of the next one."""
        found = parseHeader(frame(BINARY, b"ab") + b"rest", False, False)
        assert found is not None
        self.assertEqual(found.take(frame(BINARY, b"ab") + b"rest", found.start), b"ab")
        self.assertEqual(found.take(b"rest"), b"")


class FragmentationTests(ParserCase):
    """§5.4: fragmentation."""

    def test_continuationOfNothing(self) -> None:
        reason = "received continuation data frame outside fragmented message"
        self.assertViolation(reason, frame(CONTINUATION), frame(CONTINUATION, fin=False)[:2])

    def test_messageInMessage(self) -> None:
        reason = "received non-continuation data frame while inside fragmented message"
        self.assertViolation(reason, frame(TEXT), frame(BINARY)[:2], isInside=True)

    def test_controlsBetween(self) -> None:
        """Control frames come between the fragments of a message, and inside none."""
        self.assertParsed(
            frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"") + frame(PONG),
            (TEXT, False, False, b"a"),
            (PING, True, False, b"p"),
            (CONTINUATION, True, False, b""),
            (PONG, True, False, b""),
        )


class ControlTests(ParserCase):
    """§5.5: control frames."""

    def test_fragmented(self) -> None:
        for opcode in (CLOSE, PING, PONG):
            self.assertViolation("fragmented control frame", frame(opcode, fin=False)[:2])

    def test_tooLong(self) -> None:
        """Over 125 bytes, in whatever form."""
        reason = "control frame with payload length > 125 octets"
        for opcode in (CLOSE, PING, PONG):
            self.assertViolation(reason, frame(opcode, b"x" * 126)[:2], frame(opcode, b"x" * 70000)[:2])

    def test_halfCode(self) -> None:
        """§5.5.1: a Close frame has no code or a whole one."""
        self.assertViolation("received close control frame with payload len 1", frame(CLOSE, b"\x03"))


class CompressionTests(ParserCase):
    """RFC 7692 §6: RSV1 marks the first frame of a compressed message."""

    def test_marked(self) -> None:
        data = frame(TEXT, b"a", rsv=4, fin=False) + frame(CONTINUATION, b"b") + frame(BINARY, b"c")
        self.assertEqual(
            framesOf(data, mayCompress=True),
            [(TEXT, False, True, b"a"), (CONTINUATION, True, False, b"b"), (BINARY, True, False, b"c")],
        )

    def test_continuation(self) -> None:
        reason = "received continuation data frame with compress bit set [permessage-deflate]"
        self.assertViolation(reason, frame(CONTINUATION, rsv=4), isInside=True, mayCompress=True)

    def test_control(self) -> None:
        reason = "received compressed control frame [permessage-deflate]"
        self.assertViolation(reason, frame(PING, rsv=4), mayCompress=True)

    def test_otherBits(self) -> None:
        """RSV2 and RSV3 have no meaning still."""
        for rsv in (1, 2, 3, 5, 6, 7):
            reason = f"RSV = {rsv} and no extension negotiated"
            self.assertViolation(reason, frame(TEXT, rsv=rsv), mayCompress=True)


class CutTests(ParserCase):
    """However TCP cuts the stream, the same frames come."""

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from([TEXT, BINARY, PING]), st.binary(max_size=150)), max_size=5),
        st.lists(st.integers(0, 800), max_size=8),
    )
    def test_anywhere(self, frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
        data = b"".join(frame(opcode, payload[:125]) for opcode, payload in frames)
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        parts = [data[start:end] for start, end in pairwise(edges)]
        self.assertEqual(
            framesOf(*parts), [(opcode, True, False, payload[:125]) for opcode, payload in frames]
        )
