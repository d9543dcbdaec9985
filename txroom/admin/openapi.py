"""
The OpenAPI document: made from the routes and their types, so that it says what the API does.
"""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec

from .guard import BURST, RATE
from .keys import HEADER
from .problems import ProblemBody
from .routes import MOST_ID, Call, Route, isOptional
from .secrets import Role
from .site import MOST_BODY

PATH = "/api/v1/openapi.json"

_REFERENCE = "#/components/schemas/{name}"
_PROBLEM = "application/problem+json"
#: The statuses of problems that any request may have.
_ALWAYS = (400, 401, 403, 421, 429, 500)
_DESCRIPTION = f"""\
The HTTP API of txroom: rooms and users on all servers that share them, for back ends and operators.

Every request needs a secret, of the role `read` to read and of the role `manage` to change something. Bodies
have at most {MOST_BODY} bytes, and an address may send {RATE:g} requests per second, and {BURST:g} at once.
An answer of 503 means that nothing has happened, one of 504 that it may have happened. With an
`{HEADER}`, where there is one, such a request can be sent again: it is carried out once."""


def documentRoute(routes: list[Route]) -> Route:
    """Return the route of the document, which describes the other routes and itself."""

    def call(_: Call) -> dict[str, Any]:
        return document([*routes, route], version("txroom"))

    route = Route(
        method="GET",
        path=PATH,
        call=call,
        role=Role.READ,
        name="openapi",
        summary="Describe this API, as OpenAPI 3.1",
    )
    return route


def document(routes: list[Route], release: str) -> dict[str, Any]:
    """Return the document for these routes."""
    types = [each for route in routes for each in (route.body, route.query, route.answer) if each is not None]
    schemas, components = msgspec.json.schema_components([*types, ProblemBody], ref_template=_REFERENCE)
    byType = dict(zip([*types, ProblemBody], schemas, strict=True))
    queries = {
        route.query.__name__: components.pop(route.query.__name__, {}) for route in routes if route.query
    }
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        query = None if route.query is None else queries[route.query.__name__]
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, byType, query)
    return {
        "openapi": "3.1.0",
        "info": {"title": "txroom", "version": release, "description": _DESCRIPTION},
        "security": [{"secret": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"secret": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, byType: dict[Any, Any], query: dict[str, Any] | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"Needs the role `{route.role}`.{_shortOf(route)}",
        "tags": [next(each for each in route.segments if each not in ("api", "v1"))],
        "parameters": [*_pathParameters(route), *_queryParameters(query or {}), *_keyParameter(route)],
        "responses": _answers(route, byType),
    }
    if route.body is not None:
        described["requestBody"] = {
            "required": not isOptional(route.body),
            "content": {"application/json": {"schema": byType[route.body]}},
        }
    return described


def _shortOf(route: Route) -> str:
    """Say why there is a second path of the same request, without the version."""
    if not route.shortFor:
        return ""
    return f" The same as `{route.shortFor}`; examples for verb, a library for servers, use this path."


def _pathParameters(route: Route) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": MOST_ID}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in route.params]


def _queryParameters(query: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": name in query.get("required", ()), "schema": schema}
        for name, schema in query.get("properties", {}).items()
    ]


def _keyParameter(route: Route) -> list[dict[str, Any]]:
    if not route.takesKey:
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"}
    text = "A new random one for each request; the same to send the request again."
    return [{"name": HEADER, "in": "header", "schema": schema, "description": text}]


def _answers(route: Route, byType: dict[Any, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.answer is not None:
        good["content"] = {"application/json": {"schema": byType[route.answer]}}
        if route.streams:
            good["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    elif route.status != 204:
        good["content"] = {"application/json": {"schema": {"type": "object"}}}
    statuses = {*_ALWAYS, *route.problems}
    if route.body is not None:
        statuses |= {413, 415}
    return {str(route.status): good} | {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {_PROBLEM: {"schema": byType[ProblemBody]}},
        }
        for status in sorted(statuses)
    }
