"""
The command line of all servers: `--port N [--certificate FILE] ROLE`. A cluster has several ports.

The roles are echo, broadcast, deflate (broadcast with permessage-deflate), tls (echo with TLS), rooms,
presence (rooms whose members are told of one another), cluster (rooms with a key), state (a room in whose
state entities move) and views (such a room of whose entities each client sees some).
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import ssl

ROLES = ("echo", "broadcast", "deflate", "tls", "rooms", "presence", "cluster", "state", "views")


def arguments(description: str | None, *more: str) -> argparse.Namespace:
    """Parse the command line; `more` are options of this server, whose default is `None`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True, action="append", dest="ports")
    parser.add_argument("--certificate", help="key and certificate in one PEM file, for the role tls")
    for option in more:
        parser.add_argument(option)
    parser.add_argument("role", choices=ROLES)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    options = parser.parse_args()
    options.port = options.ports[0]
    return options


def tlsContext(options: argparse.Namespace) -> ssl.SSLContext | None:
    """The TLS context for asyncio's servers; `None` in the roles without TLS."""
    if options.role != "tls":
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.certificate)
    return context


def useLoop(name: str | None) -> None:
    """Run asyncio on that event loop: "uvloop", or `None` for its own."""
    if name == "uvloop":
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
