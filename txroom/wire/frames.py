"""
Functions that build the frames of a server, and parse the payload of Close frames (RFC 6455 §5).
"""

from __future__ import annotations

from struct import Struct

from ..core.codes import CloseCode, isSendable
from ..core.message import Prepared
from .deflate import Deflater

#: The first byte of a frame: FIN and the opcode (§5.2), and RSV1 for a compressed message (RFC 7692 §6).
TEXT = 0x81
BINARY = 0x82
CLOSE = 0x88
PING = 0x89
PONG = 0x8A
COMPRESSED = 0x40

BAD_CLOSE = "bad Close frame"

_medium = Struct("!BBH").pack
_long = Struct("!BBQ").pack
_code = Struct("!H")
_shortHeaders = {
    first: tuple(bytes((first, length)) for length in range(126))
    for base in (TEXT, BINARY, CLOSE, PING, PONG)
    for first in (base, base | COMPRESSED)
}


def header(first: int, length: int) -> bytes:
    """Build the header of an unmasked, final frame."""
    if length < 126:
        return _shortHeaders[first][length]
    if length < 65536:
        return _medium(first, 126, length)
    return _long(first, 127, length)


def frame(first: int, payload: bytes) -> bytes:
    """Build an unmasked, final frame."""
    length = len(payload)
    return (_shortHeaders[first][length] if length < 126 else header(first, length)) + payload


def closePayload(code: int | None, reason: str = "") -> bytes:
    """Build the payload of a Close frame (§5.5.1)."""
    return b"" if code is None else _code.pack(code) + reason.encode()


class Violation(Exception):
    """The peer broke a rule or a limit; `code` and `reason` are for the Close frame."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(code, reason)


def protocolError(reason: str) -> Violation:
    """Make the `Violation` of a rule of the protocol itself."""
    return Violation(CloseCode.PROTOCOL_ERROR, reason)


def parseClose(payload: bytes) -> tuple[int | None, str]:
    """Parse the code and the reason of a Close frame; raises `Violation` (§5.5.1, §7.4, §8.1)."""
    if not payload:
        return None, ""
    if len(payload) < 2:
        raise protocolError(BAD_CLOSE)
    (code,) = _code.unpack_from(payload)
    if not isSendable(code):
        raise protocolError(BAD_CLOSE)
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise Violation(CloseCode.INVALID_PAYLOAD, BAD_CLOSE) from None


def preparedFrame(prepared: Prepared) -> bytes:
    """Get the frame of a message for several connections, which is built only once."""
    built = prepared.frame
    if built is None:
        built = prepared.frame = frame(BINARY if prepared.isBinary else TEXT, prepared.payload)
    return built


def preparedDeflatedFrame(prepared: Prepared, deflater: Deflater) -> bytes:
    """Get the compressed frame, which is built only once for all connections that share `deflater`."""
    if prepared.deflated is None:
        prepared.deflated = {}
    built = prepared.deflated.get(deflater)
    if built is None:
        first = COMPRESSED | (BINARY if prepared.isBinary else TEXT)
        built = prepared.deflated[deflater] = frame(first, deflater.deflate(prepared.payload))
    return built
