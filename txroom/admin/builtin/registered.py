"""
The calls that tell which rooms there can be, and what they take.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getdoc
from typing import Any

import msgspec

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...rooms.api.handlers import Handler
from ...rooms.api.room import Room
from ...rooms.application import RoomApplication
from ...rooms.registration import Registration
from .. import types
from ..calls import RpcCall
from ..ports import AdminServer
from . import types as answers
from .named import callsOf


class RegisteredCalls:
    """
    The calls about the names that rooms are registered under.

    They tell what the node that answers knows; all nodes have the same names.

    Args:
        server: The server.
    """

    def __init__(self, server: AdminServer) -> None:
        self._server = server

    def _registered(self) -> Iterator[tuple[RoomApplication, Registration]]:
        for application in self._server.applications:
            if isinstance(application, RoomApplication):
                for registration in application.registrations.values():
                    yield application, registration

    def names(self) -> answers.RegisteredNames:
        """List the names that rooms are registered under."""
        return answers.RegisteredNames(
            [
                answers.RegisteredName(
                    each.name,
                    application.path,
                    each.roomClass.__name__,
                    each.clientsMayCreate,
                    each.maxRooms,
                )
                for application, each in self._registered()
            ]
        )

    def schema(self, name: types.Name) -> answers.RoomSchema:
        """
        Tell which messages the rooms of a name handle, with JSON Schemas of their data.

        Args:
            name: The name that they are registered under.
        """
        for application, each in self._registered():
            if each.name == name:
                return _schemaOf(application, each)
        raise RoomError(ErrorCode.NO_SUCH_ROOM, f"no rooms are registered as {name!r}", {"field": "name"})

    def calls(self) -> list[RpcCall]:
        """Return the calls."""
        return callsOf("rooms", {"names": self.names, "schema": self.schema}, {})


def _schemaOf(application: RoomApplication, registration: Registration) -> answers.RoomSchema:
    roomClass = registration.roomClass
    return answers.RoomSchema(
        registration.name,
        application.path,
        roomClass.__name__,
        getdoc(roomClass) or "",
        [_messageOf(type, handler) for type, handler in registration.handlers.items()],
        roomClass.onMessage is not Room.onMessage,
        {
            "type": "object",
            "properties": {name: _jsonSchema(kind or Any) for name, kind in registration.filters.items()},
        },
    )


def _messageOf(type: str, handler: Handler) -> answers.MessageSchema:
    description = getdoc(handler.function) or ""
    return answers.MessageSchema(type, description, handler.takesData, _jsonSchema(handler.type))


def _jsonSchema(type: Any) -> dict[str, Any]:
    """Return the JSON Schema of a type; an empty one if JSON Schema can't describe it."""
    try:
        return msgspec.json.schema(type)
    except TypeError:
        return {}
