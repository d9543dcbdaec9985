"""The log as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogLevel,
    LogPublisher,
    capturedLogs,
    globalLogPublisher,
    textFileLogObserver,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.case import HarnessTestCase
from tests.rooms.case import NotingRoom, RoomTestCase
from txroom import Application, Connection, loggerOf, message
from txroom import Client as Member
from txroom.process import jsonlog
from txroom.process.jsonlog import MOST_TEXT, asJSON, fieldsOf
from txroom.process.logs import TRACEBACK
from txroom.process.workers.output import RecordObserver, WorkerOutput

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class LineTests(SynchronousTestCase):
    """One event is one line."""

    def line(self, **event: Any) -> dict[str, Any]:
        text = asJSON({"log_time": 1.5, "log_level": LogLevel.warn, "log_namespace": "mine", **event})
        self.assertEqual((text.count("\n"), text[-1]), (1, "\n"))
        record: dict[str, Any] = json.loads(text)
        return record

    def test_plain(self) -> None:
        """Time, level, logger and message; what the event is about; nothing else of the event."""
        self.assertEqual(
            self.line(log_format="join {room}", room="r1", user="ada", life="join", other=object()),
            {
                "time": "1970-01-01T00:00:01.500000+00:00",
                "level": "warn",
                "logger": "mine",
                "message": "join r1",
                "event": "join",
                "room": "r1",
                "user": "ada",
            },
        )

    def test_oneLine(self) -> None:
        """Line ends and lone surrogates, which clients may send, can't break a line or its encoding."""
        record = self.line(log_format="{user}", user="a\nb\ud800\u2028")
        self.assertEqual((record["user"], record["message"]), ("a\nb\\ud800\u2028", "a\nb\ud800\u2028"))
        self.assertTrue(asJSON({"log_format": "ä\u2028"}).isascii())

    def test_failure(self) -> None:
        """A failure has its traceback, even if the event has no text."""
        try:
            raise ValueError("http://host/path?token=abc")
        except ValueError:
            record = self.line(log_failure=Failure())
        self.assertIn("ValueError: http://host/path?...", record["traceback"])
        self.assertNotIn("abc", json.dumps(record))

    def test_strangeFields(self) -> None:
        """Fields are plain data, whatever an event has under their names."""

        class Strange:
            def __str__(self) -> str:
                raise ValueError("no text")

        record = self.line(log_format="hello", status=float("nan"), path=Strange(), name=["a"], node=7)
        expected = {"status": "nan", "path": "(Strange without a text)", "name": "['a']", "node": 7}
        self.assertEqual({name: record[name] for name in expected}, expected)

    def test_nothing(self) -> None:
        """An event without a text is no line."""
        self.assertEqual(asJSON({"log_level": LogLevel.info}), "")

    def test_bounded(self) -> None:
        """Texts are cut."""
        record = self.line(log_format="{text}", text="x" * 100_000, user="y" * 100_000)
        self.assertEqual((len(record["message"]), len(record["user"])), (jsonlog.MOST_TEXT,) * 2)

    def test_redacted(self) -> None:
        """Queries and secrets are cut out of the text and the fields."""
        record = self.line(log_format="GET {path} with {user}", path="/it's?b=c", user="token=abc")
        expected = {"message": "GET /it's?... with token=...", "path": "/it's?...", "user": "token=..."}
        self.assertEqual({name: record[name] for name in expected}, expected)

    def test_redactedAtEnds(self) -> None:
        """Where a text is cut, what is left of a secret is not logged."""
        for about in ("redis://user:hunter2@host", "token='hunter2 hunter2'"):
            for cut in range(len(about)):
                text = "x" * (MOST_TEXT - cut - 1) + " " + about
                self.assertNotIn("hunt", self.line(log_format="{text}", text=text)["message"])
                lines = about + " " + "x" * (MOST_TEXT - cut - 11) + "\nthe last\n"
                record = self.line(log_format="x", **{TRACEBACK: lines})
                self.assertEqual(record["traceback"], "the last\n")
        record = self.line(log_format="x", **{TRACEBACK: "first\n" + "y" * 2 * MOST_TEXT + "\n"})
        self.assertEqual(record["traceback"], "y" * MOST_TEXT)

    def test_observers(self) -> None:
        """The observers that write to files write JSON, also behind filters; others stay as they are."""
        files = io.StringIO(), io.StringIO()
        seen: list[Any] = []
        first, second = (textFileLogObserver(file) for file in files)
        filtered = FilteringLogObserver(cast(ILogObserver, second), [])
        publisher = LogPublisher(first, filtered, cast(ILogObserver, seen.append))
        self.patch(jsonlog, "globalLogPublisher", publisher)
        jsonlog.logAsJSON()
        Logger("mine", observer=publisher).info("hello {name}", name="ada")
        for file in files:
            self.assertEqual(json.loads(file.getvalue())["message"], "hello ada")
        self.assertIsInstance(first, FileLogObserver)
        self.assertEqual(len(seen), 1)

    def test_worker(self) -> None:
        """What a worker logs has the same fields in the log of its parent, and the number of the worker."""
        written: list[bytes] = []
        observer = RecordObserver(written.append, fieldsOf)
        observer({"log_time": 2.0, "log_format": "join", "room": "r1", "user": "a\ud800", "trace": TRACE})
        with capturedLogs() as events:
            WorkerOutput(3).received(2, b"".join(written))
        record = json.loads(asJSON(events[0]))
        expected = {"message": "join", "room": "r1", "user": "a\\ud800", "trace": TRACE, "worker": 3}
        self.assertEqual({name: record.get(name) for name in expected}, expected)


@contextmanager
def lines() -> Iterator[list[dict[str, Any]]]:
    """The lines that are written meanwhile; an observer makes each at once."""
    found: list[dict[str, Any]] = []

    def observer(event: Any) -> None:
        found.append(json.loads(asJSON(event)))

    globalLogPublisher.addObserver(cast(ILogObserver, observer))
    try:
        yield found
    finally:
        globalLogPublisher.removeObserver(cast(ILogObserver, observer))


class Chat(NotingRoom):
    """A room whose hooks log."""

    @message("log")
    def log(self, client: Member, text: str) -> None:
        loggerOf(client).info("about the client: {text}", text=text)
        loggerOf(self, "mine").info("about the room")
        Logger("plain").info("about nothing")

    @message("later")
    async def later(self, client: Member) -> None:
        await self.gate
        Logger("plain").info("about nothing")

    @message("fail")
    def fail(self, client: Member) -> None:
        raise ValueError("told nobody")

    gate: Deferred[None]


class HookTests(RoomTestCase):
    """What hooks of rooms log."""

    def setUp(self) -> None:
        super().setUp()
        self.rooms(Chat)
        self.ada = self.player(headers={"traceparent": TRACE})
        self.assertEqual(self.ada.join()[0], "joined")

    def told(self, type: str, data: Any = None) -> list[dict[str, Any]]:
        """The lines that a message causes."""
        with lines() as found:
            self.ada.send(type, data)
        return found

    def test_client(self) -> None:
        """A logger of a client names its room, member, user and connection, and the handshake's trace."""
        about, room, nothing = self.told("log", "hello")
        (connection,) = self.harness.server.connections
        (client,) = self.room().clients
        self.assertEqual(about["message"], "about the client: hello")
        self.assertEqual(about["logger"], "txroom.hooks")
        expected = {"room": self.ada.room, "name": "chat", "member": client.id, "user": client.userId}
        self.assertEqual({name: about[name] for name in expected}, expected)
        self.assertEqual((about["connection"], about["trace"]), (connection.id, TRACE))
        self.assertEqual((room["logger"], room["room"], room["name"]), ("mine", self.ada.room, "chat"))
        self.assertNotIn("member", room)
        self.assertEqual(nothing["room"], self.ada.room)

    def test_awaits(self) -> None:
        """A coroutine that has waited is still about its room; what isn't a hook is about none."""
        self.room().gate = Deferred()
        self.told("later")
        with lines() as found:
            self.room().gate.callback(None)
            Logger("plain").info("no hook")
        self.assertEqual([line["message"] for line in found], ["about nothing", "no hook"])
        self.assertEqual([line.get("room") for line in found], [self.ada.room, None])

    def test_failure(self) -> None:
        """txroom's own line about a handler that raised has the same fields."""
        (line,) = self.told("fail")
        self.flushLoggedErrors(ValueError)
        self.assertEqual((line["room"], line["trace"], line["level"]), (self.ada.room, TRACE, "critical"))
        self.assertIn("ValueError: told nobody", line["traceback"])

    def test_lives(self) -> None:
        """The lines of rooms' lives name the connection."""
        with lines() as found:
            self.player().join()
        joins = [line for line in found if line.get("event") == "join"]
        self.assertEqual(joins[0]["connection"], self.harness.server.connections[-1].id)

    def test_wrongTrace(self) -> None:
        """A header that isn't well formed is not logged."""
        bob = self.player(headers={"traceparent": TRACE + "\tx" * 100})
        bob.join()
        with capturedLogs() as events:
            bob.send("log", "hello")
        self.assertNotIn("trace", json.loads(asJSON(events[0])))


class ConnectionTests(HarnessTestCase):
    """Loggers of connections."""

    def test_connection(self) -> None:
        """They name the connection, the user if it has an id, and the trace."""
        loggers: list[Any] = []

        def onConnect(connection: Connection) -> None:
            loggers.append(loggerOf(connection))

        harness = self.serve(Application(onConnect=onConnect, verifyClient=lambda handshake: True))
        harness.connect(headers={"traceparent": TRACE})
        (connection,) = harness.server.connections
        connection.user = {"id": "ada"}
        with capturedLogs() as events:
            loggers[0].warn("slow: {seconds} s", seconds=3)
            loggers[0].info("another", user="bob")
        fields = [fieldsOf(event) for event in events]
        self.assertEqual(fields[0], {"connection": connection.id, "user": "ada", "trace": TRACE})
        self.assertEqual(fields[1]["user"], "bob")

    def test_hookRaises(self) -> None:
        """txroom's own line about a hook that raised has the connection and the trace."""

        def onMessage(connection: Connection, data: Any) -> None:
            raise ValueError("told nobody")

        harness = self.serve(Application(onMessage=onMessage))
        client = harness.connect(headers={"traceparent": TRACE})
        with capturedLogs() as events:
            client.send("hello")
        self.flushLoggedErrors(ValueError)
        found = [fieldsOf(event) for event in events if "raised" in str(event.get("log_format"))]
        self.assertEqual([line["trace"] for line in found], [TRACE])

    def test_wrongSubject(self) -> None:
        """Anything else is a mistake."""
        wrong: Any = "room"
        self.assertRaises(TypeError, loggerOf, wrong)
