"""
What a load test reports: a line each second, and its figures at the end.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime

from .histogram import Histogram
from .metrics import Metrics
from .runner import LoadTest

#: Above this share of a processor the load test itself is too slow to measure well.
BUSY = 0.9

_PERCENTILES = (50, 90, 99)


class Progress:
    """
    Reports what has happened since the last report.
    """

    def __init__(self, metrics: Metrics, clock: IReactorTime, hasRooms: bool = True) -> None:
        self._metrics = metrics
        self._hasRooms = hasRooms
        self._clock = clock
        self._start = self._last = clock.seconds()
        self._sent = self._received = 0

    def line(self) -> str:
        """Return the report as one line of text."""
        metrics, now = self._metrics, self._clock.seconds()
        seconds = (now - self._last) or 1.0
        words = [
            f"{now - self._start:6.0f} s",
            f"connected {metrics.connected}",
            *([f"joined {metrics.joined}"] if self._hasRooms else []),
            f"sent {(metrics.sent - self._sent) / seconds:.0f}/s",
            f"received {(metrics.received - self._received) / seconds:.0f}/s",
            f"errors {metrics.errors.total()}",
        ]
        for what, times in metrics.takeRecent().items():
            p50, p99 = (_inMilliseconds(times.percentile(percent)) for percent in (50, 99))
            words.append(f"{what} p50 {p50} p99 {p99}")
            break
        self._last, self._sent, self._received = now, metrics.sent, metrics.received
        return "  ".join(words)


def figuresOf(loadTest: LoadTest, cpu: float) -> dict[str, Any]:
    """
    Return all figures of a load test, as plain data. Times are in seconds, rates per second.

    `cpu` is the share of a processor that this process used, from 0 to 1.
    """
    plan, metrics = loadTest.plan, loadTest.metrics
    since, until = loadTest.since, loadTest.until
    seconds = until.time - since.time
    return {
        "url": plan.url,
        "room": plan.room,
        "isOk": not metrics.errors,
        "isStopped": loadTest.isStopped,
        "seconds": until.time - loadTest.start.time,
        "clients": {
            "planned": plan.clients,
            "started": metrics.started,
            "connected": metrics.everConnected,
            "joined": metrics.everJoined,
        },
        "connect": _timesOf(metrics.connectTimes),
        "join": _timesOf(metrics.joinTimes),
        "latency": {what: _timesOf(times) for what, times in metrics.latencies.items()},
        "messages": {
            "sent": metrics.sent,
            "received": metrics.received,
            "wantedRate": plan.rate * plan.clients if plan.isSending else None,
            "sentRate": (until.sent - since.sent) / seconds if seconds else 0.0,
            "receivedRate": (until.received - since.received) / seconds if seconds else 0.0,
        },
        "errors": dict(metrics.errors),
        "disconnects": {str(code): count for code, count in metrics.disconnects.items()},
        "recoveries": metrics.recoveries,
        "losses": metrics.losses,
        "cpu": cpu,
        "lateness": _timesOf(loadTest.lateness),
    }


def _timesOf(times: Histogram) -> dict[str, float]:
    percentiles = {f"p{percent}": times.percentile(percent) for percent in _PERCENTILES}
    return {"count": times.count, "mean": times.mean, **percentiles, "max": times.most}


def textOf(figures: dict[str, Any]) -> str:
    """Return the figures as text."""
    clients, messages = figures["clients"], figures["messages"]
    inRooms = f", {clients['joined']} joined" if figures["room"] is not None else ""
    wanted = messages["wantedRate"]
    ofWanted = "" if wanted is None else f" of {wanted:.0f}/s"
    rows = [
        ("clients", f"{clients['connected']} of {clients['planned']} connected{inRooms}"),
        ("sent", f"{messages['sent']}, {messages['sentRate']:.0f}/s{ofWanted}"),
        ("received", f"{messages['received']}, {messages['receivedRate']:.0f}/s"),
    ]
    times = {"connect": figures["connect"], "join": figures["join"], **figures["latency"]}
    rows += [(what, _inWords(each)) for what, each in times.items() if each["count"]]
    rows += [("error", f"{count} times {kind}") for kind, count in figures["errors"].items()]
    rows += [("disconnects", f"{count} times {code}") for code, count in figures["disconnects"].items()]
    if figures["disconnects"] and inRooms:
        rows.append(("recovered", f"{figures['recoveries']} without a loss, {figures['losses']} with one"))
    late = figures["lateness"]
    lateness = f"late p99 {_inMilliseconds(late['p99'])}  max {_inMilliseconds(late['max'])}"
    rows.append(("this process", f"{figures['cpu']:.0%} of a processor, {lateness}"))
    if figures["cpu"] > BUSY:
        rows.append(("", "too busy to measure well: start several processes with fewer clients each"))
    head = f"{figures['url']}, {figures['seconds']:.1f} s{', stopped' if figures['isStopped'] else ''}"
    return "\n".join([head, *(f"{name:>13}  {value}" for name, value in rows)])


def _inWords(times: dict[str, float]) -> str:
    names = ("p50", "p90", "p99", "max")
    return "  ".join(f"{name} {_inMilliseconds(times[name])}" for name in names)


def _inMilliseconds(seconds: float) -> str:
    milliseconds = seconds * 1000
    return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
