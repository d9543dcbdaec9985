"""txroom.js follows random states that Python has encoded."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from tests.functional.test_js_client import run
from tests.state.histories import EXAMPLES, History, model
from txroom.state import NativeEncoding, View


def plain(value: Any) -> Any:
    """A model of a state as JSON. Integers of 64 bits are texts, which JavaScript has as BigInt."""
    if isinstance(value, tuple):
        _, fields = value
        return {"fields": {key: _field(key, each) for key, each in fields.items()}}
    if isinstance(value, dict):
        return {"map": {key: plain(each) for key, each in value.items()}}
    return [plain(each) for each in value] if isinstance(value, list) else value


def _field(name: str, value: Any) -> Any:
    if name == "marks":  # the only field of `histories` that has integers of 64 bits
        return {"map": {key: str(each) for key, each in value.items()}}
    return plain(value)


class Recorder:
    """What one client receives, and what it must have then."""

    def __init__(self, history: History, encoding: NativeEncoding, view: View | None, lags: bool) -> None:
        self.history, self.encoding, self.view, self.lags = history, encoding, view, lags
        self.steps: list[dict[str, Any]] = []
        self.version = 0
        self.full()

    @property
    def tree(self) -> Any:
        return self.history.tree

    def full(self) -> None:
        self.add(["state", "r1", self.tree.version], self.encoding.full(self.view))

    def add(self, frame: list[Any], data: bytes) -> None:
        self.version = self.tree.version
        state = plain(model(self.history.game, self.view))
        self.steps.append({"frame": [*frame, b64encode(data).decode()], "state": state})

    def patched(self, changes: Any, random: Random) -> None:
        if self.lags and random.random() < 0.6:
            return  # it catches up later
        frame = ["patch", "r1", self.version, self.tree.version]
        if self.version == changes.since:
            own = b"" if self.view is None else self.encoding.patchOf(changes, self.view)
            self.add(frame, self.encoding.patch(changes) + own)
        else:
            data = self.encoding.since(self.version, self.view)
            assert data is not None
            self.add(frame, data)
        if random.random() < 0.05:
            self.full()


def recorded(seed: int) -> list[dict[str, Any]]:
    """What clients with and without views receive of one history, some of which miss patches."""
    random = Random(seed)
    errors: list[Exception] = []
    history = History(random, errors.append)
    encoding = NativeEncoding(history.tree, hasHashes=True)
    schema = msgspec.msgpack.decode(encoding.schema())
    views = (None, history.views[0])
    clients = [Recorder(history, encoding, view, lags) for view in views for lags in (False, True)]
    for _ in range(15):
        for _ in range(random.randint(1, 8)):
            history.step()
        changes = history.tree.commit()
        if changes is not None:
            for client in clients:
                client.patched(changes, random)
    assert errors == []
    return [{"schema": schema, "steps": client.steps} for client in clients]


async def test_histories(tmp_path: Path) -> None:
    """The client has the state of the server after each frame, and tells every change."""
    histories = [history for seed in range(EXAMPLES) for history in recorded(seed)]
    file = tmp_path / "histories.json"
    file.write_text(json.dumps(histories))
    seen = await run("states.mjs", str(file))
    assert seen == {"checked": sum(len(each["steps"]) for each in histories)}
