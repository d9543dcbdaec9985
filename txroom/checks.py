"""
How options and hooks are checked, and what is said of a wrong one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from functools import wraps
from inspect import isfunction
from itertools import takewhile
from typing import Any, TypeVar

import attrs

Class = TypeVar("Class", bound=type)


class OptionError(ValueError):
    """An option has a value that it can't take; the text names the option, the value and the range."""


# -- values


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


# -- names


def unknownNames(names: Iterable[str], known: Iterable[str]) -> str:
    """Those of `names` that are not `known`, in words, each with the one that may have been meant."""
    plain = {_plain(name): name for name in known}
    unknown = sorted(set(names) - set(plain.values()))
    return ", ".join(_withNearest(name, plain) for name in unknown)


def _withNearest(name: str, plain: dict[str, str]) -> str:
    nearest = get_close_matches(_plain(name), plain, 1)
    return f"{name} (did you mean {plain[nearest[0]]}?)" if nearest else name


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def hinting(options: Class) -> Class:
    """Make the constructor of an attrs class say which option an unknown keyword may have meant."""
    make: Any = options.__init__  # type: ignore[misc]
    known = [field.name for field in attrs.fields(options)]

    @wraps(make)
    def checkAndMake(self: Any, *args: Any, **given: Any) -> None:
        unknown = unknownNames(given, known)
        if unknown:
            raise TypeError(f"no such option: {unknown}")
        make(self, *args, **given)

    options.__init__ = checkAndMake  # type: ignore[misc]
    return options


def warnOfMisspelt(
    subclass: type,
    base: type,
    hooks: Iterable[str],
    isSet: Callable[[str], bool],
    used: Collection[object] = (),
) -> None:
    """
    Warn of methods that are named like a hook, but for case and underscores: nobody will call them.

    Not of those that are `used`, nor if the hook itself `isSet`: then they are meant for something else.
    """
    meant = {_plain(name): name for name in hooks if not isSet(name)}
    for each in takewhile(lambda one: one is not base, subclass.__mro__):
        for name, value in vars(each).items():
            hook = meant.get(_plain(name))
            if hook is not None and isfunction(value) and value not in used:
                warnings.warn(f"{each.__name__}.{name} is never called: the hook is {hook}", stacklevel=4)
