"""
What the admin listener needs from the server.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred

from ..core.application import Application
from ..core.options import ServerOptions
from ..rooms.contract.asks import Once
from ..rooms.contract.notices import NotifyResult
from ..rooms.contract.ports import EngineService
from ..service.cluster import Cluster
from ..service.health import HealthPage
from ..service.meters import Meters
from ..service.operating.operations import Operations
from ..service.reactorlag import ReactorLag
from ..service.routing import Route
from ..service.users import Users
from ..service.workerplace import WorkerPlace


class AdminServer(Protocol):
    """The server as the admin listener sees it."""

    options: ServerOptions
    #: What operators see and do, on all nodes.
    operations: Operations

    @property
    def cluster(self) -> Cluster:
        """All servers that share its rooms."""
        ...

    @property
    def engine(self) -> EngineService:
        """The engine of its rooms."""
        ...

    @property
    def worker(self) -> WorkerPlace | None:
        """Which worker it is; `None`: it has no parent."""
        ...

    @property
    def meters(self) -> Meters:
        """Its counters."""
        ...

    @property
    def reactorLag(self) -> ReactorLag:
        """How late its reactor is."""
        ...

    @property
    def isDraining(self) -> bool:
        """Whether it is stopping."""
        ...

    def healthPage(self) -> HealthPage:
        """Make a page that says how it is."""
        ...

    @property
    def applications(self) -> list[Application]:
        """Its applications."""
        ...

    @property
    def routes(self) -> list[Route]:
        """The hosts and paths at which its applications are served."""
        ...

    @property
    def users(self) -> Users:
        """The users of all servers that share its rooms."""
        ...

    def notify(
        self,
        userId: str,
        type: str,
        data: Any = None,
        *,
        queue: bool,
        limit: int,
        seconds: float | None,
        once: Once | None,
    ) -> Deferred[NotifyResult]:
        """Send a notification to a user."""
        ...

    def notifyAll(self, type: str, data: Any = None) -> Deferred[None]:
        """Send a notification to all users who are connected."""
        ...
