"""
Refusals in the log: the first of each kind as it comes, the others counted.

Whoever runs a server reads why clients aren't let in, and nobody who is refused can fill the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: Seconds after which what was counted is told, at the next refusal; and kinds begin anew.
INTERVAL = 600.0
#: Kinds that are told apart in that time; what is of another is counted.
MAX_KINDS = 20
#: Kinds that a summary names.
_NAMED = 5
#: Characters of what a client has chosen, such as a path.
_SHOWN = 80


def shown(text: str) -> str:
    """What a client has chosen, fit for a line of a log."""
    plain = str(text)  # an enumeration's member shows itself otherwise
    return ascii(plain if len(plain) <= _SHOWN else plain[:_SHOWN] + "...")[1:-1]


class RefusalLog:
    """The refusals of one kind of request, called `what` in the log."""

    def __init__(self, what: str, log: Logger, clock: IReactorTime) -> None:
        self._what = what
        self._log = log
        self._clock = clock
        self._since = 0.0
        self._firsts: set[Hashable] = set()
        #: Those that weren't told, by cause.
        self._counted: Counter[str] = Counter()

    def note(self, cause: str, asked: str, by: str = "") -> None:
        """One was refused because of `cause`; `asked` is what for, `by` who, both as `shown`."""
        now = self._clock.seconds()
        if self._firsts and now >= self._since + INTERVAL:
            self.sumUp()
        if not self._firsts:
            self._since = now
        kind = (cause, asked)
        if kind in self._firsts or len(self._firsts) >= MAX_KINDS:
            # Causes are words of ours and codes of rooms, which may be many.
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
        """Tell what was counted, and begin anew."""
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
