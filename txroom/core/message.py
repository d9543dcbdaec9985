"""
Messages to be sent: text or bytes, and messages that are framed once for several connections.
"""

from __future__ import annotations

Data = str | bytes | bytearray | memoryview


class Prepared:
    """
    A message for several connections, which is framed and compressed only once.

    Make it as ``Prepared("text")`` or ``Prepared(b"binary")`` and pass it to `Connection.sendFrame`. It keeps
    the frames that ``txroom.wire`` builds.

    Args:
        data: The message.
        isText: Whether `data`, if it is `bytes`, is a text message in UTF-8 and not a binary one.
    """

    __slots__ = ("deflated", "frame", "isBinary", "payload")

    def __init__(self, data: Data, isText: bool = False) -> None:
        if isText and type(data) is bytes:
            self.payload, self.isBinary = data, False
        else:
            self.payload, self.isBinary = encoded(data)
        self.frame: bytes | None = None
        self.deflated: dict[object, bytes] | None = None


def encoded(data: Data) -> tuple[bytes, bool]:
    """
    Encode a message: as text if it is a `str`, as binary if it is a bytes-like object.

    Returns:
        The payload, and whether it is binary.

    Raises:
        TypeError: The message has another type.
    """
    if isinstance(data, str):
        return data.encode(), False
    if isinstance(data, bytes):
        return data, True
    if isinstance(data, bytearray | memoryview):
        return bytes(data), True
    raise TypeError(f"a message must be str or bytes, not {type(data).__name__}")
