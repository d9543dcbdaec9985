"""
What matchmaking is told of a room: its listing, published whenever something in it has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from ...protocol import payload
from ..contract.listing import Listing
from .context import RoomContext


class Publisher(Protocol):
    """Where listings are published: an `Engine`."""

    def publish(self, listing: Listing) -> None: ...


class RoomListing:
    """Knows what matchmaking is to know of one room, and what it knows already."""

    __slots__ = (
        "_context",
        "_publisher",
        "filters",
        "isLocked",
        "isPrivate",
        "metadata",
        "options",
        "published",
    )

    def __init__(
        self,
        context: RoomContext,
        publisher: Publisher,
        options: Mapping[str, Any],
        filters: Mapping[str, Any],
    ) -> None:
        self._context: RoomContext | None = context
        self._publisher = publisher
        #: What the room was made with.
        self.options: Mapping[str, Any] = MappingProxyType(dict(options))
        #: By what it is matched, whatever the registration says later.
        self.filters = filters
        self.isLocked = False
        self.isPrivate = False
        self.metadata: Mapping[str, Any] = MappingProxyType({})
        #: The listing that was published last.
        self.published: Listing | None = None

    def restore(self, listing: Listing) -> None:
        """Go on with what an earlier owner has published."""
        self.options = MappingProxyType(dict(listing.options))
        self.filters = listing.filters
        self.isLocked = listing.isLocked
        self.isPrivate = listing.isPrivate
        self.metadata = MappingProxyType(dict(listing.metadata))

    @property
    def isFull(self) -> bool:
        """Whether no seat is free; a room that has ended has none."""
        context = self._context
        return context is None or 0 < context.room.maxClients <= context.roster.taken

    def changed(self) -> None:
        """Something in the listing has changed, perhaps: publish it if so, and tell who listens."""
        context = self._context
        if context is None or not context.life.isListed:
            return
        listing = self._listingOf(context)
        before, self.published = self.published, listing
        if listing == before:
            return
        self._publisher.publish(listing)
        if not context.life.isOpen:
            return
        if before is None or _keptOf(before) != _keptOf(listing):
            context.outbox.record(listing)
        if before is not None and _isClosed(before) != _isClosed(listing):
            context.runner.tell("lock" if _isClosed(listing) else "unlock", context.room)

    def _listingOf(self, context: RoomContext) -> Listing:
        return Listing(
            context.id,
            context.name,
            context.roster.taken,
            context.room.maxClients,
            self.isLocked or not context.life.isOpen,
            self.isPrivate,
            dict(self.metadata),
            self.filters,
            dict(self.options),
        )

    def setLocked(self, isLocked: bool) -> None:
        """See `Room.lock`."""
        self.isLocked = isLocked
        self.changed()

    def setPrivate(self, isPrivate: bool) -> None:
        """See `Room.setPrivate`."""
        self.isPrivate = isPrivate
        self.changed()

    def setMetadata(self, metadata: Mapping[str, Any]) -> None:
        """See `Room.setMetadata`."""
        self.metadata = MappingProxyType(payload.plain(dict(metadata), name="metadata"))
        self.changed()

    def close(self) -> None:
        """The room has ended: keep what it says of itself, and nothing else of it."""
        self._context = self.published = None


def _keptOf(listing: Listing) -> tuple[object, ...]:
    """What of a listing must survive the owner."""
    return (listing.isLocked, listing.isPrivate, listing.metadata)


def _isClosed(listing: Listing) -> bool:
    return listing.isLocked or listing.isFull
