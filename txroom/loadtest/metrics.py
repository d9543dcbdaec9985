"""
The counters and latencies of a load test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from .histogram import Histogram

#: How many kinds of errors are counted separately; all others are counted as "others".
MAX_KINDS = 50

#: The latencies of messages, the most useful first. "returned": until the client's own message returned;
#: "reply": until a call was answered; "handled": until the server acknowledged the message, which it does
#: with a delay.
LATENCIES = ("returned", "reply", "handled")


class Metrics:
    """
    The figures of all clients together.
    """

    def __init__(self) -> None:
        #: How many clients are connected and joined now, how many ever were, and how many have started.
        self.connected = 0
        self.joined = 0
        self.everConnected = 0
        self.everJoined = 0
        self.started = 0
        #: How many messages were sent and received.
        self.sent = 0
        self.received = 0
        #: How many answers of each kind in `LATENCIES` have not arrived yet.
        self.pending: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        #: How many connections were lost, by their close codes.
        self.disconnects: Counter[int] = Counter()
        #: How many times a client resumed without a loss, and with a loss of messages.
        self.recoveries = 0
        self.losses = 0
        self.connectTimes = Histogram()
        self.joinTimes = Histogram()
        self._latencies = _histograms()
        self._recent = _histograms()

    def failed(self, kind: str, count: int = 1) -> None:
        """Count `count` errors of a kind."""
        isNew = kind not in self.errors
        self.errors["others" if isNew and len(self.errors) >= MAX_KINDS else kind] += count

    def miss(self) -> None:
        """Count the answers that have not arrived as errors."""
        for what, count in self.pending.items():
            if count > 0:
                self.failed(f"{what}: missing", count)

    def took(self, what: str, seconds: float) -> None:
        """Add a latency of a kind in `LATENCIES`."""
        self._latencies[what].add(seconds)
        self._recent[what].add(seconds)

    @property
    def latencies(self) -> Mapping[str, Histogram]:
        """The latencies that have values."""
        return _taken(self._latencies)

    def takeRecent(self) -> Mapping[str, Histogram]:
        """Return the latencies since the last call, of each kind that has any."""
        recent, self._recent = self._recent, _histograms()
        return _taken(recent)


def _histograms() -> dict[str, Histogram]:
    return {what: Histogram() for what in LATENCIES}


def _taken(histograms: Mapping[str, Histogram]) -> Mapping[str, Histogram]:
    return {what: histogram for what, histogram in histograms.items() if histogram.count}
