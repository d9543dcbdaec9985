"""
A message that comes in parts: frames, compressed or not, put together under all limits.

Sans I/O: parts go in, `Violation` comes out when one breaks a rule.
"""

from __future__ import annotations

import codecs
from io import BytesIO

from ..core.codes import CloseCode
from ..core.options import ServerOptions
from .deflate import CorruptDeflate, InflatedTooLarge, Inflater

#: Characters that a piece of text has at least; many small ones would cost more than they hold.
PIECE = 16 * 1024

_UTF8 = codecs.getincrementaldecoder("utf-8")


class Violation(Exception):
    """The peer broke a rule or a limit; `code` and `reason` are what to close with."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(code, reason)


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
