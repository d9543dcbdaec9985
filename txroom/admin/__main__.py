"""
`python -m txroom.admin`: the shell of operators, from the command line to the exit status.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ..client import Client
from ..core.origin import isLocalHost
from .calls import TIMEOUT
from .shell import TOKEN, Shell
from .sockets import PATH

_DESCRIPTION = f"""\
Make a call of the RPC interface of a server's admin listener, and print its answer.

  python -m txroom.admin 9000                        list all calls
  python -m txroom.admin 9000 help rooms.kick        describe a call
  python -m txroom.admin 9000 rooms                  list the rooms (rooms.list)
  python -m txroom.admin 9000 rooms limit=5 --watch  and again whenever they change
  python -m txroom.admin 9000 room ID                look into a room (rooms.get)
  python -m txroom.admin unix:/run/chat/admin.sock kick ID userId=ada

The secret is that of {TOKEN} in the environment, or in the file that --token-file names."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out a command, and exit with its status."""
    given = _parsed(arguments)
    react(lambda reactor: Deferred.fromCoroutine(_run(reactor, given)))


async def _run(reactor: Any, given: Namespace) -> None:
    watches = given.watch is not None
    url, endpoint = targetOf(given.url)
    if given.token and endpoint is None and not isSafe(url):
        raise SystemExit(f"{given.url}: the secret is not sent without TLS to another machine; use https://")
    client = Client(
        url,
        endpoint=endpoint,
        reactor=reactor,
        headers={"Authorization": f"Bearer {given.token}"} if given.token else {},
        callTimeout=TIMEOUT + 5.0,
        maxAttempts=None if watches else 0,
    )
    try:
        shell = Shell(client, sys.stdout, sys.stderr, given.json, hasSecret=bool(given.token))
        status = await shell.run(given.words, given.watch)
    except BrokenPipeError:  # the program that reads, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    if status:
        raise SystemExit(status)


def _parsed(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(
        "python -m txroom.admin", description=_DESCRIPTION, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "url", help="the admin listener: a port of this machine, http://..., https://..., or unix:/path"
    )
    # Without a default, it would be said to be required.
    parser.add_argument(
        "words", nargs="*", default=[], metavar="call", help="the call, and its arguments: name=value"
    )
    parser.add_argument("--json", action="store_true", help="print the answer in JSON")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=float,
        const=1.0,
        metavar="SECONDS",
        help="print the answer whenever it has changed; ask for it every SECONDS (1)",
    )
    parser.add_argument("--token-file", metavar="FILE", help="the file with the secret")
    given = parser.parse_intermixed_args(arguments)
    given.token = os.environ.get(TOKEN, "")
    if given.token_file is not None:
        try:
            with open(given.token_file, encoding="ascii") as file:
                given.token = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            parser.error(f"--token-file: {error}")
    return given


def targetOf(url: str) -> tuple[str, str | None]:
    """
    Return the URL of the RPC interface, and the endpoint to connect to, if that isn't what the URL says.

    Args:
        url: A port of this machine, the URL of an admin listener, or "unix:" and the path of its socket.
    """
    if url.startswith("unix:"):
        return f"ws://localhost{PATH}", url
    if url.isdecimal():
        url = f"http://127.0.0.1:{url}"
    elif "://" not in url:
        url = f"http://{url}"
    return url.rstrip("/") + PATH, None


def isSafe(url: str) -> bool:
    """Return whether nobody can read what is sent there: with TLS, or on this machine."""
    scheme, _, rest = url.partition("://")
    return scheme.lower() in ("https", "wss") or isLocalHost(rest.partition("/")[0])


if __name__ == "__main__":
    main()
