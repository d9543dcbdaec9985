"""Calls: their arguments, answers, roles, errors and limits."""

from __future__ import annotations

from asyncio import get_event_loop_policy
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from txroom import RoomError
from txroom.admin.calllog import told
from txroom.admin.calls import MOST_ANSWER, MOST_RUNNING, TIMEOUT, Calls, RpcCall, checkOwn
from txroom.admin.callsignatures import textsOf
from txroom.admin.discovery import Discovery
from txroom.admin.guard import Caller
from txroom.admin.problems import Problem
from txroom.admin.reserve import mostFor
from txroom.admin.secrets import Role

READER = Caller(Role.READ, "192.0.2.1")
MANAGER = Caller(Role.MANAGE, "192.0.2.2")

Level = Annotated[int, msgspec.Meta(ge=0, le=9)]


class Balance(msgspec.Struct, rename="camel"):
    """What somebody has."""

    user_id: str
    coins: int
    since: datetime


class Bank:
    """Calls to try."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.waiting: Deferred[Any] = Deferred()

    def calls(self) -> list[RpcCall]:
        return [
            RpcCall(name="bank.balance", function=self.balance),
            RpcCall(name="bank.reset", function=self.reset, role=Role.MANAGE),
            RpcCall(name="bank.later", function=self.later),
            RpcCall(name="bank.soon", function=self.soon),
            RpcCall(name="bank.anything", function=self.anything, role=Role.MANAGE),
        ]

    def balance(self, userId: str, level: Level = 3) -> Balance:
        """
        Tell what a user has.

        It is read from memory.

        Args:
            userId: The id of the user,
                as `userId` has returned it.
            level: How exact it is.
        """
        self.seen.append((userId, level))
        return Balance(userId, level, datetime(2026, 1, 2, tzinfo=UTC))

    def reset(self, caller: Caller, room: str, *, all: bool = False) -> None:
        """Take everything from everybody."""
        self.seen.append((caller, room, all))

    def later(self) -> Deferred[int]:
        return self.waiting

    async def soon(self, numbers: list[int] = []) -> int:  # noqa: B006
        return sum(numbers)

    def anything(self, answer: Any = None) -> Any:
        return answer() if callable(answer) else answer


class CallsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.bank = Bank()
        self.calls = Calls(self.bank.calls(), self.clock)

    def ask(self, name: str, args: Any = None, caller: Caller = READER) -> Any:
        return self.successResultOf(self.calls.dispatch(caller, name, args))

    def refusal(self, name: str, args: Any = None, caller: Caller = READER) -> tuple[str, Any]:
        """The code and the details of the error."""
        error = self.failureResultOf(self.calls.dispatch(caller, name, args), RoomError).value
        return error.code, error.details

    def answering(self, function: Callable[[], Any]) -> Deferred[Any]:
        """Dispatch a call whose function is this one."""
        calls = Calls([RpcCall(name="a.b", function=function, role=Role.MANAGE)], self.clock)
        return calls.dispatch(MANAGER, "a.b")


class TestArguments(CallsCase):
    def test_named(self) -> None:
        """Arguments are given by their names; the answer is plain data."""
        answer = self.ask("bank.balance", {"userId": "ada", "level": 4})
        self.assertEqual(answer, {"userId": "ada", "coins": 4, "since": "2026-01-02T00:00:00Z"})
        self.assertEqual(self.bank.seen, [("ada", 4)])

    def test_positional(self) -> None:
        """They may also be given in their order."""
        self.ask("bank.balance", ["ada", 5])
        self.ask("bank.balance", ["ada"])
        self.assertEqual(self.bank.seen, [("ada", 5), ("ada", 3)])

    def test_none(self) -> None:
        """A default that can be changed is a new one for each call."""
        self.assertEqual(self.ask("bank.soon"), 0)
        self.assertEqual(self.ask("bank.soon", {"numbers": [1, 2]}), 3)

    def test_wrong(self) -> None:
        """A wrong argument is refused before the function is called, and the error names it."""
        wrong: tuple[tuple[Any, str], ...] = (
            ({}, "userId"),
            (None, "userId"),
            ([], "userId"),
            ({"userId": 1}, "userId"),
            ({"userId": "ada", "level": 10}, "level"),
            ({"userId": "ada", "level": "3"}, "level"),
            ({"userId": "ada", "depth": 1}, "depth"),
        )
        for args, field in wrong:
            self.assertEqual(self.refusal("bank.balance", args), ("badRequest", {"field": field}), args)
        for args in (["ada", 3, 4], "ada", 5, True):
            self.assertEqual(self.refusal("bank.balance", args), ("badRequest", None), args)
        self.assertEqual(self.bank.seen, [])

    def test_caller(self) -> None:
        """A parameter of type `Caller` gets the caller, and nobody else can give it."""
        self.ask("bank.reset", {"room": "r", "all": True}, MANAGER)
        self.assertEqual(self.bank.seen, [(MANAGER, "r", True)])
        code, details = self.refusal("bank.reset", {"room": "r", "caller": [2, "unix"]}, MANAGER)
        self.assertEqual((code, details), ("badRequest", {"field": "caller"}))

    def test_noSuchCall(self) -> None:
        self.assertEqual(self.refusal("bank.rob"), ("unknownType", None))


class TestRoles(CallsCase):
    def test_read(self) -> None:
        """Who may only read can't make calls that change something, and wrong arguments don't matter."""
        with capturedLogs() as logged:
            self.assertEqual(self.refusal("bank.reset", {"room": "r"}), ("forbidden", None))
            self.assertEqual(self.refusal("bank.reset", {"wrong": "r"}), ("forbidden", None))
        self.assertEqual(self.bank.seen, [])
        line = "admin: read from 192.0.2.1: bank.reset forbidden"
        self.assertEqual([formatEvent(each) for each in logged], [line, line])

    def test_manyForbidden(self) -> None:
        """Who must not make a call can't fill the log, nor hide others."""
        with capturedLogs() as logged:
            for _ in range(100):
                self.refusal("bank.reset")
            self.refusal("bank.reset", caller=Caller(Role.READ, "192.0.2.9"))
            self.clock.advance(1)
            self.refusal("bank.reset")
            self.refusal("bank.reset")
            self.calls.stop()
        lines = [formatEvent(each) for each in logged]
        self.assertEqual(lines[:5], ["admin: read from 192.0.2.1: bank.reset forbidden"] * 5)
        self.assertEqual(
            lines[5:],
            [
                "admin: 95 more calls that the role does not allow",
                "admin: read from 192.0.2.9: bank.reset forbidden",
                "admin: read from 192.0.2.1: bank.reset forbidden",
                "admin: 1 more calls that the role does not allow",
            ],
        )

    def test_forbiddenArgument(self) -> None:
        """A call that anybody may make, but not with these arguments, is logged too."""

        def level(to: int | None = None) -> None:
            raise RoomError("forbidden")

        calls = Calls([RpcCall(name="a.level", function=level)], self.clock)
        with capturedLogs() as logged:
            self.failureResultOf(calls.dispatch(READER, "a.level"), RoomError)
        self.assertEqual(
            [formatEvent(each) for each in logged], ["admin: read from 192.0.2.1: a.level forbidden"]
        )

    def test_logged(self) -> None:
        """Each change is logged, also one that failed, with the role and address of the caller."""
        with capturedLogs() as logged:
            self.ask("bank.balance", {"userId": "ada"}, MANAGER)
            self.ask("bank.reset", {"room": "r\n1"}, MANAGER)
            self.refusal("bank.anything", {"answer": _full}, MANAGER)
        self.assertEqual(
            [each["log_format"].format(**each) for each in logged],
            [
                "admin: manage from 192.0.2.2: bank.reset room=r\\n1 all=False done",
                "admin: manage from 192.0.2.2: bank.anything full",
            ],
        )


class TestTold(SynchronousTestCase):
    """Which arguments the log has."""

    def test_values(self) -> None:
        """Numbers, booleans and texts, which are cut and escaped; nothing that holds others."""
        given = {
            "userId": "ada", "amount": 2, "share": 0.5, "all": True, "none": None, "some": [1],
            "more": {"a": 1}, "reason": "be nice", "empty": "", "line": "a\nb",
            "long": "x" * 65, "quoted": 'a"b',
        }  # fmt: skip
        self.assertEqual(
            told(given),
            'userId=ada amount=2 share=0.5 all=True reason="be nice" empty="" line=a\\nb '
            f'long={"x" * 64}... quoted="a\\"b" ',
        )

    def test_secrets(self) -> None:
        """What looks like a secret is left out, and what is sent to clients."""
        for name in (
            "token",
            "readToken",
            "user_password",
            "apiKey",
            "APIKEY",
            "pin",
            "newPIN",
            "data",
            "auth",
        ):
            self.assertEqual(told({name: "x", "n": 1}), "n=1 ", name)
        for name in ("author", "monkey", "opinion", "dates"):
            self.assertEqual(told({name: "x"}), f"{name}=x ")


def _full() -> None:
    raise RoomError("full", "no seat", {"seats": 0})


def _returning(answer: Any) -> Callable[[], Any]:
    return lambda: answer


class TestAnswers(CallsCase):
    def test_asynchronous(self) -> None:
        """An answer may come later."""
        answer = self.calls.dispatch(READER, "bank.later")
        self.assertNoResult(answer)
        self.assertEqual(self.calls.running, 1)
        self.bank.waiting.callback(5)
        self.assertEqual(self.successResultOf(answer), 5)
        self.assertEqual((self.calls.running, self.clock.getDelayedCalls()), (0, []))

    def test_asyncio(self) -> None:
        """An asyncio Future will do."""
        loop = get_event_loop_policy().new_event_loop()
        self.addCleanup(loop.close)
        future = loop.create_future()
        answer = self.answering(lambda: future)
        future.set_result({"a": 1})
        loop.call_soon(loop.stop)
        loop.run_forever()
        self.assertEqual(self.successResultOf(answer), {"a": 1})

    def test_raises(self) -> None:
        """The text of an exception isn't sent; the log has it."""

        def sync() -> None:
            raise ValueError("secret")

        def deferred() -> Deferred[Any]:
            return fail(SystemExit("secret"))

        async def coroutine() -> None:
            raise KeyError("secret")

        for function in (sync, deferred, coroutine):
            error = self.failureResultOf(self.answering(function), RoomError).value
            self.assertEqual(error.code, "internal")
            self.assertNotIn("secret", str(error))
        logged = self.flushLoggedErrors(ValueError, SystemExit, KeyError)
        self.assertEqual(len(logged), 3)

    def test_problem(self) -> None:
        """A problem of the HTTP API is an error."""

        def refuse() -> None:
            raise Problem(400, "too short", field="name", mayHaveHappened=True)

        error = self.failureResultOf(self.answering(refuse), RoomError).value
        self.assertEqual((error.code, error.message), ("badRequest", "too short"))
        self.assertEqual(error.details, {"field": "name", "mayHaveHappened": True})

    def test_hangs(self) -> None:
        """A call that hangs is cancelled and answered."""
        cancelled: list[Any] = []
        self.bank.waiting = Deferred(cancelled.append)
        answer = self.calls.dispatch(READER, "bank.later")
        self.clock.advance(TIMEOUT - 1)
        self.assertNoResult(answer)
        self.clock.advance(1)
        error = self.failureResultOf(answer, RoomError).value
        self.assertEqual((error.code, error.details), ("timeout", None))
        self.assertEqual((len(cancelled), self.calls.running), (1, 0))

    def test_cantBeCancelled(self) -> None:
        """One that goes on after it was cancelled doesn't matter; a change may have happened."""
        woken: list[Deferred[None]] = []

        async def stubborn() -> None:
            while True:
                woken.append(Deferred())
                try:
                    await woken[-1]
                except BaseException:
                    continue
                raise ValueError("long after")

        answer = self.answering(stubborn)
        self.clock.advance(TIMEOUT)
        error = self.failureResultOf(answer, RoomError).value
        self.assertEqual((error.code, error.details), ("timeout", {"mayHaveHappened": True}))
        woken[-1].callback(None)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stop(self) -> None:
        """When the server stops, calls that run are cancelled and answered."""
        answer = self.calls.dispatch(READER, "bank.later")
        self.calls.stop()
        self.assertEqual(self.failureResultOf(answer, RoomError).value.code, "unavailable")
        self.assertEqual((self.calls.running, self.clock.getDelayedCalls()), (0, []))

    def test_stopItself(self) -> None:
        """A call may stop the server."""
        calls = Calls([RpcCall(name="a.stop", function=lambda: calls.stop())], self.clock)
        error = self.failureResultOf(calls.dispatch(READER, "a.stop"), RoomError).value
        self.assertEqual((error.code, self.clock.getDelayedCalls()), ("unavailable", []))

    def test_tooMany(self) -> None:
        """No more than so many calls run at a time, and those of readers leave room for the others."""
        readers = mostFor(Role.READ, MOST_RUNNING)
        waiting = [self.calls.dispatch(READER, "bank.later") for _ in range(readers)]
        error = self.failureResultOf(self.calls.dispatch(READER, "bank.soon"), RoomError).value
        self.assertEqual(error.code, "rateLimited")
        more = range(MOST_RUNNING - readers)
        waiting += [self.calls.dispatch(MANAGER, "bank.later") for _ in more]
        error = self.failureResultOf(self.calls.dispatch(MANAGER, "bank.soon"), RoomError).value
        self.assertEqual(error.code, "rateLimited")
        self.bank.waiting.callback(1)
        self.assertEqual([self.successResultOf(each) for each in waiting[:1]], [1])
        self.clock.advance(TIMEOUT)
        for each in waiting[1:]:
            each.addErrback(lambda _: None)
        self.assertEqual(self.ask("bank.soon"), 0)

    def test_tooLong(self) -> None:
        """An answer that is too long is refused; one that is as long as allowed isn't."""
        self.assertEqual(
            self.successResultOf(self.answering(lambda: "x" * (MOST_ANSWER - 5))), "x" * (MOST_ANSWER - 5)
        )
        error = self.failureResultOf(self.answering(lambda: ["x" * 10] * 1_000_000), RoomError).value
        self.assertEqual(error.code, "tooLarge")

    def test_whatIsSent(self) -> None:
        """Answers are plain data, as in JSON."""
        for answer, sent in (
            ({1: b"\xff"}, {"1": "/w=="}),
            ((1, 2.5, None), [1, 2.5, None]),
            ([msgspec.msgpack.Ext(5, b"a")], [[5, "YQ=="]]),
            (succeed(Role.READ), 1),
        ):
            self.assertEqual(self.successResultOf(self.answering(_returning(answer))), sent)

    def test_cantBeSent(self) -> None:
        """What can't be sent is an error of the call."""
        deep: list[Any] = []
        for _ in range(100):
            deep = [deep]
        for answer in (object(), float("nan"), 2**70, "\ud800", deep):
            error = self.failureResultOf(self.answering(_returning(answer)), RoomError).value
            self.assertEqual(error.code, "internal", answer)
        self.assertEqual(len(self.flushLoggedErrors()), 5)


class TestAdding(SynchronousTestCase):
    def call(self, function: Callable[..., Any], name: str = "a.b") -> RpcCall:
        return RpcCall(name=name, function=function)

    def test_names(self) -> None:
        for name in ("", "a", "a.", ".a", "a..b", "a b.c", "a.1", "ä.b", "a." + "b" * 128):
            with self.assertRaises(ValueError, msg=name):
                self.call(lambda: None, name)
        self.assertEqual(self.call(lambda: None, "a.b2.c_d").name, "a.b2.c_d")

    def test_twice(self) -> None:
        calls = Calls([self.call(lambda: 1)], Clock())
        with self.assertRaises(ValueError):
            calls.add(self.call(lambda: 2))
        self.assertEqual([each.function() for each in calls], [1])

    def test_reserved(self) -> None:
        """A user's call can't have a name that a call of txroom's may have."""
        with self.assertRaises(ValueError) as caught:
            checkOwn(self.call(lambda: None, "rooms.mine"))
        self.assertIn("'rooms'", str(caught.exception))
        checkOwn(self.call(lambda: None, "roomsOfMine.list"))

    def test_signatures(self) -> None:
        """What can't be given by name, checked or described is refused when the call is added."""

        def positional(a: int, /) -> None: ...
        def many(*a: int) -> None: ...
        def keywords(**a: int) -> None: ...
        def unknown(a: Missing) -> None: ...  # type: ignore[name-defined] # noqa: F821
        def unreadable(a: Clock) -> None: ...
        def collides(a: dict[int, int]) -> None: ...
        def wrongDefault(a: int = object()) -> None: ...  # type: ignore[assignment]
        def unsendable() -> Clock: ...  # type: ignore[empty-body]

        for function in (positional, many, keywords, unknown, unreadable, collides, wrongDefault, unsendable):
            with self.assertRaises(TypeError, msg=function.__name__) as caught:
                self.call(function)
            self.assertIn(function.__name__, str(caught.exception))

    def test_answers(self) -> None:
        """The type of an answer is what it is at last."""

        def deferred() -> Deferred[int]: ...  # type: ignore[empty-body]
        def coroutine() -> Coroutine[Any, Any, str]: ...  # type: ignore[empty-body]
        async def asynchronous() -> list[bool]: ...  # type: ignore[empty-body]
        def bare() -> Deferred: ...  # type: ignore[type-arg,empty-body]
        def nothing(): ...

        found = [
            self.call(each).signature.answer for each in (deferred, coroutine, asynchronous, bare, nothing)
        ]
        self.assertEqual(found, [int, str, list[bool], Any, Any])


class TestDiscovery(CallsCase):
    def test_document(self) -> None:
        """Each call is described by its annotations and its docstring."""
        for call in Discovery(lambda: self.calls).calls():
            self.calls.add(call)
        document = self.ask("rpc.discover")
        methods = {each["name"]: each for each in document["methods"]}
        self.assertEqual(sorted(methods), [call.name for call in self.calls])
        balance = methods["bank.balance"]
        self.assertEqual(balance["summary"], "Tell what a user has.")
        self.assertEqual(balance["description"], "It is read from memory.")
        self.assertEqual(
            balance["params"],
            [
                {
                    "name": "userId",
                    "required": True,
                    "schema": {"type": "string"},
                    "description": "The id of the user, as `userId` has returned it.",
                },
                {
                    "name": "level",
                    "required": False,
                    "schema": {"type": "integer", "minimum": 0, "maximum": 9, "default": 3},
                    "description": "How exact it is.",
                },
            ],
        )
        self.assertEqual(balance["result"]["schema"], {"$ref": "#/components/schemas/Balance"})
        self.assertIn("userId", document["components"]["schemas"]["Balance"]["properties"])
        self.assertEqual(sorted(document["components"]["schemas"]), ["Balance"])
        self.assertEqual(methods["bank.reset"]["x-role"], "manage")
        self.assertEqual([each["name"] for each in methods["bank.reset"]["params"]], ["room", "all"])
        self.assertEqual(methods["rpc.discover"]["x-role"], "read")

    def test_texts(self) -> None:
        self.assertEqual(textsOf("").summary, "")
        texts = textsOf(
            "Do it\nnow.\n\nReally.\n\nArgs:\n    a: One: two.\n    b (int): Three\n\nRaises:\n    X: y"
        )
        self.assertEqual((texts.summary, texts.description), ("Do it now.", "Really."))
        self.assertEqual(texts.parameters, {"a": "One: two.", "b": "Three"})
