"""
What twisted.web keeps to itself, though txroom needs it; see `core.twistedinternet`.
"""

from __future__ import annotations

from twisted.web.http import HTTPChannel, HTTPFactory, datetimeToLogString


class RefusingChannel(HTTPChannel):
    """A channel that says by a method of a public name that a request can't be parsed."""

    def badRequest(self) -> None:
        """The request can't be parsed: answer with 400, and close."""
        super()._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.badRequest()


def takeReadAhead(channel: HTTPChannel) -> bytes:
    """The bytes that a channel has read beyond its request; it gives them up."""
    ahead = b"".join(channel._dataBuffer)
    channel._dataBuffer = []
    return ahead


def logTimeOfDay() -> None:
    """
    Make the access logs of every `Site` of this process show the time of day.

    twisted.web would take the clock of the reactor for it, whatever that measures from.
    """
    HTTPFactory._updateLogDateTime = _updateLogDateTime  # type: ignore[method-assign]


def _updateLogDateTime(self: HTTPFactory) -> None:
    """As Twisted's own, each second, with the time of day instead of the reactor's."""
    self._logDateTime = datetimeToLogString()
    self._logDateTimeCall = self.reactor.callLater(1, self._updateLogDateTime)
