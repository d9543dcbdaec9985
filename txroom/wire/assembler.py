"""
Assembly of messages from frames, within all limits, for all frames that `Receiver` does not parse itself.

It does no I/O: `Incoming.take` gets the received bytes and returns one message or one control frame at a
time, so that the caller can stop after each.
"""

from __future__ import annotations

import codecs
from io import BytesIO

from ..core.codes import CloseCode
from ..core.options import ServerOptions
from .deflate import CorruptDeflate, DeflateParameters, InflatedTooLarge, Inflater
from .frames import Violation
from .parser import CLOSE, CONTINUATION, TEXT, Frame, parseHeader

#: The length that a piece of text reaches before the next piece begins. Many small strings would need too
#: much memory.
PIECE = 16 * 1024

_UTF8 = codecs.getincrementaldecoder("utf-8")

#: An opcode, the content of the message or control frame, its inflated size in bytes, and the remaining
#: bytes. The opcode of each message is `TEXT`, and its content is `bytes` if it is binary. `CONTINUATION`
#: means that only a part of a message was taken.
Taken = tuple[int, str | bytes, int, bytes]


class Assembler:
    """One message that is being received; `inflater` is for a compressed message."""

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
        #: The number of bytes so far, inflated and as received.
        self.size = 0
        self.received = 0
        # The pieces of a text message that is validated while it arrives, and the bytes of other messages.
        self._texts: list[str] = []
        self._bytes = BytesIO()
        self._frames = 0
        self._wireSize = 0
        self._decoder = _UTF8() if isText and not options.skipUTF8Validation else None

    def beginFrame(self, length: int) -> None:
        """Check the limits for the next frame, before any of its payload is kept."""
        options = self._options
        self._frames += 1
        self._wireSize += length
        limit = options.maxPayload
        if self._inflater is not None:
            # Data that can't be compressed becomes slightly longer.
            limit = options.maxCompressedSize or (limit and limit + limit // 1000 + 64)
        if limit and self._wireSize > limit:
            kind = "message" if self._inflater is None else "compressed message"
            raise Violation(CloseCode.MESSAGE_TOO_BIG, f"{kind} longer than {limit} bytes")
        if options.maxFragments and self._frames > options.maxFragments:
            raise Violation(CloseCode.POLICY_VIOLATION, f"more than {options.maxFragments} fragments")

    def append(self, payload: bytes) -> None:
        """Add a part of the payload."""
        self.received += len(payload)
        if self._inflater is not None:
            payload = self._inflated(self._inflater, payload)
        self._keep(payload, final=False)

    def finish(self) -> str | bytes:
        """Return the complete message."""
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
        """Inflate `payload`; `None` inflates the rest at the end of the message."""
        most = self._options.maxPayload
        limit = most - self.size if most else None
        try:
            return inflater.finish(limit) if payload is None else inflater.inflate(payload, limit)
        except InflatedTooLarge:
            raise Violation(CloseCode.MESSAGE_TOO_BIG, f"message longer than {most} bytes") from None
        except CorruptDeflate:
            raise Violation(CloseCode.INVALID_PAYLOAD, "not DEFLATE data") from None


class Incoming:
    """The incomplete message and frame of one connection."""

    __slots__ = ("_frame", "_inflater", "_message", "_options", "_parameters")

    def __init__(self, options: ServerOptions, parameters: DeflateParameters | None) -> None:
        self._options = options
        self._parameters = parameters
        self._frame: Frame | None = None
        self._message: Assembler | None = None
        self._inflater: Inflater | None = None

    @property
    def isInside(self) -> bool:
        """Whether a message has started."""
        return self._message is not None

    @property
    def received(self) -> int:
        """The number of bytes received of the message."""
        return 0 if self._message is None else self._message.received

    def take(self, data: bytes) -> Taken | None:
        """
        Take the first frame of `data`, or the part of its payload that has arrived.

        Returns:
            The message or control frame that is complete, and the remaining bytes; `None` if more bytes are
            needed.

        Raises:
            Violation: The peer broke a rule or a limit; `take` must not be called after that.
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
        """Start a data frame: check its limits before any of its payload is kept."""
        if self._message is None:
            inflater = None
            if frame.isCompressed:
                assert self._parameters is not None
                inflater = self._inflater = self._inflater or Inflater(self._parameters)
            self._message = Assembler(frame.opcode == TEXT, inflater, self._options)
        self._message.beginFrame(frame.length)
