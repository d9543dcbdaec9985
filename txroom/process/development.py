"""
`twistd txroom --dev`: a server for the developers of an app, on their own machine.

One worker serves it. When a source file changes, a new worker imports the app again, gets the rooms of the
old one, and takes its place. If the new code can't be imported, the old worker goes on.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from twisted.application.service import MultiService
from twisted.logger import Logger

from ..service.endpoints import isOnLoopback
from .sources import SourceWatcher
from .workers.parent import Workers
from .workers.storeprogram import installedPrograms

#: The most changed files that are named in one line.
NAMED = 3


class Development(MultiService):
    """
    Serves an app, and loads its code again when that changes.

    Args:
        workers: The parent of the worker.
        directory: The directory with the code.
        reactor: The reactor.
    """

    _log = Logger()

    def __init__(self, workers: Workers, directory: str, reactor: Any) -> None:
        super().__init__()
        self._workers = workers
        workers.setServiceParent(self)
        SourceWatcher(directory, self._changed, reactor).setServiceParent(self)

    def startService(self) -> None:
        if self._workers.isInMemory:
            self._log.info(
                "rooms end when the code is loaded again, because there is no store for them, or no Redis "
                "client; run: pip install 'txroom[workers]', or install redis-server (7.0 or newer) or "
                "valkey-server and run: pip install 'txroom[redis]'"
            )
        super().startService()

    def _changed(self, files: list[str]) -> None:
        more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
        self._log.info(
            "changed: {files}{more}; the code is loaded again", files=", ".join(files[:NAMED]), more=more
        )
        self._workers.reload()


def localOnly(where: int | str) -> str:
    """
    Return an endpoint that only programs on this machine can reach.

    Args:
        where: A port number, which is opened on 127.0.0.1, or the description of an endpoint.

    Raises:
        ValueError: Others can reach it.
    """
    if isinstance(where, int):
        return f"tcp:{where}:interface=127.0.0.1"
    if not isOnLoopback(where):
        raise ValueError(
            f"{where}: with --dev it must be a unix: socket, or have a loopback address such as "
            "interface=127.0.0.1"
        )
    return where


def hasStore() -> bool:
    """Return whether a store for the rooms can be started."""
    return find_spec("hiredis") is not None and next(installedPrograms(None), None) is not None
