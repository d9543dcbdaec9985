"""
The kinds of options: fields of `ServerOptions` with their checks and what the documentation shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from .validation import checked, isAmount, isCount, isInteger


def option(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    allowed: str,
    check: Callable[[Any], bool],
    source: str = "txroom",
) -> Any:
    """Make a field of `ServerOptions`. The documentation shows `doc`, `unit`, `allowed` and `source`."""
    return attrs.field(
        default=default,
        validator=checked(check, allowed),
        metadata=notes(doc, unit, allowed, source),
    )


def notes(doc: str, unit: str, allowed: str, source: str) -> dict[str, str]:
    """Return the metadata of a field."""
    return {"doc": doc, "unit": unit, "allowed": allowed, "source": source}


def size(default: int, doc: str, **more: Any) -> Any:
    """Make an option that is a number of bytes."""
    return option(
        default,
        doc,
        unit="bytes",
        allowed="a whole number of bytes, 0 or more",
        check=isCount,
        **more,
    )


def count(default: int, doc: str, unit: str = "", **more: Any) -> Any:
    """Make an option that is a number of connections, messages or other things."""
    return option(
        default,
        doc,
        unit=unit,
        allowed="a whole number, 0 or more",
        check=isCount,
        **more,
    )


def seconds(default: float, doc: str, **more: Any) -> Any:
    """Make an option that is a time."""
    return option(
        default,
        doc,
        unit="seconds",
        allowed="a finite number of seconds, 0 or more",
        check=isAmount,
        **more,
    )


def rate(default: float, doc: str, unit: str) -> Any:
    """Make an option that is a number per second."""
    return option(
        default,
        doc,
        unit=unit,
        allowed="a finite number, 0 or more",
        check=isAmount,
    )


def flag(default: bool, doc: str, **more: Any) -> Any:
    """Make an option that is on or off."""
    return option(
        default,
        doc,
        allowed="True or False",
        check=lambda value: isinstance(value, bool),
        **more,
    )


def windowBits(doc: str) -> Any:
    """Make an option that is the size of a compression window, as a power of two."""
    return option(
        15,
        doc,
        unit="bits",
        allowed="a whole number from 9 to 15",
        check=lambda value: isInteger(value) and 9 <= value <= 15,
        source="ws",
    )
