"""
The parts of an owner: they are made here, and each gets the earlier parts that it uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs

from ..registration import Registration
from .asked import Asked
from .attaching import Attaching
from .broadcaster import Broadcaster
from .calls import Calls
from .context import Lifecycle, RoomContext
from .inbox import Inbox
from .joining import Joining
from .leaving import Leaving
from .link import HostLink
from .moving import Moving
from .presence import Presence
from .resuming import Resuming
from .revokedtokens import RevokedTokens
from .roomlisting import Publisher, RoomListing
from .saving import Saving
from .seats import Seats
from .takeover import Takeover
from .vacancy import Vacancy
from .welcome import Welcome


@attrs.frozen(kw_only=True)
class Parts:
    """The parts of one owner that its host, its `Room` and its clients use."""

    roomListing: RoomListing
    saving: Saving
    seats: Seats
    broadcaster: Broadcaster
    calls: Calls
    presence: Presence
    leaving: Leaving
    inbox: Inbox
    takeover: Takeover
    attaching: Attaching
    asked: Asked
    moving: Moving
    vacancy: Vacancy


def makeParts(
    context: RoomContext,
    lifecycle: Lifecycle,
    registration: Registration,
    publisher: Publisher,
    options: Mapping[str, Any],
    given: Mapping[str, Any],
) -> Parts:
    """
    Make the parts of an owner.

    Args:
        context: The objects that all parts use.
        lifecycle: The host.
        registration: The registration of the room.
        publisher: Publishes the room's listing.
        options: The options of the room.
        given: Those of the options that were given when the room was created.
    """
    roomListing = RoomListing(context, publisher, options, given, registration.filtersOf(options))
    revoked = RevokedTokens()
    saving = Saving(context)
    seats = Seats(context, lifecycle, roomListing)
    broadcaster = Broadcaster(context)
    calls = Calls(context, broadcaster)
    presence = Presence(context)
    leaving = Leaving(context, lifecycle, roomListing, presence, calls, revoked, saving)
    inbox = Inbox(context, registration.handlers, broadcaster, calls, leaving, presence, saving)
    welcome = Welcome(context, broadcaster, presence)
    linkOf = partial(HostLink, inbox, leaving)
    joining = Joining(
        context, lifecycle, roomListing, seats, broadcaster, calls, presence, leaving, welcome, saving, linkOf
    )
    resuming = Resuming(context, leaving, revoked, welcome, linkOf)
    takeover = Takeover(context, roomListing, seats, leaving, resuming, revoked, saving)
    attaching = Attaching(context, joining, resuming)
    asked = Asked(context, lifecycle, roomListing, seats, broadcaster, leaving, attaching)
    return Parts(
        roomListing=roomListing,
        saving=saving,
        seats=seats,
        broadcaster=broadcaster,
        calls=calls,
        presence=presence,
        leaving=leaving,
        inbox=inbox,
        takeover=takeover,
        attaching=attaching,
        asked=asked,
        moving=Moving(context, lifecycle, calls, attaching, inbox, saving),
        vacancy=Vacancy(context, lifecycle),
    )
