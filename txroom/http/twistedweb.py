"""
Private names of twisted.web that txroom needs; see `core.twistedinternet`.
"""

from __future__ import annotations

from twisted.web.http import HTTPChannel, HTTPFactory, datetimeToLogString


class RefusingChannel(HTTPChannel):
    """An HTTPChannel with a public method that is called when a request cannot be parsed."""

    def badRequest(self) -> None:
        """Answer with 400 and close, because the request cannot be parsed."""
        super()._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.badRequest()


def takeReadAhead(channel: HTTPChannel) -> bytes:
    """Take from a channel the bytes that it has read beyond its request, and return them."""
    ahead = b"".join(channel._dataBuffer)
    channel._dataBuffer = []
    return ahead


def logTimeOfDay() -> None:
    """
    Make the access logs of every `Site` in this process show the time of day.

    By default twisted.web takes the time from the reactor's clock, even if that does not show the time of
    day.
    """
    HTTPFactory._updateLogDateTime = _updateLogDateTime  # type: ignore[method-assign]


def _updateLogDateTime(self: HTTPFactory) -> None:
    """Update the time each second as Twisted does, but to the time of day."""
    self._logDateTime = datetimeToLogString()
    self._logDateTimeCall = self.reactor.callLater(1, self._updateLogDateTime)
