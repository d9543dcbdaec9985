"""
The admin listener: a service in the server.
"""

from __future__ import annotations

from collections.abc import Iterable
from secrets import token_bytes
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort

from ..http.gateway import Gateway
from ..service.endpoints import inheritedEndpoint
from ..service.listening import Listeners
from .api import Api
from .builtin.all import builtInCalls
from .calls import Calls, RpcCall
from .discovery import Discovery
from .door import Door
from .endedsessions import EndedSessions
from .guard import Guard
from .logs import Logs
from .metrics import Metrics
from .monitoring import Monitoring
from .openapi import documentRoute
from .page import AdminPage
from .playground import Playground
from .ports import AdminServer
from .rooms import Rooms
from .routes import Route, Routes
from .rpc import Rpc
from .secrets import Secrets
from .site import AdminSite
from .sockets import Sockets
from .upgrades import Upgrades
from .users import UserRequests

#: The backlog of the port.
_BACKLOG = 50


class AdminListener(Service):
    """
    Serves the HTTP API, the RPC interface and the operators' page at an endpoint of its own.

    Args:
        server: The server.
        where: The endpoint; see `Door`.
        secrets: Who may use it.
        allowedHosts: Its names, besides localhost and addresses.
        reactor: The reactor.
        gateway: What opens the server's own sockets.
        metrics: The metrics of the server.
        ended: The sessions of browsers that have ended, and the time of day.
        descriptor: The descriptor of its socket, if another process has opened it.

    Raises:
        ValueError: It must not listen there.
    """

    def __init__(
        self,
        server: AdminServer,
        where: int | str,
        secrets: Secrets,
        allowedHosts: Iterable[str],
        reactor: Any,
        gateway: Gateway,
        metrics: Metrics,
        ended: EndedSessions,
        descriptor: int | None = None,
    ) -> None:
        if isinstance(allowedHosts, str):
            raise TypeError(f"allowedHosts={allowedHosts!r}: must be a sequence of names")
        door = Door(where, bool(secrets))
        # Workers share one socket, so that each must accept the sessions of all.
        seed = token_bytes() if server.worker is None else server.worker.seed
        self.guard = Guard(secrets, tuple(allowedHosts), door.isUnix, reactor, ended, seed)
        #: The calls of the RPC interface.
        self.calls = Calls(self._builtIn(server), reactor)
        self._rpc = Rpc(self.calls, reactor)
        self._sockets = Sockets(self._rpc, reactor, ended)
        self._logs = Logs(server, reactor)
        api = Api(Routes(self._routes(server)), self.guard, reactor)
        monitoring = Monitoring(self.guard, api, metrics, server.healthPage(), reactor)
        page = AdminPage(self.guard, monitoring, reactor)
        self._playground = Playground(server, gateway, ended)
        upgrades = Upgrades(self.guard, self._sockets, self._playground, page, reactor)
        self._site = AdminSite(upgrades, reactor)
        self._listeners = Listeners(reactor, self._site, _BACKLOG)
        endpoint = door.endpoint(reactor)
        if descriptor is not None:
            endpoint = inheritedEndpoint(reactor, door.where, descriptor)
        #: Fires with the port when it listens.
        self.listening: Deferred[IListeningPort] = self._listeners.add(endpoint)

    def _routes(self, server: AdminServer) -> list[Route]:
        routes = [*Rooms(server).routes(), *self._logs.routes(), *UserRequests(server).routes()]
        return [*routes, documentRoute(routes)]

    def _builtIn(self, server: AdminServer) -> list[RpcCall]:
        """Return txroom's own calls."""
        return [*builtInCalls(server), *Discovery(lambda: self._rpc).calls()]

    @property
    def ports(self) -> list[IListeningPort]:
        """The port, while it listens."""
        return list(self._listeners.ports)

    def privilegedStartService(self) -> None:
        """Listen, while twistd has its privileges."""
        self._listeners.open()

    def startService(self) -> None:
        super().startService()
        self._sockets.start()
        self._listeners.open()

    def stopService(self) -> Deferred[Any]:
        """Stop listening, and close the connections; those with a request, after its answer."""
        super().stopService()
        self.guard.stop()
        self.calls.stop()
        self._playground.stop()
        closing = [self._listeners.close(), self._sockets.stop()]
        self._logs.stop()
        self._site.closeAll()
        return DeferredList(closing)

    def reloadCertificates(self) -> bool:
        """Reload the certificates; see `Server.reloadCertificates`."""
        return self._listeners.reload()

    def pause(self) -> None:
        """Leave new connections to other processes with the same socket."""
        self._listeners.pause()
        self._sockets.leave()
        self._logs.stop()
        self._site.closeAll()

    def resume(self) -> None:
        """Accept connections again."""
        self._sockets.start()
        self._listeners.resume()
