"""
The HTTP API: from a request to the call of its route, and from its result to the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import CoroutineType
from typing import Any, Protocol, runtime_checkable
from urllib.parse import unquote_to_bytes

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ..core.awaitables import begun
from ..core.refusallog import shown
from ..protocol.errors import SEE_LOG, RoomError
from .calllog import CallLog
from .guard import Caller, Guard, Refused
from .headers import valuesOf
from .keys import onceOf
from .logs import encode
from .problems import Problem, problemOf, problemOfField
from .refusing import refuse
from .routes import Call, Route, Routes, isOptional

JSON = "application/json"


@runtime_checkable
class Streamed(Protocol):
    """An answer that goes on, and that is written by the object that the call has returned."""

    def begin(self, request: Request) -> None:
        """Begin the answer."""
        ...

    def end(self) -> None:
        """Don't begin: the client has left."""
        ...


class Api(Resource):
    """
    Answers all requests to the admin listener.

    Args:
        routes: What there is.
        guard: Who may come in.
        clock: The clock.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, routes: Routes, guard: Guard, clock: IReactorTime) -> None:
        super().__init__()
        self._routes = routes
        self._guard = guard
        self._clock = clock
        self._callLog = CallLog(clock)
        self._decoders = {
            route.body: msgspec.json.Decoder(route.body) for route in routes.all if route.body is not None
        }

    def render(self, request: Request) -> Any:
        """Answer a request."""
        try:
            caller = self._guard.admit(request)
            method = request.method.decode("latin-1")
            route, params = self._routes.find(method, segmentsOf(request.path))
            call = self._checked(request, route, params, caller)
        except Refused as refused:
            refuse(self._guard, self._clock, request, refused, writeProblem)
        except Problem as problem:
            writeProblem(request, problem)
        except Exception:
            self._log.failure("a request to the API could not be checked")
            writeProblem(request, Problem(500, SEE_LOG))
        else:
            _Answering(self._log, request, route, call).begin()
        return NOT_DONE_YET

    def _checked(self, request: Request, route: Route, params: tuple[str, ...], caller: Caller) -> Call:
        """Return what a request asks for. Raises `Problem`."""
        if caller.role < route.role:
            method, path = route.method, shown(request.path.decode("latin-1"))
            self._callLog.forbidden(caller, f"{method} {path}", "403")
            raise Problem(403, f"needs the secret of the role {route.role}")
        query = None if route.query is None else _query(request.args or {}, route.query)
        if route.query is None and request.args:
            raise Problem(400, "takes no query", field=_text(next(iter(request.args))))
        assert request.content is not None
        data = request.content.read()
        body = self._body(request, route, data)
        once = onceOf(request.requestHeaders, route, params, query, data)
        return Call(caller, params, body, query, request.requestHeaders, once)

    def _body(self, request: Request, route: Route, data: bytes) -> Any:
        if route.body is None:
            if data:
                raise Problem(400, "takes no body")
            return None
        kinds = valuesOf(request.requestHeaders, "Content-Type")
        if not data and not kinds:
            kinds = [JSON]  # no page of another site sends such a request: it would have the header Origin
        if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != JSON:
            raise Problem(415, f"the body must be {JSON}", field="Content-Type")
        if not data and not isOptional(route.body):
            raise Problem(400, "the body is empty")
        try:
            return self._decoders[route.body].decode(data or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise problemOfField(error) from None


class _Answering:
    """The answer to one request."""

    def __init__(self, log: Logger, request: Request, route: Route, call: Call) -> None:
        self._log = log
        self._request = request
        self._route = route
        self._call = call

    def begin(self) -> None:
        """
        Do what is asked, and answer.

        It is done to its end even if the client has left: only then is it known what to log.
        """
        self._work().addCallbacks(self._answer, self._failed).addErrback(self._broken)

    def _work(self) -> Deferred[Any]:
        """Call the route. Most of them needn't wait for anything."""
        try:
            result = self._route.call(self._call)
        except Exception:
            return fail()
        if isinstance(result, CoroutineType):
            return begun(result)
        return result if isinstance(result, Deferred) else succeed(result)

    @property
    def _isGone(self) -> bool:
        """Whether the client has left, so that twisted.web has taken the request off its channel."""
        return self._request.channel is None

    def _answer(self, result: Any) -> None:
        self._logChange(self._route.status)
        isStream = self._route.streams and isinstance(result, Streamed)
        if self._isGone:
            if isStream:
                result.end()
        elif isStream:
            result.begin(self._request)
        else:
            self._finish(self._route.status, JSON, b"" if result is None else encode(result))

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, RoomError):
            problem = problemOf(error)
        elif isinstance(error, Problem):
            problem = error
        else:
            failure.raiseException()
        self._problem(problem)

    def _broken(self, failure: Failure) -> None:
        self._log.failure("a request to the API failed: {path}", failure, path=self._route.path)
        self._problem(Problem(500, SEE_LOG, mayHaveHappened=self._route.changes))

    def _problem(self, problem: Problem) -> None:
        self._logChange(problem.status)
        if not self._isGone:
            writeProblem(self._request, problem)

    def _finish(self, status: int, kind: str, body: bytes) -> None:
        request = self._request
        request.setResponseCode(status)
        if body:
            request.setHeader(b"Content-Type", kind)
        _finish(request, body)

    def _logChange(self, status: int) -> None:
        if self._route.changes:
            caller, once, method = self._call.caller, self._call.once, self._route.method
            role, path = str(caller.role), shown(self._request.path.decode("latin-1"))
            key = f", key {shown(once.key)}" if once is not None else ""
            # One field in the text: each costs microseconds.
            self._log.info(
                "admin: {change}",
                change=f"{role} from {caller.address}: {method} {path} {status}{key}",
                role=role,
                address=caller.address,
                method=method,
                path=path,
                status=status,
                key=key,
            )


def writeProblem(request: Request, problem: Problem) -> None:
    """Answer with a problem."""
    request.setResponseCode(problem.status)
    request.setHeader(b"Content-Type", b"application/problem+json")
    for name, value in problem.headers.items():
        request.setHeader(name, value)
    _finish(request, problem.encoded())


def _finish(request: Request, body: bytes) -> None:
    request.setHeader(b"Cache-Control", b"no-store")
    if body or request.code != 204:
        request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()


def segmentsOf(path: bytes) -> list[str]:
    """Return the decoded parts of a path. Raises `Problem` for one that isn't UTF-8."""
    try:
        return [unquote_to_bytes(each).decode() for each in path[1:].split(b"/")]
    except UnicodeDecodeError:
        raise Problem(404, "there is nothing at this path") from None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _query(args: Mapping[bytes, list[bytes]], kind: type[msgspec.Struct]) -> Any:
    """Return the query of a request. Raises `Problem`."""
    given: dict[str, str] = {}
    for name, values in args.items():
        if len(values) != 1:
            raise Problem(400, "is given more than once", field=_text(name))
        try:
            given[_text(name)] = values[0].decode()
        except UnicodeDecodeError:
            raise Problem(400, "must be UTF-8", field=_text(name)) from None
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise problemOfField(error) from None
