"""
How a client recognizes its own messages when the server sends them back.
"""

from __future__ import annotations


class RoundTrips:
    """
    The messages of one client that have not returned yet, and when each was sent.

    `name` differs from that of any other client of the same server.
    """

    def __init__(self, name: str) -> None:
        self._head = f"~{name}."
        self._last = 0
        self._sent: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def next(self) -> str:
        """The mark for the next message. It is the same text in JSON and in Python's `repr`."""
        return f"{self._head}{self._last + 1:x}~"

    def add(self, now: float) -> None:
        """Note that the next message was sent at the time `now`."""
        self._last += 1
        self._sent[self._last] = now

    def find(self, text: str) -> float | None:
        """
        Return when the message whose mark is in `text` was sent, and forget it. Returns `None` if there is no
        mark, or if its message was found before.
        """
        start = text.find(self._head)
        if start < 0:
            return None
        number, _, _ = text[start + len(self._head) :].partition("~")
        try:
            return self._sent.pop(int(number, 16), None)
        except ValueError:
            return None

    def first(self) -> float | None:
        """Remove the oldest message, and return when it was sent; `None` if there is none."""
        return self._sent.pop(next(iter(self._sent))) if self._sent else None

    def expire(self, before: float) -> int:
        """Forget the messages that were sent before that time; return how many."""
        count = 0
        while self._sent and self._sent[next(iter(self._sent))] < before:
            self.first()
            count += 1
        return count

    def clear(self) -> int:
        """Forget all messages; return how many."""
        count = len(self._sent)
        self._sent.clear()
        return count
