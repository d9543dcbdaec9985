"""
The messages between the parent and a worker.

Each is one line with a JSON array that begins with the name of the message: ``["gone", ["1.x7Qd"]]``. A
worker reads the descriptor `FROM_PARENT`. The end of that file means that the parent is gone, and the worker
ends. It writes to the descriptor `TO_PARENT`.

A new message is one class, and its name in the union `Up` or `Down`.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from ..settings import Settings

#: The descriptors of a worker.
FROM_PARENT, TO_PARENT = 3, 4


class Message(msgspec.Struct, array_like=True):
    """A message. Its fields are the elements of the array after the name."""


class SharedSocket(msgspec.Struct, frozen=True):
    """A listening socket that a worker inherits."""

    #: The port or the description of the endpoint.
    where: int | str
    #: The descriptor in the worker.
    descriptor: int


# -- from a worker to the parent


class Ready(Message, tag="ready"):
    """The worker serves."""

    #: The id of its node of the cluster; `None`: its rooms are in its own memory.
    node: str | None
    #: Its option `shutdownTimeout`, in seconds.
    shutdownTimeout: float
    #: Lines for the log that say what is served where.
    served: list[str]


class Report(Message, tag="report"):
    """How a worker is; sent at most once a second, when something has changed."""

    #: What its health page says.
    status: str
    #: The fields of `Stats`.
    stats: dict[str, Any]


class Deaf(Message, tag="deaf"):
    """The worker has closed its listening sockets, since it is stopping."""


class Left(Message, tag="left"):
    """The answer to `Leave`."""

    #: The number of rooms that the worker has given away.
    rooms: int = 0
    #: Why it can't leave, so that it goes on as before; empty: it has left.
    problem: str = ""


Up = Ready | Report | Deaf | Left


# -- from the parent to a worker


class Start(Message, tag="start"):
    """The first message: what the worker has to serve."""

    #: The number of the worker, from 1, and how many there are.
    slot: int
    count: int
    settings: Settings
    sockets: list[SharedSocket]
    #: Other descriptors that it keeps until it ends.
    kept: list[int]
    #: The module of the reactor.
    reactor: str


class Stop(Message, tag="stop"):
    """Stop within `shutdownTimeout`, as at the first SIGTERM."""


class StopNow(Message, tag="stopNow"):
    """Stop at once, as at the second SIGTERM."""


class ReloadCertificates(Message, tag="reloadCertificates"):
    """Reload the certificates."""


class Leave(Message, tag="leave"):
    """Give all rooms to these nodes; see `Server.leave`."""

    nodes: list[str]


class Stay(Message, tag="stay"):
    """Serve as before `Leave`."""


class Renewed(Message, tag="renewed"):
    """The data of the store has another identity from its next start on."""

    run: str


class Gone(Message, tag="gone"):
    """These nodes of the cluster have ended."""

    nodes: list[str]


class Group(Message, tag="group"):
    """How many workers there should be, and how many serve."""

    workers: int
    running: int


Down = Start | Stop | StopNow | ReloadCertificates | Leave | Stay | Renewed | Gone | Group

Kind = TypeVar("Kind")


class Messages(Generic[Kind]):
    """
    Reads messages.

    Args:
        kind: The union of the expected messages.
    """

    def __init__(self, kind: Any) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._rest = b""

    def feed(self, data: bytes) -> list[Kind]:
        """
        Return the messages that `data` completes.

        Raises:
            msgspec.DecodeError: A line is no message.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [self._decoder.decode(line) for line in lines]


def encode(message: Message) -> bytes:
    """Return the line of a message."""
    return msgspec.json.encode(message) + b"\n"
