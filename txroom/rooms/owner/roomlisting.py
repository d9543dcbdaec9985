"""
The listing of a room, which is published to matchmaking whenever something in it has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from ...protocol import payload
from ..contract.listing import Listing
from .context import RoomContext


class Publisher(Protocol):
    """Publishes listings; an `Engine` does."""

    def publish(self, listing: Listing) -> None: ...


class RoomListing:
    """The listing of one room, and the one that was published last."""

    __slots__ = (
        "_context",
        "_given",
        "_last",
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
        given: Mapping[str, Any],
        filters: Mapping[str, Any],
    ) -> None:
        self._context: RoomContext | None = context
        self._publisher = publisher
        #: The options of the room.
        self.options: Mapping[str, Any] = MappingProxyType(dict(options))
        #: Those of them that were given when the room was created. The others are registered ones, which each
        #: process adds by itself.
        self._given = dict(given)
        #: The options by which the room is matched. They stay, also if the registration changes.
        self.filters = filters
        self.isLocked = False
        self.isPrivate = False
        self.metadata: Mapping[str, Any] = MappingProxyType({})
        #: The listing that was published last.
        self.published: Listing | None = None

    def restore(self, listing: Listing) -> None:
        """Take over the listing of an earlier owner."""
        self.filters = listing.filters
        self.isLocked = listing.isLocked
        self.isPrivate = listing.isPrivate
        self.metadata = MappingProxyType(dict(listing.metadata))

    @property
    def isFull(self) -> bool:
        """Whether no seat is free. A room that has ended is full."""
        context = self._context
        return context is None or 0 < context.room.maxClients <= context.roster.taken

    def changed(self) -> None:
        """Publish the listing if it has changed, and tell the listeners of "lock" and "unlock"."""
        context = self._context
        if context is None or not context.life.isListed:
            return
        listing = self.listing
        before, self.published = self.published, listing
        if listing == before:
            return
        self._publisher.publish(listing)
        if not context.life.isRunning:
            return
        if before is None or _keptOf(before) != _keptOf(listing):
            context.outbox.record(listing)
        if before is not None and _isClosed(before) != _isClosed(listing):
            context.runner.tell("lock" if _isClosed(listing) else "unlock", context.room)

    @property
    def listing(self) -> Listing:
        """The listing as it is now; of a room that has ended, the last one."""
        context = self._context
        if context is None:
            return self._last
        return Listing(
            context.id,
            context.name,
            context.roster.taken,
            context.room.maxClients,
            self.isLocked or not context.life.isRunning,
            self.isPrivate,
            dict(self.metadata),
            self.filters,
            self._given,
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
        """Drop the references to a room that has ended. Its listing can still be read."""
        self._last = self.listing
        self._context = self.published = None


def _keptOf(listing: Listing) -> tuple[object, ...]:
    """Return the parts of a listing that are written to the journal."""
    return (listing.isLocked, listing.isPrivate, listing.metadata)


def _isClosed(listing: Listing) -> bool:
    return listing.isLocked or listing.isFull
