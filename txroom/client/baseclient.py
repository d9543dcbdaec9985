"""
A client without its network: it joins rooms, asks the server, and tells its user of the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, Literal, overload

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..protocol.serverframes import Joined
from .connection import Attempt, ClientState, WebSocket
from .dispatcher import Dispatcher
from .encoding import checkMapping, checkName
from .events import Listener
from .joinattempt import JoinRequest, Method, joinRequestOf, requestJoin
from .membership import Handle, Membership
from .options import ClientOptions, checkSeconds
from .pendingjoins import PendingJoin, RoomT
from .requests import Answer
from .roomstate import RoomState
from .token import ReconnectionToken

#: See `Session.on`.
_EVENTS = frozenset({"connected", "reconnecting", "disconnected", "bye", "latency", "error"})


def _event(name: str) -> str:
    """The name of an event of a client. Raises `ValueError`."""
    if name not in _EVENTS:
        known = ", ".join(sorted(_EVENTS))
        raise ValueError(f"name={name!r}: a client has no such event, but {known}; messages are its rooms'")
    return name


class BaseClient(Generic[RoomT]):
    """
    A connection to a txroom server that outlives its sockets; `Client` adds the network.

    `connect` makes a connection: it is given an `Attempt`, and returns its `WebSocket`. `makeRoom` makes what
    the user gets for a join: it is given the session, the membership and the handle of that join in it.
    """

    def __init__(
        self,
        connect: Callable[[Attempt], WebSocket],
        clock: IReactorTime,
        makeRoom: Callable[[BaseClient[RoomT], Membership, Handle], RoomT],
        options: ClientOptions | None = None,
    ) -> None:
        #: The options, defaults included.
        self.options = options or ClientOptions()
        self._dispatcher = Dispatcher(connect, clock, self.options)
        self._makeRoom = makeRoom
        self._isGone = False
        self._closing: list[Deferred[None]] = []

    @property
    def state(self) -> ClientState:
        """What the connection is doing now."""
        return self._dispatcher.connection.state

    @property
    def latency(self) -> float | None:
        """Seconds to the server and back at the last heartbeat; `None` before the first."""
        return self._dispatcher.heartbeat.latency

    @property
    def joined(self) -> list[RoomT]:
        """The rooms that are not left, one for each join."""
        return [room for membership in self._dispatcher.memberships.values() for room in membership.rooms]

    # -- listening

    @overload
    def on(self, name: Literal["connected"], listener: Callable[[], object]) -> Callable[[], None]: ...
    @overload
    def on(
        self, name: Literal["reconnecting"], listener: Callable[[int, str, int, float], object]
    ) -> Callable[[], None]: ...
    @overload
    def on(
        self, name: Literal["disconnected"], listener: Callable[[int, str], object]
    ) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["bye"], listener: Callable[[int, float], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["latency"], listener: Callable[[float], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["error"], listener: Callable[[Exception], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: str, listener: Callable[..., object]) -> Callable[[], None]: ...
    def on(self, name: str, listener: Listener) -> Callable[[], None]:
        """
        Call `listener` at one of these events; returns a function that ends it.

        - "connected" ()
        - "reconnecting" (code, reason, attempt, delay): the connection is lost, the next attempt is in
          `delay` seconds
        - "disconnected" (code, reason): and it does not reconnect by itself; the next join does
        - "bye" (code, retryAfter): the server will close the connection, and asks to stay away that long
        - "latency" (seconds)
        - "error" (error): nobody else was there to be told; without a listener it is logged

        Raises `ValueError` for any other name: messages, and what happens to a room, are told by the room.
        """
        return self._dispatcher.events.on(_event(name), listener)

    @overload
    def once(self, name: Literal["connected"], listener: Callable[[], object]) -> Callable[[], None]: ...
    @overload
    def once(
        self, name: Literal["reconnecting"], listener: Callable[[int, str, int, float], object]
    ) -> Callable[[], None]: ...
    @overload
    def once(
        self, name: Literal["disconnected"], listener: Callable[[int, str], object]
    ) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["bye"], listener: Callable[[int, float], object]) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["latency"], listener: Callable[[float], object]) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["error"], listener: Callable[[Exception], object]) -> Callable[[], None]: ...
    @overload
    def once(self, name: str, listener: Callable[..., object]) -> Callable[[], None]: ...
    def once(self, name: str, listener: Listener) -> Callable[[], None]:
        """The same for the next event only."""
        return self._dispatcher.events.once(_event(name), listener)

    def off(self, name: str, listener: Callable[..., object] | None = None) -> None:
        """End what `on` began; without a listener, for all of that name."""
        self._dispatcher.events.off(name, listener)

    # -- joining

    def joinOrCreate(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[RoomT]:
        """
        Join a room of that name, a new one if there is none with a seat.

        Fails with the server's error; with "unavailable" if there is no connection within `requestTimeout`
        or it is lost meanwhile (the server may have let us in: it is not tried again by itself). Events
        are delivered from the next turn of the reactor on, so that listeners can be added after `await`.
        """
        return self._enter("joinOrCreate", name, options)

    def join(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[RoomT]:
        """Join a room of that name that exists. Fails as `joinOrCreate` does; "noSuchRoom": there is none."""
        return self._enter("join", name, options)

    def create(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[RoomT]:
        """Make a new room of that name and join it. Fails as `joinOrCreate` does."""
        return self._enter("create", name, options)

    def joinById(self, id: str, options: Mapping[str, Any] | None = None) -> Deferred[RoomT]:
        """Join the room of that id. Fails as `joinOrCreate` does; "noSuchRoom": it is gone."""
        return self._enter("joinById", id, options)

    def resume(self, token: str) -> Deferred[RoomT]:
        """
        Go on as the member that another client was, or is: `token` is the `Room.reconnectionToken` it had.

        The room is as after a join: the snapshot, the members and the history, then what is new. What the
        other had sent is handled if the server has got it. If the other is there still it has left: 4005.
        There is time for `resumeSeconds` after it lost its connection; who has closed it has left.

        Fails with "unauthorized" if it is too late or the token was used, "forbidden" if the member was
        kicked or is another user, "noSuchRoom" if the room is gone, "badRequest" for what is no token, else
        as `joinOrCreate` does. Then it is for you to join anew.
        """
        try:
            resumed = ReconnectionToken.read(token)
        except RoomError as error:
            return fail(error)
        self._dispatcher.requests.skipRefsUpTo(resumed.ref)
        join: PendingJoin[RoomT] = PendingJoin(resumed.request, None)

        def ask() -> None:
            # An epoch that is none: we have seen nothing of what it has.
            self._dispatcher.requests.ask(
                lambda ref: ("resume", ref, resumed.room, resumed.token, "", 0),
                partial(self._answered, join),
                Joined,
                isResentIfUnhandled=True,
            )

        return self._begin(join, ask)

    def _enter(self, method: Method, target: str, options: Mapping[str, Any] | None) -> Deferred[RoomT]:
        try:
            request, encoded = joinRequestOf(method, target, options)
        except RoomError as error:
            return fail(error)
        key = None if method == "create" else (method, target, encoded)
        same = key and self._dispatcher.joins.same(key)
        if same:
            return same.wait()
        join: PendingJoin[RoomT] = PendingJoin(request, key)

        def ask() -> None:
            done = partial(self._answered, join)
            requestJoin(self._dispatcher.context, request, done, lambda: join.isWanted, isFirst=True)

        return self._begin(join, ask)

    def _begin(self, join: PendingJoin[RoomT], ask: Callable[[], None]) -> Deferred[RoomT]:
        dispatcher = self._dispatcher
        dispatcher.joins.add(join)
        waiter = join.wait()
        with dispatcher.queue:
            # A room that is being left is left first: whoever joins it then is a new member.
            for membership in dispatcher.memberships.values():
                if membership.isLeaving and join.request.mayLeadTo(membership.name, membership.id):
                    membership.whenEnded(ask)
                    break
            else:
                ask()
        return waiter

    def _answered(self, join: PendingJoin[RoomT], error: RoomError | None, joined: Answer | None) -> None:
        """A join was answered: whoever waits for it gets a room of its own."""
        dispatcher = self._dispatcher
        if isinstance(joined, Joined):
            if join.isWanted:
                membership = self._membershipOf(joined, join.request)
                for waiter in join.waiting:
                    dispatcher.queue.post(waiter.callback, self._roomOf(membership, joined))
            else:
                dispatcher.context.decline(joined)
        else:
            for waiter in join.waiting:
                dispatcher.queue.post(waiter.errback, error or RoomError(ErrorCode.INTERNAL))
        dispatcher.joins.remove(join)
        for each in list(dispatcher.memberships.values()):
            each.leaveIfSent()

    def _membershipOf(self, joined: Joined, request: JoinRequest) -> Membership:
        """The membership in a room that was joined; there may be one already."""
        present = self._dispatcher.memberships.get(joined.room)
        if present is not None:
            present.enterAgain(joined)
            return present
        membership = Membership(self._dispatcher.context, self._dispatcher.memberships, request)
        membership.enter(joined)
        return membership

    def _roomOf(self, membership: Membership, joined: Joined) -> RoomT:
        handle = membership.addHandle(joined.membership.snapshot)
        room = handle.room = self._makeRoom(self, membership, handle)
        return room

    # -- asking

    def query(
        self, name: str | None = None, filter: Mapping[str, Any] | None = None
    ) -> Deferred[list[dict[str, Any]]]:
        """
        The rooms of that name, or of any, that match: `{room, name, clients, maxClients, locked, metadata}`.

        `filter` are the values of options that the server filters by, or of metadata. It is asked again
        over the next connection if this one is lost. Fails with "noSuchRoom" for a name that is not
        registered, with "timeout" or "unavailable" after `requestTimeout`, with "invalidData" for a filter
        that can't be sent.
        """
        try:
            if name is not None:
                checkName("name", name)
            checkMapping("filter", filter)
        except RoomError as error:
            return fail(error)
        codec = self._dispatcher.codec
        return self._dispatcher.requests.fetch(
            lambda ref: ("rooms", ref, name, codec.options("filter", filter or {})),
            lambda request, data: data,
        )

    def rooms(
        self, name: str | None = None, filter: Mapping[str, Any] | None = None
    ) -> Deferred[list[dict[str, Any]]]:
        """The same as `query`."""
        return self.query(name, filter)

    def ping(self) -> Deferred[float]:
        """
        The time to the server and back, in seconds.

        Fails with "timeout" or "unavailable" after `requestTimeout`.
        """
        return self._dispatcher.requests.fetch(
            lambda ref: ("ping", ref), lambda request, data: self._dispatcher.heartbeat.measured(request)
        )

    # -- the connection

    def reconnect(self, delay: float = 0.0) -> None:
        """
        Give up the connection, if there is one, and make another after `delay` seconds.

        Nothing happens if none is needed: before the first join, and after `close`. Raises `OptionError` for
        a delay that is none.
        """
        checkSeconds("delay", delay)
        with self._dispatcher.queue:
            self._dispatcher.connection.reconnect(delay)

    def close(self) -> Deferred[None]:
        """Leave all rooms and close the connection, for good; fires when it is gone."""
        waiter: Deferred[None] = Deferred()
        with self._dispatcher.queue:
            if self.state is not ClientState.CLOSED:
                for membership in list(self._dispatcher.memberships.values()):
                    if membership.state is RoomState.JOINED:
                        self._dispatcher.requests.leave(membership.id)
                self._dispatcher.connection.close().addBoth(self._gone)
            if self._isGone:
                self._dispatcher.queue.post(waiter.callback, None)
            else:
                self._closing.append(waiter)
        return waiter

    def _gone(self, result: object) -> None:
        self._isGone = True
        waiters, self._closing = self._closing, []
        for waiter in waiters:
            self._dispatcher.queue.post(waiter.callback, None)
        # When the listeners were told everything.
        self._dispatcher.queue.post(self._dispatcher.queue.post, self._dispatcher.events.clear)
