"""
The connections of a node to Redis: one for commands, and one for what other nodes publish.

They are apart because Redis drops a connection that has subscribed to channels if too much waits for it, and
the replies to commands may be long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred, gatherResults

from ...core.awaitables import firstFailure
from .keys import Keys
from .resp import Commands, ignored
from .scripts import Scripts
from .settings import readInfo, runOf
from .watched import Watched

#: Called with the messages of a channel.
Heard = Callable[[bytes | None], None]


class Client(Commands, Protocol):
    """The part of `RedisClient` that a node uses."""

    onUp: Callable[[Commands], Awaitable[Any] | None]
    onDown: Callable[[], object]
    onPush: Callable[[list[Any]], object]
    afterReplies: Callable[[], object]
    onRefused: Callable[[Any], object]

    @property
    def isUp(self) -> bool: ...
    def start(self) -> Deferred[None]: ...
    def stop(self) -> Deferred[None]: ...
    def reconnect(self, why: str) -> None: ...


class ChannelsSide(Protocol):
    """The node, as its connections use it."""

    def connected(self, info: Mapping[str, str], leases: list[Any]) -> None:
        """Commands can be sent to a Redis that says this of itself; `leases` is the reply of `restarted`."""

    def subscribed(self, isAgain: bool) -> None:
        """From now on messages are received. `isAgain`: some may have been missed."""

    def packet(self, data: bytes) -> None:
        """Another node has sent a packet."""

    def changed(self, data: bytes) -> None:
        """Listings have changed."""

    def gone(self, node: str) -> None:
        """A node has ended."""

    def refused(self, error: Exception) -> None:
        """Redis refuses this node."""


class Channels:
    """
    The two connections; see the module.

    Args:
        redis: For commands.
        subscriber: For messages.
        scripts: The scripts.
        keys: The names of channels.
        node: The id of this node.
        side: The node.
    """

    def __init__(
        self, redis: Client, subscriber: Client, scripts: Scripts, keys: Keys, node: str, side: ChannelsSide
    ) -> None:
        self.redis = redis
        #: For commands without which the node is of no use.
        self.watched = Watched(redis, side.refused)
        self._subscriber = subscriber
        self._scripts = scripts
        self._keys = keys
        self._node = node
        self._own = keys.to(node)
        self._side = side
        self._hasSubscribed = False
        #: What is called with the messages of further channels.
        self._listeners: dict[bytes, Heard] = {}
        redis.onUp = self._prepare
        subscriber.onUp = self._subscribe
        subscriber.onPush = self._pushed
        redis.onRefused = subscriber.onRefused = side.refused

    def start(self) -> Deferred[Any]:
        """Connect. Fails if Redis refuses this node."""
        started: Deferred[Any] = gatherResults(
            [self.redis.start(), self._subscriber.start()], consumeErrors=True
        )
        return started.addErrback(firstFailure)

    def stop(self) -> Deferred[Any]:
        """Close the connections."""
        stopped: Deferred[Any] = gatherResults([self.redis.stop(), self._subscriber.stop()])
        return stopped

    def reconnect(self, why: str) -> None:
        """Drop the connections, and make new ones."""
        self.redis.reconnect(why)
        self._subscriber.reconnect(why)

    def publish(self, node: str, data: bytes, done: Callable[[object], None]) -> None:
        """Send a packet to a node; `done` is called with the number of nodes that have received it."""
        self.watched.send(done, "PUBLISH", self._keys.to(node), data)

    def listen(self, channel: bytes, heard: Heard) -> None:
        """
        Receive the messages of one more channel.

        Args:
            channel: The channel.
            heard: Called with each message; and with `None` when messages are received from now on, also when
                some may have been missed.
        """
        self._listeners[channel] = heard

        def subscribed(_: object) -> None:
            if self._listeners.get(channel) is heard:
                heard(None)

        # If that fails, the connection is lost, and the next one subscribes to all channels.
        self._subscriber.subscribe(channel).addCallbacks(subscribed, ignored)

    def unlisten(self, channel: bytes) -> None:
        """Receive the messages of a further channel no more."""
        if self._listeners.pop(channel, None) is not None:
            self._subscriber.unsubscribe(channel).addErrback(ignored)

    async def _prepare(self, redis: Commands) -> None:
        await self._scripts.load(redis)
        info = readInfo(await redis.ask("INFO"))
        names, args = (self._keys.nodes, self._keys.run), (self._node, runOf(info))
        self._side.connected(info, await self._scripts.ask(redis, "restarted", names, args))

    async def _subscribe(self, redis: Commands) -> None:
        for channel in (self._own, self._keys.gone, self._keys.changed):
            await redis.subscribe(channel)
        listeners = list(self._listeners.items())
        if listeners:
            await gatherResults([redis.subscribe(channel) for channel, _ in listeners], consumeErrors=True)
        isAgain, self._hasSubscribed = self._hasSubscribed, True
        self._side.subscribed(isAgain)
        for _, heard in listeners:
            heard(None)

    def _pushed(self, message: list[Any]) -> None:
        """Called for every packet."""
        kind, channel, data = message[:3]
        if kind != b"message":
            return
        if channel == self._own:
            self._side.packet(data)
        elif channel == self._keys.changed:
            self._side.changed(data)
        elif channel == self._keys.gone:
            self._side.gone(data.decode("ascii", "replace"))
        else:
            heard = self._listeners.get(channel)
            if heard is not None:
                heard(data)
