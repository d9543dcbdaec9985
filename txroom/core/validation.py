"""
Checks of options, hooks and arguments, and the texts of their errors.
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
    """
    An option is unknown or has a wrong value. The text names the option, the value, and what is allowed.
    """


# -- values


def checked(check: Callable[[Any], bool], allowed: str) -> Callable[[Any, Any, Any], None]:
    """
    Return an attrs validator that raises `OptionError` if the value is not allowed.

    Args:
        check: Returns whether a value is allowed.
        allowed: What is allowed, for the text of the error.
    """

    def validate(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not check(value):
            raise OptionError(f"{attribute.name}={value!r}: must be {allowed}")

    return validate


def isInteger(value: object) -> bool:
    """Return whether a value is a whole number; `True` and `False` are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def isCount(value: Any) -> bool:
    """Return whether a value is a whole number, 0 or more."""
    return isInteger(value) and bool(value >= 0)


def isAmount(value: Any) -> bool:
    """Return whether a value is a finite number, 0 or more."""
    isNumber = isInteger(value) or isinstance(value, float)
    return isNumber and bool(0 <= value < float("inf"))


# -- names


def unknownNames(names: Iterable[str], known: Iterable[str]) -> str:
    """
    Return those of `names` that are not `known` in one string, each with the known name that may have been
    meant.
    """
    plain = {_plain(name): name for name in known}
    unknown = sorted(set(names) - set(plain.values()))
    return ", ".join(_withNearest(name, plain) for name in unknown)


def _withNearest(name: str, plain: dict[str, str]) -> str:
    nearest = get_close_matches(_plain(name), plain, 1)
    return f"{name} (did you mean {plain[nearest[0]]}?)" if nearest else name


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def suggestingNames(options: Class) -> Class:
    """Decorate an attrs class: its constructor suggests the right name for an unknown keyword."""
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


# -- hooks with wrong names

#: The similarity from which a name is taken for a misspelling of another, from 0 to 1.
_ALIKE = 0.85


def nearestName(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` differs from only in case, underscores, order, or a letter or two."""
    plain = {_plain(each): each for each in known}
    alike = get_close_matches(_plain(name), plain, 1, _ALIKE)
    alike += [each for each in plain if sorted(each) == sorted(_plain(name))]
    return plain[alike[0]] if alike else None


def definedBelow(subclass: type, base: type) -> list[tuple[str, str, Any]]:
    """
    Return the attributes that a class and its bases define below `base`: class name, attribute name and
    value.
    """
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
    Return warnings about methods with names similar to a hook's, which will never be called.

    Args:
        subclass: The user's class.
        base: The base class. What it defines itself is not checked.
        hooks: The names of the hooks.
        isSet: Returns whether a hook is set. If it is, similar names are not reported.
        used: Functions that are used in another way and are not reported.
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
    Check an attribute that is assigned to an object with hooks.

    Warn of a function whose name is similar to a hook's, because it will never be called.

    Raises:
        TypeError: The attribute is a hook, and the value is not callable.
    """
    if name in hooks:
        if value is not None and not callable(value):
            raise TypeError(f"{name}={value!r}: must be callable, or None")
    elif callable(value) and not name.startswith("_") and not hasattr(type(owner), name):
        hook = nearestName(name, [each for each in hooks if not isSet(each)])
        if hook is not None:
            warnOfCall(f"{type(owner).__name__}.{name} is never called: the hook is {hook}")


def checkText(name: str, value: object) -> None:
    """Raise `TypeError` if a value is not a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: must be a string")


def warnOfClass(subclass: type, mistakes: Iterable[str]) -> None:
    """Issue one warning about all mistakes in a class, located at the class."""
    text = "; ".join(mistakes)
    if not text:
        return
    try:
        file, line = inspect.getsourcefile(subclass) or "", inspect.findsource(subclass)[1] + 1
    except (OSError, TypeError):
        file, line = subclass.__module__, 1
    warnings.warn_explicit(text, UserWarning, file, line)


def warnOfCall(text: str) -> None:
    """Issue a warning, located where txroom was called."""
    package = __name__.partition(".")[0]
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame = frame.f_back
    warnings.warn_explicit(text, UserWarning, frame.f_code.co_filename, frame.f_lineno)
