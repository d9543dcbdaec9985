"""
The state of a room at a client, which follows the patches of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..protocol import serverframes as frames
from ..protocol.errors import RoomError
from ..protocol.serverframes import MembershipInfo
from ..state import NativeReader, State
from ..state.reader import Shape
from .codec import NotAFrame
from .stateshapes import ClassShape, ReadOnlyShape

#: What the client asks for when it joins: the state, in format 1.
FEATURES: Mapping[str, Any] = {"state": 1}

_log = Logger()

Waiter = Callable[[RoomError | None], object]


class RoomState:
    """
    The copy of a room's state in one membership; `classes` is the option `states` of the client.

    ::

        none --joined with a schema--> awaited --state--> here --patch--> here
        here --a patch is missing--> the membership resumes, from `version`
        here --malformed data--> broken: the connection is closed, and the whole state is asked for
    """

    def __init__(self, clock: IReactorTime, classes: Mapping[str, type[State]]) -> None:
        self._clock = clock
        self._classes = classes
        self._reader: NativeReader | None = None
        self._waiters: list[Waiter] = []
        #: Why the state does not have the classes that the user wants.
        self._error: RoomError | None = None
        #: The version of the state that the client has; `None`: it has none, or can't rely on it.
        self.version: int | None = None
        #: When the last change has arrived, in seconds of the clock.
        self.time = 0.0

    @property
    def root(self) -> Any:
        """The state; `None` if the room has none."""
        return None if self._reader is None else self._reader.root

    @property
    def features(self) -> dict[str, Any]:
        """What a client that resumes asks for."""
        return {**FEATURES, "stateVersion": self.version}

    def expect(self, info: MembershipInfo, name: str) -> None:
        """Note what the server has told about the state that follows; `name` is that of the room."""
        if info.stateVersion is None:
            self._reader, self.version = None, None
        elif info.schema is not None:
            former = self.root
            try:
                self._reader = NativeReader(info.schema, self._shape(info.schema, name))
            except (TypeError, ValueError, LookupError) as error:
                raise NotAFrame(f"not the schema of a state: {error}") from None
            self._reader.root, self.version = former, None
        elif self._reader is None:
            raise NotAFrame("a state without its schema")

    def _shape(self, schema: Any, name: str) -> Shape:
        self._error = None
        if name in self._classes:
            try:
                return ClassShape(self._classes[name], schema)
            except RoomError as error:
                self._error = error
                _log.error(
                    "The state of the room {name!r} has other classes: {error}", name=name, error=error
                )
        return ReadOnlyShape()

    def whenHere(self, done: Waiter) -> None:
        """
        Call `done(None)` when the state is here, at once if the room has none; or call it with the error for
        which there is no state.
        """
        if self._reader is None or self._reader.root is not None or self._error is not None:
            done(self._error)
        else:
            self._waiters.append(done)

    def fail(self, error: RoomError) -> None:
        """Fail those who wait for the state, because the client is no longer in the room."""
        self._tell(error)

    def replace(self, frame: frames.State) -> None:
        """Take the whole state."""
        self._read(frame.version, frame.data)

    def lacks(self, frame: frames.Patch) -> bool:
        """Return whether the client must resume, because something before this patch is missing."""
        if self._reader is None:
            raise NotAFrame("a patch of a state that the client has not asked for")
        return self.version is None or frame.since > self.version

    def patch(self, frame: frames.Patch) -> bool:
        """Take a patch. Returns whether the client did not have it already."""
        isNew = self.version is not None and frame.version > self.version
        if isNew:
            self._read(frame.version, frame.data)
        return isNew

    def _read(self, version: int, data: bytes) -> None:
        if self._reader is None:
            raise NotAFrame("a state that the client has not asked for")
        self.version = None
        try:
            self._reader.apply(data)
        except ValueError as error:
            raise NotAFrame(str(error)) from None
        self.version = version
        self.time = self._clock.seconds()
        self._tell(None)

    def _tell(self, error: RoomError | None) -> None:
        waiters, self._waiters = self._waiters, []
        for done in waiters:
            done(error)
