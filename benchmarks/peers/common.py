"""
The command line of all servers: `--port N [--certificate FILE] ROLE`.

The roles are echo, broadcast, deflate (broadcast with permessage-deflate), tls (echo with TLS), rooms and
presence (rooms whose members are told of one another).
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import ssl


def arguments(description: str | None, *more: str) -> argparse.Namespace:
    """Parse the command line; `more` are options of this server, whose default is `None`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", help="key and certificate in one PEM file, for the role tls")
    for option in more:
        parser.add_argument(option)
    parser.add_argument("role", choices=("echo", "broadcast", "deflate", "tls", "rooms", "presence"))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return parser.parse_args()


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
