"""
An HTTP answer to an upgrade that is none: what it means, and what the server says.
"""

from __future__ import annotations

from typing import Self

import attrs

from ..protocol.closecodes import closeCodeOfAnswer

#: Bytes of a body that are read, and characters of it that are shown.
_MAX_BODY = 2048
_MAX_SHOWN = 200


@attrs.define
class HTTPResponse:
    """Its head; `add` the body."""

    status: int
    phrase: str
    #: By their names in lower case.
    headers: dict[str, str]
    body: bytes = b""

    @classmethod
    def read(cls, head: bytes) -> Self | None:
        """What a head says, without the empty line at its end; `None` if it is none of HTTP."""
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        status, _, phrase = rest.partition(" ")
        if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit()):
            return None
        pairs = [line.partition(":") for line in lines]
        headers = {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}
        return cls(int(status[:9]), phrase.strip(), headers)

    def add(self, data: bytes) -> bool:
        """More of the body has come; whether there is more to wait for."""
        self.body = (self.body + data)[:_MAX_BODY]
        length = self.headers.get("content-length", "")
        most = int(length) if length.isascii() and length.isdigit() and len(length) < 9 else _MAX_BODY
        return len(self.body) < min(most, _MAX_BODY)

    @property
    def closeCode(self) -> int:
        """The close code that means the same to a client."""
        return closeCodeOfAnswer(self.status)

    @property
    def retryAfter(self) -> float:
        """The seconds that the server asks to stay away; 0: it doesn't."""
        after = self.headers.get("retry-after", "")
        return float(after) if after.isascii() and after.isdigit() and len(after) < 9 else 0.0

    @property
    def why(self) -> str:
        """What it says, in one line."""
        said = f"HTTP {self.status} {self.phrase}".strip()[:_MAX_SHOWN]
        text = self._text
        return said if text in ("", self.phrase) else f"{said}: {text}"

    @property
    def _text(self) -> str:
        """The body, if it is text that a person may read, in one line."""
        kind = self.headers.get("content-type", "text/plain").lower()
        if not kind.startswith(("text/plain", "application/problem+json", "application/json")):
            return ""
        words = self.body.decode(errors="replace").split()
        line = "".join(each for each in " ".join(words) if each.isprintable())
        return line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 3]}..."
