"""
Frames as they come from a client (RFC 6455 §5.2), a header or a piece of payload at a time.

Sans I/O: `parseHeader` reads the header at the start of the bytes that have come, `Frame.take` the part of
the payload that has come with it or comes later. Nothing is kept here but a frame's mask, so that a long
payload is never copied again for what follows it.
"""

from __future__ import annotations

from struct import Struct

from .deflate import NAME
from .frames import protocolError
from .masking import unmask

#: Opcodes (§5.2); those from CLOSE on are control frames.
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
    """A frame whose header has come; `received` tells how much of its payload was taken."""

    __slots__ = ("_mask", "isCompressed", "isFinal", "length", "opcode", "received", "start")

    def __init__(self, first: int, length: int, mask: bytes, start: int) -> None:
        self.opcode = first & _OPCODE
        self.isFinal = first >= _FINAL
        self.isCompressed = first & _COMPRESSED != 0
        self.length = length
        self.received = 0
        #: The size of the header: the payload begins there.
        self.start = start
        self._mask = mask

    def take(self, data: bytes, at: int = 0) -> bytes:
        """The next part of the payload, which begins at that place of `data`, without its mask."""
        received = self.received
        piece = data[at : at + self.length - received]
        self.received = received + len(piece)
        turn = received & 3
        return unmask(piece, self._mask[turn:] + self._mask[:turn] if turn else self._mask)


def parseHeader(data: bytes, isInside: bool, mayCompress: bool) -> Frame | None:
    """
    The frame whose header is at the start of `data`.

    Args:
        data: What has come and was not parsed yet.
        isInside: Whether a fragmented message has begun.
        mayCompress: Whether permessage-deflate was negotiated.

    Returns:
        The frame; `None` if its header isn't complete.

    Raises:
        Violation: It breaks a rule of RFC 6455 §5 or RFC 7692 §6.
    """
    size = len(data)
    if size < 2:
        return None
    first, length = data[0], data[1] - 128  # the highest bit says that there is a mask
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
    """§5.5."""
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
    """§5.4, and RFC 7692 §6.1: only the first frame says that a message is compressed."""
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
    """§5.2: the shortest form is the only one, and the highest bit is 0."""
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
