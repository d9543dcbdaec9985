"""
txroom's encoders alone, without a server: what a tick costs, in CPU microseconds, and how many bytes it has.

The argument is the encoding: native, quantized (the native one, with numbers of 16 bits) or schema.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from txroom_world import CoarseEntity, CoarseWorld, HiddenWorld, World, filled, move

from txroom.state import NativeEncoding, StateTree
from txroom.state.schema import SchemaEncoding

VIEWS, SEEN = 300, 60


def timed(count: int, call: Callable[[int], object]) -> float:
    """The CPU microseconds of one call, after as many calls that are not measured."""
    for index in range(count):
        call(index)
    before = time.process_time()
    for index in range(count):
        call(count + index)
    return (time.process_time() - before) / count * 1e6


def raised(error: Exception) -> None:
    """A value can't be encoded."""
    raise error


class Encoder:
    """A world and its encoding."""

    def __init__(self, name: str, isHidden: bool = False) -> None:
        self._world: Any
        if name == "quantized":
            self._world = CoarseWorld()
            self._entities = filled(self._world, CoarseEntity)
        else:
            self._world = HiddenWorld() if isHidden else World()
            self._entities = filled(self._world)
        self._tree = StateTree(self._world, raised)
        self._encoding = SchemaEncoding(self._tree) if name == "schema" else NativeEncoding(self._tree)
        self._size = 0

    def shared(self) -> dict[str, float]:
        """What everybody sees."""

        def tick(number: int) -> None:
            move(self._entities, number)
            changes = self._tree.commit()
            assert changes is not None
            self._size = len(self._encoding.patch(changes))

        return {"shared": timed(10_000, tick), "bytes": self._size, "full": timed(100, self._full)}

    def _full(self, number: int) -> None:
        move(self._entities, number, 1)
        self._tree.commit()
        self._encoding.full(None)

    def views(self) -> dict[str, float]:
        """What each of many views sees."""
        views = [self._tree.view(str(number)) for number in range(VIEWS)]
        for number, view in enumerate(views):
            for index in range(SEEN):
                view.add(self._entities[(number * 7 + index) % len(self._entities)])
        self._tree.commit()

        def tick(number: int) -> None:
            move(self._entities, number, len(self._entities))
            changes = self._tree.commit()
            assert changes is not None
            shared = self._encoding.patch(changes)
            for view in views:
                len(shared + self._encoding.patchOf(changes, view))

        return {"views": timed(100, tick)}


def main(name: str) -> None:
    found = Encoder(name).shared()
    if name != "quantized":
        found |= Encoder(name, isHidden=True).views()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
