"""
Parser for the frames of a client (RFC 6455 §5.2).

It does no I/O: `parseHeader` parses the header at the start of the received bytes, and `Frame.take` the part
of the payload that has arrived. Only the state of a frame is kept here and not its bytes, so that the
received part of a long payload is not copied again when more of it arrives.
"""

from __future__ import annotations

from struct import Struct

from .deflate import NAME
from .frames import protocolError
from .masking import unmask

#: The opcodes (§5.2); those from CLOSE on are for control frames.
CONTINUATION = 0
TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10

MAX_CONTROL_PAYLOAD = 125

_FINAL = 0x80
_RESERVED = 0x70
_COMPRESSED = 0x40
_OPCODE = 0x0F

_length16 = Struct("!H").unpack_from
_length64 = Struct("!Q").unpack_from


class Frame:
    """A frame whose header was parsed; `received` is the number of payload bytes that were taken."""

    __slots__ = ("_mask", "isCompressed", "isFinal", "length", "opcode", "received", "start")

    def __init__(self, first: int, length: int, mask: bytes, start: int) -> None:
        self.opcode = first & _OPCODE
        self.isFinal = first >= _FINAL
        self.isCompressed = first & _COMPRESSED != 0
        self.length = length
        self.received = 0
        #: The size of the header, which is the offset of the payload.
        self.start = start
        self._mask = mask

    def take(self, data: bytes, at: int = 0) -> bytes:
        """Get the next part of the payload, which starts at the offset `at` of `data`, unmasked."""
        received = self.received
        piece = data[at : at + self.length - received]
        self.received = received + len(piece)
        turn = received & 3
        return unmask(piece, self._mask[turn:] + self._mask[:turn] if turn else self._mask)


def parseHeader(data: bytes, isInside: bool, mayCompress: bool) -> Frame | None:
    """
    Parse the header at the start of `data`.

    Args:
        data: The received bytes that were not parsed yet.
        isInside: Whether a fragmented message has started.
        mayCompress: Whether permessage-deflate was negotiated.

    Returns:
        The frame, or `None` if the header is incomplete.

    Raises:
        Violation: The header breaks a rule of RFC 6455 §5 or RFC 7692 §6.
    """
    size = len(data)
    if size < 2:
        return None
    first, length = data[0], data[1] - 128  # the highest bit tells whether there is a mask
    opcode = first & _OPCODE
    reserved = first & _RESERVED
    if reserved and not (mayCompress and reserved == _COMPRESSED):
        raise protocolError(f"RSV = {reserved >> 4} and no extension negotiated")
    if length < 0:
        raise protocolError("unmasked client-to-server frame")
    if opcode >= CLOSE:
        _checkControl(first, length)
    else:
        _checkData(first, isInside)
    start = 6
    if length > MAX_CONTROL_PAYLOAD:
        start = 8 if length == 126 else 14
    if size < start:
        return None
    if start > 6:
        length = _extendedLength(data, length)
    return Frame(first, length, data[start - 4 : start], start)


def _checkControl(first: int, length: int) -> None:
    """Check the header of a control frame (§5.5)."""
    opcode = first & _OPCODE
    if first < _FINAL:
        raise protocolError("fragmented control frame")
    if length > MAX_CONTROL_PAYLOAD:
        raise protocolError("control frame with payload length > 125 octets")
    if opcode > PONG:
        raise protocolError(f"control frame using reserved opcode {opcode}")
    if opcode == CLOSE and length == 1:
        raise protocolError("received close control frame with payload len 1")
    if first & _COMPRESSED:
        raise protocolError(f"received compressed control frame [{NAME}]")


def _checkData(first: int, isInside: bool) -> None:
    """Check the header of a data frame (§5.4; RFC 7692 §6.1: only the first frame has the compress bit)."""
    opcode = first & _OPCODE
    if opcode > BINARY:
        raise protocolError(f"data frame using reserved opcode {opcode}")
    if not isInside:
        if opcode == CONTINUATION:
            raise protocolError("received continuation data frame outside fragmented message")
    elif opcode != CONTINUATION:
        raise protocolError("received non-continuation data frame while inside fragmented message")
    elif first & _COMPRESSED:
        raise protocolError(f"received continuation data frame with compress bit set [{NAME}]")


def _extendedLength(data: bytes, kind: int) -> int:
    """Parse a length of 2 or 8 bytes, which has to be the shortest encoding (§5.2)."""
    length: int
    if kind == 126:
        (length,) = _length16(data, 2)
        isShortest = length > MAX_CONTROL_PAYLOAD
    else:
        (length,) = _length64(data, 2)
        if length >= 1 << 63:
            raise protocolError("invalid data frame length (>2^63)")
        isShortest = length > 0xFFFF
    if not isShortest:
        raise protocolError("invalid data frame length (not using minimal length encoding)")
    return length
