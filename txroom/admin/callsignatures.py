"""
The signatures of calls: what a function takes and answers, as types that check arguments and are described.

They are read when a call is added, so that a wrong annotation is an error then, and not when somebody calls.
"""

from __future__ import annotations

import inspect
import re
from asyncio import Future
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from inspect import Parameter
from typing import Any, get_args, get_origin

import attrs
import msgspec
from twisted.internet.defer import Deferred

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..rooms.api.datatypes import checkDecodable, isOpen
from ..rooms.api.signatures import hintOf, nameOf
from .guard import Caller
from .problems import problemOfField

_KINDS = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
#: The types of asynchronous results, with the place of the type that they have at last.
_ASYNC = {Deferred: 0, Future: 0, Awaitable: 0, Coroutine: 2}


@attrs.frozen
class Texts:
    """
    What the docstring of a function says.

    Args:
        summary: Its first paragraph, in one line.
        description: The paragraphs after that, before its sections.
        parameters: The texts of its section "Args", by the names of the parameters.
    """

    summary: str = ""
    description: str = ""
    parameters: Mapping[str, str] = attrs.field(factory=dict)


class CallSignature:
    """
    What a call takes and answers.

    Args:
        name: Its name.
        function: Its function.

    Raises:
        TypeError: The function has parameters that have no names, an argument or an answer of such a type
            can't be sent, or clients could choose values of it whose hashes collide.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        signature = inspect.signature(function)
        #: The name of the parameter that gets the caller; "" if there is none.
        self.caller = ""
        fields: list[tuple[str, Any, Any]] = []
        for each in signature.parameters.values():
            if each.kind not in _KINDS:
                raise TypeError(f"{nameOf(function)}: the parameter {each.name} must have a name to be given")
            hint = _checkedHint(function, each)
            if hint is Caller:
                self.caller = each.name
            else:
                default = msgspec.NODEFAULT if each.default is Parameter.empty else each.default
                fields.append((each.name, hint, msgspec.field(default=default)))
        #: The names of the arguments, in their order.
        self.names = tuple(each[0] for each in fields)
        try:
            #: The type of all arguments together.
            self.arguments = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
            #: The type of the answer; `Any` without an annotation.
            self.answer = _answerOf(function, signature)
            msgspec.json.schema_components([self.arguments, self.answer])
        except (TypeError, ValueError, NameError) as error:
            raise TypeError(f"{nameOf(function)}: {error}") from error
        #: What its docstring says.
        self.texts = textsOf(inspect.getdoc(function) or "")

    def named(self, given: Any) -> Mapping[str, Any]:
        """
        Return the arguments of a call by their names, unchecked.

        Args:
            given: A mapping of the arguments by their names, a list of them in their order, or `None`.

        Raises:
            RoomError: ``badRequest``, it is neither, or the list is too long.
        """
        if given is None:
            return {}
        if isinstance(given, Sequence) and not isinstance(given, str | bytes):
            if len(given) > len(self.names):
                raise RoomError(ErrorCode.BAD_REQUEST, f"takes at most {len(self.names)} arguments")
            return dict(zip(self.names, given, strict=False))
        if not isinstance(given, Mapping):
            raise RoomError(ErrorCode.BAD_REQUEST, "the arguments must be an object, by their names")
        return given

    def bind(self, given: Any) -> dict[str, Any]:
        """
        Return the arguments of a call, checked.

        Args:
            given: See `named`.

        Raises:
            RoomError: ``badRequest``, with the name of the wrong field in its details.
        """
        try:
            arguments = msgspec.convert(self.named(given), self.arguments)
        except msgspec.ValidationError as error:
            body = problemOfField(error).body
            raise RoomError(ErrorCode.BAD_REQUEST, body.detail, {"field": body.field}) from None
        return {name: getattr(arguments, name) for name in self.names}


def _checkedHint(function: Callable[..., Any], parameter: Parameter) -> Any:
    try:
        hint = hintOf(function, parameter, {})
        if hint is not Caller:
            checkDecodable(hint)
            isOpen(hint)  # raises
        return hint
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise TypeError(
            f"{nameOf(function)}: the annotation of {parameter.name} can't be used: {error}"
        ) from error


def _answerOf(function: Callable[..., Any], signature: inspect.Signature) -> Any:
    """Return the type of the answer: what a Deferred or a coroutine has at last."""
    if signature.return_annotation is Parameter.empty:
        return Any
    hint = hintOf(
        function, Parameter("it", Parameter.KEYWORD_ONLY, annotation=signature.return_annotation), {}
    )
    place = _ASYNC.get(get_origin(hint) or hint)
    if place is None:
        return hint
    inner = get_args(hint)
    return inner[place] if len(inner) > place else Any


_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Example|Examples|Note):\s*$", re.MULTILINE)
_NAME = re.compile(r"^(\w+)(?: \([^)]*\))?: ?")


def textsOf(docstring: str) -> Texts:
    """Return the texts of a docstring in Google's style, whose indentation is removed."""
    sections = _SECTION.split(docstring)
    summary, _, description = sections[0].strip().partition("\n\n")
    arguments = dict(zip(sections[1::2], sections[2::2], strict=True)).get("Args", "")
    return Texts(" ".join(summary.split()), description.strip(), _argumentTexts(arguments))


def _argumentTexts(section: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(section).splitlines():
        begins = _NAME.match(line)
        if begins is not None:
            name = begins[1]
            found[name] = line[begins.end() :].strip()
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found
