"""
Tests for close codes, states and error codes.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from txroom import LeaveReason
from txroom.core.codes import CloseCode, ReadyState, SendStatus, isSendable


class CodeTests(SynchronousTestCase):
    """Their values."""

    def test_sendable(self) -> None:
        """Codes of the RFC and the registry that an endpoint may send, and the free ranges."""
        sendable = [code for code in range(0, 6000) if isSendable(code)]
        expected = [1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)]
        self.assertEqual(sendable, expected)

    def test_negative(self) -> None:
        """A negative number is not sendable."""
        self.assertFalse(isSendable(-1))

    def test_ours(self) -> None:
        """All members can be sent, except 1005 and 1006."""
        unsendable = [code.name for code in CloseCode if not isSendable(code)]
        self.assertEqual(unsendable, ["NO_STATUS", "ABNORMAL"])

    def test_reconnect(self) -> None:
        """After 4000-4099 a client does not reconnect, after 4100-4199 it does."""
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
        """Ready states have the numbers of browsers."""
        self.assertEqual([state.name for state in ReadyState], ["CONNECTING", "OPEN", "CLOSING", "CLOSED"])
        self.assertEqual([int(state) for state in ReadyState], [0, 1, 2, 3])

    def test_sendStatus(self) -> None:
        """Only SENT is false, so that `if connection.send(...)` finds trouble."""
        self.assertEqual([status.name for status in SendStatus if not status], ["SENT"])

    def test_reasons(self) -> None:
        """Leave reasons can be compared, logged and sent as text."""
        for reason in LeaveReason:
            self.assertEqual((str(reason), json.dumps(reason)), (reason.value, f'"{reason.value}"'))
        self.assertEqual(LeaveReason.DROPPED, "dropped")
