"""
Socket activation: listening sockets that systemd or another program has opened and passes on.

The protocol is that of sd_listen_fds(3): LISTEN_FDS sockets from descriptor 3 on, with their names in
LISTEN_FDNAMES. Twisted implements it too, but finds no sockets if they have no names, and closes each
descriptor after listening on it once.
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

from ..core.twistedinternet import adoptUNIXPort, socketsHandedDown

#: The first descriptor.
_START = 3
_FAMILIES = {name: getattr(socket, f"AF_{name}") for name in ("INET", "INET6", "UNIX")}


@implementer(IStreamServerEndpoint)
class InheritedEndpoint:
    """
    A listening socket, given by its descriptor.

    The descriptor stays open, so that the server can stop and start again. Clients that connect meanwhile
    wait in the kernel's queue.
    """

    def __init__(self, reactor: Any, descriptor: int, family: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._family = family

    @classmethod
    def of(cls, endpoint: AdoptedStreamServerEndpoint) -> InheritedEndpoint:
        """
        Return the endpoint for the socket of one of Twisted's endpoints, which would close the descriptor.
        """
        return cls(endpoint.reactor, endpoint.fileno, endpoint.addressFamily)

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen on a duplicate of the descriptor."""
        listening: Deferred[IListeningPort] = execute(self._adopt, protocolFactory)
        return listening

    def _adopt(self, factory: IProtocolFactory) -> IListeningPort:
        setNonBlocking(self._descriptor)
        if self._family == socket.AF_UNIX:
            return adoptUNIXPort(self._reactor, self._descriptor, factory)
        port: IListeningPort = self._reactor.adoptStreamPort(self._descriptor, self._family, factory)
        return port


def inheritedSocket(
    reactor: Any, sockets: ListenFDs, domain: str, index: str | None = None, name: str | None = None
) -> InheritedEndpoint:
    """
    Return the endpoint of one of the inherited sockets.

    Args:
        reactor: The reactor.
        sockets: The inherited sockets.
        domain: The expected address family: INET, INET6 or UNIX.
        index: The number of the socket, counted from 0.
        name: The name of the socket, in place of `index`.

    Raises:
        ValueError: There is no such socket, or its address family is another one.
    """
    if (index is None) == (name is None):
        raise ValueError("must have either index=... or name=..., which says which socket it is")
    if domain not in _FAMILIES:
        raise ValueError(f"domain={domain}: must be {', '.join(_FAMILIES)}")
    descriptor = _descriptor(index, name, sockets)
    family = familyOf(descriptor)
    if family != _FAMILIES[domain]:
        is_ = next((each for each, number in _FAMILIES.items() if number == family), family)
        raise ValueError(f"domain={domain}: the inherited socket has the domain {is_}")
    return InheritedEndpoint(reactor, descriptor, family)


def _descriptor(index: str | None, name: str | None, sockets: ListenFDs) -> int:
    descriptors, names = sockets.inheritedDescriptors(), sockets.inheritedNamedDescriptors()
    count = len(descriptors)
    if not count:
        raise ValueError(
            "no socket was inherited (see LISTEN_PID and LISTEN_FDS): start the service by its .socket unit"
        )
    if name is not None:
        if name not in names:
            known = f"the names are {', '.join(names)}" if names else "LISTEN_FDNAMES has no names; use index"
            raise ValueError(f"name={name}: no socket of that name was inherited; {known}")
        return names[name]
    assert index is not None
    if not index.isdecimal():
        raise ValueError(f"index={index}: must be a whole number, 0 or more")
    if int(index) >= count:
        these = "1 socket was" if count == 1 else f"{count} sockets were"
        raise ValueError(f"index={index}: {these} inherited, counted from 0")
    return descriptors[int(index)]


def familyOf(descriptor: int) -> int:
    """Return the address family of a socket."""
    with socket.socket(fileno=os.dup(descriptor)) as opened:
        return int(opened.family)


def socketsOfProcess() -> ListenFDs:
    """Return the sockets that this process has inherited."""
    found = socketsHandedDown()
    if found.inheritedDescriptors():
        return found
    return unnamed({**environmentAtStart(), **os.environ}, os.getpid())


def unnamed(environment: Mapping[str, str], process: int) -> ListenFDs:
    """Return the sockets that the process with the id `process` has inherited without names."""
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(process) or not count.isdecimal():
        return ListenFDs([])
    return ListenFDs(list(range(_START, _START + int(count))))


def environmentAtStart() -> dict[str, str]:
    """
    Return the variables that this process was started with. Twisted removes some from `os.environ` when it is
    imported.
    """
    try:
        content = Path("/proc/self/environ").read_bytes()
    except OSError:
        return {}
    fields = (os.fsdecode(field).partition("=") for field in content.split(b"\0"))
    return {name: value for name, _, value in fields}
