"""
``/metrics``: the metrics of this process, or of all workers of its parent, as text for Prometheus.

Any of the workers may be asked. It asks the others, and each sample gets the number of its worker.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from importlib.util import find_spec
from socket import gethostname
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from ..core.awaitables import clearTraceback
from ..protocol.errors import RoomError
from ..rooms.hooks import runCoroutine
from .families import Family, Sample, WorkerFamilies, gauge, gaugesOf, merged, plainValue
from .ports import AdminServer
from .problems import Problem
from .servermetrics import serverFamilies

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

#: The question of a worker to the others.
QUESTION = "txroom.metrics"

_MISSING = "metrics need the package prometheus-client: pip install txroom[metrics]"


def isAvailable() -> bool:
    """Return whether prometheus-client is installed."""
    return find_spec("prometheus_client") is not None


class Report(Struct, array_like=True, frozen=True):
    """The answer of a worker."""

    startedAt: float
    families: list[Family]


class Metrics:
    """
    The metrics of a server.

    Args:
        server: The server.
    """

    _log = Logger()

    def __init__(self, server: AdminServer) -> None:
        self._server = server
        self._startedAt = time.time()
        #: Whether another process takes, or has taken, the place of this worker.
        self.hasSuccessor = False
        #: Those who wait for the metrics that are being collected.
        self._waiting: list[Deferred[list[Family]]] | None = None

    def begin(self) -> None:
        """Count what is only counted for metrics, and answer other workers."""
        if isAvailable():
            self._server.meters.startTiming()
        self._server.cluster.answerNode(QUESTION, self._answer)

    def _answer(self, parent: Any) -> Any:
        """Return the report of this worker; `None` if it has another parent than the one that asks."""
        place = self._server.worker
        if place is None or place.parent != parent:
            return None
        report = self._report()
        if self.hasSuccessor:
            report = Report(report.startedAt, gaugesOf(report.families))
        return [place.slot, msgspec.to_builtins(report)]

    def _report(self) -> Report:
        server = self._server
        nodes = server.engine.nodes()
        families = serverFamilies(
            server.meters, server.reactorLag, server.isDraining, nodes[0].id if nodes else ""
        )
        try:
            families += _registered()
        except Exception:
            self._log.failure("a collector of the application's metrics raised; those are left out")
        return Report(self._startedAt, families)

    # -- all workers

    def collect(self) -> Deferred[list[Family]]:
        """Return a Deferred of the metrics. Those who ask while they are being collected get the same."""
        waiter: Deferred[list[Family]] = Deferred()
        if self._waiting is not None:
            self._waiting.append(waiter)
            return waiter
        self._waiting = [waiter]

        def done(result: Any) -> None:
            waiting, self._waiting = self._waiting, None
            for each in waiting or ():
                each.callback(result)

        runCoroutine(self._collect()).addBoth(done)
        return waiter

    async def _collect(self) -> list[Family]:
        place = self._server.worker
        own = self._report()
        if place is None:
            return merged([WorkerFamilies("", own.startedAt, own.families)])
        found = [WorkerFamilies(str(place.slot), own.startedAt, own.families)]
        host = gethostname()
        others = [node.id for node in self._server.engine.nodes()[1:] if node.host in ("", host)]
        unanswered = 0

        async def ask(node: str) -> None:
            nonlocal unanswered
            try:
                answer = await self._server.cluster.askNode(node, QUESTION, place.parent)
                if answer is not None:
                    slot, report = msgspec.convert(answer, tuple[int, Report])
                    found.append(WorkerFamilies(str(slot), report.startedAt, report.families))
            except (RoomError, msgspec.ValidationError) as error:
                clearTraceback(error)
                unanswered += 1

        await DeferredList([runCoroutine(ask(node)) for node in others], consumeErrors=True)
        text = "Workers, or other nodes on this machine, that didn't answer this scrape."
        return [*merged(found), gauge("txroom_workers_unanswered", text, unanswered)]


def checkAvailable() -> None:
    """Raise `Problem` if prometheus-client is not installed."""
    if not isAvailable():
        raise Problem(501, _MISSING)


def render(families: Iterable[Family], accept: str) -> tuple[bytes, str]:
    """Return the text of metrics and its type, as the header Accept asks for it."""
    from prometheus_client.exposition import choose_encoder

    encode, kind = choose_encoder(accept)
    return encode(_Collected(families)), kind


class _Collected:
    """A collector of prometheus-client."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.metrics_core import Metric

        for family in self._families:
            metric = Metric(family.name, family.help, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, sample.labels, float(sample.value))
            yield metric


def _registered() -> list[Family]:
    """Return what is in the default registry: Python's metrics, and those of the application."""
    if not isAvailable():
        return []
    from prometheus_client import REGISTRY

    return [
        Family(
            metric.name,
            metric.type,
            metric.documentation,
            [Sample(each.name, dict(each.labels), plainValue(each.value)) for each in metric.samples],
        )
        for metric in REGISTRY.collect()
    ]
