"""
Lists of rooms, page by page: for the HTTP API and for calls.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..protocol.excerpts import fitting
from ..rooms.contract.listing import Listing
from ..rooms.matching import wantedBy
from ..service.cluster import Cluster, ClusterRoom
from . import types
from .problems import Problem

#: The most bytes of a page. Clients choose the options of their rooms, of up to `limits.MAX_OPTIONS` bytes.
PAGE_SIZE = 512 << 10

Place = tuple[Any, str]


async def listRooms(
    cluster: Cluster,
    *,
    name: str | None = None,
    text: str = "",
    filter: Mapping[str, Any],
    order: types.Order = "age",
    limit: int = 100,
    cursor: str = "",
) -> types.RoomList:
    """
    List rooms of all nodes, private ones too.

    Args:
        cluster: The cluster.
        name: The name that they are registered under; `None`: any.
        text: What their id, name or metadata must have in it, in upper or lower case; empty: anything.
        filter: Values that their filtered options or metadata must have.
        order: The order.
        limit: The most rooms; fewer if they have more than `PAGE_SIZE` bytes.
        cursor: The `next` of the page before; empty: the first page.

    Raises:
        Problem: 400, the cursor is wrong.
        RoomError: ``badRequest``, the filter is; ``unavailable``, Redis can't be reached.
    """
    wanted = wantedBy(filter)
    after = _placeOf(cursor, order)
    key = _ORDERS[order]
    sought = text.casefold()
    found = [
        (key(each), each.listing.room, each)
        for each in await cluster.rooms(name)
        if each.listing.matches(wanted) and (not sought or _has(each.listing, sought))
    ]
    found.sort(key=lambda entry: entry[:2])
    if after is not None:
        found = [entry for entry in found if entry[:2] > after]
    page = fitting((_infoOf(each) for _, _, each in found[:limit]), PAGE_SIZE)
    last = found[len(page) - 1] if len(found) > len(page) else None
    return types.RoomList(page, None if last is None else _cursorFor(order, last[:2]))


def _has(listing: Listing, text: str) -> bool:
    """Return whether a room has a text in its id, its name or a text of its metadata."""
    texts = (listing.room, listing.name, *listing.metadata.values())
    return any(text in each.casefold() for each in texts if isinstance(each, str))


def _infoOf(each: ClusterRoom) -> types.RoomInfo:
    return msgspec.convert({**msgspec.structs.asdict(each.listing), "node": each.node}, types.RoomInfo)


_ORDERS: dict[str, Callable[[ClusterRoom], Any]] = {
    "age": lambda each: each.listing.age,
    "-age": lambda each: -each.listing.age,
    "clients": lambda each: each.listing.clients,
    "-clients": lambda each: -each.listing.clients,
    "name": lambda each: each.listing.name,
}


def _cursorFor(order: str, place: Place) -> str:
    return urlsafe_b64encode(msgspec.json.encode([order, *place])).decode().rstrip("=")


def _placeOf(cursor: str, order: str) -> Place | None:
    """Return the place of the last room of the page before; `None` for the first page."""
    if not cursor:
        return None
    kind = str if order == "name" else int
    try:
        decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        given, value, room = msgspec.json.decode(decoded, type=tuple[str, kind, str])  # type: ignore[valid-type]
    except (ValueError, msgspec.DecodeError):
        given, value, room = "", 0, ""
    if given != order:
        raise Problem(400, "isn't the `next` of an answer in this order", field="cursor")
    return value, room
