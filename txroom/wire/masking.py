"""
Masking of the frames of clients (RFC 6455 §5.3).

For short payloads the fastest way is one XOR of two integers. Longer payloads are unmasked by the compiled
masker of Autobahn, which is imported when it is first needed. If it was not built, they are unmasked in
blocks, because converting a long payload to an integer takes more time than converting its parts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

Masker = Callable[[bytes, bytes], bytes]

#: The size up to which one XOR of two integers is faster than the compiled masker.
INTEGER_LIMIT = 384
#: The number of bytes that are unmasked at a time without the compiled masker; a multiple of four.
BLOCK = 4096
# `int.from_bytes`, looked up once, because looking up a class method takes as long as calling it.
_integer = int.from_bytes


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Remove the mask from a payload, or mask one."""
    length = len(payload)
    if length > INTEGER_LIMIT:
        return _longMasker()(payload, mask)
    key = (mask * (length // 4 + 1))[:length]
    return (_integer(payload, "little") ^ _integer(key, "little")).to_bytes(length, "little")


@cache
def _longMasker() -> Masker:
    return compiledMasker() or maskInBlocks


def compiledMasker() -> Masker | None:
    """Get the masker of Autobahn's extension module, or `None` if it was not built."""
    try:
        from _nvx_xormasker import ffi, lib  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    new, setKind, process, free = (
        lib.nvx_xormask_new,
        lib.nvx_xormask_set_impl,
        lib.nvx_xormask_process,
        lib.nvx_xormask_free,
    )
    view, fastest = ffi.from_buffer, 2

    def masked(payload: bytes, mask: bytes) -> bytes:
        masker = new(mask)
        setKind(masker, fastest)
        buffer = bytearray(payload)
        process(masker, view(buffer), len(buffer))
        free(masker)
        return bytes(buffer)

    return masked


def maskInBlocks(payload: bytes, mask: bytes) -> bytes:
    """Do the same as the compiled masker, in Python."""
    key = _integer(mask * (BLOCK // 4), "little")
    whole = len(payload) - len(payload) % BLOCK
    parts = [
        (_integer(payload[at : at + BLOCK], "little") ^ key).to_bytes(BLOCK, "little")
        for at in range(0, whole, BLOCK)
    ]
    rest = payload[whole:]
    if rest:
        length = len(rest)
        key = _integer((mask * (length // 4 + 1))[:length], "little")
        parts.append((_integer(rest, "little") ^ key).to_bytes(length, "little"))
    return b"".join(parts)
