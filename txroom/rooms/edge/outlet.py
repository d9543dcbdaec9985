"""
The outlet of an edge: it passes the items of rooms to the clients' sessions.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import Logger

from ...core.codes import CloseCode
from ..contract.items import Item
from .attachment import Attachment


class EdgeOutlet:
    """All attachments of one edge; its `Outlet`."""

    _log = Logger()

    def __init__(self) -> None:
        #: The attachments that haven't ended, by link.
        self.attachments: dict[str, Attachment] = {}

    def reaches(self, link: str) -> bool:
        """Return whether a link still has a connected client."""
        attachment = self.attachments.get(link)
        return attachment is not None and not attachment.session.isGone

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        """Send an item to the clients of these links. Called for every message."""
        attachments = self.attachments
        isVolatile = item.isVolatile
        for link in links:
            attachment = attachments.get(link)
            if attachment is not None and (attachment.isJoined or attachment.takes(item)):
                if attachment.calls:
                    attachment.answered(item)
                try:
                    attachment.session.say(item, isVolatile)
                except Exception:
                    self._log.failure("an item of {kind} could not be sent", kind=type(item).__name__)
                    attachment.session.broken(attachment)

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        """End these links."""
        for link in links:
            attachment = self.attachments.pop(link, None)
            if attachment is not None:
                try:
                    attachment.session.ended(attachment, code, reason)
                except Exception:
                    self._log.failure(
                        "a client could not be told that its membership has ended, {code}", code=code
                    )
                    attachment.session.close(CloseCode.INTERNAL_ERROR, "")
