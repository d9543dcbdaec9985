"""
Routes: which request does what. The dispatch, the checks and the OpenAPI document all come from one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import attrs
from msgspec import Struct
from msgspec.structs import fields
from twisted.web.http_headers import Headers

from ..rooms.contract.asks import Once
from .guard import Caller
from .problems import Problem
from .secrets import Role

#: The most characters of an id in a path.
MOST_ID = 256


class Call(NamedTuple):
    """A request that has been checked."""

    caller: Caller
    #: The values of the parameters of the path, in their order.
    params: tuple[str, ...]
    #: The body and the query, of the types of the route.
    body: Any
    query: Any
    #: Its headers.
    headers: Headers
    #: Its idempotency key, if it has one.
    once: Once | None = None


def isOptional(body: type[Struct]) -> bool:
    """Return whether no field of a body is required, so that the body may be empty."""
    return not any(each.required for each in fields(body))


@attrs.frozen(kw_only=True)
class Route:
    """A kind of request."""

    method: str
    #: The path, in which "{room}" is a parameter.
    path: str
    #: Does what is asked; returns the answer, a Deferred of it, or a coroutine.
    call: Callable[[Call], Any]
    role: Role
    #: The name of the operation, and what it does, for the document.
    name: str
    summary: str
    #: The types of the body, the query and the answer; `None`: there is none.
    body: type[Struct] | None = None
    query: type[Struct] | None = None
    answer: type[Struct] | None = None
    #: The status of the answer.
    status: int = 200
    #: The name of the operation for which this one is a shorter path; "" for none.
    shortFor: str = ""
    #: Whether it takes an Idempotency-Key.
    takesKey: bool = False
    #: Whether the answer can also be server-sent events.
    streams: bool = False
    #: The statuses of problems, besides those that any request may have.
    problems: tuple[int, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.role is Role.MANAGE

    @property
    def segments(self) -> list[str]:
        """The parts of the path."""
        return self.path[1:].split("/")

    @property
    def params(self) -> list[str]:
        """The names of the parameters of the path."""
        return [each[1:-1] for each in self.segments if each.startswith("{")]


class Branch:
    """A part of all paths: what follows it, and the routes that end with it."""

    def __init__(self) -> None:
        self.children: dict[str, Branch] = {}
        self.routes: dict[str, Route] = {}


class Routes:
    """The routes, by path and method."""

    def __init__(self, routes: Iterable[Route]) -> None:
        #: All of them.
        self.all = tuple(routes)
        self._root = Branch()
        for route in self.all:
            branch = self._root
            for segment in route.segments:
                key = "{}" if segment.startswith("{") else segment
                branch = branch.children.setdefault(key, Branch())
            branch.routes[route.method] = route

    def find(self, method: str, segments: Iterable[str]) -> tuple[Route, tuple[str, ...]]:
        """
        Return the route of a request, and the values of the parameters of its path.

        Args:
            method: The method; HEAD is like GET.
            segments: The decoded parts of the path.

        Raises:
            Problem: 404, there is no such path, or an id in it is too long; 405, it has no such method.
        """
        branch, params = self._root, []
        for segment in segments:
            following = branch.children.get(segment) if segment != "{}" else None
            if following is None:
                following = branch.children.get("{}")
                if following is None or not 0 < len(segment) <= MOST_ID:
                    raise Problem(404, "there is nothing at this path")
                params.append(segment)
            branch = following
        if not branch.routes:
            raise Problem(404, "there is nothing at this path")
        route = branch.routes.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = [*branch.routes, *(["HEAD"] if "GET" in branch.routes else [])]
            raise Problem(405, "there is no such method here", headers={"Allow": ", ".join(allowed)})
        return route, tuple(params)
