"""
The HTTP response to an upgrade that the server has refused.
"""

from __future__ import annotations

from typing import Self

import attrs

from ..protocol.closecodes import closeCodeOfAnswer

#: How many bytes of a body are read, and how many characters an error message shows.
_MAX_BODY = 2048
_MAX_SHOWN = 200


@attrs.define
class HTTPResponse:
    """The status and the headers of a response; `add` adds to its body."""

    status: int
    phrase: str
    #: The headers by their names in lower case.
    headers: dict[str, str]
    body: bytes = b""

    @classmethod
    def read(cls, head: bytes) -> Self | None:
        """Parse the head of a response, without its last empty line. Returns `None` if it is not HTTP."""
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        status, _, phrase = rest.partition(" ")
        if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit()):
            return None
        pairs = [line.partition(":") for line in lines]
        headers = {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}
        return cls(int(status[:9]), phrase.strip(), headers)

    def add(self, data: bytes) -> bool:
        """Add a part of the body. Returns whether more of it is expected."""
        self.body = (self.body + data)[:_MAX_BODY]
        length = self.headers.get("content-length", "")
        most = int(length) if length.isascii() and length.isdigit() and len(length) < 9 else _MAX_BODY
        return len(self.body) < min(most, _MAX_BODY)

    @property
    def closeCode(self) -> int:
        """The WebSocket close code with the same meaning."""
        return closeCodeOfAnswer(self.status)

    @property
    def retryAfter(self) -> float:
        """How many seconds the server asks the client to wait; 0 if it does not."""
        after = self.headers.get("retry-after", "")
        return float(after) if after.isascii() and after.isdigit() and len(after) < 9 else 0.0

    @property
    def why(self) -> str:
        """The status and the text of the body, in one line."""
        said = f"HTTP {self.status} {self.phrase}".strip()[:_MAX_SHOWN]
        text = self._text
        return said if text in ("", self.phrase) else f"{said}: {text}"

    @property
    def _text(self) -> str:
        """The body in one line, if it is readable text; otherwise ""."""
        kind = self.headers.get("content-type", "text/plain").lower()
        if not kind.startswith(("text/plain", "application/problem+json", "application/json")):
            return ""
        words = self.body.decode(errors="replace").split()
        line = "".join(each for each in " ".join(words) if each.isprintable())
        return line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 3]}..."
