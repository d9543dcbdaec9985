"""What the tests of the Python client share: a client whose server the test plays."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom import RoomError
from txroom.client import JSON_PROTOCOL, ClientOptions, Room
from txroom.client.baseclient import BaseClient
from txroom.client.connection import Attempt

DEFAULTS = ClientOptions()


class FakeWire:
    """A connection whose server the test plays."""

    url = where = "ws://server/rooms"

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.frames: list[list[Any]] = []
        #: The close code and the reason; (0, "") if the connection was dropped.
        self.closed: tuple[int, str] | None = None
        self.gone: Deferred[None] = Deferred()

    def send(self, message: bytes, isBinary: bool) -> None:
        self.frames.append((msgspec.msgpack if isBinary else msgspec.json).decode(message))

    def close(self, code: int, reason: str) -> Deferred[None]:
        self.closed = (code, reason)
        return self.gone

    def abort(self) -> None:
        self.closed = (0, "")

    def open(self, protocol: str | None = JSON_PROTOCOL) -> None:
        """Complete the upgrade."""
        self.attempt.opened(protocol)

    def receive(self, *frame: Any) -> None:
        """Let the server send a frame."""
        self.attempt.received(msgspec.json.encode(frame), False)

    def end(self, code: int = 1006, reason: str = "", retryAfter: float = 0.0) -> None:
        """Close the connection."""
        self.attempt.lost(code, reason, retryAfter)

    def take(self, *, withPings: bool = False) -> list[list[Any]]:
        """Return the frames that the client has sent since the last call."""
        frames, self.frames = self.frames, []
        return [frame for frame in frames if withPings or frame[0] != "ping"]


def membership(**more: Any) -> dict[str, Any]:
    """The membership that a frame `joined` describes."""
    usual = {"name": "chat", "member": "m1", "token": "t1", "epoch": "e1", "offset": 0, "handled": 0}
    return {**usual, "recovered": False, "members": None, "snapshot": None, **more}


class ClientTestCase(SynchronousTestCase):
    """A client without a network."""

    def begin(self, **options: Any) -> None:
        self.clock = Clock()
        self.wires: list[FakeWire] = []
        self.errors: list[Any] = []
        checked = ClientOptions(**{"random": lambda: 0.0, **options})
        self.client = BaseClient(self._connect, self.clock, Room, checked)
        self.client.on("error", self.errors.append)

    def setUp(self) -> None:
        self.begin()

    def _connect(self, attempt: Attempt) -> FakeWire:
        self.wires.append(FakeWire(attempt))
        return self.wires[-1]

    @property
    def wire(self) -> FakeWire:
        return self.wires[-1]

    def join(self, id: str = "r1", options: Any = None, **joined: Any) -> Any:
        """Join a room, whose events are added to `log`."""
        joining = self.client.joinOrCreate("chat", options)
        if self.client.state == "connecting":
            self.wire.open()
        self.wire.receive("joined", self.wire.take()[-1][1], id, membership(**joined))
        room: Any = self.successResultOf(joining)
        room.log = []
        for name in ("reconnecting", "recovered", "lost", "left"):
            room.on(name, lambda *args, name=name: room.log.append((name, *args)))
        room.onMessage("*", lambda type, data, offset: room.log.append((type, data, offset)))
        self.clock.advance(0)
        self.wire.take()
        return room

    def nextWire(self) -> float:
        """Let time pass until the client connects again; return the seconds."""
        count, since = len(self.wires), self.clock.seconds()
        while len(self.wires) == count:
            calls = self.clock.getDelayedCalls()
            self.assertTrue(calls, "the client doesn't connect")
            self.clock.advance(max(0.0, min(call.getTime() for call in calls) - self.clock.seconds()))
        return round(self.clock.seconds() - since, 3)

    def reconnect(self) -> list[list[Any]]:
        """Lose the connection and open another one; return the first frame that the client sends."""
        self.wire.end()
        self.nextWire()
        self.wire.open()
        return self.wire.take()

    def resumed(self, resume: list[Any], **joined: Any) -> None:
        """Answer a `resume`."""
        self.assertEqual(resume[0], "resume")
        usual = {"recovered": True, "token": "t2", "offset": resume[5]}
        self.wire.receive("joined", resume[1], resume[2], membership(**{**usual, **joined}))

    def refuse(self, ref: int, code: str, text: str = "") -> None:
        """Answer a request with an error."""
        self.wire.receive("error", ref, None, code, text, None)

    def codeOf(self, deferred: Deferred[Any]) -> str:
        """The code of the error with which a Deferred has failed."""
        return str(self.failureResultOf(deferred, RoomError).value.code)
