"""Tests for the logs of rooms by HTTP: pages, and server-sent events."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, fail

from tests.admin.case import READ, TOKEN, AdminCase, answerOf, request
from txroom import Client, History, Room, RoomError, message
from txroom.admin import logs
from txroom.core.codes import ErrorCode
from txroom.service.cluster import Cluster
from txroom.testing import JoinedRoom, RawClient, RoomHarness


class Log(Room):
    """A room that keeps its messages, and also sends some to one member."""

    maxOffline = 0
    recoverySize = 100_000
    history = History(limit=3)

    @message("say")
    def say(self, client: Client, data: Any) -> None:
        self.broadcast("said", data)

    @message("whisper")
    def whisper(self, client: Client, data: Any) -> None:
        client.send("whispered", data)

    @message("others")
    def others(self, client: Client, data: Any) -> None:
        self.broadcast("others", data, exclude=client)


class Farewell(Log):
    """A room that speaks while it ends."""

    @message("finish")
    def finish(self, client: Client) -> None:
        self.broadcast("said", "over")
        self.disconnect()

    def onLeave(self, client: Client, reason: Any) -> None:
        self.broadcast("said", "farewell")

    def onDispose(self) -> None:
        self.broadcast("said", "nobody is there")


class Event(NamedTuple):
    """A server-sent event."""

    kind: str
    id: str
    data: Any


def eventsOf(client: RawClient) -> list[Event]:
    """The events that a client has received since the last call. Comments are left out."""
    output = client.take()
    if output.startswith(b"HTTP/1.1 "):
        output = output.partition(b"\r\n\r\n")[2]
    found = []
    for event in plain(output).split("\n\n"):
        fields = dict(each.split(": ", 1) for each in event.split("\n") if each and each[0] != ":")
        if fields:
            found.append(Event(fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])))
    return found


def plain(output: bytes) -> str:
    """The content of chunks."""
    content = b""
    while output:
        size, _, rest = output.partition(b"\r\n")
        content, output = content + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return content.decode()


class LogsCase(AdminCase):
    """A room with a member."""

    room: type[Room] = Log

    def start(self, *args: Any, **options: Any) -> RoomHarness:
        harness = super().start(*args, **options)
        harness.server.register("log", self.room)
        self.ada: JoinedRoom = harness.client().join("log")
        self.path = f"/api/v1/rooms/{self.ada.id}/log"
        return harness

    def say(self, *texts: str) -> None:
        for text in texts:
            self.ada.send("say", text)
        self.harness.flush()

    def follow(self, query: str = "", token: str = TOKEN, **headers: str) -> RawClient:
        headers = {"Accept": "text/event-stream", **headers}
        client = self.connect(request("GET", f"{self.path}{query}", None, token, **headers))
        self.harness.flush()
        return client


class PageTests(LogsCase):
    """Pages."""

    def test_pages(self) -> None:
        """All messages are read, page by page."""
        self.start()
        self.say("a", "b", "c")
        page = self.ask("GET", f"{self.path}?limit=2", token=READ).json
        self.assertEqual((page["first"], page["last"], page["next"]), (1, 3, 2))
        self.assertEqual(
            [(each["offset"], each["type"], each["data"]) for each in page["entries"]],
            [(1, "said", "a"), (2, "said", "b")],
        )
        rest = self.ask("GET", f"{self.path}?offset={page['next']}&epoch={page['epoch']}").json
        self.assertEqual([each["data"] for each in rest["entries"]], ["c"])
        empty = self.ask("GET", f"{self.path}?offset=3").json
        self.assertEqual((empty["entries"], empty["next"]), ([], 3))

    def test_direct(self) -> None:
        """What isn't for all members is only for `manage`."""
        self.start()
        self.ada.send("whisper", "secret")
        self.ada.send("others", "hidden")
        self.say("a")
        entries = self.ask("GET", self.path).json["entries"]
        self.assertEqual([each["type"] for each in entries], ["whispered", "others", "said"])
        self.assertEqual((entries[0]["to"], entries[1]["exclude"]), ([self.ada.member], [self.ada.member]))
        self.assertEqual((entries[0]["toCount"], entries[1]["excludeCount"]), (1, 1))
        self.assertEqual(set(entries[2]), {"offset", "at", "type", "data"})
        page = self.ask("GET", self.path, token=READ)
        self.assertEqual([each["type"] for each in page.json["entries"]], ["said"])
        for hidden in (b"secret", b"hidden", self.ada.member.encode()):
            self.assertNotIn(hidden, page.body)
        self.assertEqual(self.ask("GET", f"{self.path}?limit=1", token=READ).json["next"], 1)

    def test_history(self) -> None:
        """The history is read page by page, without what was for some members; it has no events."""
        self.start()
        self.say("a", "b")
        self.ada.send("whisper", "secret")
        self.say("c", "d")
        page = self.ask("GET", f"{self.path}?history=1&limit=2", token=READ).json
        self.assertEqual((page["first"], page["last"], page["next"]), (2, 5, 4))
        rest = self.ask("GET", f"{self.path}?history=true&offset={page['next']}&seconds=4").json
        self.assertEqual([each["data"] for each in page["entries"] + rest["entries"]], ["b", "c", "d"])
        self.assertEqual(self.refusal("GET", f"{self.path}?history=x"), (400, "history"))
        events = self.refusal("GET", f"{self.path}?history=1", Accept="text/event-stream")
        self.assertEqual(events, (400, "history"))

    def test_wait(self) -> None:
        """A request waits for the next message."""
        self.start()
        client = self.send("GET", f"{self.path}?seconds=3")
        self.harness.advance(1.0)
        self.assertEqual(client.output, b"")
        self.say("a")
        self.assertEqual([each["data"] for each in answerOf(client.output).json["entries"]], ["a"])
        late = self.send("GET", f"{self.path}?seconds=3&offset=1")
        self.harness.advance(3.5)
        self.assertEqual(answerOf(late.output).json["entries"], [])

    def test_wrong(self) -> None:
        """A wrong query names the field."""
        self.start()
        for query, field in (
            ("offset=-1", "offset"),
            ("offset=x", "offset"),
            ("seconds=5", "seconds"),
            ("seconds=nan", "seconds"),
            ("limit=1001", "limit"),
            ("epoch=" + "x" * 65, "epoch"),
        ):
            self.assertEqual(self.refusal("GET", f"{self.path}?{query}"), (400, field), query)
        self.assertEqual(self.refusal("GET", "/api/v1/rooms/nix/log")[0], 404)


class EventTests(LogsCase):
    """Server-sent events."""

    def test_follow(self) -> None:
        """A follower gets what is there, then each new message, and resumes after the last one it got."""
        self.start()
        self.say("a")
        client = self.follow()
        answer = answerOf(client.output)
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/event-stream"))
        first = eventsOf(client)
        self.assertEqual([each.data["data"] for each in first], ["a"])
        self.say("b", "c")
        events = eventsOf(client)
        self.assertEqual([(each.kind, each.data["data"]) for each in events], [("", "b"), ("", "c")])
        client.drop()
        self.say("d")
        again = self.follow(Last_Event_ID=events[0].id)
        self.assertEqual([each.data["data"] for each in eventsOf(again)], ["c", "d"])

    def test_direct(self) -> None:
        """What isn't for all members is only for `manage`; others get no event."""
        self.start()
        manage, read = self.follow(), self.follow(token=READ)
        self.ada.send("whisper", "secret")
        self.say("a")
        self.assertEqual([each.data["type"] for each in eventsOf(manage)], ["whispered", "said"])
        self.assertNotIn(b"secret", read.output)
        self.assertEqual([each.data["type"] for each in eventsOf(read)], ["said"])

    def test_reset(self) -> None:
        """A follower is told if it has missed something: in another epoch, or because it wasn't kept."""
        self.start()
        self.say("a", "b")
        for id in ("other:1", ":9", f"{self.epoch()}:9"):
            reset, *rest = eventsOf(self.follow(Last_Event_ID=id))
            self.assertEqual((reset.kind, reset.id), ("reset", f"{self.epoch()}:0"), id)
            self.assertEqual(reset.data, {"epoch": self.epoch(), "first": 1, "last": 2})
            self.assertEqual([each.data["data"] for each in rest], ["a", "b"])
        for index in range(30):
            self.say(f"{index}" * 10_000)
        reset, *rest = eventsOf(self.follow())
        self.assertEqual(reset.kind, "reset")
        self.assertEqual(rest[0].data["offset"], reset.data["first"])
        self.assertEqual(rest[-1].data["offset"], reset.data["last"])
        self.assertGreater(reset.data["first"], 1)

    def epoch(self) -> str:
        epoch: str = self.ask("GET", self.path).json["epoch"]
        return epoch

    def test_comments(self) -> None:
        """A follower without events gets comments, so that nothing between takes the connection for dead."""
        self.start()
        client = self.follow()
        client.take()
        for _ in range(3):
            for _ in range(int(logs.COMMENT)):
                self.harness.advance(1.0)
            self.assertIn(": \n\n", plain(client.take()))

    def test_end(self) -> None:
        """When the room ends, its followers are told, and their answers end."""
        harness = self.start()
        client = self.follow()
        self.say("a")
        eventsOf(client)
        epoch = self.epoch()
        self.ask("DELETE", f"/api/v1/rooms/{self.ada.id}")
        harness.advance(5.0)
        place = {"epoch": epoch, "offset": 1, "last": 1}
        self.assertEqual(eventsOf(client)[-1], Event("end", "", place))
        self.assertEqual(self.refusal("GET", self.path, Accept="text/event-stream")[0], 404)

    def test_last(self) -> None:
        """
        A follower that has kept up gets what the room says before it ends, and in onLeave. In onDispose it
        says nothing to anybody.
        """
        self.room = Farewell
        harness = self.start()
        client = self.follow()
        self.say("a")
        eventsOf(client)
        self.ada.send("finish")
        harness.advance(5.0)
        *said, end = eventsOf(client)
        self.assertEqual([each.data["data"] for each in said], ["over", "farewell"])
        self.assertEqual((end.kind, end.data["offset"], end.data["last"]), ("end", 3, 3))

    def test_endBehind(self) -> None:
        """A follower that was behind when the room ended is told so: what the last offset was isn't known."""
        harness = self.start()
        client = self.follow()
        client.take()
        client.stall()
        for index in range(100):
            self.say(f"{index}" * 10_000)
        epoch = self.epoch()
        self.ask("DELETE", f"/api/v1/rooms/{self.ada.id}")
        client.unstall()
        harness.advance(5.0)
        *entries, end = eventsOf(client)
        offset = entries[-1].data["offset"]
        self.assertLess(offset, 100)
        self.assertEqual(end, Event("end", "", {"epoch": epoch, "offset": offset, "last": None}))

    def test_endUnread(self) -> None:
        """A follower that was about to read the next page when the room ended learns how much it misses."""
        self.patch(logs, "_PAGE", 2)
        harness = self.start()
        self.say("a", "b", "c")
        real = Cluster.ask
        asked: list[Any] = []

        def ask(cluster: Cluster, room: str, command: Any, once: Any = None) -> Any:
            asked.append(command)
            if len(asked) > 1:
                return fail(RoomError(ErrorCode.ROOM_GONE))
            return real(cluster, room, command, once)

        self.patch(Cluster, "ask", ask)
        end = eventsOf(self.follow())[-1]
        self.assertEqual((end.kind, end.data["offset"], end.data["last"]), ("end", 2, 3))
        harness.flush()

    def test_stopFirst(self) -> None:
        """A follower whose first read isn't done when the listener stops is answered, too."""
        self.start()
        real = Cluster.ask
        held: Deferred[None] = Deferred()

        async def ask(cluster: Cluster, room: str, command: Any, once: Any = None) -> Any:
            await held
            return await real(cluster, room, command, once)

        self.patch(Cluster, "ask", ask)
        client = self.follow()
        (admin,) = self.harness.server._admins
        admin.pause()
        self.assertEqual(client.output, b"")
        held.callback(None)
        self.harness.flush()
        answer = answerOf(client.output)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        self.harness.advance(1.0)
        self.assertTrue(client.isClosed)

    def test_head(self) -> None:
        """HEAD has the headers of the events, and follows nothing."""
        self.start()
        client = self.connect(request("HEAD", self.path, None, READ, Accept="text/event-stream"))
        self.harness.flush()
        answer = answerOf(client.output)
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual((answer.body, self.followers()), (b"", []))
        client.take()
        client.send(request("GET", self.path))
        self.harness.flush()
        self.assertEqual(answerOf(client.output).status, 200)

    def test_large(self) -> None:
        """A message that is larger than what may wait reaches a client that reads."""
        self.patch(logs, "MOST_WAITING", 10_000)
        self.start()
        client = self.follow()
        for text in ("x" * 50_000, "after"):
            self.say(text)
            self.harness.advance(1.0)
        self.assertEqual([each.data["data"] for each in eventsOf(client)], ["x" * 50_000, "after"])

    def test_crowded(self) -> None:
        """Nothing more is written to a client for which too much waits: it is disconnected."""
        self.patch(logs, "MOST_WAITING", 10_000)
        self.start()
        client = self.follow()
        client.stall()
        for text in ("x" * 50_000, "after"):
            self.say(text)
        self.assertTrue(client.isClosed)

    def test_pausedTwice(self) -> None:
        """Each pause is undone at once, however often it was asked for."""
        self.start()
        client = self.follow()
        (follower,) = self.followers()
        follower.pauseProducing()
        follower.pauseProducing()
        follower.resumeProducing()
        for _ in range(int(logs.PATIENCE) + 1):
            self.harness.advance(1.0)
        self.assertFalse(client.isClosed)

    def test_most(self) -> None:
        """There are so many followers at a time."""
        self.patch(logs, "MOST_FOLLOWERS", 2)
        self.start()
        clients = [self.follow() for _ in range(3)]
        self.assertEqual([answerOf(each.output).status for each in clients], [200, 200, 503])
        clients[0].drop()
        self.assertEqual(answerOf(self.follow().output).status, 200)
        self.assertEqual(answerOf(self.send("GET", self.path).output).status, 200)

    def test_stalled(self) -> None:
        """A follower that doesn't read takes up little, and is disconnected in the end."""
        self.start()
        client = self.follow()
        client.take()
        client.stall()
        for index in range(100):
            self.say(f"{index}" * 10_000)
        (follower,) = self.followers()
        self.assertTrue(follower._isPaused)
        self.assertLess(sum(map(len, follower._events)), logs.MOST_WAITING)
        self.harness.advance(logs.PATIENCE + 1.0)
        self.assertTrue(client.isClosed)
        self.assertEqual(self.followers(), [])

    def test_paused(self) -> None:
        """A follower that has read again gets everything that is kept, and is told what isn't."""
        self.start()
        client = self.follow()
        client.take()
        client.stall()
        for index in range(20):
            self.say(f"{index:02}" * 5_000)
        client.unstall()
        self.harness.advance(1.0)
        offsets = [each.data.get("offset") for each in eventsOf(client) if not each.kind]
        self.assertEqual(offsets, sorted(set(offsets)))
        self.assertEqual(offsets[-1], 20)

    def followers(self) -> list[Any]:
        (admin,) = self.harness.server._admins
        return list(admin._logs._followers)

    def test_stop(self) -> None:
        """When the listener stops, the answers end."""
        self.start()
        client = self.follow()
        self.harness.server.stopService()
        self.harness.advance(0.5)
        self.assertTrue(client.output.endswith(b"0\r\n\r\n"))
        self.assertTrue(client.isClosed)

    def test_wrong(self) -> None:
        """A wrong id is refused."""
        self.start()
        for id in ("x", "x:", "x:-1", "x:1.5", "x:" + "9" * 19, "x:²"):
            refused = self.refusal("GET", self.path, Accept="text/event-stream", Last_Event_ID=id)
            self.assertEqual(refused, (400, "Last-Event-ID"), id)
