"""The tables that both ends of a socket share: close codes, errors and limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txroom.core.codes import ErrorCode
from txroom.protocol import closecodes, limits

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors/protocol-v1.json").read_text())


class VectorTests(SynchronousTestCase):
    """The test vectors say the same; ``txroom.js`` is held to them too."""

    def test_errors(self) -> None:
        """What each error means: every one of the protocol, and a word of a room's own."""
        rows = VECTORS["errors"]
        for row in rows:
            error = row["error"]
            self.assertEqual(closecodes.closeCodeOf(error), row["refused"], error)
            self.assertEqual(closecodes.leftCodeOf(error), row["left"], error)
            self.assertEqual(closecodes.fallbackAfter(error), row["fallback"], error)
        self.assertEqual({row["error"] for row in rows} - {"aWordOfTheRoom"}, set(ErrorCode))
        self.assertEqual(closecodes.closeCodeOf(None), closecodes.closeCodeOf("aWordOfTheRoom"))

    def test_closes(self) -> None:
        """What a client does, and tells, after each code."""
        for row in VECTORS["closes"]:
            code, reason = row["code"], row.get("reason", "")
            self.assertEqual(closecodes.errorOf(code), row["error"], row)
            self.assertEqual(closecodes.mayReconnect(code, reason), row["reconnects"], row)
            self.assertEqual(closecodes.mayResume(code), row["resumes"], row)

    def test_statuses(self) -> None:
        """What a refusal is by its HTTP status, told in the protocol or by the status alone."""
        for row in VECTORS["statuses"]:
            status = row["status"]
            self.assertEqual(closecodes.refusalForStatus(status), (row["error"], row["refused"]), status)
            self.assertEqual(closecodes.closeCodeOfAnswer(status), row["answered"], status)

    def test_otherStatuses(self) -> None:
        """After any other answer from 400 to 499 a client does not come back, after the rest it does."""
        for status in (400, 405, 410, 414, 426, 431, 499):
            self.assertFalse(closecodes.mayReconnect(closecodes.closeCodeOfAnswer(status)), status)
        for status in (200, 302, 502, 504, 599):
            self.assertTrue(closecodes.mayReconnect(closecodes.closeCodeOfAnswer(status)), status)
        self.assertEqual(closecodes.refusalForStatus(410), closecodes.refusalForStatus(404))
        self.assertEqual(closecodes.refusalForStatus(405), closecodes.refusalForStatus(403))

    def test_limits(self) -> None:
        """The limits, and the names of the sub-protocols."""
        self.assertEqual(list(limits.PROTOCOLS), VECTORS["protocols"])
        self.assertEqual(
            VECTORS["limits"],
            {
                "window": limits.WINDOW,
                "number": limits.MAX_NUMBER,
                "name": limits.MAX_NAME,
                "code": limits.MAX_CODE,
                "text": limits.MAX_TEXT,
                "token": limits.MAX_TOKEN,
                "device": limits.MAX_DEVICE,
                "notice": limits.MAX_NOTICE,
                "notices": limits.NOTICE_WINDOW,
                "noticesSize": limits.NOTICE_WINDOW_SIZE,
                "depth": limits.MAX_DEPTH,
                "containers": limits.MAX_CONTAINERS,
                "options": limits.MAX_OPTIONS,
                "optionValues": limits.MAX_OPTION_VALUES,
                "optionsOfPath": limits.MAX_FIELDS,
            },
        )


class AgreementTests(SynchronousTestCase):
    """The tables agree with one another."""

    def test_backAndForth(self) -> None:
        """An error that a close code says is one that "left" says by the same code, or by 4008."""
        for code, error in closecodes.CLOSES.items():
            if error != ErrorCode.BAD_REQUEST:  # after a resume that made no sense the room is just over
                self.assertEqual(closecodes.leftCodeOf(error), code)

    def test_fallback(self) -> None:
        """A client that is to try again is not sent away for good by the close code."""
        for error, row in closecodes.ERRORS.items():
            if row.fallback is closecodes.ResumeFallback.RETRY:
                self.assertTrue(closecodes.mayReconnect(row.refused), error)
