"""
Metrics as plain data, which a worker can send to another one, and how those of several workers become one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from math import isfinite
from typing import Any, NamedTuple

from msgspec import Struct

from ..core.meters import Histogram

#: The label with the number of a worker.
WORKER = "worker"
#: The gauges that are no amounts, so that those of two processes must not be added.
_STATES = frozenset(
    {
        "process_max_fds",
        "process_start_time_seconds",
        "python_info",
        "txroom_draining",
        "txroom_info",
        "txroom_redis_up",
    }
)


class Sample(Struct, array_like=True, frozen=True):
    """A number with its labels."""

    name: str
    labels: dict[str, str]
    #: A text if it is infinite or not a number, which plain data can't be.
    value: float | str


class Family(Struct, array_like=True, frozen=True):
    """The samples of one metric."""

    #: The name, for a counter without "_total".
    name: str
    #: Such as "counter", "gauge" and "histogram".
    kind: str
    help: str
    samples: list[Sample]


#: Label values, in the order of the names of the labels.
Values = tuple[str, ...]


def gauge(name: str, help: str, value: float) -> Family:
    """Return a gauge without labels."""
    return Family(name, "gauge", help, [Sample(name, {}, value)])


def gauges(name: str, help: str, label: str, values: Mapping[str, float]) -> Family:
    """Return a gauge with one label."""
    return Family(name, "gauge", help, [Sample(name, {label: key}, value) for key, value in values.items()])


def counter(name: str, help: str, value: float) -> Family:
    """Return a counter without labels; `name` is without "_total"."""
    return Family(name, "counter", help, [Sample(f"{name}_total", {}, value)])


def counters(name: str, help: str, label: str, values: Mapping[str, float]) -> Family:
    """Return a counter with one label."""
    samples = [Sample(f"{name}_total", {label: key}, value) for key, value in values.items()]
    return Family(name, "counter", help, samples)


def histogram(name: str, help: str, times: Histogram) -> Family:
    """Return a histogram without labels."""
    return histograms(name, help, (), {(): times})


def histograms(name: str, help: str, labels: Values, values: Mapping[Any, Histogram]) -> Family:
    """
    Return a histogram with labels. The keys are `Values`; those without any observation are left out.
    """
    samples: list[Sample] = []
    for key, times in values.items():
        if times.count or not labels:
            samples += _samplesOf(name, dict(zip(labels, key, strict=True)), times)
    return Family(name, "histogram", help, samples)


def _samplesOf(name: str, labels: dict[str, str], times: Histogram) -> Iterator[Sample]:
    *below, all = accumulate(times.counts)
    for bound, count in zip(times.bounds, below, strict=True):
        yield Sample(f"{name}_bucket", {**labels, "le": str(float(bound))}, count)
    yield Sample(f"{name}_bucket", {**labels, "le": "+Inf"}, all)
    yield Sample(f"{name}_sum", labels, times.sum)
    yield Sample(f"{name}_count", labels, all)


def plainValue(value: float) -> float | str:
    """Return a number as the value of a `Sample`."""
    return value if isfinite(value) else str(float(value))


class WorkerFamilies(NamedTuple):
    """The metrics of one process."""

    #: The number of the worker; empty: there are no workers.
    worker: str
    #: When it was started, in seconds since 1970.
    startedAt: float
    families: list[Family]


def merged(workers: Iterable[WorkerFamilies]) -> list[Family]:
    """
    Return the metrics of all workers, each sample with the number of its worker.

    During a reload two processes may have the same number. Gauges that are amounts, such as connections, are
    added, and of everything else the younger one counts: its counters begin anew, as Prometheus expects it of
    a process that was started again. The older one tells only `gaugesOf` as soon as it gives its rooms away.
    """
    families: dict[str, Family] = {}
    found: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], Sample]] = {}
    for each in sorted(workers, key=lambda worker: worker.startedAt):
        for family in each.families:
            known = families.setdefault(family.name, family)
            if known.kind != family.kind:
                continue  # of the application, in another version of it
            samples = found.setdefault(family.name, {})
            for sample in family.samples:
                labels = _labelled(sample.labels, each.worker)
                key = sample.name, tuple(sorted(labels.items()))
                value = sample.value
                former = samples.get(key)
                if former is not None and family.kind == "gauge" and family.name not in _STATES:
                    value = plainValue(float(former.value) + float(value))
                samples[key] = Sample(sample.name, labels, value)
    return [
        Family(name, family.kind, family.help, list(found[name].values()))
        for name, family in families.items()
    ]


def gaugesOf(families: Iterable[Family]) -> list[Family]:
    """
    Return the metrics that a worker tells when another one has taken its place: if that one doesn't answer in
    time, the counters must not jump back to those of the older one.
    """
    return [family for family in families if family.kind == "gauge"]


def _labelled(labels: dict[str, str], worker: str) -> dict[str, str]:
    """Return labels with that of the worker; one of that name gets another name, as Prometheus does it."""
    if not worker:
        return labels
    if WORKER in labels:
        labels = {f"exported_{name}" if name == WORKER else name: value for name, value in labels.items()}
    return {**labels, WORKER: worker}
