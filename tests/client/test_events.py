"""Listeners and options: mistakes raise an error where they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.client.case import ClientTestCase
from txroom import OptionError, RoomError
from txroom.client import ClientOptions
from txroom.client.connection import Attempt


class ListenerTests(ClientTestCase):
    """The methods `on`, `once` and `off`."""

    def test_offOnce(self) -> None:
        """`off` removes a listener that `once` added."""
        room = self.join()
        heard: list[Any] = []
        room.once("said", heard.append)
        room.off("said", heard.append)
        self.client.once("bye", heard.append)
        self.client.off("bye", heard.append)
        self.wire.receive("msg", "r1", 1, "said", 1)
        self.wire.receive("bye", 4100, 0)
        self.assertEqual(heard, [])

    def test_own(self) -> None:
        """
        The function that `on` returns removes only the listener of that call, even if it was added twice.
        """
        room = self.join()
        heard: list[Any] = []

        def listener(data: Any, offset: Any) -> None:
            heard.append(data)

        end = room.on("said", listener)
        room.once("said", listener)
        end()
        end()
        for offset in (1, 2):
            self.wire.receive("msg", "r1", offset, "said", offset)
        self.assertEqual(heard, [1])

    def test_unknownEvent(self) -> None:
        """A client refuses names that are not its events, such as types of messages."""
        for listen in (self.client.on, self.client.once):
            error = self.assertRaises(ValueError, listen, "left", print)
            self.assertIn("name='left': must be an event of a client: ", str(error))
            self.assertIn("bye, connected, ", str(error))

    def test_noFunction(self) -> None:
        """A listener or handler that cannot be called is refused when it is added."""
        room = self.join()
        for method in (room.on, room.once, room.onMessage, room.handle):
            error = self.assertRaises(TypeError, method, "said", 5)
            self.assertRegex(str(error), "=5 for 'said': must be a function")

    def test_reconnectFromListener(self) -> None:
        """
        `reconnect` in a listener of "reconnecting" decides the delay, for the client's and the room's
        event.
        """
        for isRooms in (True, False):
            self.begin(minDelay=4.0)
            room = self.join()
            where = room if isRooms else self.client
            where.on("reconnecting", lambda *args: self.client.reconnect(0))
            self.wire.end()
            self.assertEqual(self.nextWire(), 0.0)
            self.wire.open()
            self.resumed(self.wire.take()[0])
            self.assertEqual(room.status, "joined")


class OptionTests(ClientTestCase):
    """Options with wrong values."""

    def test_values(self) -> None:
        """The error names the option, the value and what is allowed."""
        for name, values in (
            ("callTimeout", (float("inf"), float("nan"), "15s", None, -1, True)),
            ("pingInterval", ("25", float("inf"))),
            ("connectTimeout", (0, float("nan"))),
            ("minDelay", ("1s", float("inf"))),
            ("window", (0, 65, 1.5, "64")),
            ("maxPayload", (0, -1, float("inf"))),
            ("maxReceived", (0, 10.0)),
            ("maxAttempts", (float("inf"), -1, "3")),
            ("headers", ({"a": "b\r\nc: d"}, {"a b": "c"}, {"a": 5}, {5: "a"}, "a: b", [("a", "b")])),
            ("retryPolicy", (5,)),
            ("random", (0.5, None)),
            ("rejoin", (1, "yes")),
            ("protocol", ("json", None)),
        ):
            for value in values:
                error = self.assertRaises(OptionError, ClientOptions, **{name: value})
                self.assertIn(f"{name}={value!r}: must be ", str(error))

    def test_arguments(self) -> None:
        """Times that are passed to methods are checked too."""
        room = self.join()
        for value in (float("inf"), float("nan"), -1, "5"):
            text = f"={value!r}: must be a finite number of seconds, 0 or more"
            error = self.assertRaises(OptionError, room.call, "roll", timeout=value)
            self.assertEqual(str(error), f"timeout{text}")
            error = self.assertRaises(OptionError, self.client.reconnect, value)
            self.assertEqual(str(error), f"delay{text}")
        self.assertEqual(self.wire.take(), [])

    def test_policy(self) -> None:
        """
        A `retryPolicy` that raises or returns no delay is logged, and the client reconnects nevertheless.
        """
        policies: tuple[Callable[[int], Any], ...] = (
            lambda attempt: 1 / 0, lambda attempt: float("nan"), lambda attempt: "soon",
        )  # fmt: skip
        for policy in policies:
            self.begin(retryPolicy=policy)
            self.join()
            self.wire.end()
            self.assertEqual(self.nextWire(), 0.125)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class QueryTests(ClientTestCase):
    """The method `query`."""

    def test_alike(self) -> None:
        """It lists the rooms of one name or of all; `rooms` does the same."""
        for ask in (self.client.query, self.client.rooms):
            for arguments in ((), ("chat",), (None, {"mode": 1})):
                ask(*arguments).addErrback(lambda failure: failure.trap(RoomError))
        self.wire.open()
        self.assertEqual(
            [frame[2:] for frame in self.wire.take()],
            [[None, {}], ["chat", {}], [None, {"mode": 1}]] * 2,
        )
        self.client.close()

    def test_attempt(self) -> None:
        """An attempt that fails at once leaves no WebSocket behind."""
        failing: list[Attempt] = []

        def connect(attempt: Attempt) -> Any:
            failing.append(attempt)
            attempt.lost(1006, "refused")
            return self._connect(attempt)

        self.client._dispatcher.connection._makeWebSocket = connect
        joining = self.client.join("chat")
        self.assertEqual((failing[0].webSocket, self.client.state), (None, "waiting"))
        self.client.close()
        self.assertEqual(self.codeOf(joining), "unavailable")
