"""
The log of the calls that operators make, with those of their arguments that may be shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..core.refusallog import shown
from .guard import WRONG_BURST, WRONG_RATE, Buckets, Caller

#: The most characters of a text that are logged.
MOST_TEXT = 64

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
#: Names with these words are those of secrets. What is sent to clients, the data, is their matter only.
_SECRET_WORDS = frozenset(
    {"auth", "authorization", "cookie", "data", "key", "keys", "otp", "pass", "pin", "pwd", "session"}
)
#: Names with these parts are, too, also within a word.
_SECRET_PARTS = ("apikey", "credential", "passcode", "passphrase", "passw", "secret", "token")


def told(arguments: Mapping[str, Any]) -> str:
    """
    Return the numbers, booleans and texts of some arguments, each with its name and a space after it.

    Texts are cut, and escaped for the log. Arguments whose names look like those of secrets are left out.
    """
    return "".join(_told(arguments))


def _told(arguments: Mapping[str, Any]) -> Iterator[str]:
    for name, value in arguments.items():
        if isinstance(value, str | int | float) and not isSecret(name):
            yield f"{name}={_shown(value)} "


def isSecret(name: str) -> bool:
    """Return whether an argument of this name must not be logged."""
    lower = name.lower()
    words = {each.lower() for each in _WORD.findall(name)}
    return any(each in lower for each in _SECRET_PARTS) or not _SECRET_WORDS.isdisjoint(words)


def _shown(value: str | int | float) -> str:
    text = str(value)
    text = shown(text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}...")
    # Otherwise one could not tell where it ends.
    isPlain = not isinstance(value, str) or (text and " " not in text and '"' not in text)
    return text if isPlain else '"' + text.replace('"', '\\"') + '"'


class CallLog:
    """
    Logs what operators have done, and what they must not do: of that at most `WRONG_RATE` lines a second for
    each address, and `WRONG_BURST` at once.

    Args:
        clock: The clock.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._refused = Buckets(WRONG_RATE, WRONG_BURST)
        #: How many refused calls were not logged.
        self._untold = 0

    def ended(self, caller: Caller, name: str, arguments: Mapping[str, Any], outcome: str) -> None:
        """Log a call; the outcome is "done" or the code of an error."""
        self._log.info(
            "admin: {role} from {address}: {name} {told}{outcome}",
            role=str(caller.role),
            address=caller.address,
            name=name,
            told=told(arguments),
            outcome=outcome,
        )

    def forbidden(self, caller: Caller, name: str, outcome: str) -> None:
        """Log that somebody's role is too low for a call or a request."""
        now = self._clock.seconds()
        if not self._refused.of(caller.address, now).take(now):
            self._untold += 1
            return
        self.flush()
        self.ended(caller, name, {}, outcome)

    def flush(self) -> None:
        """Log how many refused calls were not logged, if any."""
        untold, self._untold = self._untold, 0
        if untold:
            self._log.info("admin: {untold} more calls that the role does not allow", untold=untold)
