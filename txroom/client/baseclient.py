"""
`BaseClient`: a client without a network, which joins rooms and sends requests.
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
from .notifications import NOTIFY, NOTIFY_TYPE
from .options import ClientOptions, checkSeconds
from .pendingjoins import PendingJoin, RoomT
from .requests import Answer
from .roomstate import FEATURES
from .roomstatus import RoomStatus
from .token import ReconnectionToken

#: See `BaseClient.on`.
_EVENTS = frozenset(
    {"connected", "reconnecting", "disconnected", "bye", "latency", "notify", "notifyDropped", "error"}
)


def _event(name: str) -> str:
    """Return `name` if it is an event of a client. Raises `ValueError` otherwise."""
    if name not in _EVENTS and not name.startswith(NOTIFY_TYPE):
        known = ", ".join(sorted(_EVENTS))
        raise ValueError(
            f"name={name!r}: must be an event of a client: {known}. Listen to messages with room.on()"
        )
    return name


class BaseClient(Generic[RoomT]):
    """
    A connection to a txroom server that survives lost sockets; `Client` adds the network.

    Args:
        connect: Opens a connection: it is called with an `Attempt`, and returns its `WebSocket`.
        clock: The source of time.
        makeRoom: Called with this client, the membership and the handle of a join. Returns the room that the
            user gets for the join.
        options: The options. Default: those of `ClientOptions`.
    """

    def __init__(
        self,
        connect: Callable[[Attempt], WebSocket],
        clock: IReactorTime,
        makeRoom: Callable[[BaseClient[RoomT], Membership, Handle], RoomT],
        options: ClientOptions | None = None,
    ) -> None:
        #: The options, including the defaults.
        self.options = options or ClientOptions()
        self._dispatcher = Dispatcher(connect, clock, self.options)
        self._makeRoom = makeRoom
        self._isGone = False
        self._closing: list[Deferred[None]] = []

    @property
    def state(self) -> ClientState:
        """The state of the connection."""
        return self._dispatcher.connection.state

    @property
    def latency(self) -> float | None:
        """The round-trip time of the last heartbeat in seconds; `None` before the first."""
        return self._dispatcher.heartbeat.latency

    @property
    def joined(self) -> list[RoomT]:
        """The rooms that were joined and not left, one for each join."""
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
    def on(self, name: Literal["notify"], listener: Callable[[str, Any], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["notifyDropped"], listener: Callable[[int], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["error"], listener: Callable[[Exception], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: str, listener: Callable[..., object]) -> Callable[[], None]: ...
    def on(self, name: str, listener: Listener) -> Callable[[], None]:
        """
        Call `listener` at one of these events:

        - "connected" (): the connection is open
        - "reconnecting" (code, reason, attempt, delay): the connection is lost; the next attempt is in
          `delay` seconds
        - "disconnected" (code, reason): there is no connection, and the client opens none before the next
          join or request
        - "bye" (code, retryAfter): the server will close the connection, and asks the client to wait
          `retryAfter` seconds
        - "latency" (seconds): a heartbeat has measured the round-trip time
        - "notify" (type, data): a notification for the user
        - "notify:friend" (data): a notification of the type "friend", and so on for other types
        - "notifyDropped" (count): so many notifications were dropped at the server before the next one, or
          before now if the client has just connected: the user's queue was full, or they were too old
        - "error" (error): an error that nothing else handles; without a listener it is logged

        A listener may return a Deferred or a coroutine.

        With the first listener of "notify" or of a name such as "notify:friend", the client connects and asks
        for the user's notifications. It acknowledges each when its listeners, and the Deferreds and
        coroutines that they return, have ended. Add all of these listeners at once: a notification whose type
        has no listener counts as received.

        Returns:
            A function that removes the listener.

        Raises:
            ValueError: There is no such event. Messages and events of a room are listened to on the `Room`.
        """
        off = self._dispatcher.events.on(_event(name), listener)
        self._askForNotifications(name)
        return off

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
    def once(self, name: Literal["notify"], listener: Callable[[str, Any], object]) -> Callable[[], None]: ...
    @overload
    def once(
        self, name: Literal["notifyDropped"], listener: Callable[[int], object]
    ) -> Callable[[], None]: ...
    @overload
    def once(self, name: Literal["error"], listener: Callable[[Exception], object]) -> Callable[[], None]: ...
    @overload
    def once(self, name: str, listener: Callable[..., object]) -> Callable[[], None]: ...
    def once(self, name: str, listener: Listener) -> Callable[[], None]:
        """Like `on`, but only for the next event."""
        off = self._dispatcher.events.once(_event(name), listener)
        self._askForNotifications(name)
        return off

    def _askForNotifications(self, name: str) -> None:
        if name == NOTIFY or name.startswith(NOTIFY_TYPE):
            with self._dispatcher.queue:
                self._dispatcher.notifications.listening()

    def off(self, name: str, listener: Callable[..., object] | None = None) -> None:
        """
        Remove a listener that `on` or `once` added; without `listener`, remove all listeners of that name.
        """
        self._dispatcher.events.off(name, listener)

    # -- joining

    def joinOrCreate(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[RoomT]:
        """
        Join a room of that name; if none has a free seat, create one.

        The Deferred fires with a `Room`. It fails with the server's error; with "unavailable" if there is no
        connection within `requestTimeout` or the connection is lost before the answer; with "timeout" if the
        server or `auth` does not answer in this time; and with "unauthorized" if `auth` fails. After a lost
        connection the client repeats the request only if the server has announced the end of the connection,
        for example for a deploy. Otherwise it may already be a member.

        Events are delivered from the next reactor turn on, so that you can add listeners after `await`.
        """
        return self._enter("joinOrCreate", name, options)

    def join(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[RoomT]:
        """
        Join an existing room of that name. Fails like `joinOrCreate`, and with "noSuchRoom" if no room has a
        free seat, or with the error of the room that has refused the client.
        """
        return self._enter("join", name, options)

    def create(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[RoomT]:
        """Create a room of that name and join it. Fails like `joinOrCreate`."""
        return self._enter("create", name, options)

    def joinById(self, id: str, options: Mapping[str, Any] | None = None) -> Deferred[RoomT]:
        """
        Join the room with that id. Fails like `joinOrCreate`, and with "noSuchRoom" if it does not exist.
        """
        return self._enter("joinById", id, options)

    def resume(self, token: str) -> Deferred[RoomT]:
        """
        Continue the membership of another client; `token` is the `Room.reconnectionToken` of that client.

        The Deferred fires with a `Room` as after a join: with the snapshot, the members and the history;
        new messages follow. Messages that the other client sent are handled if they reached the server. If
        the other client is still connected, it leaves with 4005. A membership can be continued for
        `resumeSeconds` after its connection was lost, but not after it was closed.

        The Deferred fails with "unauthorized" if that time is over, or if a client that has resumed with this
        token has sent something to the room since; with "forbidden" if the member was kicked or belongs to
        another user; with "noSuchRoom" if the room does not exist any more; with "badRequest" if the token is
        malformed; and otherwise like `joinOrCreate`. Then join again.
        """
        try:
            resumed = ReconnectionToken.read(token)
        except RoomError as error:
            return fail(error)
        requests = self._dispatcher.requests
        requests.skipRefsUpTo(resumed.ref)
        join: PendingJoin[RoomT] = PendingJoin(resumed.request, None)

        def ask() -> None:
            # The epoch "" exists nowhere: this client has received none of the room's messages.
            attempt = requests.nextAttempt()
            requests.ask(
                lambda ref: ("resume", ref, resumed.room, resumed.token, "", 0, attempt, FEATURES),
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
            # If the client is leaving the room, let it leave first and join as a new member.
            for membership in dispatcher.memberships.values():
                if membership.isLeaving and join.request.mayLeadTo(membership.name, membership.id):
                    membership.whenEnded(ask)
                    break
            else:
                ask()
        return waiter

    def _answered(self, join: PendingJoin[RoomT], error: RoomError | None, joined: Answer | None) -> None:
        """Give a room, or the error, to each Deferred that waits for a join which was answered now."""
        dispatcher = self._dispatcher
        if isinstance(joined, Joined):
            if join.isWanted:
                membership = self._membershipOf(joined, join.request)
                for waiter in join.waiting:
                    self._admit(membership, membership.addHandle(joined.membership.snapshot), waiter)
            else:
                dispatcher.context.decline(joined)
        else:
            for waiter in join.waiting:
                dispatcher.queue.post(waiter.errback, error or RoomError(ErrorCode.INTERNAL))
        dispatcher.joins.remove(join)
        for each in list(dispatcher.memberships.values()):
            each.leaveIfSent()

    def _admit(self, membership: Membership, handle: Handle, waiter: Deferred[RoomT]) -> None:
        """Make a room, and give it to the Deferred that waits for it as soon as the state is here."""
        room = handle.room = self._makeRoom(self, membership, handle)

        def done(error: RoomError | None) -> None:
            if error is not None or waiter.called:
                membership.leave(handle)
            if waiter.called:
                return  # the user has cancelled it
            if error is None:
                membership.begin(handle)
                self._dispatcher.queue.post(waiter.callback, room)
            else:
                self._dispatcher.queue.post(waiter.errback, error)

        membership.state.whenHere(done)

    def _membershipOf(self, joined: Joined, request: JoinRequest) -> Membership:
        """Return the membership in a room that was joined. It may exist already."""
        present = self._dispatcher.memberships.get(joined.room)
        if present is not None:
            present.enterAgain(joined)
            return present
        membership = Membership(self._dispatcher.context, self._dispatcher.memberships, request)
        membership.enter(joined)
        return membership

    # -- asking

    def query(
        self, name: str | None = None, filter: Mapping[str, Any] | None = None
    ) -> Deferred[list[dict[str, Any]]]:
        """
        List the rooms of that name, or of any name, that match `filter`.

        If the connection is lost, the client asks again over the next one.

        Args:
            name: The name under which the rooms are registered; `None`: any name.
            filter: Values of options by which the server filters, or of metadata.

        Returns:
            A Deferred of a list of `{room, name, clients, maxClients, locked, metadata}`. It fails with
                "noSuchRoom" if the name is not registered, with "timeout" or "unavailable" after
                `requestTimeout`, with "invalidData" if the filter cannot be sent.
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
        Measure the round-trip time to the server, in seconds.

        The Deferred fails with "timeout" or "unavailable" after `requestTimeout`.
        """
        return self._dispatcher.requests.fetch(
            lambda ref: ("ping", ref), lambda request, data: self._dispatcher.heartbeat.measured(request)
        )

    # -- the connection

    def reconnect(self, delay: float = 0.0) -> None:
        """
        Close the connection, if there is one, and open another one after `delay` seconds.

        Nothing happens if the client needs no connection: before the first join, if there is no listener for
        notifications, and after `close`.

        Raises:
            OptionError: `delay` is not a finite number of seconds, 0 or more.
        """
        checkSeconds("delay", delay)
        with self._dispatcher.queue:
            self._dispatcher.connection.reconnect(delay)

    def close(self) -> Deferred[None]:
        """
        Leave all rooms and close the connection for good. The Deferred fires when the connection is closed.
        """
        waiter: Deferred[None] = Deferred()
        with self._dispatcher.queue:
            if self.state is not ClientState.CLOSED:
                for membership in list(self._dispatcher.memberships.values()):
                    if membership.status is RoomStatus.JOINED:
                        self._dispatcher.requests.leave(membership.id)
                self._dispatcher.notifications.flush()
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
        # Remove the listeners after they were called for all events.
        self._dispatcher.queue.post(self._dispatcher.queue.post, self._dispatcher.events.clear)
