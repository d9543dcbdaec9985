"""
The log lines about what a started server serves, and at which URLs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IListeningPort
from twisted.protocols.tls import TLSMemoryBIOFactory

from ..http.proxyprotocol import ProxiedFactory
from ..rooms.application import RoomApplication
from ..server import Server
from ..service.routing import Route

#: The most names in one line.
NAMED = 20


def describePort(port: IListeningPort) -> str:
    """Return the URLs of a port, or the path of its UNIX socket."""
    address: Any = port.getHost()
    if isinstance(address, UNIXAddress):
        return f"unix:{os.fsdecode(address.name or b'')}"
    authority = _authorityOf(address)
    s = "s" if isSecure(port) else ""
    return f"http{s}://{authority}/ and ws{s}://{authority}/"


def describeAdmin(port: IListeningPort) -> str:
    """Return the URL of a port for operators and back ends, or the path of its UNIX socket."""
    return describePort(port).partition(" and ")[0]


def _authorityOf(address: Any) -> str:
    host = "localhost" if address.host in ("0.0.0.0", "::") else address.host
    return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"


def isSecure(port: Any) -> bool:
    """Return whether a port speaks TLS."""
    factory = getattr(port, "factory", None)
    while isinstance(factory, ProxiedFactory):
        factory = factory.wrappedFactory
    return isinstance(factory, TLSMemoryBIOFactory)


def describeServed(server: Server) -> Iterator[str]:
    """
    Yield a line each for the rooms, the plain sockets and the pages of a server, if it has any.

    The names are URLs if the server has a TCP port, and paths otherwise.
    """
    port = next((port for port in server.ports if not isinstance(port.getHost(), UNIXAddress)), None)
    s = "s" if port is not None and isSecure(port) else ""
    authority = None if port is None else _authorityOf(port.getHost())

    def at(scheme: str, host: tuple[str, int | None] | None, path: str) -> str:
        if authority is None:
            return path if host is None else f"{host[0]}{path}"
        if host is None:
            return f"{scheme}{s}://{authority}{path}"
        name, number = host
        number = number or int(authority.rpartition(":")[2])
        return f"{scheme}{s}://{name}:{number}{path}"

    def roomAt(route: Route, path: str, name: str) -> str:
        # A subclass may read something else than a room's name from its paths.
        if getattr(type(route.application), "roomNameOf", None) is not RoomApplication.roomNameOf:
            return f"{name} below {at('ws', route.host, path)}"
        return f"{name} at {at('ws', route.host, path + quote(name, ''))}"

    rooms = [
        roomAt(route, path, name)
        for route in server.routes
        if isinstance(route.application, RoomApplication) and (path := _below(route)) is not None
        for name in route.application.registrations
    ]
    sockets = [
        f"{type(route.application).__name__} at {at('ws', route.host, route.path or '/*')}"
        for route in server.routes
        if not isinstance(route.application, RoomApplication)
    ]
    pages = [at("http", None, path) for path in sorted(server.pages)]
    for kind, served in (("rooms", rooms), ("sockets", sockets), ("pages", pages)):
        if served:
            more = f" and {len(served) - NAMED} more" if len(served) > NAMED else ""
            yield f"{kind}: {', '.join(served[:NAMED])}{more}"


def _below(route: Route) -> str | None:
    """Return the path below which a route serves rooms by their names, or `None`."""
    if route.path is None:
        return "/"
    return route.path.removesuffix("*") if route.path.endswith("/*") else None
