"""
Loading of "module:attribute" names from a command line, and errors in one line.
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

#: This package. The place of a mistake in a user's code is looked for outside it.
_PACKAGE = Path(__file__).parents[1]


def loadAttribute(option: str, name: str) -> Any:
    """
    Import the object that "module:attribute" names.

    Args:
        option: The option of the command line, such as "--app", for error messages.
        name: The value of the option.

    Returns:
        The object.

    Raises:
        UsageError: The name is wrong, or the module can't be imported. The text is one line, with the option
            and the name.
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
    Refuse abbreviations of long options, which getopt would accept.

    Words after the first one that does not begin with "--", such as a short option, are not checked.

    Args:
        options: The known options.
        words: The command line.

    Raises:
        UsageError: An option is an abbreviation.
    """
    takesValue = {name.rstrip("="): name.endswith("=") for name in options.longOpt}
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.removeprefix("--").partition("=")
        if not name or not word.startswith("--"):
            return  # the options end here
        if takesValue.get(name) and not equals:
            next(rest, None)
        meant = [f"--{each}" for each in sorted(takesValue) if each.startswith(name)]
        if meant and name not in takesValue:
            raise UsageError(f"option --{name} not recognized: did you mean {' or '.join(meant)}?")


def inOneLine(error: BaseException) -> str:
    """Return the text of an error in one line."""
    if isinstance(error, SSL.Error | crypto.Error) and error.args and error.args[0]:
        return f"a certificate or key can't be used: {error.args[0][0][-1]}"
    return " ".join(str(error).split()) or type(error).__name__


def errorWithPlace(error: BaseException) -> str:
    """Return the text of an error in a user's code, with its type, and the file and line in that code."""
    why = f"{type(error).__name__}: {inOneLine(error)}"
    places = extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not places:
        return why
    theirs = [place for place in places if not Path(place.filename).is_relative_to(_PACKAGE)]
    place = (theirs or places)[-1]
    return f"{why} ({place.filename}, line {place.lineno})"
