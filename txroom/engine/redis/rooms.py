"""
The rooms of one application, on all nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...rooms.contract.arrivals import Join, Refused, Resume
from ...rooms.contract.asks import Command, Reserve
from ...rooms.contract.listing import Listing, Order
from ...rooms.contract.ports import HostFactory, Journal, Link, ListedRoom, Made, Outlet, Owner, RoomHost
from ...rooms.hooks import runCoroutine
from .creating import Creating
from .entrance import Entrance
from .finding import Finder
from .owning import Owning


@attrs.frozen(kw_only=True)
class RoomServices:
    """The parts of a running node that the engines of applications use."""

    finder: Finder
    creating: Creating
    entrance: Entrance
    owning: Owning


class RedisRooms:
    """
    The engine of one application; its `Engine`.

    Until the node has started, and after it has stopped, there are no rooms.

    Args:
        application: The key of the application.
        factory: Makes the owners of rooms.
    """

    def __init__(self, application: str, factory: HostFactory) -> None:
        self.application = application
        self.factory = factory
        self._services: RoomServices | None = None

    def begin(self, services: RoomServices) -> None:
        """The node has started."""
        self._services = services
        services.owning.serve(self.application, self.factory)

    def end(self) -> None:
        """The node has stopped."""
        self._services = None

    def find(
        self,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> Deferred[list[Listing]]:
        """Find rooms; see `Engine.find`."""
        if self._services is None:
            return fail(_notStarted())
        return self._services.finder.find(self.application, name, filter, onlyOpen, order, limit)

    def listed(self, name: str) -> Deferred[list[ListedRoom]]:
        """Return all rooms of a name; see `Engine.listed`."""
        if self._services is None:
            return fail(_notStarted())
        return self._services.finder.listed(self.application, name)

    def create(self, name: str, options: Mapping[str, Any]) -> Deferred[str]:
        """Create a room; see `Engine.create`."""
        if self._services is None:
            return fail(_notStarted())
        return runCoroutine(self._services.creating.create(self.application, self.factory, name, options))

    def make(
        self,
        name: str,
        options: Mapping[str, Any],
        key: str | None,
        seats: int,
        mayCreate: Callable[[], None],
        tried: Collection[str] = (),
    ) -> Deferred[Made]:
        """Create a room, or wait for one; see `Engine.make`."""
        if self._services is None:
            return fail(_notStarted())
        make = self._services.creating.make
        return runCoroutine(make(self.application, self.factory, name, options, key, seats, mayCreate, tried))

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """Join or resume; see `Engine.attach`."""
        if self._services is None:
            return succeed(Refused(ErrorCode.UNAVAILABLE))
        return self._services.entrance.attach(outlet, arrival)

    def reserve(self, room: str, user: Any, seconds: float | None) -> Deferred[str]:
        """Reserve a seat; see `Engine.reserve`."""
        return self.ask(room, Reserve(user, seconds))

    def ask(self, room: str, command: Command) -> Deferred[Any]:
        """Let a room carry out a command; see `Engine.ask`."""
        if self._services is None:
            return fail(_notStarted())
        return self._services.entrance.ask(room, command)

    def claim(self, room: str, owner: Owner) -> Deferred[Journal]:
        """Claim a room; see `Engine.claim`."""
        if self._services is None:
            return fail(_notStarted())
        return self._services.owning.claim(room, cast(RoomHost, owner))

    def publish(self, listing: Listing) -> None:
        """Publish a listing; see `Engine.publish`."""
        if self._services is not None:
            self._services.finder.publish(self.application, listing)


def _notStarted() -> RoomError:
    return RoomError(ErrorCode.UNAVAILABLE, "the engine is not running")
