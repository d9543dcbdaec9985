"""
Answers as text for a terminal: lists as tables, one thing as lines of names and values.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

#: The widest column of a table, in characters.
WIDEST = 40
#: Numbers with such a name that are greater than this are seconds since 1970, and not those since a start.
_TIMES, _FIRST_TIME = ("at", "At"), 1e9


def textOf(answer: Any) -> str:
    """Return the text of an answer."""
    if answer is None:
        return "done"
    if _isTable(answer):
        return table(answer)
    if not isinstance(answer, Mapping):
        return shown(answer)
    parts = []
    plain = {name: value for name, value in answer.items() if not _isTable(value)}
    tables = {name: value for name, value in answer.items() if _isTable(value)}
    if plain and any(value is not None for value in plain.values()):
        parts.append(lines(plain))
    isTitled = len(tables) > 1 or bool(parts)
    for name, rows in tables.items():
        title = f"{shown(name)}:\n" if isTitled else ""
        parts.append(title + table(rows))
    return "\n\n".join(parts) or "nothing"


def table(rows: Sequence[Mapping[str, Any]], widest: int | None = WIDEST) -> str:
    """Return a table of mappings, with a column for each name that one of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[shown(name) for name in names]]
    cells += [[_cell(timed(name, row.get(name)), widest) for name in names] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    isNumber = [all(_isNumber(row.get(name)) for row in rows) for name in names]
    return "\n".join(_row(each, widths, isNumber) for each in cells)


def lines(answer: Mapping[str, Any]) -> str:
    """Return a line for each name of a mapping."""
    width = max(_width(shown(name)) for name in answer)
    return "\n".join(
        f"{_padded(shown(name), width)}  {shown(timed(name, value))}" for name, value in answer.items()
    )


def timed(name: str, value: Any) -> Any:
    """Return a time of day as a text, in the time zone of this machine; any other value as it is."""
    if not (name == _TIMES[0] or name.endswith(_TIMES[1])) or not isinstance(value, int | float):
        return value
    try:
        return f"{datetime.fromtimestamp(value):%Y-%m-%d %H:%M:%S}" if value > _FIRST_TIME else value
    except (ValueError, OverflowError, OSError):
        return value


def shown(value: Any) -> str:
    """
    Return a value in one line.

    Much of it comes from clients, so what a terminal would take for a command is escaped.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _isTable(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _isNumber(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Any, widest: int | None) -> str:
    text = "" if value is None else shown(value)
    return text if widest is None or len(text) <= widest else text[: widest - 1] + "…"


def _row(cells: Iterable[str], widths: Iterable[int], isNumber: Iterable[bool]) -> str:
    padded = (
        _padded(cell, width, isRight) for cell, width, isRight in zip(cells, widths, isNumber, strict=True)
    )
    return "  ".join(padded).rstrip()


def _padded(text: str, width: int, isRight: bool = False) -> str:
    space = " " * (width - _width(text))
    return space + text if isRight else text + space


def _width(text: str) -> int:
    """Return the columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )
