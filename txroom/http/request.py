"""
A strict, bounded reader of HTTP request heads, whose time is linear in the length of the head.

It does no I/O: `HeadReader.feed` takes bytes and returns a `Head`, or raises `UpgradeError` with the status
of the answer. The rules are those of RFC 9112 §2-5 and RFC 9110 §5. Where the RFCs allow a server to be
lenient (a bare LF, folded lines, a space before the colon), this reader refuses, because a proxy in front of
it may understand such a request differently and let pass what it should have stopped (request smuggling).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from ..core.handshake import Handshake, UpgradeError
from ..core.headers import TOKEN, Headers

MAX_HEAD = 16 * 1024
MAX_LINE = 8 * 1024
MAX_HEADERS = 100

_END = b"\r\n\r\n"
#: All control characters except HTAB, CR and LF. The positions of CR and LF are checked separately.
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\r\n")) + b"\x7f"
_IN_NO_PATH = bytes(range(0x20)) + b"\x7f"
_FIRST = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z\r]")
_REQUEST_LINE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_FIELD = re.compile(r"^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\r\n]*)\r\n", re.MULTILINE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(:\d{0,5})?")
#: Matches most targets. Such a target needs no further checks.
_PLAIN = re.compile(r"/[A-Za-z0-9_/-]*(?:\?[A-Za-z0-9_=&-]*)?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"(?:http|ws)s?://([^/?#]+)([/?].*)?", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_LENGTH = re.compile(r"[0-9]{1,18}")

#: Fields that a request may have only once (RFC 9110 §5.3, RFC 6455 §11.3).
_SINGLE = ("host", "content-length", "origin", "sec-websocket-key", "sec-websocket-version")


class Head(NamedTuple):
    """A valid request head."""

    method: str
    target: str
    version: tuple[int, int]
    headers: Headers
    #: The bytes of the head.
    raw: bytes
    #: The bytes that were received behind the head.
    rest: bytes


class HeadReader:
    """Collects and parses the head of one request."""

    __slots__ = ("_data", "_hasLine", "_isBegun")

    def __init__(self) -> None:
        self._data = bytearray()
        self._isBegun = False
        self._hasLine = False

    @property
    def started(self) -> bool:
        """Whether any byte has been received."""
        return bool(self._data)

    def feed(self, data: bytes) -> Head | None:
        """
        Take more bytes.

        Returns:
            The head if it is complete, otherwise `None`.

        Raises:
            UpgradeError: The head is invalid; the status is 400, 414, 431 or 505. It is raised as soon as
                that is certain, even if the head is incomplete.
        """
        buffer = self._data
        if not buffer and not data.startswith(b"\r"):  # nearly all heads come in one piece
            end = data.find(_END, 0, MAX_HEAD)
            if end >= 0:
                return parseHead(data[:end], data[end + len(_END) :])
        searchFrom = max(0, len(buffer) - len(_END) + 1)
        buffer += data
        if not self._isBegun and len(buffer) >= 2:
            self._isBegun = True
            # RFC 9112 §2.2 allows empty lines before the request; this reader allows one
            if buffer[:2] == b"\r\n":
                del buffer[:2]
                searchFrom = 0
        end = buffer.find(_END, searchFrom, MAX_HEAD)
        if end >= 0:
            return parseHead(bytes(buffer[:end]), bytes(buffer[end + len(_END) :]))
        self._checkPart(searchFrom)
        return None

    def _checkPart(self, searchFrom: int) -> None:
        buffer = self._data
        if buffer and not _FIRST.match(buffer):
            raise _syntax()
        # A LF at the start, or a CR at the end, is checked together with the byte before or after it, in
        # another call.
        _checkBytes(buffer[searchFrom:].removeprefix(b"\n").removesuffix(b"\r"))
        if not self._hasLine:
            lineEnd = buffer.find(b"\r\n", searchFrom, MAX_LINE + 2)
            if lineEnd >= 0:
                self._hasLine = True
                _requestLine(buffer[:lineEnd].decode("latin-1"))
            elif len(buffer) >= MAX_LINE + 2:
                raise UpgradeError(414, "size")
        if len(buffer) >= MAX_HEAD:
            raise UpgradeError(431, "size")


def parseHead(head: bytes, rest: bytes = b"") -> Head:
    """
    Parse a complete head.

    Args:
        head: The bytes of the head, without the empty line at its end.
        rest: The bytes that were received behind it.

    Raises:
        UpgradeError: The head is invalid; the status is 400, 414, 431 or 505.
    """
    _checkBytes(head)
    requestLine, _, lines = (head.decode("latin-1") + "\r\n").partition("\r\n")
    method, target, *numbers = _requestLine(requestLine).groups()
    count = lines.count("\r\n")
    tooLong = len(head) > MAX_LINE and any(len(line) > MAX_LINE for line in lines.split("\r\n"))
    if tooLong or count > MAX_HEADERS:
        raise UpgradeError(431, "size")
    fields = _FIELD.findall(lines)
    if len(fields) != count:  # a line that is not a field
        raise _syntax()
    headers = Headers(fields)
    first = headers.index()
    version = (int(numbers[0]), int(numbers[1]))
    if version[0] != 1:
        raise UpgradeError(505, "version")
    _checkSingles(headers)
    host = first.get("host")
    if host is None:
        if version >= (1, 1):
            raise _syntax()
    elif not _HOST.fullmatch(host) or ("transfer-encoding" in first and "content-length" in first):
        raise _syntax()
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        return _inOriginForm(method, absolute, f"HTTP/1.{numbers[1]}", lines, rest)
    return Head(method, _target(target), version, headers, head + _END, rest)


def _inOriginForm(method: str, absolute: re.Match[str], version: str, lines: str, rest: bytes) -> Head:
    """
    Return the head of a request in absolute form, with the authority of its target as Host (RFC 9112 §3.2.2).
    """
    target = absolute[2] or "/"
    if not target.startswith("/"):
        target = "/" + target
    others = [line for line in lines.split("\r\n")[:-1] if not line.lower().startswith("host:")]
    head = [f"{method} {target} {version}", f"Host: {absolute[1]}", *others]
    return parseHead("\r\n".join(head).encode("latin-1"), rest)


def _checkBytes(text: bytes | bytearray) -> None:
    """
    Raise `UpgradeError` for control characters, and for a CR or LF that is not part of a CRLF (RFC 9112
    §2.2).
    """
    breaks = text.count(b"\r\n")
    if text.count(b"\r") != breaks or text.count(b"\n") != breaks:
        raise _syntax()
    if len(text.translate(None, _CONTROLS)) != len(text):
        raise _syntax()


def _requestLine(text: str) -> re.Match[str]:
    if len(text) > MAX_LINE:
        raise UpgradeError(414, "size")
    line = _REQUEST_LINE.fullmatch(text)
    if line is None or line[1] == "PRI":  # the connection preface of HTTP/2
        raise _syntax()
    return line


def _syntax() -> UpgradeError:
    return UpgradeError(400, "syntax")


def _checkSingles(headers: Headers) -> None:
    if len(headers) < len(headers.pairs) and any(len(headers.getAll(name)) > 1 for name in _SINGLE):
        raise _syntax()


def _target(target: str) -> str:
    """
    Return the target, which must be in origin form or "*", if no other reader can understand it differently.
    """
    if _PLAIN.fullmatch(target):
        return target
    if not target.startswith("/"):
        if target == "*":
            return target
        raise _syntax()
    if "#" in target or _BAD_ESCAPE.search(target):
        raise _syntax()
    path = unquote_to_bytes(target.partition("?")[0])
    if len(path.translate(None, _IN_NO_PATH)) != len(path):
        raise _syntax()
    segments = path.split(b"/")
    if b"." in segments or b".." in segments:
        raise _syntax()
    return target


def bodyLength(headers: Headers) -> int | None:
    """
    Return the length of a request's body in bytes, or `None` if it comes in chunks and has no known length.

    Raises:
        UpgradeError: 400, the body has neither a valid length nor chunks (RFC 9112 §6).
    """
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked" or len(headers.getAll("transfer-encoding")) > 1:
            raise _syntax()
        return None
    length = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(length):
        raise _syntax()
    return int(length)


def isUpgrade(headers: Headers) -> bool:
    """Return whether a request asks for a WebSocket (RFC 6455 §4.2.1, items 3 and 4)."""
    return _lists(headers, "upgrade", "websocket") and _lists(headers, "connection", "upgrade")


def _lists(headers: Headers, name: str, token: str) -> bool:
    if headers.get(name, "").lower() == token:  # nearly all clients send it like this
        return True
    return token in [member.lower() for member in headers.listed(name)]


def checkUpgrade(handshake: Handshake, isForeign: bool = False) -> None:
    """
    Check a request against the rules of RFC 6455 §4.2.1.

    Args:
        handshake: The request.
        isForeign: Whether twisted.web has read its head, and not `HeadReader`.

    Raises:
        UpgradeError: 405, the method is not GET; 426, the WebSocket version is not 13; 400, any other error.
    """
    headers = handshake.headers
    if handshake.method != "GET":
        raise UpgradeError(405, "method", headers=[("Allow", "GET")])
    if headers.get("transfer-encoding") is not None or headers.get("content-length", "0") != "0":
        raise _syntax()
    if isForeign:
        _checkSingles(headers)
        if not _HOST.fullmatch(headers.get("host", "")):
            raise _syntax()
    if not _KEY.fullmatch(headers.get("sec-websocket-key", "")):
        raise _syntax()
    version = headers.get("sec-websocket-version")
    if version is None:
        raise _syntax()
    if version != "13":
        raise UpgradeError(426, "version", headers=[("Sec-WebSocket-Version", "13")])
    protocols = handshake.protocols
    if protocols and (len(set(protocols)) != len(protocols) or not all(map(_isToken, protocols))):
        raise _syntax()


def _isToken(text: str) -> bool:
    return TOKEN.fullmatch(text) is not None
