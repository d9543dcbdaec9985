"""
What is to be done to which server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.internet.interfaces import IStreamClientEndpoint

from ..core.interfaces import ClientEndpoint

#: In options and data: the number of the client, from 0.
NUMBER = "{n}"
#: In data: a text by which the client knows its message when it comes back.
MARK = "{id}"

Scenario = Callable[..., Any]


@attrs.frozen(kw_only=True)
class Plan:
    """
    A load test. Times are seconds.
    """

    #: A WebSocket URL: where the rooms are, or an application without rooms.
    url: str
    #: The name of the rooms; `None`: plain WebSockets.
    room: str | None = None
    #: How many clients.
    clients: int = 10
    #: The time over which they come in.
    ramp: float = 1.0
    #: The time they stay when all have come.
    duration: float = 30.0
    #: The options with which they join: JSON, `NUMBER` replaced.
    options: str = "{}"
    #: The type of the messages to the room; `None`: they listen only.
    type: str | None = None
    #: The messages: JSON in rooms, else the text itself; `NUMBER` and `MARK` replaced. `None`: null in rooms,
    #: and plain clients listen only.
    data: str | None = None
    #: Whether the messages are calls.
    isCall: bool = False
    #: The messages per second of each client.
    rate: float = 1.0
    #: What each client does in place of that: an async function of the client, the room and the clock.
    scenario: Scenario | None = None
    #: Further headers of the upgrade.
    headers: Mapping[str, str] = attrs.field(factory=dict)
    #: What is connected to, if it isn't what the URL says: an endpoint or its description.
    endpoint: IStreamClientEndpoint | ClientEndpoint | str | None = None

    @property
    def isSending(self) -> bool:
        """Whether clients send at a rate."""
        return (self.data if self.room is None else self.type) is not None

    @property
    def isMarked(self) -> bool:
        """Whether clients look for their own messages."""
        return self.isSending and MARK in (self.data or "")

    def dataOf(self, number: int) -> str:
        """The data of one client's messages."""
        default = "" if self.room is None else "null"
        return (self.data or default).replace(NUMBER, str(number))
