"""
The objects that all sessions of an application use.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ...core.handshake import Handshake
from ..contract.ports import Engine
from ..meters import RoomMeters
from .addresslimit import AddressLimit
from .matchmaker import Matchmaker
from .outlet import EdgeOutlet
from .users import EdgeUsers


@attrs.frozen(kw_only=True)
class EdgeServices:
    """The objects that sessions get in place of the whole application."""

    clock: IReactorTime
    log: Logger
    engine: Engine
    outlet: EdgeOutlet
    matchmaker: Matchmaker
    #: Who the users of connections are, and their notifications.
    users: EdgeUsers
    #: Limits for each client address: of rooms that its clients create, and of clients that join by their
    #: path.
    creations: AddressLimit
    arrivals: AddressLimit
    meters: RoomMeters
    #: The most bytes queued for a client; with more, its volatile messages are dropped.
    volatileLimit: int
    #: Called when a client is refused, with the error's code, how the client asked and for what, and its
    #: handshake.
    joinRefused: Callable[[str, tuple[str, str], Handshake], None]
