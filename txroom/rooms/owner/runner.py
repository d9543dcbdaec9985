"""
The runner of a room: it calls users' hooks and listeners, and isolates their errors from everything else.

Errors and events are reported to users in the next turn of the reactor. `onRoomError` decides then whether an
error ends the membership of the client, or the room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...core.awaitables import clearTraceback
from ...core.codes import CloseCode, ErrorCode
from ...protocol import payload
from ...protocol.errors import RoomError
from .. import hooks
from ..api.client import Client
from ..api.clock import RoomClock
from ..api.ports import LeaveReason
from ..api.room import Room
from .member import Member
from .running import Running

#: What clients are told of an exception.
FAILED = "the server had an error; its log says more"


class Listeners(Protocol):
    """The listeners to the events of rooms of one name: a `Registration`."""

    @property
    def tellsErrors(self) -> bool: ...
    def hasListeners(self, event: str) -> bool: ...
    def tell(self, event: str, *args: Any) -> None: ...


class RunnerPort(Protocol):
    """The part of the owner that its runner uses."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...

    def kick(self, member: Any, text: str) -> None: ...

    def dispose(
        self, code: int = ..., reason: LeaveReason = LeaveReason.CLOSED, text: str = ""
    ) -> Deferred[None]: ...


class Runner:
    """Runs the code that users wrote for one room."""

    __slots__ = ("_clock", "_isOver", "_later", "_listeners", "_owner", "_room", "onCall", "running")

    _log = Logger()

    def __init__(self, room: Room, owner: RunnerPort, clock: IReactorTime, listeners: Listeners) -> None:
        self._room = room
        self._owner = owner
        self._clock = clock
        self._listeners = listeners
        self._later = hooks.PostQueue(clock)
        self._isOver = False
        #: The hooks and handlers that wait.
        self.running = Running(clock)
        #: Called before each hook.
        self.onCall: Callable[[], None] = _nothing

    # -- calling hooks

    def call(
        self, hook: Callable[..., Any], *args: Any, name: str = "", member: Member | None = None
    ) -> Deferred[Any]:
        """
        Call a hook with the room's `handlerTimeout`; see `hooks.call`.

        Args:
            hook: The hook.
            args: Its arguments.
            name: The name by which it is shown while it waits; empty: that of the function.
            member: The member that it is called for, if any.
        """
        self.onCall()
        token = hooks.currentOwner.set(self._owner)
        try:
            # The Deferred must not be in a variable: the traceback of a failure would lead back to it.
            return self.running.note(
                hooks.call(self._clock, self._room.handlerTimeout, hook, *args),
                name or getattr(hook, "__name__", ""),
                "" if member is None else member.id,
            )
        finally:
            hooks.currentOwner.reset(token)

    def userId(self, user: Any, fallback: str) -> str:
        """Return the room's `userId` of a user; `fallback` if it returns none, or raises."""
        try:
            id = self._room.userId(user)
            return fallback if id is None else payload.checkText("userId", id) or fallback
        except BaseException:
            self.report(hooks.asException(Failure()), hook="userId")
            return fallback

    def startTicks(self, timers: RoomClock, interval: float, after: Callable[[], None] | None = None) -> None:
        """Call `onTick` every `interval` seconds, with the time since the last call, and then `after`."""
        last = self._clock.seconds()

        def onTick() -> Deferred[Any]:
            nonlocal last
            now = self._clock.seconds()
            elapsed, last = now - last, now
            ticked = self.call(self._room.onTick, elapsed)
            return ticked if after is None else ticked.addBoth(followed)

        def followed(result: Any) -> Any:
            if after is not None:
                after()
            return result

        timers.every(interval, onTick)

    # -- in the next turn of the reactor

    def post(self, job: Callable[..., Any], *args: Any) -> None:
        """Run `job` in the next turn of the reactor, after all jobs that were posted before."""
        self._later.post(job, *args)

    def flush(self) -> None:
        """Run all posted jobs now."""
        self._later.flush()

    def tell(self, event: str, *args: Any) -> None:
        """Call the listeners of the registration in the next turn."""
        if self._listeners.hasListeners(event):
            self._later.post(self._listeners.tell, event, *args)

    # -- errors

    @property
    def tellsErrors(self) -> bool:
        """Whether clients are told what hooks raise; see `Server.tellErrors`."""
        return self._listeners.tellsErrors

    def warn(self, what: str) -> None:
        """Log what developers should know about the room."""
        self._log.warn(
            "{kind} in room {name} {id} {what}",
            kind=type(self._room).__name__,
            name=self._owner.name,
            id=self._owner.id,
            what=what,
            room=self._owner.id,
        )

    def report(self, failure: Failure, member: Member | None = None, hook: str = "") -> RoomError:
        """
        Log the error of a hook or a handler, and post the call of `onRoomError`.

        Args:
            failure: The error.
            member: The member that it was called for, if any.
            hook: The name of the hook or handler.

        Returns:
            The error for clients. It says nothing of the exception, which could be secret; see
                `Server.tellErrors`.
        """
        owner = self._owner
        what = ".".join(filter(None, (type(self._room).__name__, hook)))
        who = "" if member is None else f" for {member.id}"
        about = {"room": owner.id} if member is None else member.client._logFields()
        about |= {"what": what, "name": owner.name, "id": owner.id, "who": who}
        self._log.failure("{what} in room {name} {id}{who}", failure, **about)
        clearTraceback(failure.value)
        if not self._isOver:
            client = None if member is None else member.client
            self._later.post(self._charge, failure, member, client)
        if not self.tellsErrors:
            return RoomError(ErrorCode.INTERNAL, FAILED)
        return RoomError(ErrorCode.INTERNAL, hooks.describeError(what, failure.value))

    def _charge(self, failure: Failure, member: Member | None, client: Client | None) -> None:
        """Call `onRoomError`, and carry out its answer."""
        owner = self._owner
        try:
            cost = self._room.onRoomError(failure, client)
        except BaseException:
            self._log.failure("onRoomError of room {name} {id} raised", name=owner.name, id=owner.id)
            return
        if cost == "room":
            owner.dispose(CloseCode.ROOM_CLOSED, LeaveReason.CLOSED, "failed")
        elif cost == "client" and member is not None:
            owner.kick(member, "failed")

    def close(self) -> None:
        """Only log errors from now on, because the room has ended."""
        self._isOver = True
        self.onCall = _nothing


def _nothing() -> None:
    """Do nothing, in place of a function that is to be called before hooks."""
