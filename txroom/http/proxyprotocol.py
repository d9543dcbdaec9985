"""
The PROXY protocol, versions 1 and 2, at the start of a connection ("haproxy:" endpoints).

Twisted's parsers expect the start of the header in one segment. They also expect addresses in a header
"PROXY UNKNOWN" of version 1, which has none and which proxies send for their health checks. The wrapper in
this module handles both cases before it calls the parsers.
"""

from __future__ import annotations

from twisted.protocols.policies import ProtocolWrapper

from ..core.twistedinternet import (
    PROXY_V1_END,
    PROXY_V1_START,
    PROXY_V2_START,
    HAProxyProtocolWrapper,
    HAProxyWrappingFactory,
    acceptProxyHeader,
    hasProxyInfo,
)

#: How many bytes Twisted needs to tell the version.
_TELLING = 16
_STARTS = (PROXY_V1_START, PROXY_V2_START)
_UNKNOWN = b"PROXY UNKNOWN"
#: The maximum length of a header of version 1.
_MAX_LINE = 107
#: The maximum length of a header of version 2 behind its first 16 bytes. Load balancers send a few hundred.
_MAX_REST = 4096


class ProxiedConnection(HAProxyProtocolWrapper):
    """A connection that begins with a PROXY header, however the header is split into segments."""

    _start: bytes | None = b""

    def dataReceived(self, data: bytes) -> None:
        if self._start is not None:
            start = self._start + data
            if start.startswith(_UNKNOWN):
                line, newline, data = start.partition(PROXY_V1_END)
                if newline:
                    acceptProxyHeader(self, line)
                elif len(line) <= _MAX_LINE:
                    self._start = start
                    return
            elif len(start) < _TELLING and any(start.startswith(good[: len(start)]) for good in _STARTS):
                self._start = start
                return
            elif start.startswith(PROXY_V2_START) and int.from_bytes(start[14:16]) > _MAX_REST:
                self.loseConnection()
                return
            else:
                data = start
            self._start = None
        if data or not hasProxyInfo(self):
            super().dataReceived(data)


class ProxiedFactory(HAProxyWrappingFactory):
    """Wraps the server's factory for the connections of a "haproxy:" endpoint."""

    noisy = False
    protocol: type[HAProxyProtocolWrapper] = ProxiedConnection


def hasProxyHeader(transport: object) -> bool:
    """
    Return whether a connection begins with a PROXY header, also below TLS. The header may not have arrived
    yet.
    """
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, HAProxyProtocolWrapper):
            return True
        transport = transport.transport
    return False
