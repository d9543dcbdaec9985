"""The numbers of the protocol."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from txroom import LeaveReason
from txroom.core.codes import CloseCode, ReadyState, SendStatus, isSendable


class CodeTests(SynchronousTestCase):
    """What may stand in a Close frame, and how things are numbered."""

    def test_sendable(self) -> None:
        """The codes of the RFC and the registry that an endpoint may send, and the free ranges."""
        sendable = [code for code in range(0, 6000) if isSendable(code)]
        expected = [1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)]
        self.assertEqual(sendable, expected)

    def test_negative(self) -> None:
        """A negative number is no code."""
        self.assertFalse(isSendable(-1))

    def test_ours(self) -> None:
        """All our codes can be sent, but for the two that tell of their absence."""
        unsendable = [code.name for code in CloseCode if not isSendable(code)]
        self.assertEqual(unsendable, ["NO_STATUS", "ABNORMAL"])

    def test_reconnect(self) -> None:
        """4000-4099 says "stay away", 4100-4199 "come back"; a client goes by the number alone."""
        names = {code.name for code in CloseCode if 4100 <= code < 4200}
        self.assertEqual(
            names,
            {
                "SHUTTING_DOWN",
                "ROOM_MOVED",
                "SLOW_CONSUMER",
                "ENGINE_UNAVAILABLE",
                "STATE_LOST",
                "NO_HEARTBEAT",
            },
        )

    def test_readyState(self) -> None:
        """Ready states have the numbers of the W3C API."""
        self.assertEqual([state.name for state in ReadyState], ["CONNECTING", "OPEN", "CLOSING", "CLOSED"])
        self.assertEqual([int(state) for state in ReadyState], [0, 1, 2, 3])

    def test_sendStatus(self) -> None:
        """Only a message that is on its way at once is false: `if connection.send(...)` means trouble."""
        self.assertEqual([status.name for status in SendStatus if not status], ["SENT"])

    def test_reasons(self) -> None:
        """Why a client has left can be compared, logged and sent as a text."""
        for reason in LeaveReason:
            self.assertEqual((str(reason), json.dumps(reason)), (reason.value, f'"{reason.value}"'))
        self.assertEqual(LeaveReason.DROPPED, "dropped")
