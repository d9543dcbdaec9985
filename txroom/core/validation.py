"""
How options and hooks are checked, and what is said of a wrong one.
"""

from __future__ import annotations

import inspect
import sys
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


def suggestingNames(options: Class) -> Class:
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


# -- what is defined or given, but never used

#: How alike two names are that are taken for one another.
_ALIKE = 0.85


def nearestName(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that a name is but for case, underscores, the order, or a letter or two."""
    plain = {_plain(each): each for each in known}
    alike = get_close_matches(_plain(name), plain, 1, _ALIKE)
    alike += [each for each in plain if sorted(each) == sorted(_plain(name))]
    return plain[alike[0]] if alike else None


def definedBelow(subclass: type, base: type) -> list[tuple[str, str, Any]]:
    """What a class and its bases define below `base`: the class's name, and the attribute's, and it."""
    classes = takewhile(lambda each: each is not base, subclass.__mro__)
    return [(each.__name__, name, value) for each in classes for name, value in vars(each).items()]


def misspeltHooks(
    subclass: type,
    base: type,
    hooks: Collection[str],
    isSet: Callable[[str], bool],
    used: Collection[object] = (),
) -> list[str]:
    """
    What there is to say of methods that are named almost like a hook: nobody will call them.

    Not of those that are `used`, nor if the hook itself `isSet`: then they are meant for something else.
    """
    unset = [name for name in hooks if not isSet(name)]
    said = []
    for owner, name, value in definedBelow(subclass, base):
        if isfunction(value) and value not in used and name not in hooks:
            hook = nearestName(name, unset)
            if hook is not None:
                said.append(f"{owner}.{name} is never called: the hook is {hook}")
    return said


def checkAssigned(
    owner: object, name: str, value: object, hooks: Collection[str], isSet: Callable[[str], object]
) -> None:
    """
    Look at an attribute that somebody assigns to what has `hooks`.

    Raises `TypeError` for a hook that can't be called; warns of a function that is named almost like a hook,
    which nobody will call.
    """
    if name in hooks:
        if value is not None and not callable(value):
            raise TypeError(f"{name}={value!r}: must be callable, or None")
    elif callable(value) and not name.startswith("_") and not hasattr(type(owner), name):
        hook = nearestName(name, [each for each in hooks if not isSet(each)])
        if hook is not None:
            warnOfCall(f"{type(owner).__name__}.{name} is never called: the hook is {hook}")


def checkText(name: str, value: object) -> None:
    """Raise `TypeError` for what is no text."""
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: must be a text")


def warnOfClass(subclass: type, mistakes: Iterable[str]) -> None:
    """One warning of all `mistakes` in a class, shown where the class is."""
    text = "; ".join(mistakes)
    if not text:
        return
    try:
        file, line = inspect.getsourcefile(subclass) or "", inspect.findsource(subclass)[1] + 1
    except (OSError, TypeError):
        file, line = subclass.__module__, 1
    warnings.warn_explicit(text, UserWarning, file, line)


def warnOfCall(text: str) -> None:
    """A warning, shown where this package was called."""
    package = __name__.partition(".")[0]
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame = frame.f_back
    warnings.warn_explicit(text, UserWarning, frame.f_code.co_filename, frame.f_lineno)
