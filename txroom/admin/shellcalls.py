"""
The words of a command of the shell, as a call and its arguments. All of it follows from `rpc.discover`, so
that the shell knows calls that were added later, or by others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import field

#: What a word without a dot stands for: the calls of that name and one of these, or of its plural, or those
#: that end with the word.
_OF_NOUN = ("list", "stats")
_OF_ONE = ("get",)
#: Of several calls that end with the word, the one of this noun.
_FIRST = "rooms"


class Mistake(Exception):
    """A command that is wrong, and why."""


class Parameter(msgspec.Struct):
    """A parameter of a call."""

    name: str
    schema: dict[str, Any]
    required: bool = False
    description: str = ""


class Method(msgspec.Struct):
    """A call."""

    name: str
    role: str = field(name="x-role")
    params: list[Parameter]
    summary: str = ""
    description: str = ""


class Document(msgspec.Struct):
    """As much of an OpenRPC document as the shell needs."""

    methods: list[Method]


def methodsOf(document: Any) -> dict[str, Method]:
    """Return the calls of a document by their names."""
    return {each.name: each for each in msgspec.convert(document, Document).methods}


def find(word: str, methods: Mapping[str, Method]) -> Method:
    """
    Return the call that a word means: its whole name, or "rooms" for rooms.list, "room" for rooms.get, and
    "kick" for rooms.kick.

    Raises:
        Mistake: There is no such call, or several.
    """
    names = [word, *(f"{word}.{each}" for each in _OF_NOUN), *(f"{word}s.{each}" for each in _OF_ONE)]
    for name in names:
        if name in methods:
            return methods[name]
    found = [name for name in methods if name.endswith(f".{word}")]
    found = [f"{_FIRST}.{word}"] if f"{_FIRST}.{word}" in found else found
    if len(found) == 1:
        return methods[found[0]]
    if found:
        raise Mistake(f"{word}: can be {' or '.join(found)}")
    raise Mistake(f"{word}: there is no such call; without a call, all are listed")


def argumentsOf(method: Method, words: Sequence[str]) -> dict[str, Any]:
    """
    Return the arguments for a call: words such as "limit=5" by their names, and others in their order.

    Raises:
        Mistake: A word is too many or has a wrong value, or an argument is given twice or is missing.
    """
    parameters = {each.name: each for each in method.params}
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in parameters:
            value = word
            name = next((each for each in parameters if each not in given), "")
        if not name:
            raise Mistake(f"{word}: {method.name} takes {_listed(parameters) or 'no arguments'}")
        if name in given:
            raise Mistake(f"{name}: is given twice")
        given[name] = valueOf(parameters[name], value)
    missing = [each.name for each in method.params if each.required and each.name not in given]
    if missing:
        raise Mistake(f"{method.name}: needs {_listed(missing)}")
    return given


def valueOf(parameter: Parameter, text: str) -> Any:
    """Return a value as the parameter takes it: a text as it is, anything else in JSON. Raises `Mistake`."""
    kinds = set(kindsOf(parameter.schema))
    if kinds == {"string"}:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = None
        if kinds.isdisjoint({"string", "any"}):
            raise Mistake(f"{parameter.name}={text}: must be {' or '.join(sorted(kinds))}, in JSON") from None
        return text
    isText = "string" in kinds and not isinstance(value, dict | list) and value is not None
    return text if isText and not isinstance(value, str) else value


def kindsOf(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema allows, by the names that JSON Schema has for them; "any": all."""
    if "anyOf" in schema:
        return [kind for each in schema["anyOf"] for kind in kindsOf(each)]
    if "$ref" in schema:
        return ["object"]
    if "enum" in schema:
        return sorted({"string" if isinstance(each, str) else "number" for each in schema["enum"]})
    kinds = schema.get("type", "any")
    return kinds if isinstance(kinds, list) else [kinds]


def help(method: Method) -> str:
    """Return what there is to know of a call."""
    lines = [f"{method.name}: {method.summary}".rstrip(": "), ""]
    if method.description:
        lines += [method.description, ""]
    lines.append(f"Needs the role {method.role}.")
    for each in method.params:
        kinds = " or ".join(dict.fromkeys(kindsOf(each.schema)))
        default = each.schema.get("default")
        more = "" if default is None else f", by default {json.dumps(default)}"
        lines.append(f"  {each.name} ({kinds}{'' if each.required else ', optional'}{more})")
        if each.description:
            lines.append(f"      {each.description}")
    return "\n".join(lines)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
