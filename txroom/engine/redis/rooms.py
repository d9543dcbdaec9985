"""
The rooms of one application, on all nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar, cast

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...rooms.contract.arrivals import Join, Refused, Resume
from ...rooms.contract.asks import Command, Once
from ...rooms.contract.listing import Listing, Order
from ...rooms.contract.nodes import ListedRoom
from ...rooms.contract.ports import HostFactory, Journal, Link, Made, Outlet, Owner, RoomHost
from ...rooms.hooks import runCoroutine
from .creating import Creating
from .entrance import Entrance
from .finding import Finder
from .owning import Owning

T = TypeVar("T")


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
        #: The id of the node, also when it has stopped; empty until it has started.
        self.nodeId = ""
        self._services: RoomServices | None = None

    def begin(self, node: str, services: RoomServices) -> None:
        """The node with that id has started."""
        self.nodeId = node
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
        found = (self.application, name, filter, onlyOpen, order, limit)
        return self._run(lambda services: services.finder.find(*found))

    def listed(self, name: str) -> Deferred[list[ListedRoom]]:
        """Return all rooms of a name; see `Engine.listed`."""
        return self._run(lambda services: services.finder.listed(self.application, name))

    def create(self, name: str, options: Mapping[str, Any], once: Once | None = None) -> Deferred[str]:
        """Create a room; see `Engine.create`."""
        new = (self.application, self.factory, name, options)
        return self._run(lambda services: runCoroutine(services.creating.create(*new, once=once)))

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
        new = (self.application, self.factory, name, options, key, seats, mayCreate, tried)
        return self._run(lambda services: runCoroutine(services.creating.make(*new)))

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """Join or resume; see `Engine.attach`."""
        if self._services is None:
            return succeed(Refused(ErrorCode.UNAVAILABLE))
        return self._services.entrance.attach(outlet, arrival)

    def ask(self, room: str, command: Command) -> Deferred[Any]:
        """Let a room carry out a command; see `Engine.ask`."""
        return self._run(lambda services: services.entrance.ask(room, command))

    def claim(self, room: str, owner: Owner) -> Deferred[Journal]:
        """Claim a room; see `Engine.claim`."""
        return self._run(lambda services: services.owning.claim(room, cast(RoomHost, owner)))

    def publish(self, listing: Listing) -> None:
        """Publish a listing; see `Engine.publish`."""
        if self._services is not None:
            self._services.finder.publish(self.application, listing)

    def _run(self, call: Callable[[RoomServices], Deferred[T]]) -> Deferred[T]:
        """Use the node, if it is running."""
        if self._services is None:
            return fail(RoomError(ErrorCode.UNAVAILABLE, "the engine is not running"))
        return call(self._services)
