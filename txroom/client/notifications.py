"""
The notifications of the user: asks for them, passes them to the listeners, and acknowledges them.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ..protocol.serverframes import Notified, Notify
from .callqueue import CallQueue, stop
from .codec import Codec, NotAFrame
from .connection import ClientState, Connection
from .events import Events

#: The event that has all notifications, and the beginning of the names of the events for one type.
NOTIFY = "notify"
NOTIFY_TYPE = "notify:"
#: The client acknowledges this many notifications at once, and fewer after this many seconds.
_ACK_COUNT = 32
_ACK_DELAY = 0.05
#: How many notifications the client keeps while there is no listener; the server sends at most 64.
_MAX_WAITING = 1000
#: For how many types of notifications the client logs that there is no listener.
_MAX_WARNINGS = 100


@attrs.frozen
class _Position:
    """A position in the notifications of the user. Numbers of different epochs can't be compared."""

    epoch: str | None
    n: int

    def isUpTo(self, other: _Position) -> bool:
        """Return whether this position is `other`, or before it in the same epoch."""
        return self.epoch == other.epoch and self.n <= other.n


@attrs.define(eq=False)
class _Notification:
    """A notification whose listeners have not ended, or those of an earlier one."""

    frame: Notify
    #: What is done when it and all before it are.
    position: _Position
    #: How many before it are lost.
    dropped: int
    #: Whether the listeners were called.
    isTold: bool = False
    #: Whether the listeners have ended.
    isDone: bool = False


def _positionOf(frame: Notify | Notified) -> _Position:
    return _Position(frame.epoch, frame.n)


class Notifications:
    """
    The notifications of one client's user.

    A notification is acknowledged when it and all before it were passed to the listeners, and the Deferreds
    that these have returned have fired. If there is no listener, those that have arrived wait for one, and
    the server keeps the others. What the answer to the subscription says is dropped is acknowledged when it
    was told.

    After a reconnection the server sends again what was not done when the client subscribed. Of this, the
    client passes on what it has not passed on before, and acknowledges everything when it is done.

    Its methods are called within `with queue:`.
    """

    _log = Logger()

    def __init__(
        self, connection: Connection, codec: Codec, queue: CallQueue, events: Events, device: str | None
    ) -> None:
        self._connection = connection
        self._codec = codec
        self._queue = queue
        self._events = events
        self._device = device
        #: Whether the client has subscribed over this connection.
        self._isSubscribed = False
        #: All up to here have arrived, and all up to here are done.
        self._arrived = self._done = _Position(None, 0)
        #: Those that have arrived and are not done, in order.
        self._open: deque[_Notification] = deque()
        #: What was done when the client subscribed over this connection, and the last that has come over it.
        self._asked = self._last = self._done
        #: Those that have come over this connection and are not done, in order.
        self._sent: deque[_Position] = deque()
        #: How many have come over this connection, are done and not acknowledged; and the last of them.
        self._dueCount = 0
        self._due = self._done
        self._timer: IDelayedCall | None = None
        #: The types for which the client has logged that there is no listener.
        self._loggedTypes: set[str] = set()

    @property
    def isWanted(self) -> bool:
        """Whether there is a listener."""
        return self._events.hasAny(NOTIFY, NOTIFY_TYPE)

    def listening(self) -> None:
        """
        Ask for the notifications, connecting if necessary, because a listener was added. Pass those to it
        that have arrived before.
        """
        if self._connection.state is ClientState.OPEN:
            self._subscribe()
        else:
            self._connection.connect()

    # -- the connection

    def opened(self) -> None:
        """Subscribe. The server sends again what the client has not acknowledged."""
        self.lost()
        self._open = deque(each for each in self._open if each.isTold)
        self._arrived = self._open[-1].position if self._open else self._done
        self._subscribe()

    def lost(self) -> None:
        """Acknowledge nothing before the next connection, and nothing over it that has come over this one."""
        self._isSubscribed = False
        self._sent.clear()
        self._dueCount = 0
        stop(self._timer)

    def subscribed(self, frame: Notified) -> None:
        """Go on from the position with which the server has answered the subscription."""
        position = self._last = _positionOf(frame)
        missed = self._missed(position, frame.dropped)
        isBack = position.epoch == self._asked.epoch and position.n < self._asked.n
        if isBack or not position.isUpTo(self._arrived):
            self._arrived = self._done = position
            self._open.clear()
        else:
            self._goOn(position)
        if missed:
            self._events.tell("notifyDropped", missed)
        if frame.dropped:  # it is acknowledged when it was told, or the user's next page is told it again
            self._sent.append(position)
            self._queue.post(self._acknowledgeSoon)

    def _goOn(self, position: _Position) -> None:
        """What comes after the position has arrived already, if not all of it. It may be done meanwhile."""
        for each in self._open:
            if each.position.epoch != position.epoch:  # then it has a number of the new epoch, too
                each.position = position
        if not position.isUpTo(self._done):
            self._done = position

    def received(self, frame: Notify) -> None:
        """
        Take a notification that has arrived.

        Raises:
            NotAFrame: The server has sent more than it may.
        """
        if frame.epoch is None:  # it was not queued
            if self.isWanted:
                self._queue.post(self._call, frame.type, frame.data)
            return
        position = _positionOf(frame)
        if position.isUpTo(self._last):
            return
        self._last = position
        self._sent.append(position)
        if position.isUpTo(self._arrived):
            self._acknowledgeSoon()
            return
        if len(self._open) >= _MAX_WAITING:
            raise NotAFrame("more notifications than the client has asked for")
        dropped = self._missed(_Position(frame.epoch, frame.n - 1), frame.dropped)
        self._open.append(_Notification(frame, position, dropped))
        self._arrived = position
        self._queue.post(self._tell)

    def _missed(self, position: _Position, dropped: int) -> int:
        """
        Return how many of those that the server has dropped up to a position have not arrived: it counts from
        what is done.
        """
        if position.epoch != self._arrived.epoch:
            return dropped
        return min(dropped, max(0, position.n - self._arrived.n))

    def flush(self) -> None:
        """Acknowledge what is done, now."""
        if self._dueCount:
            self._write(self._due)

    def _subscribe(self) -> None:
        if not self.isWanted:
            return
        if self._isSubscribed:
            self._queue.post(self._tell)
            return
        self._isSubscribed = True
        self._asked = self._done
        self._write(self._asked)

    def _write(self, position: _Position) -> None:
        """Acknowledge all up to a position. The first time on a connection, this is the subscription."""
        stop(self._timer)
        self._dueCount = 0
        self._connection.write(self._codec.write(NOTIFY, self._device, position.epoch, position.n))

    # -- the listeners

    def _tell(self) -> None:
        """Pass the notifications that have arrived to the listeners."""
        while self.isWanted and self._isSubscribed:
            one = next((each for each in self._open if not each.isTold), None)
            if one is None:
                return
            one.isTold = True
            if one.dropped:
                self._events.emit("notifyDropped", one.dropped)
            pending = self._call(one.frame.type, one.frame.data)
            if pending is None:
                self._ended(None, one)
            else:
                pending.addCallback(self._ended, one)

    def _call(self, type: str, data: Any) -> Deferred[list[Any]] | None:
        """Call the listeners. Return what fires when they have ended, or `None` if they have."""
        names = (NOTIFY_TYPE + type, NOTIFY)
        if not any(map(self._events.has, names)):
            self._warn(type)
        pending = [*self._events.call(names[0], data), *self._events.call(names[1], type, data)]
        return gatherResults(pending) if pending else None

    def _ended(self, results: object, one: _Notification) -> None:
        """Note that the listeners of a notification have ended, and acknowledge it soon."""
        with self._queue:
            one.isDone = True
            while self._open and self._open[0].isDone:
                position = self._open.popleft().position
                if not position.isUpTo(self._done):
                    self._done = position
                self._settle()
            self._acknowledgeSoon()

    def _settle(self) -> None:
        """Take what is done from that which has come over this connection."""
        while self._sent and self._sent[0].isUpTo(self._done):
            self._due = self._sent.popleft()
            self._dueCount += 1

    def _acknowledgeSoon(self) -> None:
        """
        Acknowledge what has come over this connection and is done: now if it is much, else soon, together
        with what follows.
        """
        self._settle()
        if not self._dueCount or not self._isSubscribed:
            return
        if self._dueCount >= _ACK_COUNT:
            self.flush()
        elif self._timer is None or not self._timer.active():
            self._timer = self._queue.later(_ACK_DELAY, self.flush)

    def _warn(self, type: str) -> None:
        """Log once that notifications of this type have no listener."""
        if type in self._loggedTypes or len(self._loggedTypes) >= _MAX_WARNINGS:
            return
        self._loggedTypes.add(type)
        self._log.warn(
            "A notification of the type {type!r} has no listener: add one with client.on({name!r}, ...)",
            type=type,
            name=NOTIFY_TYPE + type,
        )
