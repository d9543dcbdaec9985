"""The mask of a client's frames, with and without the compiled masker."""

from __future__ import annotations

import os
import sys
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from txroom.wire import masking
from txroom.wire.masking import BLOCK, INTEGER_LIMIT, compiledMasker, maskInBlocks, unmask

EDGES = (0, 1, 2, 3, 4, 5, INTEGER_LIMIT, INTEGER_LIMIT + 1, 1023, 1024, 1025, 1026, 4096, 70001)


def plain(payload: bytes, mask: bytes) -> bytes:
    """As the RFC defines it, byte by byte."""
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


class UnmaskTests(SynchronousTestCase):
    """The client's mask (§5.3)."""

    def setUp(self) -> None:
        self.addCleanup(masking._longMasker.cache_clear)
        masking._longMasker.cache_clear()

    def test_example(self) -> None:
        """That of §5.7."""
        self.assertEqual(unmask(bytes.fromhex("7f9f4d5158"), bytes.fromhex("37fa213d")), b"Hello")

    def test_plainDefinition(self) -> None:
        """For every length around the edges as the RFC defines it, byte by byte."""
        mask = b"\x00\xff\x5a\x01"
        for length in EDGES:
            payload = os.urandom(length)
            self.assertEqual(unmask(payload, mask), plain(payload, mask))

    def test_zeros(self) -> None:
        """Leading and trailing zeros aren't lost in the integer."""
        self.assertEqual(unmask(b"\0\0\0\0\0", b"\0\0\0\0"), b"\0\0\0\0\0")
        self.assertEqual(unmask(b"abcdabcd", b"abcd"), bytes(8))

    def test_withoutCompiled(self) -> None:
        """The same in blocks, where the compiled masker was not built."""
        self.patch(masking, "compiledMasker", lambda: None)
        self.test_plainDefinition()
        self.assertIs(masking._longMasker(), maskInBlocks)

    def test_compiled(self) -> None:
        """The compiled one is what Autobahn's distribution has; its absence is no error."""
        masker = compiledMasker()
        if masker is not None:
            for length in EDGES:
                payload = os.urandom(length)
                self.assertEqual(masker(payload, b"abcd"), plain(payload, b"abcd"))
        with mock.patch.dict(sys.modules, {"_nvx_xormasker": None}):
            self.assertIsNone(compiledMasker())

    def test_blocks(self) -> None:
        """Around the edges of a block."""
        for length in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 2):
            payload = os.urandom(length)
            self.assertEqual(maskInBlocks(payload, b"\0\xffab"), plain(payload, b"\0\xffab"))

    def test_lazy(self) -> None:
        """It is looked for when the first long payload comes, and once."""
        looked: list[int] = []
        self.patch(masking, "compiledMasker", lambda: looked.append(1))
        unmask(b"x" * INTEGER_LIMIT, b"abcd")
        self.assertEqual(looked, [])
        for _ in range(3):
            unmask(b"x" * 9999, b"abcd")
        self.assertEqual(looked, [1])
