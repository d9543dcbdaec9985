"""
`Client`: the client of rooms, connected to a network.
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
    A connection to a txroom server that survives lost sockets.

    The client connects when it has something to do: at the first join or request.

    If the server sends a message that is not a frame, the client closes the connection with 4010,
    reconnects and resumes, so that it misses nothing. (That it does not reconnect after 4010 is the rule
    only if the server sends this code.) It ignores frames of a kind that it does not know, and frames for
    rooms that it has left. If the server refuses the upgrade with a status from 400 to 499 other than 408,
    425 and 429, the client ends all rooms and requests and does not reconnect, as after a final close code:
    4001 for 401 and 403, 4004 for 404 and 410, 1008 for the others.

    Args:
        url: The URL of the rooms, with the scheme `ws:`, `wss:`, `http:` or `https:`. Without a path,
            "/rooms" is used.
        endpoint: What to connect to, if it is not what the URL says: a UNIX socket, a proxy, a TLS client
            with its own authorities. An `IStreamClientEndpoint`, or its description as a string.
        reactor: The network and the clock. Default: the global reactor.
        **options: The fields of `ClientOptions`.

    Raises:
        ValueError: `url`, or the description of the endpoint, is malformed.
        OptionError: An option has a wrong value.
        TypeError: There is no option of that name.
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
        #: The URL that the client connects to.
        self.url = absolute(url)
        checked = ClientOptions(**options)
        super().__init__(Connector(self.url, endpoint, reactor, checked), reactor, Room, checked)

    def __repr__(self) -> str:
        return f"<Client {self.url} {self.state.value}>"
