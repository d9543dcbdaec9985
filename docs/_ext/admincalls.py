"""
The built-in calls of the RPC interface, described from the code.

- ``.. admincalls:: rooms`` describes each call whose name begins with ``rooms.``.
- ``.. adminanswers::`` describes the types of the answers of all calls, with the comments above their fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from docutils import nodes
from docutils.statemachine import StringList
from msgspec import inspect
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from txroom import Server
from txroom.admin.builtin.all import builtInCalls
from txroom.admin.calls import RpcCall
from txroom.testing import MemoryReactor

#: What is a name of txroom that pages can refer to. All other names in backticks are literals.
_OURS = re.compile(r"`((?:Room|Server)\.\w+)`")


def calls() -> list[RpcCall]:
    """The calls, in the order of their names."""
    server: Any = Server(clock=MemoryReactor())
    return sorted(builtInCalls(server), key=lambda call: call.name)


def text(comment: str) -> str:
    """A comment or a docstring as reStructuredText, in one line for each paragraph."""
    kept = _OURS.sub(r"\0\1\0", comment)
    literal = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", kept)
    return re.sub(r"\0([^\0]+)\0", r"`\1`", literal)


def shownType(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in words."""
    if "$ref" in schema:
        return f"``{schema['$ref'].rpartition('/')[2]}``"
    if "anyOf" in schema:
        return " or ".join(shownType(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"``{json.dumps(each)}``" for each in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {shownType(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {shownType(schema['additionalProperties'])}"
    least, most = (schema.get(each) for each in ("minimum", "maximum"))
    bounds = f" from {least} to {most}" if least is not None and most is not None else ""
    return f"{kind}{bounds}"


class _Lines(SphinxDirective):
    def rst(self, lines: Iterable[str]) -> list[nodes.Node]:
        """The nodes that lines of reStructuredText make."""
        self.env.note_dependency(__file__)
        node = nodes.Element()
        node.document = self.state.document
        self.state.nested_parse(StringList(list(lines), source=f"<{self.name}>"), self.content_offset, node)
        return node.children


class AdminCalls(_Lines):
    """The calls of one group."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        group = [call for call in calls() if call.name.startswith(f"{self.arguments[0]}.")]
        if not group:
            raise self.error(f"no calls begin with {self.arguments[0]}")
        return self.rst(line for call in group for line in described(call))


def described(call: RpcCall) -> Iterator[str]:
    """The lines about one call."""
    signature, texts = call.signature, call.signature.texts
    (arguments, answer), components = msgspec.json.schema_components(
        [signature.arguments, signature.answer], ref_template="#/{name}"
    )
    fields = components[arguments["$ref"].rpartition("/")[2]]
    needed = fields.get("required", ())
    names = [name if name in needed else f"{name}?" for name in fields["properties"]]
    yield f".. describe:: {call.name}({', '.join(names)})"
    yield ""
    for paragraph in (texts.summary, *texts.description.split("\n\n")):
        if paragraph:
            yield f"   {text(' '.join(paragraph.split()))}"
            yield ""
    for name, schema in fields["properties"].items():
        default = "" if name in needed else f"; by default ``{json.dumps(schema.get('default'))}``"
        told = text(texts.parameters.get(name, ""))
        yield f"   - ``{name}`` ({shownType(schema)}{default}): {told}"
    yield ""
    said = "nothing" if answer.get("type") == "null" else shownType(answer)
    yield f"   *Role:* ``{call.role}``. *Answer:* {said}."
    yield ""


class AdminAnswers(_Lines):
    """The types of all answers."""

    def run(self) -> list[nodes.Node]:
        found: dict[str, type] = {}
        for call in calls():
            for each in structs(inspect.type_info(call.signature.answer)):
                found[each.__name__] = each
        return self.rst(line for name in sorted(found) for line in fieldsOf(found[name]))


def structs(info: inspect.Type) -> Iterator[type]:
    """The Structs that a type is made of."""
    if isinstance(info, inspect.StructType):
        yield info.cls
        for field in info.fields:
            yield from structs(field.type)
        return
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, inspect.Type):
                yield from structs(each)


def fieldsOf(kind: type) -> Iterator[str]:
    """The lines about one type of answers."""
    schema = msgspec.json.schema_components([kind], ref_template="#/{name}")[1][kind.__name__]
    yield f".. describe:: {kind.__name__}"
    yield ""
    yield f"   {text(' '.join(schema.get('description', '').split()))}"
    yield ""
    comments: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found = (
            ModuleAnalyzer.for_module(base.__module__).find_attr_docs() if base in _documented(kind) else {}
        )
        comments |= {
            name: " ".join(lines) for (owner, name), lines in found.items() if owner == base.__name__
        }
    for name, field in schema["properties"].items():
        told = text(comments.get(name, field.get("description", "")).strip())
        yield f"   - ``{name}`` ({shownType(field)}){': ' if told else ''}{told}"
    yield ""


def _documented(kind: type) -> list[type]:
    return [base for base in kind.__mro__ if base.__module__.startswith("txroom.")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_directive("admincalls", AdminCalls)
    app.add_directive("adminanswers", AdminAnswers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
