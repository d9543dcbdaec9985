"""
Clients of rooms. They reconnect when they lose their connection.
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from ..client import Client, Room, RoomError, Sent
from ..core.awaitables import isAsync, toDeferred
from ..core.codes import CloseCode
from ..process.loading import errorWithPlace
from .loadclient import LoadClient, LoadTestContext
from .plan import NUMBER


class MeasuredRoom:
    """
    A `txroom.client.Room` that counts and times its messages.
    """

    def __init__(self, room: Room, client: LoadClient) -> None:
        self._room = room
        self._loadClient = client
        self._metrics = client.metrics
        self._counted: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._room, name)

    def send(self, type: str, data: Any = None, *, volatile: bool = False) -> Sent:
        """Like `Room.send`; the latency "handled" is the time until the server acknowledges the message."""
        now = self._loadClient.now()
        sent = self._room.send(type, data, volatile=volatile)
        self._metrics.sent += 1
        if not volatile:
            self._metrics.pending["handled"] += 1
            sent.whenHandled().addCallback(self._answered, "handled", now).addErrback(self._unsent)
        return sent

    def call(self, type: str, data: Any = None, *, timeout: float | None = None) -> Deferred[Any]:
        """Like `Room.call`; the latency "reply" is the time until the answer."""
        now = self._loadClient.now()
        answer = self._room.call(type, data, timeout=timeout)
        self._metrics.sent += 1
        self._metrics.pending["reply"] += 1
        return answer.addCallbacks(self._answered, self._unanswered, ("reply", now))

    def on(self, name: str, listener: Any) -> Any:
        """Like `Room.on`."""
        self._count(name)
        return self._room.on(name, listener)

    def once(self, name: str, listener: Any) -> Any:
        """Like `Room.once`."""
        self._count(name)
        return self._room.once(name, listener)

    def onMessage(self, type: str, listener: Any) -> Any:
        """Like `Room.onMessage`."""
        self._count(type)
        return self._room.onMessage(type, listener)

    def off(self, name: str, listener: Any = None) -> None:
        """Like `Room.off`."""
        self._room.off(name, listener)
        if listener is None:
            self._counted.discard(name)

    def _count(self, type: str) -> None:
        """Count messages with a listener of their own, because the listener of "*" does not receive them."""
        if type != "*" and type not in self._counted:
            self._counted.add(type)
            self._room.onMessage(type, self._heard)

    def _heard(self, data: Any, offset: int | None) -> None:
        self._metrics.received += 1

    def _answered(self, result: Any, what: str, since: float) -> Any:
        self._metrics.pending[what] -= 1
        self._metrics.took(what, self._loadClient.now() - since)
        return result

    def _unanswered(self, failure: Failure) -> Failure:
        self._metrics.pending["reply"] -= 1
        return failure

    def _unsent(self, failure: Failure) -> None:
        self._metrics.pending["handled"] -= 1
        self._loadClient.failed(f"send: {_codeOf(failure)}")


class RoomLoadClient(LoadClient):
    """
    A client that joins a room, and sends messages or runs a scenario there.
    """

    def __init__(self, context: LoadTestContext, number: int) -> None:
        super().__init__(context, number)
        self._client = Client(
            self.plan.url, endpoint=self.plan.endpoint, reactor=self.reactor, headers=self.plan.headers
        )
        self._room: MeasuredRoom
        self._value = None if self.plan.isMarked else msgspec.json.decode(self._data)
        self._playing: Deferred[Any] | None = None

    def connect(self) -> None:
        client, plan = self._client, self.plan
        client.on("connected", lambda: self.setConnected(True))
        client.on("reconnecting", self._reconnecting)
        client.on("error", self._erred)
        options = msgspec.json.decode(plan.options.replace(NUMBER, str(self.number)))
        client.joinOrCreate(plan.room or "", options).addCallbacks(self._entered, self._refused)

    def sendNext(self) -> None:
        isMarked, type = self.plan.isMarked, self.plan.type or ""
        value = msgspec.json.decode(self.marked()) if isMarked else self._value
        if self.plan.isCall:
            self._room.call(type, value).addErrback(self._failed, "call")
        else:
            try:
                self._room.send(type, value)
            except RoomError as error:
                self.failed(f"send: {error.code}")
                return
        if isMarked:
            self.expectReturn()

    def disconnect(self) -> Deferred[None]:
        if self._playing is not None:
            self._playing.cancel()
        return self._client.close()

    # -- the connection

    def _reconnecting(self, code: int, reason: str, *more: object) -> None:
        if self.isOver:
            return
        self.lost(code, reason)
        if not self.wasConnected:  # do not wait for a server that was never reached
            self.leave()

    def _erred(self, error: Any) -> None:
        self.failed(f"room: {_codeOf(Failure(error))}")

    # -- the room

    def _refused(self, failure: Failure) -> None:
        if self.wasConnected:
            self._failed(failure, "join")
        else:
            message = self.withoutURL(getattr(failure.value, "message", ""))
            self.failed(f"connect: {message or _codeOf(failure)}")
        if not self.isOver:
            self.leave()

    def _entered(self, room: Room) -> None:
        self._room = MeasuredRoom(room, self)
        room.onMessage("*", self._heard)
        room.on("reconnecting", lambda code, reason: self.setReady(False))
        room.on("recovered", self._recovered)
        room.on("lost", self._missed)
        room.on("left", self._left)
        room.on("error", self._erred)
        self.joined()
        if self.plan.scenario is None:
            self.context.entered(self)
        else:
            self._play()

    def _heard(self, type: str, data: Any, offset: int | None) -> None:
        self.metrics.received += 1
        if self.plan.isMarked:
            self.returned(self._roundTrips.find(repr(data)))

    def _recovered(self) -> None:
        self.metrics.recoveries += 1
        self.setReady(True)

    def _missed(self, loss: object) -> None:
        self.metrics.losses += 1
        self.failed("lost")
        self.setReady(True)

    def _left(self, code: int, reason: str) -> None:
        # A scenario may leave the room and join another one.
        isOwnWish = self.plan.scenario is not None and code == CloseCode.NORMAL
        if not self.isOver and not isOwnWish:
            self.failed(f"left: {code} {reason}".strip())
            self.leave()

    # -- the scenario

    def _play(self) -> None:
        assert self.plan.scenario is not None
        try:
            result = self.plan.scenario(self._client, self._room, self.reactor)
        except Exception:
            self._played(Failure())
            return
        if isAsync(result):
            self._playing = toDeferred(result).addBoth(self._played)
        else:
            self._played(result)

    def _played(self, result: Any) -> None:
        self._playing = None
        if isinstance(result, Failure) and not result.check(CancelledError):
            self._failed(result, "scenario")
        if not self.isOver:
            self.leave()

    def _failed(self, failure: Failure, what: str) -> None:
        self.failed(f"{what}: {_codeOf(failure)}")


def _codeOf(failure: Failure) -> str:
    """Return the kind of a failure, for the report."""
    error: Any = failure.value
    return str(error.code) if isinstance(error, RoomError) else errorWithPlace(error)
