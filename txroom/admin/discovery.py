"""
The call `rpc.discover`: it describes all calls, as an OpenRPC document.

OpenRPC (https://open-rpc.org) does for JSON-RPC what OpenAPI does for HTTP, and gives this call its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any, Protocol

import msgspec

from .calls import RpcCall
from .callsignatures import CallSignature
from .secrets import Role

_REFERENCE = "#/components/schemas/{name}"


class Described(Protocol):
    """What is described: a `RpcCall`, or a call that each client has for itself."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def role(self) -> Role:
        """Who may call it."""
        ...

    @property
    def signature(self) -> CallSignature:
        """What it takes and answers."""
        ...


class Discovery:
    """
    Describes calls.

    Args:
        calls: Returns all calls.
    """

    def __init__(self, calls: Callable[[], Iterable[Described]]) -> None:
        self._described = calls
        #: The document, and the calls that it describes.
        self._document: dict[str, Any] = {}
        self._documented: list[Described] = []

    def calls(self) -> list[RpcCall]:
        """Return the call."""
        return [RpcCall(name="rpc.discover", function=self.discover)]

    def discover(self) -> dict[str, Any]:
        """
        Describe all calls, as an OpenRPC document.

        Each call is one of the document's ``methods``, with its name, its ``params`` in their order with
        their JSON Schemas, and the JSON Schema of its ``result``. ``x-role`` is the role that a caller needs.
        """
        calls = list(self._described())
        if calls != self._documented:
            self._document, self._documented = document(calls, version("txroom")), calls
        return self._document


def document(calls: Iterable[Described], release: str) -> dict[str, Any]:
    """Return the document for these calls."""
    calls = list(calls)
    types = [each for call in calls for each in (call.signature.arguments, call.signature.answer)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    arguments = [components.pop(_nameIn(each)) for each in schemas[::2]]
    return {
        "openrpc": "1.3.2",
        "info": {"title": "txroom", "version": release},
        "methods": [_method(*each) for each in zip(calls, arguments, schemas[1::2], strict=True)],
        "components": {"schemas": components},
    }


def _nameIn(reference: dict[str, Any]) -> str:
    name: str = reference["$ref"].rpartition("/")[2]
    return name


def _method(call: Described, arguments: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    texts = call.signature.texts
    described = {
        "name": call.name,
        "summary": texts.summary,
        "description": texts.description,
        "paramStructure": "either",
        "params": [
            {
                "name": name,
                "required": name in arguments.get("required", ()),
                "schema": schema,
                "description": texts.parameters.get(name, ""),
            }
            for name, schema in arguments["properties"].items()
        ],
        "result": {"name": "answer", "schema": answer},
        "x-role": str(call.role),
    }
    return {name: value for name, value in described.items() if value != ""}
