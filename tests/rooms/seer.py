"""A client of a test that gets the state of its room, and what the tests of states share."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from tests.rooms.case import Player
from txroom.state.reader import NativeReader


class Seer:
    """Follows the state by the frames that a player has received; it accepts nothing out of order."""

    def __init__(self, player: Player, former: Seer | None = None) -> None:
        self.player = player
        self.reader: NativeReader | None = None if former is None else former.reader
        self.version: int | None = None if former is None else former.version
        #: The version that `joined` has promised, until it is there.
        self._promised: int | None = None
        self._read = 0
        #: The kinds of the frames of the state, in order.
        self.kinds: list[str] = []
        #: The number of the last acknowledgement; called with it after each change of the state.
        self.acked = 0
        self.onChange: Callable[[int], object] = lambda acked: None

    def join(self, room: str = "chat", /, **options: Any) -> list[Any]:
        """Join, and ask for the state; the answer."""
        return self.player.ask("join", room, options, {"state": 1})

    def resume(self, former: Seer, version: int | None = None) -> list[Any]:
        """Resume what another one has joined, and take over its state. Its answer."""
        assert former.state is not None
        self.reader = former.reader
        self.version = former.version if version is None else version
        room, joined = former.player.room, former.player.joined
        offsets = [frame[2] for frame in former.player.frames if frame[0] == "msg" and frame[2]]
        offset = max([joined["offset"], *offsets])
        features = {"state": 1, "stateVersion": self.version}
        self.player.room = room
        return self.player.ask("resume", room, joined["token"], joined["epoch"], offset, 0, features)

    @property
    def state(self) -> Any:
        """The state as it is now; None: there is none yet."""
        frames = self.player.frames
        for frame in frames[self._read :]:
            self._take(frame)
        self._read = len(frames)
        return self.root

    @property
    def root(self) -> Any:
        """The state as far as it has been read."""
        return None if self.reader is None else self.reader.root

    @property
    def isComplete(self) -> bool:
        """Whether the state is there that `joined` has promised."""
        return self.state is not None and self._promised is None

    def _take(self, frame: list[Any]) -> None:
        kind = frame[0]
        if kind == "joined" and "stateVersion" in frame[3]:
            self.kinds.append(kind)
            self._promised = frame[3]["stateVersion"]
            if "schema" in frame[3]:
                self.reader, self.version = NativeReader(frame[3]["schema"]), None
            elif self._promised == self.version:
                self._promised = None
        elif kind == "state":
            self.kinds.append(kind)
            self._apply(frame[2], frame[3])
        elif kind == "patch":
            self.kinds.append(kind)
            assert self.version is not None and frame[2] <= self.version < frame[3], (self.version, frame)
            self._apply(frame[3], frame[4])
        elif kind == "ack":
            self.acked = frame[2]

    def _apply(self, version: int, data: str | bytes) -> None:
        assert self.reader is not None
        self.reader.apply(base64.b64decode(data) if isinstance(data, str) else data)
        self.version = version
        if self._promised is not None:
            assert version >= self._promised, (version, self._promised)
            self._promised = None
        self.onChange(self.acked)
