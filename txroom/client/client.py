"""
The client: a session with a network.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from ..core.interfaces import ClientEndpoint
from .baseclient import BaseClient
from .options import ClientOptions
from .room import Room
from .transport import Connector, absolute


class Client(BaseClient[Room]):
    """
    A connection to a txroom server that outlives its sockets.

    `url` is where the rooms are, `ws:`, `wss:`, `http:` or `https:`; without a path: "/rooms". It connects
    when it has something to do, at the first join or request. The keywords are those of `ClientOptions`.

    `endpoint`, an `IStreamClientEndpoint` or its description as text, is what it connects to if that is not
    what the URL says: a UNIX socket, a proxy, a TLS client with authorities of its own. `reactor` is the
    network and the clock; default: the global one.

    A message of the server that is no frame is answered by closing the connection with 4010; the client
    then reconnects and resumes, so that whatever it was is not missed. Frames of a kind it does not know,
    and frames for rooms that it has left, are ignored. An upgrade that the server refuses for good (401,
    403, 404 and most of 400-499) ends everything as a final close code does.

    Raises `ValueError` for a URL or a description of an endpoint that is none, `OptionError` for a keyword
    with a wrong value, `TypeError` for one that is no option.
    """

    def __init__(
        self,
        url: str,
        *,
        endpoint: IStreamClientEndpoint | ClientEndpoint | str | None = None,
        reactor: Any = None,
        **options: Any,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        #: Where it connects to.
        self.url = absolute(url)
        checked = ClientOptions(**options)
        super().__init__(Connector(self.url, endpoint, reactor, checked), reactor, Room, checked)

    def __repr__(self) -> str:
        return f"<Client {self.url} {self.state.value}>"
