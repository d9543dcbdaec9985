"""
`Client`, a member as its room sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred

from ...core.codes import ErrorCode
from ...protocol import payload
from ...protocol.errors import RoomError
from ...state import View
from .ports import ClientPort, MemberPort


class Client:
    """
    A member of a room: the first argument of the room's hooks and handlers.

    It stays the same object when the client loses its connection and resumes.
    """

    __slots__ = ("_host", "_member", "data")

    def __init__(self, host: ClientPort, member: MemberPort) -> None:
        self._host = host
        self._member = member
        #: For the room's own use. txroom never reads it, and it does not survive the process.
        self.data: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Client {self.id} {self._member.state.name} of {self._host.name} {self._host.id}>"

    @property
    def id(self) -> str:
        """The id of the member. It is unique and cannot be guessed; other members see it in presence."""
        return self._member.id

    def _logFields(self) -> dict[str, Any]:
        """Return the fields of events that are logged about this client; see `loggerOf`."""
        host, member = self._host, self._member
        fields = {"room": host.id, "name": host.name, "member": member.id, "user": member.userId}
        if member.session:
            fields["connection"] = member.session
        if member.trace is not None:
            fields["trace"] = member.trace
        return fields

    @property
    def room(self) -> Any:
        """
        The `Room` that the client is or was in, an object of your class.

        Raises:
            RoomError: The room has ended, and nothing else refers to it any more (`roomGone`). A reference to
                a client does not keep its room in memory.
        """
        room = self._host.findRoom()
        if room is None:
            raise RoomError(ErrorCode.ROOM_GONE, "the room of this client has ended")
        return room

    @property
    def user(self) -> Any:
        """The user that `Room.onAuth` has returned; otherwise the one that `verifyClient` has accepted."""
        return self._member.user

    @property
    def userId(self) -> str:
        """The id that `Room.userId` returns for `user`; the same for all connections of one user."""
        return self._member.userId

    @property
    def options(self) -> Mapping[str, Any]:
        """The options with which the client joined, except `auth`."""
        return self._member.options

    @property
    def isConnected(self) -> bool:
        """
        Whether the client has joined and has a connection.

        If it has lost its connection, the messages to it are kept until it
        resumes, at most for `Room.resumeSeconds`.
        """
        return self._member.isConnected

    @property
    def hasLeft(self) -> bool:
        """Whether the client has left the room."""
        return self._member.hasLeft

    @property
    def groups(self) -> frozenset[str]:
        """The groups that the client has entered, see `enter`."""
        return self._member.groups

    @property
    def meta(self) -> Mapping[str, Any]:
        """
        What the other members see of the client, if the room has presence: a mapping of plain data.

        Set it in `Room.onJoin`, and again whenever it changes; changes within `Room.presenceSeconds` reach
        the members together. It is copied when you set it and when you read it.

        Raises:
            TypeError: The value is not a mapping of plain data.
            ValueError: It is nested too deep, or has a number that cannot be sent.
        """
        return MappingProxyType(payload.plain(dict(self._member.meta), True))

    @meta.setter
    def meta(self, meta: Mapping[str, Any]) -> None:
        if not isinstance(meta, Mapping):
            raise TypeError(f"meta={meta!r}: must be a mapping: client.meta = {{'name': 'ada'}}")
        self._host.presence.setMeta(self._member, meta)

    @property
    def view(self) -> View:
        """
        What the client sees of the private parts of the room's `state`: ``client.view.add(unit)``, and
        ``client.view.remove(unit)``, like Colyseus's ``client.view``.

        It lasts as long as the membership. It is saved with the state, so it goes on with the room in another
        process. A client that has a view costs more than one that sees what all others see.

        Raises:
            TypeError: The class of the room declares no state.
            RoomError: The room has ended (`roomGone`).
        """
        return self._host.viewOf(self._member)

    def send(self, type: str, data: Any = None, *, volatile: bool = False) -> int | None:
        """
        Send a message to this client.

        Like a broadcast, the message is kept in the room's log: a client that has lost its connection
        receives it when it resumes. If you call this in `Room.onAuth`, the message waits until the client is
        let in.

        Args:
            type: The type of the message, a string of 1 to 128 characters.
            data: Plain data, or other types that msgspec can encode.
            volatile: Send the message only if the client is connected now. It may arrive before other
                messages, and it is dropped if the client reads too slowly.

        Returns:
            The offset of the message in the room's log; `None` if it is volatile, if the client has left, or
            in `Room.onAuth`.

        Raises:
            TypeError, ValueError, OverflowError: The data cannot be sent, see `Room.broadcast`.
        """
        return self._host.broadcaster.send(self._member, type, data, volatile)

    def call(self, type: str, data: Any = None, timeout: float = 10.0) -> Deferred[Any]:
        """
        Call a handler of the client (`room.handle` in txroom.js) and wait for its answer.

        The client is asked at most once. A client that is still joining is asked when it has joined, so
        `Room.onAuth` and `Room.onJoin` cannot wait for the answer.

        Args:
            type: The type of the call, a string of 1 to 128 characters.
            data: Plain data, or other types that msgspec can encode.
            timeout: How long the client may take, in seconds.

        Returns:
            A Deferred that fires with the answer. It fails with `CallError` if the client answers with an
            error; with `RoomError` if it does not answer in time (`timeout`) or leaves (`roomGone`); with
            `RuntimeError` if `onAuth` or `onJoin` waits for it.

        Raises:
            TypeError, OverflowError: The data cannot be sent, see `Room.broadcast`.
            ValueError: The data cannot be sent, or the timeout is negative or not a finite number.
        """
        return self._host.calls.call(self._member, type, data, timeout)

    def kick(self, reason: str = "") -> None:
        """
        Remove the client from the room, with the close code 4003. It cannot resume.

        Args:
            reason: A text that is sent to the client.

        Raises:
            TypeError: The reason is not a string.
        """
        self._host.kick(self._member, reason)

    def enter(self, group: str) -> None:
        """
        Add the client to a group, for `Room.broadcast(..., to=group)`.

        Args:
            group: The name of the group, any text. Groups need not be created.

        Raises:
            TypeError: The name is not a string.
        """
        self._host.regroup(self._member, group, True)

    def exit(self, group: str) -> None:
        """Remove the client from a group. Raises `TypeError` for a name that is not a string."""
        self._host.regroup(self._member, group, False)


#: The receivers of a broadcast: a group, a client, several clients, or a function that is called with each
#: client and returns whether the client receives the message.
To = str | Client | Iterable[Client] | Callable[[Client], bool]
