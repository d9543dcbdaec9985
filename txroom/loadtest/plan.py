"""
`Plan`: what a load test does, and to which server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.internet.interfaces import IStreamClientEndpoint

from ..core.interfaces import ClientEndpoint

#: In options and data, this text is replaced by the number of the client, from 0.
NUMBER = "{n}"
#: In data, this text is replaced by a mark, by which the client recognizes its message when it returns.
MARK = "{id}"

Scenario = Callable[..., Any]


@attrs.frozen(kw_only=True)
class Plan:
    """
    What a load test does. Times are in seconds.
    """

    #: The WebSocket URL of the rooms, or of an application without rooms.
    url: str
    #: The name of the rooms to join; `None`: plain WebSockets without rooms.
    room: str | None = None
    #: The number of clients.
    clients: int = 10
    #: The time over which the clients start.
    ramp: float = 1.0
    #: The time from the end of the ramp to the end of the load test.
    duration: float = 30.0
    #: The options with which the clients join, as JSON; `NUMBER` is replaced.
    options: str = "{}"
    #: The type of the messages to the room; `None`: the clients send nothing.
    type: str | None = None
    #: The data of the messages, as JSON for rooms, otherwise as the text itself; `NUMBER` and `MARK` are
    #: replaced. `None`: the data is null in rooms, and plain clients send nothing.
    data: str | None = None
    #: Whether the messages are sent as calls.
    isCall: bool = False
    #: How many messages each client sends per second.
    rate: float = 1.0
    #: What each client does instead of sending at a rate: an async function that is called with the client,
    #: the room and the clock.
    scenario: Scenario | None = None
    #: Additional headers of the upgrade request.
    headers: Mapping[str, str] = attrs.field(factory=dict)
    #: What to connect to, if it is not what the URL says: an endpoint, or its description as a string.
    endpoint: IStreamClientEndpoint | ClientEndpoint | str | None = None

    @property
    def isSending(self) -> bool:
        """Whether the clients send messages at a rate."""
        return (self.data if self.room is None else self.type) is not None

    @property
    def isMarked(self) -> bool:
        """Whether the messages have marks."""
        return self.isSending and MARK in (self.data or "")

    def dataOf(self, number: int) -> str:
        """Return the data of the messages of client `number`, in which `MARK` is not replaced yet."""
        default = "" if self.room is None else "null"
        return (self.data or default).replace(NUMBER, str(number))
