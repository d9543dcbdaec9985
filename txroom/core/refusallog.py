"""
The log of refusals: the first of each kind is logged at once, the others are counted.

So an operator can see why clients are refused, and refused clients can't fill the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: The seconds after which the next refusal logs a summary, and all kinds are new again.
INTERVAL = 600.0
#: The most kinds that are logged in that time. Refusals of further kinds are only counted.
MAX_KINDS = 20
#: The most causes that a summary names.
_NAMED = 5
#: The most characters of a text from a client, such as a path.
_SHOWN = 80


def shown(text: str) -> str:
    """Return a text that a client has chosen, shortened and escaped for the log."""
    plain = str(text)  # repr() of an enum member would show its name
    return ascii(plain if len(plain) <= _SHOWN else plain[:_SHOWN] + "...")[1:-1]


class RefusalLog:
    """
    The log of refused requests of one sort.

    Args:
        what: What is refused, for the log, such as "upgrade".
        log: The log.
        clock: The clock.
        isByAddress: Whether the first refusal of each address is logged, rather than that of each target.
    """

    def __init__(self, what: str, log: Logger, clock: IReactorTime, *, isByAddress: bool = False) -> None:
        self._what = what
        self._log = log
        self._clock = clock
        self._isByAddress = isByAddress
        self._since = 0.0
        self._firsts: set[Hashable] = set()
        #: The refusals that were not logged, by cause.
        self._counted: Counter[str] = Counter()

    def note(self, cause: str, asked: str, by: str = "") -> None:
        """
        Log or count a refusal.

        Args:
            cause: Why it was refused.
            asked: What the client asked for, in a form that `shown` returns.
            by: The client's address, in the same form, or "".
        """
        now = self._clock.seconds()
        if self._firsts and now >= self._since + INTERVAL:
            self.sumUp()
        if not self._firsts:
            self._since = now
        kind = (cause, by if self._isByAddress else asked)
        if kind in self._firsts or len(self._firsts) >= MAX_KINDS:
            # Causes also come from rooms, so their number is limited too.
            isNamed = cause in self._counted or len(self._counted) < MAX_KINDS
            self._counted[cause if isNamed else "others"] += 1
            return
        self._firsts.add(kind)
        self._log.info(
            "{what} refused: {cause}; {asked}{by}",
            what=self._what,
            cause=cause,
            asked=asked,
            by=f" from {by}" if by else "",
        )

    def sumUp(self) -> None:
        """Log a summary of the counted refusals, and start again."""
        if self._counted:
            self._log.info(
                "{what} refused {count} more times in the last {seconds:.0f} s: {causes}",
                what=self._what,
                count=self._counted.total(),
                seconds=self._clock.seconds() - self._since,
                causes=self._causes(),
            )
        self._firsts.clear()
        self._counted.clear()

    def _causes(self) -> str:
        named = self._counted.most_common(_NAMED)
        causes = [f"{cause} {count}" for cause, count in named]
        rest = self._counted.total() - sum(count for _, count in named)
        return ", ".join([*causes, f"others {rest}"] if rest else causes)
