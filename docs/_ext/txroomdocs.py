"""
What the pages of txroom need beyond Sphinx: descriptions of all options, made from the code.

- ``.. optiontable::`` lists every option of a server with its flag on the command line and its default.
- ``.. options:: maxPayload maxFragments`` describes these options, and with the flag ``:rest:`` also each
  option that no other such directive of the same page has named before. Its content is a field list that
  says what each option costs.
- ``.. clientoptions::`` describes each field of `ClientOptions`, and ``.. roomsettings::`` each setting of
  `Room`, with a field list of costs as above.
- ``.. commandlinehelp::`` shows what ``twistd txroom --help`` prints.

Pages are read on Git hosts too, which know neither `testcode` nor `:doc:`. Therefore the doctests of a page
run each `.. code-block:: python` of it, except listings of files (scripts/listings.py) and blocks with
`:class: fragment`; and a link such as `Deployment <howto/deployment.rst>`__ or
`nginx <howto/tls.rst#nginx>`__ leads to the page, or to the label on it. A link to a module, such as
`the session <../txroom/rooms/edge/session.py>`__, leads to a copy of the file.

Doctests compare what exceptions say, but not the names of the modules of the exceptions.
"""

from __future__ import annotations

import doctest
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import sphinx.ext.doctest
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.doctest import SphinxDocTestRunner
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

import txroom
import txroom.core.options
import txroom.process.tap
from txroom.client import ClientOptions
from txroom.core.options import SERVER_ONLY, ServerOptions
from txroom.process.tap import Options as CommandLine
from txroom.process.tap import flagOf
from txroom.rooms.api.room import Room
from txroom.rooms.api.settings import SETTINGS, RoomSettings

FIELDS = {field.name: field for field in attrs.fields(ServerOptions)}

#: The units of the settings of rooms.
ROOM_UNITS = {
    "maxClients": "members",
    "linger": "seconds",
    "seatSeconds": "seconds",
    "resumeSeconds": "seconds",
    "recoveryLimit": "messages",
    "recoverySize": "bytes",
    "presenceSeconds": "seconds",
    "presenceLimit": "members",
    "handlerTimeout": "seconds",
    "messageRate": "messages/s",
    "messageBurst": "messages",
    "tickRate": "ticks/s",
    "patchRate": "patches/s",
    "maxState": "bytes",
    "saveVersion": "",
    "saveSeconds": "seconds",
    "maxSave": "bytes",
}
#: Type variables of the code, and what they stand for in what is documented.
_PUBLIC = {"txroom.client.pendingjoins.RoomT": "txroom.client.Room"}

_PAGE_LINK = re.compile(r"(?!\w+:)([\w./-]+)\.rst(?:#([\w-]+))?")
_FILE_LINK = re.compile(r"(?:\.\./)+[\w./-]+\.(?:js|md|py)")


def flag(name: str) -> str:
    """The option of the command line that sets the option of that name."""
    return "--" + flagOf(FIELDS[name])


def inUnit(value: Any, unit: str) -> str:
    """A number in the unit that reads best."""
    if unit == "bytes":
        for size, suffix in ((1024**2, "MiB"), (1024, "KiB")):
            if value and value % size == 0:
                return f"``{value}`` ({value // size} {suffix})"
    if isinstance(value, float) and unit == "seconds":
        return f"``{value:g}`` s"
    return f"``{value:g}``" if isinstance(value, float) else f"``{value!r}``"


def shownDefault(field: attrs.Attribute[Any]) -> str:
    """The default of an option of a server."""
    value, about = field.default, field.metadata
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"``{value!r}``"
    if value == 0 and "0 means" not in about["doc"] and "0:" not in about["doc"]:
        return "``0`` (off)"
    return inUnit(value, about["unit"])


def clientDefault(field: attrs.Attribute[Any]) -> str:
    """The default of an option of a client."""
    default = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory()
    if callable(default):
        return f"``{default.__qualname__}``"
    return inUnit(default, clientUnit(field))


def clientUnit(field: attrs.Attribute[Any]) -> str:
    """The unit of an option of a client: times are seconds, and sizes are bytes."""
    if isinstance(field.default, float):
        return "seconds"
    return {"maxPayload": "bytes", "maxReceived": "bytes"}.get(field.name, "")


def clientRange(field: attrs.Attribute[Any]) -> str:
    """What an option of a client may be; `""` for any value."""
    return "" if field.validator is None else inspect.getclosurevars(field.validator).nonlocals["allowed"]


def _depend(directive: SphinxDirective) -> None:
    """Build the page again when one of these has changed."""
    for source in (txroom.core.options.__file__, txroom.process.tap.__file__, __file__):
        directive.env.note_dependency(source)


class _Rst(SphinxDirective):
    def rst(self, lines: list[str]) -> list[nodes.Node]:
        """The nodes that `lines` of reStructuredText make."""
        _depend(self)
        node = nodes.Element()
        node.document = self.state.document
        source = f"<{self.name}>"
        self.state.nested_parse(StringList(lines, source=source), self.content_offset, node)
        return node.children

    def costs(self, names: Iterable[str]) -> dict[str, str]:
        """What each of `names` costs, from the field list in the content."""
        found = re.findall(r"^:(\w+): (.*(?:\n +.*)*)", "\n".join(self.content), re.MULTILINE)
        costs = {name: " ".join(cost.split()) for name, cost in found}
        if wrong := sorted(set(costs) ^ set(names)):
            raise self.error(f"no cost, or no such option: {', '.join(wrong)}")
        return costs


class OptionTable(_Rst):
    """Every option of a server in one table."""

    def run(self) -> list[nodes.Node]:
        lines = [".. list-table::", "   :header-rows: 1", "   :class: optiontable", ""]
        lines += ["   * - Option", "     - Command line", "     - Default"]
        for field in FIELDS.values():
            lines += [
                f"   * - `{field.name} <ServerOptions.{field.name}>`",
                f"     - ``{flag(field.name)}``",
                f"     - {shownDefault(field)}",
            ]
        return self.rst(lines)


class Options(_Rst):
    """Some options of a server, with all that `txroom.core.options` says of them."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = {"rest": directives.flag}

    def run(self) -> list[nodes.Node]:
        shown = self.env.temp_data.setdefault("txroom_options", set())
        names = self.arguments[0].split() if self.arguments else []
        if unknown := sorted(set(names) - set(FIELDS)):
            raise self.error(f"no such option: {', '.join(unknown)}")
        shown.update(names)
        if "rest" in self.options:
            names += [name for name in FIELDS if name not in shown]
        costs = self.costs(names)
        return self.rst([line for name in names for line in _description(FIELDS[name], costs[name])])


class ClientOptionList(_Rst):
    """Every option of a client: the comment above it, and its unit, default and range."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        comments = ModuleAnalyzer.for_module(ClientOptions.__module__).find_attr_docs()
        fields = attrs.fields(ClientOptions)
        costs = self.costs(field.name for field in fields)
        lines = []
        for field in fields:
            text = " ".join(comments["ClientOptions", field.name])
            facts = {
                "Default": clientDefault(field),
                "Range": _literal(clientRange(field)),
                "Unit": clientUnit(field),
            }
            lines += _entry(field.name, text, facts, costs[field.name])
        return self.rst(lines)


class RoomSettingList(_Rst):
    """Every setting of a room, in the order of their table."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        costs = self.costs(SETTINGS)
        comments = ModuleAnalyzer.for_module(RoomSettings.__module__).find_attr_docs()
        lines = []
        for name, kind in SETTINGS.items():
            default = getattr(Room, name)
            isNumber = isinstance(default, int | float) and not isinstance(default, bool)
            unit = ROOM_UNITS[name] if isNumber else ""
            facts = {
                "Default": inUnit(default, unit),
                "Range": _literal(kind.allowed),
                "Unit": unit,
            }
            text = " ".join(comments["RoomSettings", name])
            lines += _entry(f"Room.{name}", text, facts, costs[name])
        return self.rst(lines)


class CommandLineHelp(SphinxDirective):
    """The help of the command line, as it is printed."""

    def run(self) -> list[nodes.Node]:
        _depend(self)
        usage = CommandLine().getUsage(width=88)
        block = nodes.literal_block(usage, usage[usage.index("Options:") :].rstrip())
        block["language"] = "none"
        return [block]


def _description(field: attrs.Attribute[Any], cost: str) -> list[str]:
    about = field.metadata
    facts = {
        "Default": shownDefault(field),
        "Range": _literal(about["allowed"]),
        "Unit": about["unit"],
        "Scope": "the server alone" if field.name in SERVER_ONLY else "the server, or one application",
        "Command line": f"``{flag(field.name)}``",
        "Known from": "" if about["source"] == "txroom" else about["source"],
    }
    return _entry(f"ServerOptions.{field.name}", about["doc"], facts, cost)


def _entry(name: str, text: str, facts: Mapping[str, str], cost: str) -> list[str]:
    """The lines that describe one option."""
    shown = " · ".join(f"{fact}: {value}" for fact, value in facts.items() if value)
    return [
        *(f".. py:attribute:: {name}", "", f"   {text}", ""),
        *(f"   *Cost:* {cost}", "", "   .. rst-class:: facts", "", f"   {shown}", ""),
    ]


def _literal(text: str) -> str:
    return re.sub(r"'[^']*'|\bTrue\b|\bFalse\b", lambda match: f"``{match[0]}``", text)


class _Docstring(GoogleDocstring):
    """A docstring in whose "Returns" a colon is a colon: types are in the signature."""

    def _consume_returns_section(self, preprocess_types: bool = False) -> list[tuple[str, str, list[str]]]:
        lines = self._dedent(self._consume_to_next_section())
        return [("", "", lines)] if lines else []


def _docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    text = "\n".join(lines)
    text = re.sub(r'"((?:tcp|ssl|tls|unix):[^"\n]*)"', r'``"\1"``', text)  # no links
    if re.search(r"(?m)^(Args|Returns|Raises):$", text):
        # The extension itself would take the first words of an attribute's docstring for its type.
        text = str(_Docstring(text, what="function"))
    lines[:] = text.split("\n")


def _signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, shown: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Interfaces of zope.interface by their names, without the Protocols that stand for them beside them."""

    def mended(text: str | None) -> str | None:
        if text is None:
            return None
        text = re.sub(r"<InterfaceClass ([\w.]+)>", r"~\1", text)
        return re.sub(r" \| ~txroom\.core\.interfaces\.\w+", "", text)

    return mended(shown), mended(returns)


def _interfaces(app: Sphinx, doctree: nodes.document) -> None:
    """The same in the types of properties, which are no signatures."""
    for text in list(doctree.findall(nodes.Text)):
        if "<InterfaceClass " in text:
            shown = re.sub(r"<InterfaceClass (?:\w+\.)*(\w+)>", r"\1", text)
            text.parent.replace(text, nodes.Text(shown))


def _typeVariables(app: Sphinx, doctree: nodes.document) -> None:
    """Type variables by the class that users get in their place."""
    for reference in doctree.findall(addnodes.pending_xref):
        public = _PUBLIC.get(reference.get("reftarget", ""))
        if public is not None:
            reference["reftarget"] = public
            for text in list(reference.findall(nodes.Text)):
                text.parent.replace(text, nodes.Text(public.rpartition(".")[2]))


def _publicTypes(app: Sphinx, doctree: nodes.document) -> None:
    """`RoomError` in "Raises" on pages about other modules: Sphinx would look for it in all modules."""
    for reference in doctree.findall(addnodes.pending_xref):
        target = reference.get("reftarget", "")
        if reference.get("refspecific") and target in txroom.__all__:
            module = sys.modules.get(reference.get("py:module") or "txroom")
            if target not in getattr(module, "__all__", ()):
                reference["reftarget"] = f"txroom.{target}"


def _publicName(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, child: nodes.TextElement
) -> nodes.Element | None:
    """`Server.listen` on pages about other modules, such as `txroom.testing`."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or target.partition(".")[0] not in txroom.__all__:
        return None
    domain = env.domains["py"]
    name = f"txroom.{target}"
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], name, node, child)


def _runCode(app: Sphinx, doctree: nodes.document) -> None:
    """Python in pages is run by the doctests, in the order in which it stands there."""
    for block in doctree.findall(nodes.literal_block):
        if block.get("language") != "python" or "fragment" in block["classes"] or block.get("source"):
            continue
        before = block.previous_sibling()
        if not (isinstance(before, nodes.comment) and before.astext().startswith("listing: ")):
            block["testnodetype"] = "testcode"


def _pageLinks(app: Sphinx, doctree: nodes.document) -> None:
    """Links to the source of a page, as Git hosts follow them, lead to the page."""
    for reference in list(doctree.findall(nodes.reference)):
        found = _PAGE_LINK.fullmatch(reference.get("refuri", ""))
        if found is None:
            continue
        page, label = found.groups()
        kind, target = ("ref", label) if label else ("doc", page)
        link = addnodes.pending_xref(
            "",
            nodes.inline("", "", *reference.children, classes=["std", f"std-{kind}"]),
            refdomain="std",
            reftype=kind,
            reftarget=target,
            refexplicit=True,
            refwarn=True,
            refdoc=app.env.current_document.docname,
        )
        link.source, link.line = reference.source, reference.line
        reference.replace_self(link)


def _fileLinks(app: Sphinx, doctree: nodes.document) -> None:
    """Links to other files of the repository, as Git hosts follow them, lead to copies of the files."""
    env = app.env
    docname = env.current_document.docname
    for reference in list(doctree.findall(nodes.reference)):
        if _FILE_LINK.fullmatch(reference.get("refuri", "")):
            name, _ = env.relfn2path(reference["refuri"], docname)
            env.note_dependency(name)
            link = addnodes.download_reference("", "", *reference.children, reftarget=name)
            link["filename"] = env.dlfiles.add_file(docname, name).as_posix()
            reference.replace_self(link)


class _Checker(doctest.OutputChecker):
    """Takes `RoomError: full` for `txroom.protocol.errors.RoomError: full`."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(want, got, optionflags) or super().check_output(
            want, re.sub(r"^(\w+\.)+(?=\w+(: |$))", "", got), optionflags
        )


class _Runner(SphinxDocTestRunner):
    def __init__(self, **options: Any) -> None:
        super().__init__(checker=_Checker(), **options)


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    sphinx.ext.doctest.SphinxDocTestRunner = _Runner  # type: ignore[misc]
    app.add_directive("optiontable", OptionTable)
    app.add_directive("options", Options)
    app.add_directive("clientoptions", ClientOptionList)
    app.add_directive("roomsettings", RoomSettingList)
    app.add_directive("commandlinehelp", CommandLineHelp)
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-process-signature", _signature)
    app.connect("doctree-read", _interfaces)
    app.connect("doctree-read", _runCode)
    app.connect("doctree-read", _pageLinks)
    app.connect("doctree-read", _fileLinks)
    app.connect("doctree-read", _typeVariables)
    app.connect("doctree-read", _publicTypes)
    app.connect("missing-reference", _publicName)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
