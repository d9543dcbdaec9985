"""
The Lua scripts that Redis runs, in the folder `lua`. The head of each says what its keys and arguments are.

A script is named by the SHA-1 of its text. Redis forgets the scripts when it is restarted, so `Scripts.load`
has to be called for each new connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from hashlib import sha1
from importlib import resources
from math import ceil
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from ...core.awaitables import firstFailure
from .answers import Answer, answerOf
from .resp import Commands

#: An argument of a command.
Argument = str | bytes | int
#: The most milliseconds: the largest number below which Lua has all whole numbers.
_MOST = 2.0**53

NAMES = (
    "append",
    "check",
    "claim",
    "create",
    "found",
    "handover",
    "made",
    "make",
    "notices",
    "notify",
    "release",
    "renew",
    "restarted",
    "strand",
)


def milliseconds(seconds: float) -> int:
    """
    Return a duration as scripts and commands take it, rounded up: more than 0 seconds are 1 at least, since 0
    often has another meaning.
    """
    if seconds <= 0:
        return 0
    return max(1, ceil(round(min(seconds * 1000, _MOST), 3)))


#: The scripts that begin with another text, of which they use the variables.
_BEFORE = {"notices": "queue", "notify": "queue"}


@cache
def textOf(name: str) -> str:
    """Return the text of a script."""
    parts = [_BEFORE[name], name] if name in _BEFORE else [name]
    folder = resources.files(__package__).joinpath("lua")
    return "".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in parts)


@cache
def digestOf(name: str) -> str:
    """Return the SHA-1 of a script."""
    return sha1(textOf(name).encode()).hexdigest()


class Scripts:
    """The scripts, as commands."""

    def load(self, commands: Commands) -> Deferred[None]:
        """Load all scripts. Fails with the first error of Redis."""
        asked = [commands.ask("SCRIPT", "LOAD", text) for text in map(textOf, NAMES)]
        loaded: Deferred[Any] = DeferredList(asked, fireOnOneErrback=True, consumeErrors=True)
        return loaded.addCallbacks(lambda _: None, firstFailure)

    def command(self, name: str, keys: Iterable[Argument], args: Iterable[Argument]) -> tuple[Argument, ...]:
        """Return the command that runs a script."""
        keys = tuple(keys)
        return ("EVALSHA", digestOf(name), len(keys), *keys, *args)

    def ask(
        self, commands: Commands, name: str, keys: Iterable[Argument], args: Iterable[Argument]
    ) -> Deferred[Any]:
        """
        Run a script. If Redis has forgotten it, it is loaded again.

        Returns:
            A Deferred that fires with the reply. It fails with `Lost` if Redis may have run it or not, with
            `NotSent` if it was not run, or with Redis's error.
        """
        return Deferred.fromCoroutine(self._ask(commands, self.command(name, keys, args)))

    async def _ask(self, commands: Commands, command: tuple[Argument, ...]) -> Any:
        try:
            return await commands.ask(*command)
        except Exception as error:
            if answerOf(error) is not Answer.LOAD:
                raise
        await self.load(commands)
        return await commands.ask(*command)
