"""
What is counted and measured in a load test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from .histogram import Histogram

#: Kinds of errors that are told apart; all others are one more.
MAX_KINDS = 50

#: What is measured of messages, the most telling first. "returned": until the client's own message came back;
#: "reply": until a call was answered; "handled": until the server said so, which it does with a delay.
LATENCIES = ("returned", "reply", "handled")


class Metrics:
    """
    The figures of all clients together.
    """

    def __init__(self) -> None:
        #: How many clients are connected and have joined, now, and have been, ever.
        self.connected = 0
        self.joined = 0
        self.everConnected = 0
        self.everJoined = 0
        self.started = 0
        #: Messages.
        self.sent = 0
        self.received = 0
        #: How many answers of each kind (`LATENCIES`) are still to come.
        self.pending: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        #: How many connections were lost, by close code.
        self.disconnects: Counter[int] = Counter()
        #: How many came back without having missed anything, and how many missed something.
        self.recoveries = 0
        self.losses = 0
        self.connectTimes = Histogram()
        self.joinTimes = Histogram()
        self._latencies = _histograms()
        self._recent = _histograms()

    def failed(self, kind: str, count: int = 1) -> None:
        """Something went wrong, so many times."""
        isNew = kind not in self.errors
        self.errors["others" if isNew and len(self.errors) >= MAX_KINDS else kind] += count

    def miss(self) -> None:
        """Nobody waits any longer for what is still to come."""
        for what, count in self.pending.items():
            if count > 0:
                self.failed(f"{what}: missing", count)

    def took(self, what: str, seconds: float) -> None:
        """One of `LATENCIES` was so long."""
        self._latencies[what].add(seconds)
        self._recent[what].add(seconds)

    @property
    def latencies(self) -> Mapping[str, Histogram]:
        """The latencies there are."""
        return _taken(self._latencies)

    def takeRecent(self) -> Mapping[str, Histogram]:
        """Those since the last call."""
        recent, self._recent = self._recent, _histograms()
        return _taken(recent)


def _histograms() -> dict[str, Histogram]:
    return {what: Histogram() for what in LATENCIES}


def _taken(histograms: Mapping[str, Histogram]) -> Mapping[str, Histogram]:
    return {what: histogram for what, histogram in histograms.items() if histogram.count}
