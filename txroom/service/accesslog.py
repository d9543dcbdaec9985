"""
The access log: one line for each request, in the combined format of Apache and nginx, at level info. Secret
parameters of queries are left out, also those of the page that the request came from.
"""

from __future__ import annotations

import re

from twisted.logger import Logger
from twisted.web.http import datetimeToLogString
from twisted.web.server import Request

from ..core.handshake import Handshake
from ..core.options import ServerOptions
from ..http.resource import handshakeOf

_log = Logger(namespace="txroom.access")
#: The parameters of a query that are secret: of clients that join by their path, and of Colyseus's clients.
_SECRETS = re.compile(
    r"(?<=[?&])(auth|seat|token|access_token|sessionId|reconnectionToken|_authToken)=[^&\s]+", re.IGNORECASE
)


class AccessLog:
    """Logs each page request and each upgrade while `isOn` is true."""

    def __init__(self) -> None:
        self.isOn = False

    def upgrade(self, handshake: Handshake, status: int) -> None:
        """Log a WebSocket request that was answered with `status`."""
        if self.isOn:
            self._write(handshake, "HTTP/1.1", status, "-")

    def page(self, request: Request, options: ServerOptions) -> None:
        """Log a request that twisted.web has answered."""
        if self.isOn:
            handshake, length = handshakeOf(request, options), str(request.sentLength or "-")
            self._write(handshake, request.clientproto.decode("latin-1"), request.code, length)

    def _write(self, handshake: Handshake, version: str, status: int, length: str) -> None:
        # `datetimeToLogString` shows the time of day, which the reactor's clock may not be.
        request = f"{handshake.method} {handshake.target} {version}"
        referrer, agent = (handshake.headers.get(name) or "-" for name in ("referer", "user-agent"))
        _log.info(
            '{peer} - - {when} "{request}" {status} {length} "{referrer}" "{agent}"',
            peer=handshake.peer or "-",
            when=datetimeToLogString(),
            request=_escaped(_withoutSecrets(request)),
            status=status,
            length=length,
            referrer=_escaped(_withoutSecrets(referrer)),
            agent=_escaped(agent),
            path=handshake.path,
        )


def _withoutSecrets(text: str) -> str:
    return _SECRETS.sub(r"\1=...", text)


def _escaped(text: str) -> str:
    """Escape quotes, control characters and non-ASCII characters, as the access logs of twisted.web do."""
    letters = text.encode("latin-1", "replace").decode("latin-1")
    return letters.encode("unicode_escape").decode("ascii").replace('"', r"\"")
