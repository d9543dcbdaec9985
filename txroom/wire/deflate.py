"""
permessage-deflate (RFC 7692): negotiating it, deflating what is sent, inflating what arrives.

Of Autobahn's codec three things had to differ, so this one speaks to zlib itself: a final DEFLATE
block must not swallow what follows it, the inflated size is bounded while inflating, and one deflate
of a broadcast serves everyone ("shared").
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import attrs

from ..core.options import ServerOptions

NAME = "permessage-deflate"
MAX_WINDOW_BITS = 15
#: RFC 7692 §7.2.1: what a sync flush ends with, and what isn't sent.
_TAIL = b"\x00\x00\xff\xff"
#: RFC 7692 §7.2.3.4: what follows a final block, to make the tail an empty stored block.
_PAD = b"\x00"


class InflatedTooLarge(Exception):
    """A message inflates to more than is accepted."""


class CorruptDeflate(Exception):
    """A message can't be inflated."""


@attrs.frozen
class DeflateParameters:
    """The parameters both sides agreed on (RFC 7692 §7.1)."""

    serverBits: int = MAX_WINDOW_BITS
    serverTakeover: bool = True
    clientBits: int = MAX_WINDOW_BITS
    clientTakeover: bool = True
    memoryLevel: int = 8
    #: The value of Sec-WebSocket-Extensions in the answer.
    header: str = NAME


def negotiate(offers: Iterable[str], options: ServerOptions) -> DeflateParameters | None:
    """The parameters on the first offer that can be accepted; an offer with errors is passed over."""
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
    """The parameters of an offer of permessage-deflate; `None` if it is something else, or wrong."""
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
            if bits is None or bits < 9:  # zlib can't keep to a window of 8 bits
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
    """RFC 7692 §7.1.2: a decimal number from 8 to 15, without leading zeros."""
    return int(value) if value in {str(bits) for bits in range(8, 16)} else None


class Deflater:
    """Deflates messages: with a window of its own, or, without takeover, for any number of peers."""

    __slots__ = ("_flush", "_zlib")

    def __init__(self, parameters: DeflateParameters) -> None:
        self._zlib = zlib.compressobj(
            zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -parameters.serverBits, parameters.memoryLevel
        )
        # A full flush forgets the window: what follows refers to nothing before it.
        self._flush = zlib.Z_SYNC_FLUSH if parameters.serverTakeover else zlib.Z_FULL_FLUSH

    def deflate(self, payload: bytes) -> bytes:
        """The compressed form of a message that isn't empty."""
        data = self._zlib.compress(payload) + self._zlib.flush(self._flush)
        return data[: -len(_TAIL)]


class Inflater:
    """Inflates the messages of one peer."""

    __slots__ = ("_ended", "_takeover", "_windowBits", "_zlib")

    def __init__(self, parameters: DeflateParameters) -> None:
        # A window of the largest size inflates what was deflated with any.
        self._windowBits = MAX_WINDOW_BITS
        self._takeover = parameters.clientTakeover
        self._zlib: zlib._Decompress | None = None
        self._ended = False

    def inflate(self, data: bytes, limit: int | None) -> bytes:
        """
        The next part of a message.

        Raises `InflatedTooLarge` if it is longer than `limit` bytes (`None`: any length), and
        `CorruptDeflate` if it isn't DEFLATE, or goes on behind a final block.
        """
        if self._zlib is None:
            self._zlib = zlib.decompressobj(-self._windowBits)
        if self._ended:
            if data not in (b"", _PAD):
                raise CorruptDeflate
            return b""
        try:
            # One byte more than the limit tells "exactly at it" from "beyond it"; 0 would be "any length".
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
        """What is left at the end of a message; raises as `inflate`."""
        rest = b"" if self._ended else self.inflate(_TAIL, limit)
        if self._ended or not self._takeover:
            self._zlib = None
            self._ended = False
        return rest
