"""
The admin listeners of a process: from options, files and environment variables to `Server.addAdmin`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.python.usage import UsageError

from ..admin.door import Door
from ..admin.secrets import Secrets
from .loading import inOneLine

if TYPE_CHECKING:
    from ..server import Server

#: The environment variables with the secrets, and the options with the names of files that have them.
TOKEN, READ_TOKEN = "TXROOM_ADMIN_TOKEN", "TXROOM_ADMIN_READ_TOKEN"
TOKEN_FILE, READ_TOKEN_FILE = "admin-token-file", "admin-read-token-file"


class AdminSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `Server.addAdmin` needs. No text about it shows the secrets."""

    #: The endpoints.
    wheres: list[str] = []
    token: str | None = None
    readToken: str | None = None
    allowedHosts: list[str] = []

    def __repr__(self) -> str:
        return f"AdminSettings(wheres={self.wheres!r})"


def adminSettings(options: Mapping[str, Any], environment: Mapping[str, str]) -> AdminSettings:
    """
    Return the settings for the options of the command line. A file precedes the environment variable.

    Raises:
        UsageError: A secret can't be read or is wrong, or an endpoint is one where it must not listen.
    """
    wheres = options["admin"]
    if not wheres:
        for name in (TOKEN_FILE, READ_TOKEN_FILE, "admin-host"):
            if options[name]:
                raise UsageError(f"--{name}: needs --admin")
        return AdminSettings()
    token = _secret(options[TOKEN_FILE], environment, TOKEN)
    readToken = _secret(options[READ_TOKEN_FILE], environment, READ_TOKEN)
    names = {"token": f"{TOKEN} or --{TOKEN_FILE}", "readToken": f"{READ_TOKEN} or --{READ_TOKEN_FILE}"}
    try:
        secrets = Secrets(token, readToken)
    except ValueError as error:
        name, _, why = str(error).partition(":")
        raise UsageError(f"{names[name]}:{why}") from None
    try:
        doors = [Door(where, bool(secrets), names["token"]) for where in wheres]
    except ValueError as error:
        raise UsageError(f"--admin {inOneLine(error)}") from None
    return AdminSettings(
        wheres=[door.where for door in doors],
        token=token,
        readToken=readToken,
        allowedHosts=options["admin-host"],
    )


def _secret(file: str | None, environment: Mapping[str, str], variable: str) -> str | None:
    if file is None:
        return environment.get(variable) or None
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise UsageError(f"the file {file} with the secret can't be read: {why}") from None


def addAdmins(server: Server, settings: AdminSettings, descriptors: Mapping[str, int] | None = None) -> None:
    """
    Let a server listen for operators and back ends.

    Args:
        server: The server.
        settings: Where, and for whom.
        descriptors: The descriptors of the sockets by endpoint, if another process has opened them.

    Raises:
        UsageError: An endpoint is wrong.
    """
    for where in settings.wheres:
        try:
            server.addAdmin(
                where,
                token=settings.token,
                readToken=settings.readToken,
                allowedHosts=settings.allowedHosts,
                descriptor=None if descriptors is None else descriptors[where],
            )
        except Exception as error:
            raise UsageError(f"--admin {inOneLine(error)}") from None
