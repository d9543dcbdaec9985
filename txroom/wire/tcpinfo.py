"""
How much of what was sent a peer has received, which only the operating system knows.

Megabytes may lie in its buffers for a peer with a slow link, and take minutes; `sendQueue` tells whether
they move.
"""

from __future__ import annotations

import socket
import sys
from struct import Struct
from typing import Any

#: `tcpi_bytes_acked` of Linux's `struct tcp_info`, and `SIOCOUTQ`, what the peer hasn't acknowledged yet.
_ACKED = Struct("@Q")
_ACKED_AT = 120
_SIZE = 128
_SIOCOUTQ = 0x5411


def sendQueue(transport: Any) -> tuple[int, int] | None:
    """
    Bytes that the operating system holds for the peer of a transport, and all that it has delivered so far.

    `None` where that isn't known: no TCP, or not Linux.
    """
    sock = getattr(transport, "socket", None)
    if sys.platform != "linux" or not isinstance(sock, socket.socket) or sock.family == socket.AF_UNIX:
        return None
    from fcntl import ioctl

    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
        waiting = int.from_bytes(ioctl(sock, _SIOCOUTQ, bytes(4)), "little")
    except OSError:
        return None
    if len(info) < _SIZE:
        return None
    (delivered,) = _ACKED.unpack_from(info, _ACKED_AT)
    return waiting, delivered
