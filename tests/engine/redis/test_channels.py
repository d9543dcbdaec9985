"""Tests for the two connections of a node."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from tests.engine.redis.fakeredis import FakeRedis
from txroom.engine.redis.channels import Channels
from txroom.engine.redis.keys import Keys
from txroom.engine.redis.resp import RedisError
from txroom.engine.redis.scripts import NAMES, Scripts


def infoOf(run: str) -> dict[str, str]:
    """What the fake Redis says of itself."""
    return {"redis_version": "7.0.15", "run_id": run}


class Side:
    """A node, which notes what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        #: Called when commands can be sent.
        self.onConnected: Any = lambda: None

    def __getattr__(self, name: str) -> Any:
        def noted(*args: Any) -> None:
            self.events.append((name, *args))
            if name == "connected":
                self.onConnected()

        return noted

    def take(self) -> list[tuple[Any, ...]]:
        """The events since the last call."""
        events, self.events = self.events, []
        return events


class ChannelsTests(SynchronousTestCase):
    """`Channels`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeRedis(self.clock)
        self.side = Side()
        self.clients = [self.server.connect(), self.server.connect()]
        side: Any = self.side
        commands, messages = self.clients
        self.channels = Channels(commands, messages, Scripts(), Keys(), "me", side)
        self.started = fired(self.channels.start())
        self.clock.advance(0)

    def publish(self, channel: bytes, data: bytes = b"data") -> None:
        """Another node publishes something."""
        self.server.run(("PUBLISH", channel, data))
        self.clock.advance(0)

    def test_start(self) -> None:
        """Both connections are there when it has started: scripts are loaded, and messages come."""
        self.assertEqual(len(self.started), 1)
        self.assertEqual(len(self.server.store.loaded), len(NAMES))
        events = self.side.take()
        self.assertEqual(
            events, [("connected", infoOf("run1"), [-1, -1, 1_000_000_000]), ("subscribed", False)]
        )

    def test_scriptsFirst(self) -> None:
        """When the node is told that commands can be sent, the scripts can be used."""
        loaded: list[int] = []
        self.side.onConnected = lambda: loaded.append(len(self.server.store.loaded))
        self.server.restart()
        self.clock.advance(1)
        self.assertEqual(loaded, [len(NAMES)])

    def test_messages(self) -> None:
        """Packets, changes of listings and ends of nodes are passed on, each to its method."""
        self.side.take()
        self.publish(b"txr:to:me", b"packet")
        self.publish(b"txr:changed", b"changes")
        self.publish(b"txr:gone", b"other")
        events = [("packet", b"packet"), ("changed", b"changes"), ("gone", "other")]
        self.assertEqual(self.side.take(), events)

    def test_otherMessages(self) -> None:
        """What isn't for this node is ignored, and so is what isn't a message."""
        self.side.take()
        self.publish(b"txr:to:other")
        self.clients[1].onPush([b"message", b"unknown", b"data"])
        self.clients[1].onPush([b"invalidate", b"txr:gone", b"other"])
        self.assertEqual(self.side.take(), [])

    def test_goneUnreadable(self) -> None:
        """A node can't be told to raise by an id that is no text."""
        self.side.take()
        self.publish(b"txr:gone", b"\xff")
        self.assertEqual(self.side.take(), [("gone", "\ufffd")])

    def test_again(self) -> None:
        """When the connections are made again, the node learns that it may have missed messages."""
        self.side.take()
        self.server.restart()
        self.clock.advance(1)
        events = self.side.take()
        self.assertEqual(
            events, [("connected", infoOf("run2"), [-1, -1, 1_000_001_000]), ("subscribed", True)]
        )
        self.publish(b"txr:gone", b"other")
        self.assertEqual(self.side.take(), [("gone", "other")])

    def test_leases(self) -> None:
        """The node is told the leases that it and others had when Redis was stopped."""
        self.server.run(("ZADD", "txr:nodes", 5000, "me", 7000, "other"))
        self.side.take()
        self.server.restart()
        self.clock.advance(1)
        self.assertIn(("connected", infoOf("run2"), [5000, 7000, 1_000_001_000]), self.side.take())

    def test_publish(self) -> None:
        """A packet goes to the channel of its node; the sender learns how many nodes have got it."""
        replies: list[object] = []
        self.channels.publish("me", b"packet", replies.append)
        self.channels.publish("nobody", b"packet", replies.append)
        self.clock.advance(0)
        self.assertEqual(replies, [1, 0])

    def test_refused(self) -> None:
        """If Redis refuses one of the connections later, the node is told."""
        self.side.take()
        errors = [RedisError("NOPERM no"), RedisError("WRONGPASS no")]
        for client, error in zip(self.clients, errors, strict=True):
            client.onRefused(error)
        self.assertEqual(self.side.take(), [("refused", error) for error in errors])

    def test_stop(self) -> None:
        """Both connections are closed."""
        self.assertEqual(len(fired(self.channels.stop())), 1)
        self.assertEqual(self.server.clients, [])


class FailsTests(SynchronousTestCase):
    """`Channels` that can't start."""

    def test_fails(self) -> None:
        """If one of the connections is refused, the error is that of Redis, and the other one is left."""
        server = FakeRedis(Clock())
        error = RedisError("WRONGPASS no")
        for refused in (0, 1):
            clients: Any = [server.connect(), server.connect()]
            clients[refused].start = lambda: fail(error)
            clients[1 - refused].start = lambda: succeed(None)
            side: Any = Side()
            channels = Channels(clients[0], clients[1], Scripts(), Keys(), "me", side)
            self.assertIs(self.failureResultOf(channels.start()).value, error)

    def test_notLoaded(self) -> None:
        """If the scripts can't be loaded, the node isn't told that commands can be sent."""
        clock = Clock()
        server = FakeRedis(clock)
        server.fail("OOM no", "SCRIPT")
        side: Any = Side()
        channels = Channels(server.connect(), server.connect(), Scripts(), Keys(), "me", side)
        started = fired(channels.start())
        clock.advance(0)
        self.assertEqual((started, side.take()), ([], [("subscribed", False)]))
        clock.advance(1)
        self.assertEqual(
            (len(started), side.take()), (1, [("connected", infoOf("run1"), [-1, -1, 1_000_001_000])])
        )
        fired(channels.stop())
