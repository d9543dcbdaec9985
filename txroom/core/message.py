"""
Messages as they are sent: text or bytes, and those that are encoded once for many connections.
"""

from __future__ import annotations

Data = str | bytes | bytearray | memoryview


class Prepared:
    """
    A message that is sent to many: framed, and deflated, once for all of them.

    `Prepared("text")` or `Prepared(b"binary")`; give it to `Connection.sendFrame`. The built frames are
    kept in it by the wire wing.

    Args:
        data: The message.
        isText: Whether `data` are the bytes of a text, in UTF-8.
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
    The payload of a message, and whether it is binary: text for `str`, binary for bytes-like objects.

    Raises `TypeError` for anything else.
    """
    if isinstance(data, str):
        return data.encode(), False
    if isinstance(data, bytes):
        return data, True
    if isinstance(data, bytearray | memoryview):
        return bytes(data), True
    raise TypeError(f"a message is str or bytes, not {type(data).__name__}")
