"""
Listening sockets that somebody else has bound and hands down: socket activation by systemd.

The protocol is that of sd_listen_fds(3): sockets from descriptor 3 on, LISTEN_FDS of them, with the names of
LISTEN_FDNAMES if there are any. Twisted knows it, but finds nothing where there are no names, and closes each
descriptor when it has listened on it once.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.fdesc import setNonBlocking
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python.systemd import ListenFDs
from zope.interface import implementer

from ..core.twistedinternet import socketsHandedDown

#: The first of the descriptors.
_START = 3
_FAMILIES = {name: getattr(socket, f"AF_{name}") for name in ("INET", "INET6", "UNIX")}


@implementer(IStreamServerEndpoint)
class InheritedEndpoint:
    """
    A listening socket by its descriptor.

    The descriptor stays open, so that the server can be stopped and started again; clients that come
    meanwhile wait in the queue of the kernel.
    """

    def __init__(self, reactor: Any, descriptor: int, family: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._family = family

    @classmethod
    def of(cls, endpoint: AdoptedStreamServerEndpoint) -> InheritedEndpoint:
        """The socket of an endpoint of Twisted's, which would close it."""
        return cls(endpoint.reactor, endpoint.fileno, endpoint.addressFamily)

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen, with a descriptor of its own."""
        listening: Deferred[IListeningPort] = execute(self._adopt, protocolFactory)
        return listening

    def _adopt(self, factory: IProtocolFactory) -> IListeningPort:
        setNonBlocking(self._descriptor)
        port: IListeningPort = self._reactor.adoptStreamPort(self._descriptor, self._family, factory)
        return port


def inheritedSocket(
    reactor: Any, sockets: ListenFDs, domain: str, index: str | None = None, name: str | None = None
) -> InheritedEndpoint:
    """
    The socket of that address family, by its `index` or its `name`, of those that were handed down.

    Raises `ValueError` that says what is missing.
    """
    if (index is None) == (name is None):
        raise ValueError("either index or name says which socket it is")
    if domain not in _FAMILIES:
        raise ValueError(f"domain={domain}: must be {', '.join(_FAMILIES)}")
    descriptor = _descriptor(index, name, sockets)
    family = familyOf(descriptor)
    if family != _FAMILIES[domain]:
        is_ = next((each for each, number in _FAMILIES.items() if number == family), family)
        raise ValueError(f"domain={domain}: the socket that was handed down is of domain {is_}")
    return InheritedEndpoint(reactor, descriptor, family)


def _descriptor(index: str | None, name: str | None, sockets: ListenFDs) -> int:
    descriptors, names = sockets.inheritedDescriptors(), sockets.inheritedNamedDescriptors()
    count = len(descriptors)
    if not count:
        raise ValueError(
            "no socket was handed down (LISTEN_PID and LISTEN_FDS say so): start it by its .socket unit"
        )
    if name is not None:
        if name not in names:
            known = (
                f"the names are {', '.join(names)}" if names else "LISTEN_FDNAMES gives no names; use index"
            )
            raise ValueError(f"name={name}: no socket of that name was handed down; {known}")
        return names[name]
    assert index is not None
    if not index.isdecimal():
        raise ValueError(f"index={index}: must be a whole number, 0 or more")
    if int(index) >= count:
        these = "1 socket was" if count == 1 else f"{count} sockets were"
        raise ValueError(f"index={index}: {these} handed down, counted from 0")
    return descriptors[int(index)]


def familyOf(descriptor: int) -> int:
    """The address family of a socket."""
    with socket.socket(fileno=os.dup(descriptor)) as opened:
        return int(opened.family)


def socketsOfProcess() -> ListenFDs:
    """The sockets that this process was given at its start."""
    found = socketsHandedDown()
    if found.inheritedDescriptors():
        return found
    return unnamed(_environmentAtStart(), os.getpid())


def unnamed(environment: Mapping[str, str], process: int) -> ListenFDs:
    """The sockets that were handed down to a `process` without a name for each."""
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(process) or not count.isdecimal():
        return ListenFDs([])
    return ListenFDs(list(range(_START, _START + int(count))))


def _environmentAtStart() -> dict[str, str]:
    """What Twisted has looked at, and taken out of `os.environ`, when it was imported."""
    try:
        content = Path("/proc/self/environ").read_bytes()
    except OSError:
        return {}
    fields = (os.fsdecode(field).partition("=") for field in content.split(b"\0"))
    return {name: value for name, _, value in fields}
