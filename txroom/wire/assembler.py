"""
From frames to messages: what comes and is not a short whole message, put together under all limits.

Sans I/O: `Incoming.take` is given the bytes that have come, and gives back one message or one control frame
at a time, so that whoever calls it can stop after each. `Violation` comes out when a rule is broken.
"""

from __future__ import annotations

import codecs
from io import BytesIO

from ..core.codes import CloseCode
from ..core.options import ServerOptions
from .deflate import CorruptDeflate, DeflateParameters, InflatedTooLarge, Inflater
from .frames import Violation
from .parser import CLOSE, CONTINUATION, TEXT, Frame, parseHeader

#: Characters that a piece of text has at least; many small ones would cost more than they hold.
PIECE = 16 * 1024

_UTF8 = codecs.getincrementaldecoder("utf-8")


#: The opcode of what is complete, its content, its size in bytes (inflated), and the bytes behind it. Every
#: message has the opcode `TEXT`, and `bytes` for its content if it is binary; `CONTINUATION` means that only
#: a part of a message was taken.
Taken = tuple[int, str | bytes, int, bytes]


class Assembler:
    """One message. `inflater` is that of its connection, if the message is compressed."""

    __slots__ = (
        "_bytes",
        "_decoder",
        "_frames",
        "_inflater",
        "_options",
        "_texts",
        "_wireSize",
        "isText",
        "received",
        "size",
    )

    def __init__(self, isText: bool, inflater: Inflater | None, options: ServerOptions) -> None:
        self.isText = isText
        self._inflater = inflater
        self._options = options
        #: Bytes so far, inflated; and as they came.
        self.size = 0
        self.received = 0
        # What was kept: text that is checked in pieces, all else as it came.
        self._texts: list[str] = []
        self._bytes = BytesIO()
        self._frames = 0
        self._wireSize = 0
        self._decoder = _UTF8() if isText and not options.skipUTF8Validation else None

    def beginFrame(self, length: int) -> None:
        """The header of the next frame; its limits are judged before a byte of it is kept."""
        options = self._options
        self._frames += 1
        self._wireSize += length
        limit = options.maxPayload
        if self._inflater is not None:
            # What can't be compressed gets a little longer.
            limit = options.maxCompressedSize or (limit and limit + limit // 1000 + 64)
        if limit and self._wireSize > limit:
            kind = "message" if self._inflater is None else "compressed message"
            raise Violation(CloseCode.MESSAGE_TOO_BIG, f"{kind} longer than {limit} bytes")
        if options.maxFragments and self._frames > options.maxFragments:
            raise Violation(CloseCode.POLICY_VIOLATION, f"more than {options.maxFragments} fragments")

    def append(self, payload: bytes) -> None:
        """Some payload of the frame."""
        self.received += len(payload)
        if self._inflater is not None:
            payload = self._inflated(self._inflater, payload)
        self._keep(payload, final=False)

    def finish(self) -> str | bytes:
        """The whole message."""
        rest = b"" if self._inflater is None else self._inflated(self._inflater, None)
        self._keep(rest, final=True)
        if self._decoder is not None:
            return "".join(self._texts)
        data = self._bytes.getvalue()
        return data.decode(errors="replace") if self.isText else data

    def _keep(self, payload: bytes, final: bool) -> None:
        self.size += len(payload)
        if self._decoder is None:
            self._bytes.write(payload)
            return
        try:
            text = self._decoder.decode(payload, final)
        except UnicodeDecodeError:
            raise Violation(CloseCode.INVALID_PAYLOAD, "text that is not UTF-8") from None
        if self._texts and len(self._texts[-1]) < PIECE:
            self._texts[-1] += text
        else:
            self._texts.append(text)

    def _inflated(self, inflater: Inflater, payload: bytes | None) -> bytes:
        """`payload` inflated; for `None` what is left at the end."""
        most = self._options.maxPayload
        limit = most - self.size if most else None
        try:
            return inflater.finish(limit) if payload is None else inflater.inflate(payload, limit)
        except InflatedTooLarge:
            raise Violation(CloseCode.MESSAGE_TOO_BIG, f"message longer than {most} bytes") from None
        except CorruptDeflate:
            raise Violation(CloseCode.INVALID_PAYLOAD, "not DEFLATE data") from None


class Incoming:
    """What has come of the message and of the frame that are not complete."""

    __slots__ = ("_frame", "_inflater", "_message", "_options", "_parameters")

    def __init__(self, options: ServerOptions, parameters: DeflateParameters | None) -> None:
        self._options = options
        self._parameters = parameters
        self._frame: Frame | None = None
        self._message: Assembler | None = None
        self._inflater: Inflater | None = None

    @property
    def isInside(self) -> bool:
        """Whether a message has begun."""
        return self._message is not None

    @property
    def received(self) -> int:
        """Bytes that have come of the message."""
        return 0 if self._message is None else self._message.received

    def take(self, data: bytes) -> Taken | None:
        """
        The first frame in `data`, or the part of its payload that is there.

        Returns:
            What it completes, and what is left; `None` if more bytes are needed to tell.

        Raises:
            Violation: The peer broke a rule or a limit; nothing may be taken after that.
        """
        frame, at = self._frame, 0
        if frame is None:
            frame = parseHeader(data, self._message is not None, self._parameters is not None)
            if frame is None:
                return None
            at = frame.start
            if frame.opcode >= CLOSE:
                end = at + frame.length
                if len(data) < end:
                    return None
                return frame.opcode, frame.take(data, at), frame.length, data[end:]
            self._begin(frame)
        message = self._message
        assert message is not None
        piece = frame.take(data, at)
        rest = data[at + len(piece) :]
        if piece:
            message.append(piece)
        if frame.received < frame.length:
            self._frame = frame
            return CONTINUATION, b"", 0, rest
        self._frame = None
        if not frame.isFinal:
            return CONTINUATION, b"", 0, rest
        self._message = None
        content = message.finish()
        return TEXT, content, message.size, rest

    def _begin(self, frame: Frame) -> None:
        """The header of a data frame has come: its limits are checked before any of it is kept."""
        if self._message is None:
            inflater = None
            if frame.isCompressed:
                assert self._parameters is not None
                inflater = self._inflater = self._inflater or Inflater(self._parameters)
            self._message = Assembler(frame.opcode == TEXT, inflater, self._options)
        self._message.beginFrame(frame.length)
