"""A back end in the models: it asks a room for commands with keys, and repeats those that fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import count
from typing import Any, Protocol

from twisted.python.failure import Failure

from txroom import RoomError
from txroom.protocol import payload
from txroom.rooms.contract.asks import Keyed, Once, SendTo
from txroom.rooms.contract.records import Entry

#: How many commands may wait for an answer.
MOST = 20


class World(Protocol):
    """The world of a model, as its back end sees it."""

    @property
    def room(self) -> str: ...
    @property
    def mayForget(self) -> bool:
        """Whether a room may have lost what it has committed."""

    def check(self, isTrue: bool, text: str) -> None: ...


class Backend:
    """
    The back end. However often it asks for a command, and whichever node it asks: the room carries it out
    once, and the answer is the same each time.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers = count(1)
        #: The keys of the commands that wait for an answer, and the answers to the others.
        self.waiting: dict[str, None] = {}
        self.answers: dict[str, int] = {}

    def order(self, engine: Any) -> None:
        """Ask for another command."""
        if len(self.waiting) < MOST:
            key = f"order {next(self._numbers)}"
            self.waiting[key] = None
            self._ask(engine, key)

    def repeat(self, engine: Any) -> None:
        """Ask again for all that wait, and for one that has been answered."""
        for key in [*self.waiting, *list(self.answers)[-1:]]:
            self._ask(engine, key)

    def _ask(self, engine: Any, key: str) -> None:
        command = Keyed(Once(key, b"digest"), SendTo("said", payload.encode(key)))
        asked = engine.ask(self._world.room, command)
        asked.addCallbacks(self._answered, self._failed, callbackArgs=(key,), errbackArgs=(key,))

    def _answered(self, offset: int, key: str) -> None:
        self.waiting.pop(key, None)
        known = self.answers.get(key, offset)
        self._world.check(known == offset or self._world.mayForget, f"{key} is {known} and {offset}")
        self.answers[key] = offset

    def _failed(self, failure: Failure, key: str) -> None:
        error = failure.value
        isRight = isinstance(error, RoomError) and error.code in ("unavailable", "noSuchRoom")
        self._world.check(isRight, f"{key} has failed: {error!r}")

    def judge(self, log: Iterable[Entry]) -> None:
        """When all is well: each command was carried out, once, and the answer was right."""
        check = self._world.check
        check(not self.waiting, f"{list(self.waiting)} wait for an answer")
        if self._world.mayForget:
            return
        said = [(payload.decode(entry.data), entry.offset) for entry in log if entry.to is None]
        orders = {value: offset for value, offset in said if str(value).startswith("order")}
        check(orders == self.answers, f"answered {self.answers}, and there is {orders}")
        twice = [value for value, number in Counter(value for value, _ in said).items() if number > 1]
        check(not twice, f"said twice: {twice}")
