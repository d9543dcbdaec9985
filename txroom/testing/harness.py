"""
`RoomHarness`: the real server in memory, and what is checked when it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, Self, TypeVar, cast, overload

from autobahn.websocket.compress import PerMessageDeflateOffer
from autobahn.websocket.types import ConnectingRequest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from .. import Application, Connection, Room, RoomApplication, Server
from ..client import ClientOptions
from ..client.transport import absolute
from ..core.interfaces import ProtocolFactory
from ..rooms.contract.notices import NotifyResult
from .clients import Client, ClientProtocol, MemoryEndpoint, RawClient, RawProtocol, TCPClient, clientFactory
from .makers import serverOf
from .network import PORT, MemoryReactor, MemorySocket
from .restarting import restart
from .rooms import JoinedRoom, RoomClient, resultOf
from .tls import clientContext, serverContext
from .trace import Trace

RoomClass = TypeVar("RoomClass", bound=Room)


class RoomHarness:
    """
    A server that runs in memory. A new harness has started its server.

    If the server listens nowhere by itself, it listens at port 8080.

    Args:
        serves: What to serve: an `Application` or a factory of Autobahn's; or a mapping from paths to
            applications and factories, and from names to room classes; or a function that is called with
            the clock, and returns a `Server` that uses it.
        clock: The `MemoryReactor` to run on. Pass the clock of another harness to have both in one process.
            Default: a new one.
        **options: The options of the server, unless a function makes it.

    Raises:
        TypeError: `serves` is anything else.
    """

    def __init__(
        self,
        serves: Application
        | IProtocolFactory
        | ProtocolFactory
        | Mapping[str, Application | IProtocolFactory | ProtocolFactory | type[Room]]
        | Callable[..., Server]
        | None = None,
        *,
        clock: MemoryReactor | None = None,
        **options: Any,
    ) -> None:
        #: The clock of the server; `clock.seconds()` is the time.
        self.clock = clock or MemoryReactor()
        self._clients: list[TCPClient] = []
        self._roomClients: list[RoomClient] = []
        self._ports = count(49152)
        #: The server under test.
        self.server = serverOf(serves, self.clock, options)
        if not self.server.hasListeners:
            self.server.listen(f"tcp:{PORT}")
        self.start()

    # -- the server

    def start(self) -> None:
        """Start the server again after it was stopped. A new harness has started its server already."""
        self.server.privilegedStartService()
        self.server.startService()
        self.flush()

    def stop(self) -> None:
        """
        Stop the server, let as much time pass as that takes, disconnect the remaining clients, and `check`.

        Clients of rooms are closed first: they leave their rooms and do not reconnect. Use this method with
        `addCleanup`, or use the harness as a context manager, which calls it at the end.

        Raises:
            AssertionError: Something was left, or the server does not stop in time.
        """
        faults = self._faults()
        if self._lostMembers():
            self.advance(1.0)  # an engine may need time
        left = [*self._lostMembers(), *faults]
        for client in self._roomClients:
            for way in (client.outgoing, client.incoming):
                way.clear()  # otherwise they would happen to the frames with which the client leaves
            client.close()
        if self.server.running:
            stopped: list[object] = []
            stopping: Deferred[None] = self.server.stopService()
            stopping.addBoth(stopped.append)
            limit = self.clock.seconds() + self.server.options.shutdownTimeout + 2.0
            while not stopped and self.clock.seconds() < limit:
                self.advance(0.05)
            if not stopped:
                raise AssertionError(
                    f"the server has not stopped within {self.server.options.shutdownTimeout + 2.0:g} s"
                )
            if isinstance(stopped[0], Failure):
                stopped[0].raiseException()
        for each in self._clients:
            each.drop()
        for client in self._roomClients:
            client.drop()
        # A request that is refused or cancelled now may last until one more deadline.
        self.advance(3.0)
        self._check(left)

    def check(self) -> None:
        """
        Check that nothing is left. `stop` makes this check too; call this method to repeat it after `stop`.

        Raises:
            AssertionError: A room, a connection, a port or a `DelayedCall` is left, or a fault has not
                happened.
        """
        self._check([*self._lostMembers(), *self._faults()])

    def _lostMembers(self) -> list[str]:
        """
        Return a line for each member that counts as connected but has no connection. Such members would stay
        in their rooms for ever.
        """
        lost = []
        for application in self._roomApplications:
            for room in application.rooms.values():
                host: Any = room._host
                lost += [
                    f"member {member.id} of {room!r} without a connection"
                    for member in host.members.values()
                    if member.outlet is not None and not application.edge.reaches(member.link)
                ]
        return lost

    def _faults(self) -> list[str]:
        """Return a line for each fault that has not happened."""
        return [
            f"fault {fault}"
            for client in self._roomClients
            for fault in (*client.outgoing.pending, *client.incoming.pending)
        ]

    def _check(self, before: list[str]) -> None:
        left = [
            *before,
            *(f"room {room!r} with {len(room.clients)} members" for room in self.rooms),
            *(f"connection {connection!r}" for connection in self.server.connections),
            *(f"transport {transport!r}" for transport in self.clock.readers | self.clock.writers),
            *(f"port {port.getHost()}" for port in self.clock.ports),
            *(f"delayed call {call}" for call in self.clock.getDelayedCalls()),
        ]
        if left:
            raise AssertionError("left over: " + "; ".join(left))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self.stop()

    # -- time

    def flush(self) -> None:
        """Let everything happen that needs no time to pass."""
        self.clock.flush()

    @contextmanager
    def presenceWindow(self) -> Iterator[None]:
        """
        Let rooms collect changes of presence within a `with` block, as they do outside tests.

        A room collects changes for `Room.presenceSeconds` and sends them together. So that tests need not
        wait for that, a harness sends them before each call returns. Use this method to test what clients
        receive when several things happen at once. Time stands still in the block unless you `advance` it;
        at the end of the block all changes are sent::

            with harness.presenceWindow():
                bob = harness.client().join("chat")
                bob.leave()
            # The other clients have received nothing about bob.
        """
        self.clock.isInWindow = True
        try:
            yield
        finally:
            self.clock.isInWindow = False
            self.flush()

    def advance(self, seconds: float) -> None:
        """Let that many seconds pass; every delayed call runs at its own time."""
        self.clock.advance(seconds)

    # -- clients

    def connect(
        self,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        protocols: Iterable[str] = (),
        *,
        peer: str = "203.0.113.9",
        host: str = "localhost",
        origin: str | None = None,
        tls: bool = False,
        compression: bool = False,
        to: IProtocolFactory | ProtocolFactory | None = None,
    ) -> Client:
        """
        Connect a WebSocket client. When this returns, the server has answered, unless a hook makes it wait.

        Args:
            path: The path of the upgrade request.
            headers: Additional headers.
            protocols: The sub-protocols that the client offers.
            peer: The IP address of the client; "" connects over a UNIX socket.
            host: The name in the Host header, with or without a port.
            origin: The Origin header.
            tls: Whether to connect with TLS.
            compression: Whether to offer permessage-deflate. Put other offers into `headers`.
            to: What to connect to instead of the server's first port, such as a `Site`.
        """
        client = Client(self.clock)
        name, _, port = host.partition(":")
        request = ConnectingRequest(
            host=name,
            port=int(port or PORT),
            resource=path,
            headers=dict(headers or {}),
            origin=origin,
            protocols=list(protocols),
        )
        offers = [PerMessageDeflateOffer()] if compression else []
        factory = clientFactory(self.clock, lambda: ClientProtocol(client, request), request, offers)
        self._begin(client, factory, peer, tls, to)
        return client

    def client(
        self,
        path: str = "/rooms",
        headers: Mapping[str, str] | None = None,
        *,
        peer: str = "203.0.113.9",
        host: str = "localhost",
        tls: bool = False,
        to: IProtocolFactory | ProtocolFactory | None = None,
        **options: Any,
    ) -> RoomClient:
        """
        Make a client for rooms, which connects when it joins one.

        `path` is the path of the rooms, `options` are those of ``txroom.client.ClientOptions``. For the
        other arguments see `connect`.
        """
        checked = ClientOptions(**{"headers": headers or {}, "random": _longest, **options})
        endpoint = self.endpoint(peer=peer, tls=tls, to=to)
        name, _, port = host.partition(":")
        client = RoomClient(self.clock, endpoint, absolute(f"ws://{name}:{port or PORT}{path}"), checked)
        self._roomClients.append(client)
        return client

    def endpoint(
        self,
        *,
        peer: str = "203.0.113.9",
        tls: bool = False,
        to: IProtocolFactory | ProtocolFactory | None = None,
    ) -> MemoryEndpoint:
        """
        Return an endpoint that leads to the server, for clients of your own.

        For the arguments see `connect`.
        """
        return MemoryEndpoint(self.clock, partial(self._connect, peer=peer, tls=tls, to=to))

    def raw(
        self,
        data: bytes = b"",
        *,
        peer: str = "203.0.113.9",
        tls: bool = False,
        to: IProtocolFactory | ProtocolFactory | None = None,
    ) -> RawClient:
        """
        Connect a client that sends any bytes, and let it send `data`. For the other arguments see
        `connect`.
        """
        client = RawClient(self.clock)
        self._begin(client, Factory.forProtocol(lambda: RawProtocol(client)), peer, tls, to)
        if data:
            client.send(data)
        return client

    def connectionOf(self, client: Client) -> Connection:
        """
        Return the server's `Connection` of a client.

        Raises:
            LookupError: The client has no open connection.
        """
        key = client.protocol.websocket_key.decode()
        for connection in self.server.connections:
            if connection.handshake.headers.get("sec-websocket-key") == key:
                return connection
        raise LookupError("the client has no open connection")

    def _begin(self, client: TCPClient, factory: Any, peer: str, tls: bool, to: Any) -> None:
        client._socket = self._connect(factory, peer, tls, to)
        self._clients.append(client)
        self.flush()

    def _connect(self, factory: Any, peer: str, tls: bool, to: Any) -> MemorySocket:
        host: IAddress = IPv4Address("TCP", "192.0.2.1", PORT)
        if to is None:
            if not self.clock.ports:
                raise ConnectionRefusedError("the server does not listen")
            to, host = self.clock.ports[0].factory, self.clock.ports[0].getHost()
        if tls:
            to = TLSMemoryBIOFactory(serverContext(), False, to, self.clock)
            factory = TLSMemoryBIOFactory(clientContext(), True, factory, self.clock)
        return self.clock.connect(to, factory, host, _address(peer, next(self._ports)))

    # -- rooms

    @property
    def rooms(self) -> list[Room]:
        """The server's rooms that exist."""
        return [room for application in self._roomApplications for room in application.rooms.values()]

    @overload
    def roomOf(self, joined: JoinedRoom) -> Room: ...
    @overload
    def roomOf(self, joined: JoinedRoom, kind: type[RoomClass]) -> RoomClass: ...
    def roomOf(self, joined: JoinedRoom, kind: type[Room] = Room) -> Room:
        """
        Return the server's `Room` of a joined room. Its `client(joined.member)` is the server's `Client`.

        Args:
            joined: The room as its client sees it.
            kind: The class of the room, for type checkers: ``harness.roomOf(alice, Chat).topic``.

        Raises:
            TypeError: The room has another class.
            LookupError: The room does not exist any more.
        """
        for room in self.rooms:
            if room.id == joined.id:
                if not isinstance(room, kind):
                    raise TypeError(f"{joined!r} is a {type(room).__name__}, not a {kind.__name__}")
                return room
        raise LookupError(f"the room of {joined!r} does not exist any more")

    def restart(self, joined: JoinedRoom) -> Room:
        """
        Let a room go on as a new object of its class, as after a restart of its process on a cluster.

        `Room.save` of the old object is called, and `Room.load` of the new one, or `Room.onCreate` if the
        class does not have these hooks. The members stay, and so does everything else that txroom keeps for a
        room. The clients resume after 0.25 s. Only for servers with the engine in memory.

        Args:
            joined: The room as one of its clients sees it.

        Returns:
            The new object.

        Raises:
            Exception: `save` fails; the room goes on as before.
            RoomError: `load` or `onCreate` fails; the error is logged, and the room has ended.
        """
        self.resultOf(restart(self.roomOf(joined)))
        return self.roomOf(joined)

    def trace(self, name: str) -> Trace:
        """
        Record the hooks and handlers of the rooms of that name that are created from now on.

        Raises:
            LookupError: No rooms of that name are registered.
        """
        for application in self._roomApplications:
            if name in application.registrations:
                return Trace(application.registrations[name])
        names = [name for application in self._roomApplications for name in application.registrations]
        raise LookupError(f"no rooms are registered as {name!r}; the registered names are {names}")

    def notify(self, userId: str, type: str, data: Any = None, **options: Any) -> NotifyResult:
        """
        Send a notification to a user, and let it arrive. The arguments are those of `Server.notify`.

        Clients of the user receive it if they `listen`.
        """
        return cast(NotifyResult, self.resultOf(self.server.notify(userId, type, data, **options)))

    def resultOf(self, deferred: Deferred[Any]) -> Any:
        """
        Return the result of a Deferred on the server's side, which must fire without time passing.

        If the Deferred fails, its error is raised.

        Raises:
            AssertionError: The Deferred has not fired.
        """
        return resultOf(self.clock, deferred, repr(deferred))

    @property
    def _roomApplications(self) -> list[RoomApplication]:
        return [each for each in self.server.applications if isinstance(each, RoomApplication)]


def _longest() -> float:
    """Return 1.0, in place of the random number in a client's delays, which are then the longest possible."""
    return 1.0


def _address(peer: str, port: int) -> IAddress:
    if not peer:
        return UNIXAddress(None)
    if ":" in peer:
        return IPv6Address("TCP", peer, port)
    return IPv4Address("TCP", peer, port)
