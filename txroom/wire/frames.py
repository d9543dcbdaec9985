"""
Frames as bytes: building the server's, unmasking the client's (RFC 6455 §5).

Pure functions; the parser for everything that isn't a short whole message is Autobahn's.
"""

from __future__ import annotations

from struct import Struct

from autobahn.websocket import xormasker

from ..core.codes import CloseCode, isSendable
from ..core.message import Prepared
from .deflate import Deflater

#: First bytes: FIN and the opcode (§5.2), and RSV1 for a compressed message (RFC 7692 §6).
TEXT = 0x81
BINARY = 0x82
CLOSE = 0x88
PING = 0x89
PONG = 0x8A
COMPRESSED = 0x40

#: Up to here one XOR of two integers is faster than Autobahn's native masker.
_INTEGER_XOR_LIMIT = 1024
#: Bound once: looking a class method up takes as long as calling it.
_integer = int.from_bytes

_medium = Struct("!BBH").pack
_long = Struct("!BBQ").pack
_code = Struct("!H")
_shortHeaders = {
    first: tuple(bytes((first, length)) for length in range(126))
    for base in (TEXT, BINARY, CLOSE, PING, PONG)
    for first in (base, base | COMPRESSED)
}


def header(first: int, length: int) -> bytes:
    """What stands before the payload of an unmasked, final frame."""
    if length < 126:
        return _shortHeaders[first][length]
    if length < 65536:
        return _medium(first, 126, length)
    return _long(first, 127, length)


def frame(first: int, payload: bytes) -> bytes:
    """One unmasked, final frame."""
    length = len(payload)
    return (_shortHeaders[first][length] if length < 126 else header(first, length)) + payload


def closePayload(code: int | None, reason: str = "") -> bytes:
    """The payload of a Close frame (§5.5.1)."""
    return b"" if code is None else _code.pack(code) + reason.encode()


class BadClose(Exception):
    """The payload of a Close frame breaks the rules; `code` is what to close with."""

    def __init__(self, code: CloseCode) -> None:
        self.code = code
        super().__init__(code.name)


def parseClose(payload: bytes) -> tuple[int | None, str]:
    """The code and the reason a Close frame carries; raises `BadClose` (§5.5.1, §7.4, §8.1)."""
    if not payload:
        return None, ""
    if len(payload) < 2:
        raise BadClose(CloseCode.PROTOCOL_ERROR)
    (code,) = _code.unpack_from(payload)
    if not isSendable(code):
        raise BadClose(CloseCode.PROTOCOL_ERROR)
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise BadClose(CloseCode.INVALID_PAYLOAD) from None


def unmask(payload: bytes, mask: bytes) -> bytes:
    """The payload without its mask (§5.3)."""
    length = len(payload)
    if length > _INTEGER_XOR_LIMIT:
        unmasked: bytes = xormasker.create_xor_masker(mask, length).process(payload)
        return unmasked
    key = (mask * (length // 4 + 1))[:length]
    return (_integer(payload, "little") ^ _integer(key, "little")).to_bytes(length, "little")


def preparedFrame(prepared: Prepared) -> bytes:
    """The frame of a message that is sent to many, built the first time."""
    built = prepared.frame
    if built is None:
        built = prepared.frame = frame(BINARY if prepared.isBinary else TEXT, prepared.payload)
    return built


def preparedDeflatedFrame(prepared: Prepared, deflater: Deflater) -> bytes:
    """The same compressed, once for all connections that share `deflater`."""
    if prepared.deflated is None:
        prepared.deflated = {}
    built = prepared.deflated.get(deflater)
    if built is None:
        first = COMPRESSED | (BINARY if prepared.isBinary else TEXT)
        built = prepared.deflated[deflater] = frame(first, deflater.deflate(prepared.payload))
    return built
