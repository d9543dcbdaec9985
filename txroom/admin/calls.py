"""
Calls: what operators can ask the server, by name and with arguments that are checked.

The RPC interface, the page and the shell all use the registry `Calls`; each call is a function whose
annotations and docstring say what it takes, what it answers and what it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.awaitables import cancelHook, clearTraceback, isAsync, toDeferred
from ..core.codes import ErrorCode
from ..protocol import payload
from ..protocol.errors import SEE_LOG, RoomError
from ..rooms.contract.asks import TOO_LARGE
from .calllog import CallLog
from .callsignatures import CallSignature
from .guard import Caller
from .logs import encodeOther
from .problems import Problem
from .reserve import mostFor
from .secrets import Role

#: The seconds within which a call must be answered.
TIMEOUT = 30.0
#: The most bytes of an answer, as MessagePack.
MOST_ANSWER = 1 << 20
#: The most calls that run at a time, of all clients together; see `mostFor`.
MOST_RUNNING = 256

#: What the names of txroom's own calls begin with, before the first dot. They are kept for future calls too.
RESERVED = frozenset(
    {"rpc", "server", "nodes", "workers", "connections", "rooms", "users", "simulate", "stalls", "memory"}
)

_NAME = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)+", re.ASCII)
_MOST_NAME = 128


Following = Callable[[Mapping[str, Any], Any], Mapping[str, Any] | None]


@attrs.frozen(kw_only=True)
class RpcCall:
    """
    A call.

    Its function is called with the arguments by their names. msgspec checks them against the annotations. A
    parameter annotated `Caller` gets who has called, and is not an argument. The function returns plain data
    or a `msgspec.Struct`, or a Deferred or a coroutine of it. It raises `RoomError` to choose the error that
    the caller gets.

    Args:
        name: Its name, such as "rooms.list": identifiers with a dot between them, at most 128 characters.
        function: Its function. The docstring says what the call does.
        role: Who may call it: `Role.READ` for everybody who is let in. Calls that change something need
            `Role.MANAGE`, and are logged.
        following: For calls whose answers go on, such as the entries of a log: given the arguments of a call
            and its answer, both as plain data, it returns the arguments that ask for what follows; `None` if
            there was nothing new in the answer. A watch calls it after each answer.

    Raises:
        TypeError: The function's signature can't be that of a call; see `CallSignature`.
        ValueError: The name is wrong.
    """

    name: str
    function: Callable[..., Any]
    role: Role = Role.READ
    following: Following | None = None
    #: What it takes and answers.
    signature: CallSignature = attrs.field(init=False)

    @signature.default
    def _signatureOf(self) -> CallSignature:
        if len(self.name) > _MOST_NAME or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"name={self.name!r}: must be names with a dot between them, such as 'economy.reset'"
            )
        return CallSignature(self.name, self.function)


def checkOwn(call: RpcCall) -> None:
    """Raise `ValueError` for a call of the user's whose name is kept for calls of txroom's."""
    first = call.name.partition(".")[0]
    if first in RESERVED:
        raise ValueError(
            f"name={call.name!r}: names that begin with {first!r} are kept for txroom's own calls"
        )


class Calls:
    """
    The calls, by name.

    Args:
        calls: The first calls.
        clock: The clock.

    Raises:
        ValueError: Two calls have the same name.
    """

    _log = Logger()

    def __init__(self, calls: Iterable[RpcCall], clock: IReactorTime) -> None:
        self._clock = clock
        self._callLog = CallLog(clock)
        self._calls: dict[str, RpcCall] = {}
        self._running: set[_Running] = set()
        for call in calls:
            self.add(call)

    def __iter__(self) -> Iterator[RpcCall]:
        """Iterate over the calls, in the order of their names."""
        return iter(sorted(self._calls.values(), key=lambda call: call.name))

    @property
    def running(self) -> int:
        """How many calls run."""
        return len(self._running)

    def add(self, call: RpcCall) -> None:
        """Add a call. Raises `ValueError` if there is one of this name."""
        if call.name in self._calls:
            raise ValueError(f"name={call.name!r}: there is a call of this name already")
        self._calls[call.name] = call

    def find(self, name: str) -> RpcCall:
        """Return the call of a name. Raises `RoomError` (``unknownType``) if there is none."""
        call = self._calls.get(name)
        if call is None:
            raise RoomError(ErrorCode.UNKNOWN_TYPE, "there is no call of this name; rpc.discover lists all")
        return call

    def check(self, caller: Caller, name: str, args: Any = None) -> tuple[RpcCall, dict[str, Any]]:
        """
        Return a call that somebody may make, and its arguments.

        Args:
            caller: Who calls.
            name: The name of the call.
            args: The arguments; see `CallSignature.bind`.

        Raises:
            RoomError: ``unknownType``, there is no such call; ``forbidden``, the caller's role is too low;
                ``badRequest``, an argument is wrong.
        """
        call = self.find(name)
        if caller.role < call.role:
            self._callLog.forbidden(caller, name, ErrorCode.FORBIDDEN)
            raise RoomError(ErrorCode.FORBIDDEN, f"needs the secret of the role {call.role}")
        return call, call.signature.bind(args)

    def dispatch(self, caller: Caller, name: str, args: Any = None) -> Deferred[Any]:
        """
        Carry out a call.

        Args:
            caller: Who calls.
            name: The name of the call.
            args: The arguments; see `CallSignature.bind`.

        Returns:
            A Deferred of the answer as plain data. It fails with `RoomError` only: with the errors of
            `check`, with what the function raises, ``timeout`` after `TIMEOUT` seconds, ``tooLarge`` for an
            answer of more than `MOST_ANSWER` bytes, ``rateLimited`` if too many calls run, and ``internal``
            for any other error, which is logged.
        """
        try:
            call, arguments = self.check(caller, name, args)
            if self.running >= mostFor(caller.role, MOST_RUNNING):
                raise RoomError(ErrorCode.RATE_LIMITED, "too many calls run")
        except RoomError as error:
            return fail(error)
        if call.signature.caller:
            arguments[call.signature.caller] = caller
        running = _Running(self._log, self._clock, call, arguments)
        self._running.add(running)
        running.answer.addBoth(self._ended, running, caller)
        running.begin()
        return running.answer

    def stop(self) -> None:
        """Cancel the calls that run; they fail with `RoomError` (``unavailable``)."""
        self._callLog.flush()
        for running in list(self._running):
            running.end(ErrorCode.UNAVAILABLE, "the server is stopping")

    def _ended(self, result: Any, running: _Running, caller: Caller) -> Any:
        self._running.discard(running)
        call = running.call
        code = _codeOf(result) if isinstance(result, Failure) else ""
        if call.role > Role.READ:
            self._callLog.ended(caller, call.name, running.arguments, code or "done")
        elif code == ErrorCode.FORBIDDEN:  # some of its arguments need another role
            self._callLog.forbidden(caller, call.name, code)
        return result


def _codeOf(failure: Failure) -> str:
    error: Any = failure.value
    code: str = error.code
    return code


class _Running:
    """A call that runs, and its answer."""

    def __init__(self, log: Logger, clock: IReactorTime, call: RpcCall, arguments: dict[str, Any]) -> None:
        self._log = log
        self._clock = clock
        self.call = call
        self.arguments = arguments
        #: Fires with plain data, or fails with `RoomError`.
        self.answer: Deferred[Any] = Deferred()
        self._working: Deferred[Any] | None = None
        self._deadline: IDelayedCall | None = None

    def begin(self) -> None:
        """Call the function."""
        working = self._working = maybeDeferred(self.call.function, **self.arguments)
        working.addCallback(lambda result: toDeferred(result) if isAsync(result) else result)
        working.addCallback(_plain)
        if not self.answer.called:  # the function may have stopped the server
            self._deadline = self._clock.callLater(TIMEOUT, self.end, ErrorCode.TIMEOUT, "took too long")
        working.addCallbacks(self._done, self._failed)

    def end(self, code: str, message: str) -> None:
        """Cancel it, and fail with an error."""
        self._stop()
        may = self.call.role > Role.READ
        self._fail(RoomError(code, message, {"mayHaveHappened": True} if may else None))
        if self._working is not None:
            cancelHook(self._working)

    def _done(self, data: Any) -> None:
        self._stop()
        if not self.answer.called:
            self.answer.callback(data)

    def _failed(self, failure: Failure) -> None:
        self._stop()
        clearTraceback(failure.value)  # the failure has a traceback of its own
        if self.answer.called:
            return
        error: Any = failure.value
        if isinstance(error, Problem):
            error = _errorOf(error)
        if not isinstance(error, RoomError):
            self._log.failure("the call {name} failed", failure, name=self.call.name)
            error = RoomError(ErrorCode.INTERNAL, SEE_LOG)
        self._fail(error)

    def _fail(self, error: RoomError) -> None:
        self.answer.errback(error)

    def _stop(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()


def _plain(answer: Any) -> Any:
    """
    Return an answer as plain data.

    Raises:
        RoomError: ``tooLarge``.
        TypeError: It can't be sent.
        ValueError: It can't be sent.
    """
    made = msgspec.to_builtins(answer, str_keys=True, enc_hook=encodeOther)
    encoded = payload.encode(made, name="the answer")
    if len(encoded) > MOST_ANSWER:
        raise RoomError(TOO_LARGE, f"the answer has {len(encoded)} bytes, of at most {MOST_ANSWER}")
    return payload.decode(encoded)


def _errorOf(problem: Problem) -> RoomError:
    """Return the error for a problem of the HTTP API."""
    body = problem.body
    code = body.code or (ErrorCode.BAD_REQUEST if body.status < 500 else ErrorCode.INTERNAL)
    details: dict[str, Any] = {"field": body.field} if body.field else {}
    if body.mayHaveHappened:
        details["mayHaveHappened"] = True
    return RoomError(code, body.detail, details or None)
