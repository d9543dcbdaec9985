"""
The messages between the parent and a worker.

Each is one line with a JSON array that begins with the name of the message: ``["gone", ["1.x7Qd"]]``. A
worker reads the descriptor `FROM_PARENT`. The end of that file means that the parent is gone, and the worker
ends. It writes to the descriptor `TO_PARENT`.

A new message is one class, and its name in the union `Up` or `Down`. After an update of txroom, a reload
starts new workers under the parent from before, so both skip a message whose name they don't know.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar, get_args

import msgspec

from ...admin.endedsessions import Ends
from ...admin.session import Session
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


class Joining(Message, tag="joining"):
    """
    The worker becomes a node of the cluster, and may have rooms from now on, before it serves. A worker whose
    rooms are in its own memory does not send this.
    """

    #: The id of the node.
    node: str


class Ready(Message, tag="ready"):
    """The worker serves."""

    #: Its option `shutdownTimeout`, in seconds.
    shutdownTimeout: float
    #: Lines for the log that say what is served where.
    served: list[str]


class Report(Message, tag="report"):
    """
    How a worker is; sent at most once a second, when something has changed, and from time to time otherwise.
    """

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


class Ask(Message, tag="ask"):
    """An operator asks this worker for something that the parent does or knows."""

    #: The number of the answer.
    id: int
    #: "drain" (replace this worker), "reload", "workers" (describe them), "logLevel" or "endSession" (tell
    #: the other workers).
    what: str
    #: The level of the log, or the `Session` as JSON.
    argument: str = ""


Up = Joining | Ready | Report | Deaf | Left | Ask


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
    #: What the signatures of operators' sessions depend on; it differs between the starts of a parent.
    seed: bytes = b""
    #: The sessions of operators that have ended.
    ended: list[Ends] = []
    #: How many workers serve together with this one, as far as the parent knows now; it tells it again when
    #: this one serves.
    running: int = 1


class Stop(Message, tag="stop"):
    """Stop within `shutdownTimeout`, as at the first SIGTERM."""

    #: For how many seconds at most the clients are sent to other workers before; see `Server.sendAway`. It
    #: has given its rooms away then.
    seconds: float = 0.0


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


class SessionEnded(Message, tag="sessionEnded"):
    """A session of an operator has ended at another worker."""

    session: Session


class Group(Message, tag="group"):
    """How many workers there should be, and how many serve."""

    workers: int
    running: int
    #: How many of those that serve have another status than "ok", by the status.
    troubled: dict[str, int] = {}

    @property
    def isWell(self) -> bool:
        """Whether all serve and are well."""
        return self.running >= self.workers and not self.troubled

    def __str__(self) -> str:
        troubled = "".join(f", {count} {status}" for status, count in sorted(self.troubled.items()))
        running = min(self.running, self.workers)  # there are more during a reload
        return f"{running} of {self.workers} workers serve{troubled}"


class Answer(Message, tag="answer"):
    """The answer to `Ask`."""

    id: int
    #: The workers, if it asked for them.
    data: Any = None
    #: Why it can't be done; empty: it is done, or has begun.
    problem: str = ""


Down = (
    Start
    | Stop
    | StopNow
    | ReloadCertificates
    | Leave
    | Stay
    | Renewed
    | Gone
    | SessionEnded
    | Group
    | Answer
)

Kind = TypeVar("Kind")


class Messages(Generic[Kind]):
    """
    Reads messages.

    Args:
        kind: The union of the expected messages.
    """

    def __init__(self, kind: Any) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._names = {each.__struct_config__.tag for each in get_args(kind)}
        self._rest = b""

    def feed(self, data: bytes) -> list[Kind]:
        """
        Return the messages that `data` completes, without those whose names are unknown.

        Raises:
            msgspec.DecodeError: A line is no message.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [message for message in map(self._read, lines) if message is not None]

    def _read(self, line: bytes) -> Kind | None:
        try:
            message: Kind = self._decoder.decode(line)
        except msgspec.ValidationError:
            if self._isUnknown(msgspec.json.decode(line)):
                return None
            raise
        return message

    def _isUnknown(self, array: Any) -> bool:
        """Return whether an array begins with a name that is not in the union."""
        name = array[0] if isinstance(array, list) and array else None
        return isinstance(name, str) and name not in self._names


def encode(message: Message) -> bytes:
    """Return the line of a message."""
    return msgspec.json.encode(message) + b"\n"
