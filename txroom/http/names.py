"""
The names of the server's own listeners and of their protocol.
"""

from __future__ import annotations

#: The name of the listeners and their connections in Twisted's log.
LOG_PREFIX = "txroom"
#: The ALPN name of the protocol that is spoken over TLS.
ALPN = b"http/1.1"
