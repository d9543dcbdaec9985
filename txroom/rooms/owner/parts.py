"""
The parts of an owner: they are made here, and each gets the earlier parts that it uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs

from ..contract.ports import Engine
from ..registration import Registration
from .asked import Asked
from .attaching import Attaching
from .broadcaster import Broadcaster
from .calls import Calls
from .context import Lifecycle, RoomContext
from .examining import Examining
from .forwarding import Forwarding
from .inbox import Inbox
from .joining import Joining
from .keptanswers import KeptAnswers
from .leaving import Leaving
from .link import HostLink
from .moving import Moving
from .presence import Presence
from .reading import Reading
from .resuming import Resuming
from .revokedtokens import RevokedTokens
from .roomlisting import RoomListing
from .saving import Saving
from .seats import Seats
from .states import NO_STATE, States
from .statesync import StateSync
from .takeover import Takeover
from .timing import fallbackFor, handlersFor
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
    forwarding: Forwarding
    takeover: Takeover
    attaching: Attaching
    asked: Asked
    reading: Reading
    keptAnswers: KeptAnswers
    moving: Moving
    vacancy: Vacancy
    states: States


def makeParts(
    context: RoomContext,
    lifecycle: Lifecycle,
    registration: Registration,
    engine: Engine,
    options: Mapping[str, Any],
    given: Mapping[str, Any] | None,
) -> Parts:
    """
    Make the parts of an owner.

    Args:
        context: The objects that all parts use.
        lifecycle: The host.
        registration: The registration of the room.
        engine: Publishes the room's listing, and reaches its next owner.
        options: The options of the room.
        given: Those of the options that were given when the room was created; `None`: all of them.
    """
    given = options if given is None else given
    roomListing = RoomListing(context, engine, options, given, registration.filtersOf(options))
    revoked = RevokedTokens()
    broadcaster = Broadcaster(context)
    sync = None
    if registration.stateClass is not None:
        sync = StateSync(context, broadcaster, registration.stateClass)
    states = sync or NO_STATE
    saving = Saving(context, states)
    seats = Seats(context, lifecycle, roomListing)
    calls = Calls(context, broadcaster)
    presence = Presence(context)
    forwarding = Forwarding(context.id, context.clock, engine.ask)
    leaving = Leaving(context, lifecycle, roomListing, presence, calls, revoked, saving, forwarding)
    meters, name, seconds = context.meters, context.name, context.clock.seconds
    inbox = Inbox(
        context,
        handlersFor(meters, name, registration.handlers, seconds),
        fallbackFor(meters, name, context.room, seconds),
        broadcaster,
        states,
        calls,
        leaving,
        presence,
        saving,
        forwarding,
    )
    if sync is not None:
        sync.flushAcks = inbox.flushAcks
    welcome = Welcome(context, broadcaster, presence)
    linkOf = partial(HostLink, inbox, leaving, forwarding)
    joining = Joining(
        context,
        lifecycle,
        roomListing,
        seats,
        broadcaster,
        calls,
        presence,
        leaving,
        welcome,
        saving,
        states,
        linkOf,
    )
    resuming = Resuming(context, leaving, revoked, welcome, states, linkOf)
    keptAnswers = KeptAnswers(context)
    takeover = Takeover(context, roomListing, seats, leaving, resuming, revoked, saving, keptAnswers)
    attaching = Attaching(context, joining, resuming)
    reading = Reading(context)
    asked = Asked(
        context,
        lifecycle,
        roomListing,
        seats,
        broadcaster,
        leaving,
        attaching,
        keptAnswers,
        reading,
        inbox,
        Examining(context, roomListing, engine.nodeId, states),
    )
    return Parts(
        roomListing=roomListing,
        saving=saving,
        seats=seats,
        broadcaster=broadcaster,
        calls=calls,
        presence=presence,
        leaving=leaving,
        inbox=inbox,
        forwarding=forwarding,
        takeover=takeover,
        attaching=attaching,
        asked=asked,
        reading=reading,
        keptAnswers=keptAnswers,
        moving=Moving(context, lifecycle, calls, attaching, inbox, saving),
        vacancy=Vacancy(context, lifecycle),
        states=states,
    )
