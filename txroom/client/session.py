"""
What a client is without its network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from ..codes import ErrorCode
from ..rooms.errors import RoomError
from .core import Core
from .entering import Entrance, knock
from .events import Listener
from .frames import Joined
from .line import Attempt, ClientState, Wire
from .options import ClientOptions
from .requests import Answer, Done
from .room import Room
from .stay import RoomState, Stay
from .ticket import Ticket


class Session:
    """
    A connection to a txroom server that outlives its sockets; `Client` adds the network.

    `connect` makes a connection: it is given an `Attempt`, and returns its `Wire`.
    """

    def __init__(
        self, connect: Callable[[Attempt], Wire], clock: IReactorTime, options: ClientOptions | None = None
    ) -> None:
        #: The options, defaults included.
        self.options = options or ClientOptions()
        self._core = Core(connect, clock, self.options)
        self._isGone = False
        self._closing: list[Deferred[None]] = []

    @property
    def state(self) -> ClientState:
        """What it is about, now."""
        return self._core.line.state

    @property
    def latency(self) -> float | None:
        """Seconds to the server and back at the last heartbeat; `None` before the first."""
        return self._core.heartbeat.latency

    @property
    def joined(self) -> list[Room]:
        """The rooms that are not left."""
        return [stay.room for stay in self._core.stays.values()]

    # -- listening

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
        """
        return self._core.events.on(name, listener)

    def once(self, name: str, listener: Listener) -> Callable[[], None]:
        """The same for the next event only."""
        return self._core.events.once(name, listener)

    def off(self, name: str, listener: Listener | None = None) -> None:
        """End what `on` began; without a listener, for all of that name."""
        self._core.events.off(name, listener)

    # -- joining

    def joinOrCreate(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[Room]:
        """
        Join a room of that name, a new one if there is none with a seat.

        Fails with the server's error; with "unavailable" if there is no connection within `requestTimeout`
        or it is lost meanwhile (the server may have let us in: it is not tried again by itself). Events
        are delivered from the next turn of the reactor on, so that listeners can be added after `await`.
        """
        return self._enter(Entrance("joinOrCreate", name, dict(options or {})))

    def join(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[Room]:
        """Join a room of that name that exists. Fails as `joinOrCreate` does; "noSuchRoom": there is none."""
        return self._enter(Entrance("join", name, dict(options or {})))

    def create(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[Room]:
        """Make a new room of that name and join it. Fails as `joinOrCreate` does."""
        return self._enter(Entrance("create", name, dict(options or {})))

    def joinById(self, id: str, options: Mapping[str, Any] | None = None) -> Deferred[Room]:
        """Join the room of that id. Fails as `joinOrCreate` does; "noSuchRoom": it is gone."""
        return self._enter(Entrance("joinById", id, dict(options or {})))

    def resume(self, token: str) -> Deferred[Room]:
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
            ticket = Ticket.read(token)
        except RoomError as error:
            return fail(error)
        requests = self._core.requests
        requests.goOnFrom(ticket.ref)

        def ask(done: Done, isWanted: Callable[[], bool]) -> None:
            # An epoch that is none: we have seen nothing of what it has.
            requests.ask(lambda ref: ("resume", ref, ticket.room, ticket.token, "", 0), done, Joined)

        return self._letIn(ticket.entrance, ask)

    def _enter(self, entrance: Entrance) -> Deferred[Room]:
        return self._letIn(entrance, lambda *wish: knock(self._core.shared, entrance, *wish))

    def _letIn(self, entrance: Entrance, ask: Callable[[Done, Callable[[], bool]], None]) -> Deferred[Room]:
        """The room that the answer to what is asked is about."""
        core = self._core
        waiting = [True]
        result: Deferred[Room] = Deferred(lambda _: waiting.clear())

        def done(error: RoomError | None, joined: Answer | None) -> None:
            if isinstance(joined, Joined):
                if waiting:
                    core.turn.post(result.callback, self._roomOf(joined, entrance))
                elif joined.room not in core.stays:
                    core.requests.leave(joined.room)
            elif waiting:
                core.turn.post(result.errback, error or RoomError(ErrorCode.INTERNAL))

        with core.turn:
            ask(done, lambda: bool(waiting))
        return result

    def _roomOf(self, joined: Joined, entrance: Entrance) -> Room:
        """The room that we were let into; we may be there already."""
        present = self._core.stays.get(joined.room)
        if present is not None:
            present.enterAgain(joined)
            return present.room
        stay = Stay(self._core.shared, self._core.stays, entrance)
        stay.room = Room(self, stay)
        stay.enter(joined)
        return stay.room

    # -- asking

    def rooms(self, name: str, filter: Mapping[str, Any] | None = None) -> Deferred[list[dict[str, Any]]]:
        """
        The rooms of that name that match: `{room, name, clients, maxClients, locked, metadata}` of each.

        `filter` are the values of options that the server filters by, or of metadata. It is asked again
        over the next connection if this one is lost. Fails with "noSuchRoom" for a name that is not
        registered, with "timeout" or "unavailable" after `requestTimeout`.
        """
        return self._core.requests.answerTo(
            lambda ref: ("rooms", ref, name, dict(filter or {})), lambda request, data: data
        )

    def ping(self) -> Deferred[float]:
        """
        The time to the server and back, in seconds.

        Fails with "timeout" or "unavailable" after `requestTimeout`.
        """
        return self._core.requests.answerTo(
            lambda ref: ("ping", ref), lambda request, data: self._core.heartbeat.measured(request)
        )

    # -- the connection

    def reconnect(self, delay: float = 0.0) -> None:
        """
        Give up the connection, if there is one, and make another after `delay` seconds.

        Nothing happens if none is needed: before the first join, and after `close`.
        """
        with self._core.turn:
            self._core.line.reconnect(delay)

    def close(self) -> Deferred[None]:
        """Leave all rooms and close the connection, for good; fires when it is gone."""
        waiter: Deferred[None] = Deferred()
        with self._core.turn:
            if self.state is not ClientState.CLOSED:
                for stay in list(self._core.stays.values()):
                    if stay.state is RoomState.JOINED:
                        self._core.requests.leave(stay.id)
                self._core.line.close().addBoth(self._gone)
            if self._isGone:
                self._core.turn.post(waiter.callback, None)
            else:
                self._closing.append(waiter)
        return waiter

    def _gone(self, result: object) -> None:
        self._isGone = True
        waiters, self._closing = self._closing, []
        for waiter in waiters:
            self._core.turn.post(waiter.callback, None)
