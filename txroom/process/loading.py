"""
What "module:attribute" on a command line names, and what an error says in one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import Any

from OpenSSL import SSL, crypto
from twisted.python import usage
from twisted.python.usage import UsageError

#: What complains of someone else's code isn't where the mistake is.
_PACKAGE = Path(__file__).parents[1]


def loadAttribute(option: str, name: str) -> Any:
    """
    What "module:attribute" names, given with a command line's `option`, say "--app".

    Raises `UsageError` with one line that names both.
    """
    moduleName, _, attribute = name.partition(":")
    if not (moduleName and attribute):
        raise UsageError(f"{option} {name}: must be module:attribute")
    try:
        module = import_module(moduleName)
    except ModuleNotFoundError as error:
        if error.name and f"{moduleName}.".startswith(f"{error.name}."):
            raise UsageError(f"{option} {name}: there is no module {error.name!r}") from None
        raise UsageError(f"{option} {name}: can't be imported: {errorWithPlace(error)}") from None
    except Exception as error:
        raise UsageError(f"{option} {name}: can't be imported: {errorWithPlace(error)}") from None
    try:
        return reduce(getattr, attribute.split("."), module)
    except AttributeError:
        raise UsageError(f"{option} {name}: module {moduleName!r} has no {attribute!r}") from None


def refuseAbbreviations(options: usage.Options, words: Sequence[str]) -> None:
    """
    Raise `UsageError` for an option that is but the beginning of one of `options`, which getopt would take.

    For options without short forms.
    """
    takesValue = {name.rstrip("="): name.endswith("=") for name in options.longOpt}
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.removeprefix("--").partition("=")
        if not name or not word.startswith("--"):
            return  # the end of the options
        if takesValue.get(name) and not equals:
            next(rest, None)
        meant = [f"--{each}" for each in sorted(takesValue) if each.startswith(name)]
        if meant and name not in takesValue:
            raise UsageError(f"option --{name} not recognized: did you mean {' or '.join(meant)}?")


def inOneLine(error: BaseException) -> str:
    """What an error says."""
    if isinstance(error, SSL.Error | crypto.Error) and error.args and error.args[0]:
        return f"no good certificate or key: {error.args[0][0][-1]}"
    return " ".join(str(error).split()) or type(error).__name__


def errorWithPlace(error: BaseException) -> str:
    """What an error in someone else's code says, and where that code was when it came up."""
    why = f"{type(error).__name__}: {inOneLine(error)}"
    places = extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not places:
        return why
    theirs = [place for place in places if not Path(place.filename).is_relative_to(_PACKAGE)]
    place = (theirs or places)[-1]
    return f"{why} ({place.filename}, line {place.lineno})"
