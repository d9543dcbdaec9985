"""
Watches: calls that are made again and again for clients, which get the answer each time that it has changed.

Clients that watch the same thing share one `Poll`, so that it is called once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from .calls import Calls, RpcCall
from .guard import Caller
from .reserve import mostFor
from .secrets import Role

#: The most polls, of all clients together; see `mostFor`.
MOST_POLLS = 256


class Watcher(Protocol):
    """One who watches."""

    @property
    def isReady(self) -> bool:
        """Whether it can take more; if not, it gets only the newest answer when it can."""
        ...

    def changed(self, change: Mapping[str, Any]) -> None:
        """Take a change: the "answer", or the "error" with its "code" and "message"."""
        ...


class Watches:
    """
    All that is watched.

    Args:
        calls: The calls.
        clock: The clock.
    """

    def __init__(self, calls: Calls, clock: IReactorTime) -> None:
        self._calls = calls
        self._clock = clock
        self._polls: dict[object, Poll] = {}

    def __len__(self) -> int:
        return len(self._polls)

    def __iter__(self) -> Iterator[Poll]:
        return iter(self._polls.values())

    def add(self, watcher: Watcher, caller: Caller, name: str, args: Any, every: float) -> Poll:
        """
        Begin to watch.

        Args:
            watcher: Who watches. Use the poll's `first` for the first answer.
            caller: Who calls.
            name: The name of the call.
            args: Its arguments; see `CallSignature.bind`.
            every: The seconds from an answer to the next call.

        Returns:
            The poll, which has a method to end the watch.

        Raises:
            RoomError: Those of `Calls.check`; ``badRequest``, the call changes something; ``rateLimited``,
                too much is watched.
        """
        call, _ = self._calls.check(caller, name, args)
        if call.role > Role.READ:
            raise RoomError(ErrorCode.BAD_REQUEST, "only what needs the role read can be watched")
        arguments = call.signature.named(args)
        key = _keyOf(call, caller, arguments, every)
        poll = self._polls.get(key)
        if poll is None:
            ofReaders = caller.role is Role.READ and sum(each.caller.role is Role.READ for each in self)
            if len(self._polls) >= MOST_POLLS or ofReaders >= mostFor(caller.role, MOST_POLLS):
                raise RoomError(ErrorCode.RATE_LIMITED, "too much is watched")
            poll = self._polls[key] = Poll(self, key, call, caller, arguments, every)
        poll.watchers[watcher] = False
        return poll

    def begin(self, poll: Poll) -> Deferred[Any]:
        """Make the call of a poll."""
        return self._calls.dispatch(poll.caller, poll.call.name, poll.arguments)

    def later(self, poll: Poll) -> IDelayedCall:
        """Run a poll after its time."""
        return self._clock.callLater(poll.every, poll.run)

    def remove(self, poll: Poll) -> None:
        """Forget a poll that nobody watches."""
        self._polls.pop(poll.key, None)


def _keyOf(call: RpcCall, caller: Caller, arguments: Mapping[str, Any], every: float) -> object:
    """Return what watches must have in common to share a poll."""
    if call.following is not None:
        return object()  # each gets what follows the answer that it got before
    who = caller if call.signature.caller else caller.role
    return call.name, who, every, msgspec.json.encode(arguments, order="deterministic")


class Poll:
    """
    A call that is made again and again while somebody watches.

    Args:
        watches: All watches.
        key: What this one is known by.
        call: The call.
        caller: Who calls.
        arguments: The arguments, by their names.
        every: The seconds from an answer to the next call.
    """

    def __init__(
        self,
        watches: Watches,
        key: object,
        call: RpcCall,
        caller: Caller,
        arguments: Mapping[str, Any],
        every: float,
    ) -> None:
        self._watches = watches
        self.key = key
        self.call = call
        self.caller = caller
        self.arguments = arguments
        self.every = every
        #: Those who watch, each with whether it has missed a change.
        self.watchers: dict[Watcher, bool] = {}
        #: The newest change; `None` before the first answer.
        self.newest: Mapping[str, Any] | None = None
        self._waiting: list[Deferred[Any]] = []
        self._next: IDelayedCall | None = None
        self._isRunning = False

    def first(self) -> Deferred[Any]:
        """Return a Deferred of the newest answer, which waits if there is none. It fails with `RoomError`."""
        first: Deferred[Any] = Deferred()
        self._waiting.append(first)
        if self.newest is not None:
            self._tellFirst()
        elif not self._isRunning:
            self.run()
        return first

    def leave(self, watcher: Watcher) -> None:
        """End a watch."""
        self.watchers.pop(watcher, None)
        if not self.watchers:
            self._watches.remove(self)
            if not self._isRunning:
                self._failFirst(RoomError(ErrorCode.UNAVAILABLE, "the watch has ended"))
            if self._next is not None:
                self._next.cancel()
                self._next = None

    def run(self) -> None:
        """Make the call. What follows an answer is not asked for before the client has taken that answer."""
        if self.call.following is not None and not all(each.isReady for each in self.watchers):
            self._next = self._watches.later(self)
            return
        self._next = None
        self._isRunning = True
        self._watches.begin(self).addCallbacks(self._answered, self._failed)

    def _answered(self, answer: Any) -> None:
        isNew = True
        if self.call.following is not None:
            following = self.call.following(self.arguments, answer)
            isNew = following is not None or self.newest is None or "answer" not in self.newest
            self.arguments = following or self.arguments
        self._ended({"answer": answer}, isNew)

    def _failed(self, failure: Failure) -> None:
        error: Any = failure.value
        told = {"code": error.code, "message": error.message, "details": error.details}
        self._ended({"error": {name: value for name, value in told.items() if value is not None}}, True)

    def _ended(self, change: Mapping[str, Any], isNew: bool) -> None:
        self._isRunning = False
        isFirst, isNew = self.newest is None, isNew and change != self.newest
        self.newest = change
        if not self.watchers:
            self._tellFirst()
            return
        self._next = self._watches.later(self)
        for watcher, hasMissed in list(self.watchers.items()):
            if isFirst or not (isNew or hasMissed):
                continue
            self.watchers[watcher] = not watcher.isReady
            if watcher.isReady:
                watcher.changed(change)
        self._tellFirst()

    def _failFirst(self, error: RoomError) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(error)

    def _tellFirst(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            assert self.newest is not None
            error = self.newest.get("error")
            if error is None:
                each.callback(self.newest["answer"])
            else:
                each.errback(RoomError(error["code"], error["message"], error.get("details")))
