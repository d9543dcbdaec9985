"""
How options are checked, and what is said of a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs


class OptionError(ValueError):
    """An option has a value that it can't take; the text names the option, the value and the range."""


def checked(check: Callable[[Any], bool], allowed: str) -> Callable[[Any, Any, Any], None]:
    """A validator of a field that raises `OptionError` unless `check` holds for the value."""

    def validate(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not check(value):
            raise OptionError(f"{attribute.name}={value!r}: must be {allowed}")

    return validate


def isInteger(value: object) -> bool:
    """Whether it is a whole number; `True` and `False` are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def isCount(value: Any) -> bool:
    """Whether it is a whole number, 0 or more."""
    return isInteger(value) and bool(value >= 0)


def isAmount(value: Any) -> bool:
    """Whether it is a finite number, 0 or more."""
    isNumber = isInteger(value) or isinstance(value, float)
    return isNumber and bool(0 <= value < float("inf"))
