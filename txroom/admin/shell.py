"""
The shell: one command, carried out by the RPC interface of an admin listener.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from twisted.internet.defer import Deferred

from ..client.baseclient import BaseClient
from ..client.room import Room
from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from .rpc import CHANGE
from .rpcrooms import NAME
from .shellcalls import Method, Mistake, argumentsOf, find, help, methodsOf
from .shelltables import shown, table, textOf

#: The word that asks for the description of a call.
HELP = "help"
#: The name of the environment variable with the secret.
TOKEN = "TXROOM_ADMIN_TOKEN"
#: Clears a terminal.
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


class Shell:
    """
    Carries out a command, and writes what it answers.

    Args:
        client: The client, which this closes at the end.
        out: Where answers are written.
        errors: Where errors are written.
        isJSON: Whether answers are written in JSON, and not as tables.
        hasSecret: Whether the client sends a secret.
    """

    def __init__(
        self,
        client: BaseClient[Room],
        out: TextIO,
        errors: TextIO,
        isJSON: bool,
        *,
        hasSecret: bool = True,
    ) -> None:
        self._client = client
        self._out = out
        self._errors = errors
        self._isJSON = isJSON
        self._hasSecret = hasSecret

    async def run(self, words: Sequence[str], every: float | None = None) -> int:
        """
        Carry out a command.

        Args:
            words: The call and its arguments; empty: list all calls.
            every: The seconds between the calls of a watch; `None`: call once.

        Returns:
            The status with which the program exits: 0, 1 for an error of the server, 2 for a wrong command.
        """
        try:
            room = await self._join()
            methods = methodsOf(await room.call("rpc.discover"))
            if not words:
                self._list(methods)
            elif words[0] == HELP:
                for word in words[1:] or (HELP,):
                    print(help(find(word, methods)), file=self._out)
            else:
                method = find(words[0], methods)
                args = argumentsOf(method, words[1:])
                if every is None:
                    self._write(await room.call(method.name, args))
                else:
                    await self._watch(room, method, args, every)
        except Mistake as error:
            return self._fail(str(error), 2)
        except RoomError as error:
            return self._fail(textOfError(error.code, error.message, error.details), 1)
        finally:
            await self._client.close()
        return 0

    async def _join(self) -> Room:
        """Join the room of the interface. Raises `RoomError`, which says what to do if a secret is needed."""
        try:
            return await self._client.joinOrCreate(NAME)
        except RoomError as error:
            if error.code != ErrorCode.UNAUTHORIZED or "HTTP 401" not in error.message:
                raise
            what = "the secret is wrong: check" if self._hasSecret else "the server needs a secret: set"
            raise RoomError(error.code, f"{what} {TOKEN}, or give --token-file") from None

    def _list(self, methods: Mapping[str, Method]) -> None:
        rows = [{"call": each.name, "role": each.role, "": each.summary} for each in methods.values()]
        print(json.dumps(rows) if self._isJSON else table(rows, None), file=self._out)

    async def _watch(self, room: Room, method: Method, args: dict[str, Any], every: float) -> None:
        """Write the answers of a call until the server ends it."""
        ended: Deferred[None] = Deferred()

        async def begin() -> None:
            try:
                self._change(await room.call("watch", {"call": method.name, "args": args, "every": every}))
            except RoomError as error:
                if not ended.called:
                    ended.errback(error)

        def left(code: int, reason: str) -> None:
            if not ended.called:
                ended.errback(RoomError(ErrorCode.ROOM_GONE, f"the server has ended it: {code} {reason}"))

        room.on(CHANGE, lambda change, offset: self._change(change))
        # The server has ended the watch, and perhaps it is another one.
        room.on("lost", lambda loss: Deferred.fromCoroutine(begin()))
        room.on("left", left)
        await begin()
        await ended

    def _change(self, change: Mapping[str, Any]) -> None:
        """Write the change of a watch."""
        error = change.get("error")
        if error is not None:
            self._fail(textOfError(error["code"], error["message"], error.get("details")), 1)
            return
        if not self._isJSON and self._out.isatty():
            self._out.write(_CLEAR)
        self._write(change["answer"])

    def _write(self, answer: Any) -> None:
        print(json.dumps(answer) if self._isJSON else textOf(answer), file=self._out, flush=True)

    def _fail(self, text: str, status: int) -> int:
        print(f"txroom.admin: {shown(text)}", file=self._errors, flush=True)
        return status


def textOfError(code: str, message: str, details: Any) -> str:
    """Return an error of the server in one line."""
    field = details.get("field") if isinstance(details, Mapping) else None
    return f"{code}: {message}{f' ({field})' if field else ''}"
