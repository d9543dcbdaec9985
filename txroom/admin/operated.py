"""
A server with operators: a base class of `Server`. It imports the admin listener only if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort

from ..core.options import ServerOptions
from ..http.gateway import Gateway
from ..rooms.contract.ports import EngineService
from ..service.reactorlag import ReactorLag
from ..service.userservice import UserService
from ..service.workerplace import WorkerPlace
from .endedsessions import EndedSessions
from .secrets import Secrets

if TYPE_CHECKING:
    from .metrics import Metrics
    from .owncalls import OwnCalls
    from .service import AdminListener

Function = TypeVar("Function", bound=Callable[..., Any])


class OperatedService(UserService):
    """A service with admin listeners; see `ConnectionService` for the arguments."""

    def __init__(self, options: ServerOptions, reactor: Any, gateway: Gateway, engine: EngineService) -> None:
        super().__init__(options, reactor, gateway, engine)
        self._admins: list[AdminListener] = []
        self._ownCalls: OwnCalls | None = None
        self._metrics: Metrics
        #: How late the reactor is; measured if there is an admin listener.
        self.reactorLag = ReactorLag(reactor)
        #: Which worker this is; `None`: it has no parent. The worker sets it.
        self.worker: WorkerPlace | None = None
        #: The sessions of operators that have ended, and the time of day. A worker sets those of its parent.
        self.endedSessions = EndedSessions()

    def addAdmin(
        self,
        where: int | str,
        *,
        token: str | None = None,
        readToken: str | None = None,
        allowedHosts: Iterable[str] = (),
        descriptor: int | None = None,
    ) -> Deferred[IListeningPort]:
        """
        Listen for operators and back ends too, at an endpoint of their own.

        The HTTP API, the RPC interface and the page of the operators are served there.

        They send ``Authorization: Bearer SECRET``. A TCP port needs a secret, and TLS too unless its address
        is a loopback address. A UNIX socket, to which only its owner can connect, needs neither.

        Args:
            where: The description of an endpoint of kind unix, tcp, tcp6, ssl or tls, such as
                "unix:/run/chat/admin.sock"; or a port number, which is opened on 127.0.0.1.
            token: The secret of those who may do everything, of at least 32 visible ASCII characters.
            readToken: The secret of those who may read everything and change nothing.
            allowedHosts: The names of the listener besides localhost and addresses, as in the option
                `allowedHosts`.
            descriptor: The descriptor of the socket, if another process has opened it.

        Returns:
            A Deferred that fires with the port.

        Raises:
            TypeError: An argument has a wrong type.
            ValueError: A secret is missing or too short, or the endpoint is one where it must not listen.
        """
        secrets = Secrets(token, readToken)
        from .metrics import Metrics  # not at load: most servers have no such listener
        from .service import AdminListener

        server: Any = self  # which is an `AdminServer`
        isFirst = not self._admins
        metrics = Metrics(server) if isFirst else self._metrics
        reactor, gateway, ended = self._reactor, self._gateway, self.endedSessions
        admin = AdminListener(
            server, where, secrets, allowedHosts, reactor, gateway, metrics, ended, descriptor
        )
        if isFirst:
            self._metrics = metrics
            metrics.begin()
            self.reactorLag.setServiceParent(self)
        self._own().share(admin.calls)
        self._admins.append(admin)
        admin.setServiceParent(self)
        return admin.listening

    def rpc(self, name: str, *, role: str = "manage") -> Callable[[Function], Function]:
        """
        Make a function a call of the RPC interface of the admin listeners.

        Operators call it by its name, with the arguments that the function has. msgspec checks them against
        the annotations, as for `message`; the docstring describes the call. A parameter annotated `Caller`
        gets who has called. The function returns plain data or a `msgspec.Struct`, or a Deferred or a
        coroutine of it, within 30 seconds. If it raises `RoomError`, the caller gets that error.

        Args:
            name: The name, such as "economy.reset": identifiers with a dot between them.
            role: Who may call it: "manage", or "read" for those too who may only read. Calls of "manage" are
                logged.

        Returns:
            A decorator.

        Raises:
            TypeError: `name` is not a string, or the function's parameters or annotations can't be used.
            ValueError: The role or the name is wrong, the name is taken, or it begins like those of txroom's
                own calls, such as "rooms.".
        """
        return self._own().adder(name, role)

    def _own(self) -> OwnCalls:
        from .owncalls import OwnCalls

        if self._ownCalls is None:
            self._ownCalls = OwnCalls()
        return self._ownCalls

    @property
    def hasAdmins(self) -> bool:
        """Whether `addAdmin` was called."""
        return bool(self._admins)

    @property
    def adminPorts(self) -> list[IListeningPort]:
        """The ports that listen for operators and back ends."""
        return [port for admin in self._admins for port in admin.ports]

    # -- overrides of the base classes

    def reloadCertificates(self) -> bool:
        """See `ListeningService.reloadCertificates`; those of the admin listeners are reloaded too."""
        isReloaded = False
        try:
            isReloaded = super().reloadCertificates()
        finally:
            for admin in self._admins:
                isReloaded = admin.reloadCertificates() or isReloaded
        return isReloaded

    def leave(self, nodes: Sequence[str]) -> Deferred[int]:
        """See `ListeningService.leave`; the admin listeners accept no connections either."""
        leaving = super().leave(nodes)
        for admin in self._admins:
            admin.pause()
            self._metrics.hasSuccessor = True
        return leaving

    def stay(self) -> None:
        """See `ListeningService.stay`."""
        super().stay()
        for admin in self._admins:
            admin.resume()
            self._metrics.hasSuccessor = False
