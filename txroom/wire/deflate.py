"""
permessage-deflate (RFC 7692): negotiation, compression and decompression.

It differs from Autobahn's codec in three ways: data after a final DEFLATE block is not lost, the inflated
size is limited during decompression, and a broadcast is compressed only once for all connections ("shared").
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import attrs

from ..core.options import ServerOptions

NAME = "permessage-deflate"
MAX_WINDOW_BITS = 15
#: The end of a sync flush, which is not sent (RFC 7692 §7.2.1).
_TAIL = b"\x00\x00\xff\xff"
#: The byte after a final block, which makes the tail an empty stored block (RFC 7692 §7.2.3.4).
_PAD = b"\x00"


class InflatedTooLarge(Exception):
    """The inflated message is too long."""


class CorruptDeflate(Exception):
    """A message can't be inflated."""


@attrs.frozen
class DeflateParameters:
    """The negotiated parameters (RFC 7692 §7.1)."""

    serverBits: int = MAX_WINDOW_BITS
    serverTakeover: bool = True
    clientBits: int = MAX_WINDOW_BITS
    clientTakeover: bool = True
    memoryLevel: int = 8
    #: The value of Sec-WebSocket-Extensions in the response.
    header: str = NAME


def negotiate(offers: Iterable[str], options: ServerOptions) -> DeflateParameters | None:
    """Choose the parameters for the first acceptable offer; offers with errors are ignored."""
    if options.compression == "disabled":
        return None
    for offer in offers:
        offered = _parameters(offer)
        if offered is not None:
            accepted = _accept(offered, options)
            if accepted is not None:
                return accepted
    return None


def _parameters(offer: str) -> dict[str, str | None] | None:
    """Parse an offer. Returns `None` if it is not for permessage-deflate, or has errors."""
    name, *parts = (part.strip(" \t") for part in offer.split(";"))
    if name.lower() != NAME:
        return None
    found: dict[str, str | None] = {}
    for part in parts:
        key, equals, value = (piece.strip(" \t") for piece in part.partition("="))
        if key in found or not key:
            return None
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        found[key] = value if equals else None
    return found


def _accept(offered: dict[str, str | None], options: ServerOptions) -> DeflateParameters | None:
    serverBits = options.serverMaxWindowBits
    serverTakeover = options.compression == "dedicated" and not options.serverNoContextTakeover
    clientBits = MAX_WINDOW_BITS
    clientTakeover = not options.clientNoContextTakeover
    for key, value in offered.items():
        if key in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            if key[0] == "s":
                serverTakeover = False
            else:
                clientTakeover = False
        elif key == "server_max_window_bits":
            bits = _bits(value)
            if bits is None or bits < 9:  # zlib does not support a window of 8 bits
                return None
            serverBits = min(serverBits, bits)
        elif key == "client_max_window_bits":
            if value is not None:
                bits = _bits(value)
                if bits is None:
                    return None
                clientBits = min(options.clientMaxWindowBits, bits)
            else:
                clientBits = options.clientMaxWindowBits
        else:
            return None
    header = [NAME]
    if not serverTakeover:
        header.append("server_no_context_takeover")
    if not clientTakeover:
        header.append("client_no_context_takeover")
    if serverBits < MAX_WINDOW_BITS:
        header.append(f"server_max_window_bits={serverBits}")
    if "client_max_window_bits" in offered and clientBits < MAX_WINDOW_BITS:
        header.append(f"client_max_window_bits={clientBits}")
    return DeflateParameters(
        serverBits,
        serverTakeover,
        clientBits,
        clientTakeover,
        options.memoryLevel,
        "; ".join(header),
    )


def _bits(value: str | None) -> int | None:
    """Parse a decimal number from 8 to 15 without leading zeros (RFC 7692 §7.1.2)."""
    return int(value) if value in {str(bits) for bits in range(8, 16)} else None


class Deflater:
    """Compresses messages for one connection, or, without context takeover, for any number."""

    __slots__ = ("_flush", "_zlib")

    def __init__(self, parameters: DeflateParameters) -> None:
        self._zlib = zlib.compressobj(
            zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -parameters.serverBits, parameters.memoryLevel
        )
        # A full flush resets the window, so that later messages do not refer to earlier ones.
        self._flush = zlib.Z_SYNC_FLUSH if parameters.serverTakeover else zlib.Z_FULL_FLUSH

    def deflate(self, payload: bytes) -> bytes:
        """Compress a message that is not empty."""
        data = self._zlib.compress(payload) + self._zlib.flush(self._flush)
        return data[: -len(_TAIL)]


class Inflater:
    """Decompresses the messages of one peer."""

    __slots__ = ("_ended", "_takeover", "_windowBits", "_zlib")

    def __init__(self, parameters: DeflateParameters) -> None:
        # The largest window can inflate data that was compressed with any window.
        self._windowBits = MAX_WINDOW_BITS
        self._takeover = parameters.clientTakeover
        self._zlib: zlib._Decompress | None = None
        self._ended = False

    def inflate(self, data: bytes, limit: int | None) -> bytes:
        """
        Decompress the next part of a message.

        Args:
            data: The compressed bytes.
            limit: The largest number of inflated bytes; `None` means no limit.

        Raises:
            InflatedTooLarge: The result is longer than `limit`.
            CorruptDeflate: `data` is not DEFLATE data, or continues after a final block.
        """
        if self._zlib is None:
            self._zlib = zlib.decompressobj(-self._windowBits)
        if self._ended:
            if data not in (b"", _PAD):
                raise CorruptDeflate
            return b""
        try:
            # One byte more than the limit shows whether the limit is exceeded; 0 would mean no limit.
            inflated = self._zlib.decompress(data, 0 if limit is None else limit + 1)
        except zlib.error as error:
            raise CorruptDeflate from error
        if limit is not None and (len(inflated) > limit or self._zlib.unconsumed_tail):
            raise InflatedTooLarge
        if self._zlib.eof:
            self._ended = True
            if self._zlib.unused_data not in (b"", _PAD):
                raise CorruptDeflate
        return inflated

    def finish(self, limit: int | None) -> bytes:
        """Decompress the rest at the end of a message; raises like `inflate`."""
        rest = b"" if self._ended else self.inflate(_TAIL, limit)
        if self._ended or not self._takeover:
            self._zlib = None
            self._ended = False
        return rest
