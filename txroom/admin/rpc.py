"""
The RPC interface, whichever protocol its clients speak: their calls, and what they watch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import attrs
import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..core.codes import ErrorCode
from ..core.tokenbucket import TokenBucket
from ..protocol.errors import RoomError
from .calls import Calls
from .callsignatures import CallSignature
from .guard import Caller
from .secrets import Role
from .watches import Poll, Watches

#: The most calls of a client that may run at a time, and the most watches that it may have.
MOST_CALLS, MOST_WATCHES = 32, 32
#: The messages per second of a client, and how many at once. Its calls have the same limits, since a batch of
#: JSON-RPC is one message, but many calls.
RATE, BURST = 50.0, 200

#: The key of `Handshake.data` under which the `Caller` is.
CALLER = "caller"
#: The type of the messages that tell of changes.
CHANGE = "watch"

#: The seconds between two calls of a watch.
Every = Annotated[float, msgspec.Meta(ge=0.1, le=3600.0)]
Send = Callable[[Mapping[str, Any]], object]


class Watching(msgspec.Struct):
    """The answer to `watch`, and what is sent when the answer has changed."""

    #: The number of the watch, which the client needs to end it.
    watch: int
    #: The answer of the call that is watched.
    answer: Any


@attrs.frozen
class OwnCall:
    """A call that is about the client itself."""

    name: str
    signature: CallSignature
    role: Role = Role.READ


class Rpc:
    """
    What all clients of the RPC interface share.

    Args:
        calls: The calls.
        clock: The clock.
    """

    def __init__(self, calls: Calls, clock: IReactorTime) -> None:
        self.calls = calls
        self.clock = clock
        self.watches = Watches(calls, clock)
        client = self.client(Caller(Role.READ, ""), lambda change: None)
        #: The calls that clients have for themselves.
        self.own = {
            each.__name__: OwnCall(each.__name__, CallSignature(each.__name__, each))
            for each in (client.watch, client.unwatch)
        }

    def __iter__(self) -> Iterator[Any]:
        """Iterate over what clients can call, by name."""
        yield from self.calls
        yield from self.own.values()

    def client(self, caller: Caller, send: Send, isReady: Callable[[], bool] = lambda: True) -> RpcClient:
        """
        Make the side of the server for a client.

        Args:
            caller: Who it is.
            send: Sends it what has changed.
            isReady: Returns whether it has read what was sent before.
        """
        return RpcClient(self, caller, send, isReady)


class RpcClient:
    """
    A client of the RPC interface, as the server has it; see `Rpc.client`.
    """

    def __init__(self, rpc: Rpc, caller: Caller, send: Send, isReady: Callable[[], bool]) -> None:
        self._rpc = rpc
        self._caller = caller
        self.send = send
        self.isReady = isReady
        self._budget = TokenBucket(RATE, BURST, rpc.clock.seconds())
        self._running = 0
        self._last = 0
        self._watchers: dict[int, ClientWatcher] = {}

    def call(self, name: str, args: Any = None) -> Deferred[Any]:
        """
        Carry out a call.

        Args:
            name: Its name.
            args: Its arguments, as plain data: a mapping by their names, or a list in their order.

        Returns:
            A Deferred of the answer, as plain data. It fails with `RoomError` only; see `Calls.dispatch`.
        """
        if not self._budget.take(self._rpc.clock.seconds()):
            return fail(RoomError(ErrorCode.RATE_LIMITED, "too many calls"))
        if self._running >= MOST_CALLS:
            return fail(RoomError(ErrorCode.RATE_LIMITED, f"{MOST_CALLS} calls of this client run already"))
        own = self._rpc.own.get(name)
        if own is None:
            answer = self._rpc.calls.dispatch(self._caller, name, args)
        else:
            try:
                answer = getattr(self, name)(**own.signature.bind(args))
            except RoomError as error:
                return fail(error)
        self._running += 1
        return answer.addBoth(self._ended)

    def _ended(self, result: Any) -> Any:
        self._running -= 1
        return result

    def watch(self, call: str, args: Any = None, every: Every = 1.0) -> Deferred[Watching]:
        """
        Make a call again and again, and send its answer each time that it has changed.

        The changes are messages of the type ``watch``, with the number of the watch and the new ``answer``,
        or an ``error`` with its ``code`` and ``message``. A client that reads slowly gets only the newest
        answer.

        Args:
            call: The name of the call, one that changes nothing.
            args: The arguments of the call.
            every: The seconds from an answer to the next call.
        """
        if len(self._watchers) >= MOST_WATCHES:
            raise RoomError(ErrorCode.RATE_LIMITED, f"this client has {MOST_WATCHES} watches already")
        self._last += 1
        watcher = ClientWatcher(self, self._last)
        poll = watcher.poll = self._rpc.watches.add(watcher, self._caller, call, args, every)
        self._watchers[watcher.number] = watcher

        def begun(answer: Any) -> Any:
            return {"watch": watcher.number, "answer": answer}

        def failed(failure: Failure) -> Failure:
            self._end(watcher)
            return failure

        return poll.first().addCallbacks(begun, failed)

    def unwatch(self, watch: int) -> Deferred[None]:
        """
        End a watch.

        Args:
            watch: Its number.
        """
        watcher = self._watchers.get(watch)
        if watcher is None:
            raise RoomError(ErrorCode.BAD_REQUEST, "there is no watch of this number", {"field": "watch"})
        self._end(watcher)
        return succeed(None)

    def _end(self, watcher: ClientWatcher) -> None:
        if self._watchers.pop(watcher.number, None) is not None and watcher.poll is not None:
            watcher.poll.leave(watcher)

    def end(self) -> None:
        """End all watches, because the client has left, or has missed changes."""
        for watcher in list(self._watchers.values()):
            self._end(watcher)


class ClientWatcher:
    """A watch of a client; a `Watcher`."""

    def __init__(self, client: RpcClient, number: int) -> None:
        self._client = client
        self.number = number
        self.poll: Poll | None = None

    @property
    def isReady(self) -> bool:
        """Whether the client has read what was sent before."""
        return self._client.isReady()

    def changed(self, change: Mapping[str, Any]) -> None:
        """Send a change."""
        self._client.send({"watch": self.number, **change})
