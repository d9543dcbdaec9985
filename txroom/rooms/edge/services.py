"""
What the sessions of an application have in common.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ...core.handshake import Handshake
from ..contract.ports import Engine
from .addresslimit import AddressLimit
from .matchmaker import Matchmaker
from .outlet import EdgeOutlet


@attrs.frozen(kw_only=True)
class EdgeServices:
    """What sessions are given in place of the application that they are sessions of."""

    clock: IReactorTime
    log: Logger
    engine: Engine
    outlet: EdgeOutlet
    matchmaker: Matchmaker
    #: How many rooms the clients of one address may make, and how many of them may join by their path.
    creations: AddressLimit
    arrivals: AddressLimit
    #: Bytes that may wait for a client before volatile messages to it are dropped.
    volatileLimit: int
    #: A client was not let into a room: the error, how it asked and for what, its handshake.
    joinRefused: Callable[[str, tuple[str, str], Handshake], None]
