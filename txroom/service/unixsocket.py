"""
UNIX sockets in the file system: what a process that was killed leaves behind, and whose they are.
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
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer

from ..core.twistedinternet import lockedPath

LOCK_SUFFIX = ".lock"


@implementer(IStreamServerEndpoint)
class UNIXSocketEndpoint:
    """
    Twisted's endpoint, which also notices a stale lock if another process has the number that it names.

    In a container a process that dies is followed by one with the same number, which Twisted finds alive.
    """

    def __init__(self, endpoint: UNIXServerEndpoint) -> None:
        self._endpoint = endpoint

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen; fails with `CannotListenError` if somebody else does."""
        path = lockedPath(self._endpoint)
        if path is not None:
            removeStaleLock(path)
        listening: Deferred[IListeningPort] = self._endpoint.listen(protocolFactory)
        return listening


def removeStaleLock(path: str) -> None:
    """Remove a socket and its lock if nobody listens there, though the process that the lock names lives."""
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
        # Of another it may be one that is just being opened or closed.
        _take(path, holder)


def _take(path: str, holder: str) -> bool:
    """Remove the lock of a socket if it still names `holder`: of several that start at once one does that."""
    taken = f"{path}{LOCK_SUFFIX}.{os.getpid()}"
    try:
        os.rename(path + LOCK_SUFFIX, taken)
    except FileNotFoundError:
        return False
    if os.readlink(taken) != holder:  # another has it by now
        os.rename(taken, path + LOCK_SUFFIX)
        return False
    os.unlink(taken)
    return True


def connectError(path: str) -> int:
    """The error number with which a UNIX socket refuses connections; 0 if somebody listens."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        return client.connect_ex(path)


def chownSocket(port: Any, user: int, group: int) -> None:
    """Make the socket of a port, and its lock, those of a user; other kinds of ports have nothing to give."""
    address = port.getHost()
    if not isinstance(address, UNIXAddress) or not address.name:
        return
    path = os.fsdecode(address.name)
    for each in (path, path + LOCK_SUFFIX):
        try:
            os.chown(each, user, group, follow_symlinks=False)
        except FileNotFoundError:
            pass
