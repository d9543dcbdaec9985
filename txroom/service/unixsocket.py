"""
UNIX sockets in the file system: stale sockets of killed processes, and ownership.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from ..core.twistedinternet import lockedPath

LOCK_SUFFIX = ".lock"


class SocketError(CannotListenError):
    """
    A UNIX socket can't be opened. The text is one line that says what is wrong, and what to do.

    Args:
        path: The path of the socket.
        error: What has happened: an `OSError`, or a text if its lock is held.
    """

    def __init__(self, path: str, error: Any) -> None:
        super().__init__(None, path, error)
        self._why = _whyOf(path, error)

    def __str__(self) -> str:
        return f"UNIX socket {self.port.replace(chr(0), '@')}: {self._why}"


def _whyOf(path: str, error: Any) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return "must be in a directory that exists"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "must be in a directory that this process may write to"
    if isinstance(error, OSError) and number != errno.EADDRINUSE:
        return error.strerror or str(error)
    if connectError(path) == 0:
        return "another process listens there; stop it, or choose another path"
    return f"is taken; if no process uses it, remove it and {path}{LOCK_SUFFIX}"


@implementer(IStreamServerEndpoint)
class UNIXSocketEndpoint:
    """
    Twisted's endpoint, but it also detects a stale lock if another process has the id that the lock names.

    In a container, the next process often gets the id of the one that died, so that Twisted takes the lock
    for valid.
    """

    def __init__(self, endpoint: UNIXServerEndpoint) -> None:
        self._endpoint = endpoint

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen. Fails with `SocketError`, if another process listens for example."""
        path = lockedPath(self._endpoint)
        if path is not None:
            removeStaleLock(path)
        listening: Deferred[IListeningPort] = self._endpoint.listen(protocolFactory)
        return listening.addErrback(self._failed, path)

    def _failed(self, failure: Failure, path: str | None) -> Any:
        error = failure.value
        if isinstance(error, CannotListenError):
            return Failure(SocketError(os.fsdecode(error.port), error.socketError))
        if isinstance(error, OSError) and path is not None:  # from its lock
            return Failure(SocketError(path, error))
        return failure


def removeStaleLock(path: str) -> None:
    """
    Remove a socket and its lock if no process listens there, even if a process with the lock's id exists.
    """
    if path.startswith("\0"):
        return
    try:
        holder = os.readlink(path + LOCK_SUFFIX)
    except OSError:
        return
    refusal = connectError(path)
    if refusal == errno.ECONNREFUSED:
        if stat.S_ISSOCK(os.stat(path).st_mode) and _take(path, holder):
            with suppress(FileNotFoundError):
                os.unlink(path)
    elif refusal == errno.ENOENT and holder == str(os.getpid()):
        # The lock of another process may belong to a socket that it is just opening or closing.
        _take(path, holder)


def _take(path: str, holder: str) -> bool:
    """Remove the lock of a socket if it still names `holder`. Of several processes that try, one succeeds."""
    taken = f"{path}{LOCK_SUFFIX}.{os.getpid()}"
    try:
        os.rename(path + LOCK_SUFFIX, taken)
    except FileNotFoundError:
        return False
    if os.readlink(taken) != holder:  # another process has replaced it
        os.rename(taken, path + LOCK_SUFFIX)
        return False
    os.unlink(taken)
    return True


def connectError(path: str) -> int:
    """Return the error number of connecting to a UNIX socket; 0 if a process listens."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        return client.connect_ex(path)


def chownSocket(port: Any, user: int, group: int) -> None:
    """Give the socket of a port, and its lock, to a user and group. Does nothing for other kinds of ports."""
    address = port.getHost()
    if not isinstance(address, UNIXAddress) or not address.name:
        return
    path = os.fsdecode(address.name)
    for each in (path, path + LOCK_SUFFIX):
        try:
            os.chown(each, user, group, follow_symlinks=False)
        except FileNotFoundError:
            pass
