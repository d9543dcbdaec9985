"""
How many of the sent bytes a peer has received, as the operating system reports it.

The operating system may buffer megabytes for a peer with a slow link, which take minutes to deliver.
`sendQueue` tells whether there is progress.
"""

from __future__ import annotations

import socket
import sys
from struct import Struct
from typing import Any

#: `tcpi_bytes_acked` of Linux's `struct tcp_info`, and `SIOCOUTQ`, the number of unacknowledged bytes.
_ACKED = Struct("@Q")
_ACKED_AT = 120
_SIZE = 128
_SIOCOUTQ = 0x5411


def sendQueue(transport: Any) -> tuple[int, int] | None:
    """
    Get the number of bytes that the operating system buffers for the peer, and the number it has delivered.

    Returns:
        Both numbers, or `None` if the transport is not TCP or the system is not Linux.
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
