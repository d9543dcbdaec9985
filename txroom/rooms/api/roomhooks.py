"""
The hooks of a room: the methods that users write, and that txroom calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.python.failure import Failure

from ...core.handshake import Handshake
from ..plain import idOfUser
from .client import Client
from .ports import LeaveReason
from .settings import RoomSettings


class RoomHooks(RoomSettings):
    """The hooks of `Room`."""

    def onCreate(self, options: Mapping[str, Any]) -> Any:
        """
        Called when the room is created. If it raises an exception, the room is not created.

        Args:
            options: The options of the client that creates the room, without `auth` and `seat`, or those
                that the server has passed to `createRoom`. Options of the registration override them.
        """

    def canJoin(self, options: Mapping[str, Any], user: Any) -> Any:
        """
        Decide whether a client may take a seat. Called before the client takes one.

        Args:
            options: The options with which the client wants to join.
            user: The user that `verifyClient` has accepted.

        Returns:
            Whether it may. If not, the server tries other rooms for a client that has asked by name, and in
            the end creates one for `joinOrCreate`, but not for `join`. A client that no room takes, or that
            has asked for this room by its id, receives `forbidden`. If this raises a `RoomError`, the client
            receives that error; other rooms are tried only if its code is `forbidden`, `full`, `locked`,
            `noSuchRoom` or `roomGone`.
        """
        return True

    def onAuth(self, client: Client, options: Mapping[str, Any], handshake: Handshake) -> Any:
        """
        Decide whether a client that has taken a seat may join. Called before `onJoin`.

        Args:
            client: The client.
            options: The options with which it joins. Only this hook and `canJoin` can read the option
                `auth`, with which a client proves who it is.
            handshake: The HTTP request of the client's WebSocket.

        Returns:
            A false value refuses the client with `unauthorized`. `True` lets it join. Any other value lets it
            join and becomes `client.user`, as plain data: a dataclass becomes a mapping. A `RoomError` that
            this raises is sent to the client.
        """
        return True

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> Any:
        """
        Called when a client joins, before the other members are told of it.

        If it raises an exception, the client does not join, and `onLeave` is not called for it.
        """

    def onMessage(self, client: Client, type: str, data: Any) -> Any:
        """
        Called with a message whose type has no handler, which is a method with the decorator `message`.

        If a class does not override it, the client receives the error `unknownType`.
        """
        raise NotImplementedError

    def snapshot(self, client: Client) -> Any:
        """
        Return the state of the room, for a client that has not received all earlier messages.

        Called after `onJoin`, and when a client resumes but cannot get all messages that it asks for: they
        are not kept any more, or are older than its join. The client receives the state with the answer to
        its join, and then the messages that follow. This hook cannot be asynchronous, so that no message is
        sent between the state and that answer.

        Returns:
            Plain data, or other types that msgspec can encode.
        """
        return None

    def onDrop(self, client: Client) -> Any:
        """Called when a client has lost its connection. It may resume within `resumeSeconds`."""

    def onResume(self, client: Client, recovered: bool) -> Any:
        """
        Called when a client has resumed, perhaps while its former connection was still open.

        Args:
            client: The client.
            recovered: Whether it has received all messages that it missed. If not, it has received a new
                `snapshot`.
        """

    def onLeave(self, client: Client, reason: LeaveReason) -> Any:
        """
        Called when a client has left, exactly once after each `onJoin` that has succeeded.

        Args:
            client: The client. It receives no messages any more.
            reason: Why it has left.
        """

    def onDispose(self) -> Any:
        """
        Called when the room ends, exactly once and after all other hooks.

        It is also called when the room goes on in another process, since this object ends. Then `onLeave` is
        not called for the members, and messages that are sent from now on are dropped.
        """

    def onTick(self, seconds: float) -> Any:
        """
        Called `tickRate` times a second.

        Args:
            seconds: The time since the last call, in seconds.
        """

    def onRoomError(self, failure: Failure, client: Client | None) -> str | None:
        """
        Decide what happens after a hook, handler or timer of this room has raised an exception.

        The exception has been logged. This hook is called in the next turn of the reactor, and it cannot be
        asynchronous.

        Args:
            failure: The exception.
            client: The client for which the function was called; `None` if it was called for none, such as
                a timer.

        Returns:
            "client" to kick the client, "room" to close the room, or `None` to do nothing.
        """
        return None

    def userId(self, user: Any) -> str | None:
        """
        Return the id of a user. Memberships of users with the same id are one user in presence.

        By default the id is the user itself if that is a string or a whole number, or its "id" if it is a
        mapping. This hook cannot be asynchronous.

        Args:
            user: The user that `verifyClient` has accepted, or that `onAuth` has returned.

        Returns:
            The id; `None` if each membership counts as a user of its own.
        """
        return idOfUser(user)

    def inspect(self) -> Any:
        """
        Return what operators are shown of the room, besides what txroom knows itself.

        It is called when somebody looks at the room on the admin page, or asks ``rooms.get``, perhaps once a
        second. It should change nothing. It may be asynchronous, and then may take 2 seconds. If it raises an
        exception, only the operator is told.

        Returns:
            Plain data, or other types that msgspec can encode; up to 64 KiB when it is encoded.
        """
        return None

    # -- saving

    def save(self) -> Any:
        """
        Return the room's own data, with which the room goes on in another process: see `checkpoint`.

        A class with this hook must have `load` too. What txroom keeps itself need not be saved: the declared
        `state`, the members with their groups and metas, reserved seats, the metadata, locks, and messages.
        This hook cannot be asynchronous. If it raises an exception, the data that was saved before stays.

        Returns:
            Plain data, or other types that msgspec can encode; bytes are allowed. It may take `maxSave` bytes
            when it is encoded.
        """
        raise NotImplementedError

    def load(self, data: Any, version: int) -> Any:
        """
        Go on with the data that `save` has returned, perhaps in another process.

        Called for a new object, in place of `onCreate`. `isRestored` is true, the declared `state` is there,
        and the members, who are all away, are in `clients`. Assign again what `onCreate` assigns, settings
        included, and start the timers of `clock` again. If it raises an exception, the room is not opened
        here: it is kept as it was, and is tried again later.

        Args:
            data: The data, as plain data: tuples have become lists, and structs mappings.
            version: The `saveVersion` of the class that has saved it.
        """
        raise NotImplementedError


def isSaved(roomClass: type[RoomHooks]) -> bool:
    """Return whether rooms of a class save their own data."""
    return roomClass.save is not RoomHooks.save
