"""The flow of a state to one client: what it is sent, and when the room is asked for what it has missed."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txroom.core.codes import SendStatus
from txroom.core.message import Prepared
from txroom.rooms.contract.commands import WantState
from txroom.rooms.contract.items import StateFull, StatePatch, StatePatches
from txroom.rooms.edge.stateflow import StateFlow

SENT = SendStatus.SENT
LIMIT = 100


class FakeDialect:
    """Builds messages that have the versions and the data of items."""

    def __init__(self) -> None:
        self.built = 0

    def frame(self, item: Any) -> Prepared | None:
        self.built += 1
        return Prepared(b"%d-%d:%b" % (getattr(item, "since", -1), item.version, item.data))


class FakeConnection:
    """Keeps what is sent; `refused` bytes wait."""

    def __init__(self) -> None:
        self.refused = 0
        self.sent: list[bytes] = []
        self.waiters: list[Deferred[None]] = []

    def sendUnlimited(self, prepared: Prepared, mostRefused: int) -> SendStatus | None:
        if self.refused > mostRefused:
            return None
        self.sent.append(prepared.payload)
        return SENT

    def whenSent(self) -> Deferred[None]:
        self.waiters.append(Deferred())
        return self.waiters[-1]


class FakeAttachment:
    """Keeps what the room is asked."""

    id = "me"

    def __init__(self) -> None:
        self.asked: list[int | None] = []

    def submit(self, frame: WantState) -> None:
        self.asked.append(frame.version)


class StateFlowTests(SynchronousTestCase):
    """A client that has version 1."""

    def setUp(self) -> None:
        self.dialect: Any = FakeDialect()
        self.connection: Any = FakeConnection()
        self.attachment = FakeAttachment()
        self.flow = StateFlow(1)

    def send(self, item: Any) -> None:
        status = self.flow.send(self.connection, self.dialect, item, self.attachment, LIMIT)
        self.assertIs(status, SENT)

    def test_sharedOnce(self) -> None:
        """A patch for clients in step is built once for all of them."""
        other = StateFlow(1)
        for version in (1, 2):
            patch = StatePatch("r", version, version + 1, b"x")
            self.send(patch)
            other.send(self.connection, self.dialect, patch, self.attachment, LIMIT)
        self.assertEqual(self.connection.sent, [b"1-2:x", b"1-2:x", b"2-3:x", b"2-3:x"])
        self.assertEqual(self.dialect.built, 2)

    def test_leftOut(self) -> None:
        """What the client has already, and what begins after its version, is left out; a full never is."""
        self.send(StatePatch("r", 0, 1, b"had"))
        self.send(StatePatch("r", 2, 3, b"gap"))
        self.assertEqual(self.connection.sent, [])
        self.send(StateFull("r", 3, b"full"))
        self.send(StatePatch("r", 3, 4, b"next"))
        self.assertEqual(self.connection.sent, [b"-1-3:full", b"3-4:next"])

    def test_gap(self) -> None:
        """A client that lacks a patch which the room has lost asks once; then it is in step again."""
        for version in (3, 4):
            self.send(StatePatch("r", version, version + 1, b"gap"))
        self.connection.waiters.pop(0).callback(None)
        self.send(StatePatches("r", 5, 5, b"", {}))
        self.assertEqual((self.attachment.asked, self.connection.waiters), ([1], []))
        self.send(StatePatch("r", 1, 5, b"missed"))
        self.send(StatePatches("r", 5, 5, b"", {}))
        self.assertEqual((self.connection.sent, self.connection.waiters), ([b"1-5:missed"], []))
        self.send(StatePatches("r", 5, 6, b"", {}))
        self.send(StatePatches("r", 7, 7, b"", {}))
        self.connection.waiters.pop().callback(None)
        self.assertEqual(self.attachment.asked, [1, 6])
        self.connection.refused = LIMIT + 1
        self.send(StatePatch("r", 6, 7, b"too slow"))
        self.connection.waiters.pop().callback(None)
        self.assertEqual(self.attachment.asked, [1, 6, 6])

    def test_views(self) -> None:
        """A client with a view gets its own part; if it sees no change, its next patch begins before that."""
        self.send(StatePatches("r", 1, 2, b"all", {"me": b"+own", "you": b"+yours"}))
        self.send(StatePatches("r", 2, 3, b"", {"you": b"yours"}))
        self.send(StatePatch("r", 3, 4, b"next"))
        self.assertEqual(self.connection.sent, [b"1-2:all+own", b"2-4:next"])

    def test_behind(self) -> None:
        """A slow client gets no patches. When all has left, the room is asked once, with its version."""
        self.connection.refused = LIMIT
        self.send(StatePatch("r", 1, 2, b"still"))
        self.connection.refused = LIMIT + 1
        for version in (2, 3):
            self.send(StatePatch("r", version, version + 1, b"lost"))
        self.assertEqual((self.connection.sent, len(self.connection.waiters)), ([b"1-2:still"], 1))
        self.connection.refused = 0
        self.connection.waiters[0].callback(None)
        self.assertEqual(self.attachment.asked, [2])
        self.send(StatePatch("r", 5, 6, b"gap"))
        self.send(StatePatch("r", 2, 6, b"caught up"))
        self.assertEqual(self.connection.sent, [b"1-2:still", b"2-6:caught up"])

    def test_fullLost(self) -> None:
        """A client that was to get all of the state, and was too slow for that, asks for all of it."""
        self.connection.refused = LIMIT + 1
        self.send(StatePatch("r", 1, 2, b"lost"))
        self.send(StateFull("r", 5, b"lost"))
        self.connection.refused = 0
        self.connection.waiters.pop().callback(None)
        self.assertEqual(self.attachment.asked, [None])
        self.send(StatePatch("r", 1, 6, b"of a state that it hasn't"))
        self.assertEqual((self.connection.sent, self.connection.waiters), ([], []))
        self.send(StateFull("r", 6, b"full"))
        self.assertEqual(self.connection.sent, [b"-1-6:full"])

    def test_none(self) -> None:
        """A client that has no state asks for all of it."""
        self.flow = StateFlow(None)
        self.connection.refused = LIMIT + 1
        self.send(StateFull("r", 5, b"full"))
        self.connection.waiters[0].callback(None)
        self.assertEqual(self.attachment.asked, [None])

    def test_lost(self) -> None:
        """If the connection is lost, nothing is asked."""
        self.connection.refused = LIMIT + 1
        self.send(StatePatch("r", 1, 2, b"x"))
        self.connection.waiters[0].errback(ConnectionError())
        self.assertEqual(self.attachment.asked, [])
