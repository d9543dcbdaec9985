"""
The sums of the counters of all workers.
"""

from __future__ import annotations

from collections.abc import Iterable


def summed(reports: Iterable[dict[str, object]]) -> dict[str, object]:
    """Return the sums of the counters of several workers; counters by name are added by name."""
    total: dict[str, object] = {}
    for report in reports:
        for name, value in report.items():
            total[name] = _added(total.get(name), value)
    return total


def _added(before: object, value: object) -> object:
    if isinstance(value, dict):
        return summed([before if isinstance(before, dict) else {}, value])
    assert isinstance(value, int)
    return value + (before if isinstance(before, int) else 0)
