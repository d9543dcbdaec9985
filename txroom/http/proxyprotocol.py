"""
The PROXY protocol, versions 1 and 2, in front of a connection ("haproxy:" endpoints).

Twisted's parsers want the start of the header in one segment, and addresses even where version 1 says that
there are none (a proxy's own health checks). The wrapper here deals with both before it calls them.
"""

from __future__ import annotations

from twisted.protocols.haproxy._info import ProxyInfo
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper, HAProxyWrappingFactory
from twisted.protocols.policies import ProtocolWrapper

#: Bytes with which Twisted can tell the version.
_TELLING = 16
_STARTS = (V1Parser.PROXYSTR, V2Parser.PREFIX)
_UNKNOWN = b"PROXY UNKNOWN"
#: The longest line of version 1.
_MAX_LINE = 107
#: The longest rest of version 2, behind its first 16 bytes; balancers send some hundred bytes.
_MAX_REST = 4096


class ProxiedConnection(HAProxyProtocolWrapper):
    """A connection that begins with a PROXY header, in whatever segments it comes."""

    _start: bytes | None = b""

    def dataReceived(self, data: bytes) -> None:
        if self._start is not None:
            start = self._start + data
            if start.startswith(_UNKNOWN):
                line, newline, data = start.partition(V1Parser.NEWLINE)
                if newline:
                    self._proxyInfo = ProxyInfo(line, None, None)
                elif len(line) <= _MAX_LINE:
                    self._start = start
                    return
            elif len(start) < _TELLING and any(start.startswith(good[: len(start)]) for good in _STARTS):
                self._start = start
                return
            elif start.startswith(V2Parser.PREFIX) and int.from_bytes(start[14:16]) > _MAX_REST:
                self.loseConnection()
                return
            else:
                data = start
            self._start = None
        if data or self._proxyInfo is None:
            super().dataReceived(data)


class ProxiedFactory(HAProxyWrappingFactory):
    """Wraps what the server makes for the connections of a "haproxy:" endpoint."""

    noisy = False
    protocol: type[HAProxyProtocolWrapper] = ProxiedConnection


def hasProxyHeader(transport: object) -> bool:
    """Whether a connection begins with a PROXY header, below TLS if it has that; it may not have come yet."""
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, HAProxyProtocolWrapper):
            return True
        transport = transport.transport
    return False
