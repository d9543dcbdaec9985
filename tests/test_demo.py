"""The demo: its page, its rooms, its echo and its broadcast, and that it serves nothing else."""

from __future__ import annotations

import re
from json import dumps, loads
from typing import Any

from tests.case import HarnessTestCase
from txroom import RoomError, ServerOptions
from txroom.demo import makeDemo
from txroom.testing import Client, JoinedRoom, Response, RoomHarness

MIB = 1024 * 1024


class DemoTestCase(HarnessTestCase):
    """Tests of the demo."""

    def demo(self, **options: Any) -> RoomHarness:
        return self.serve(lambda clock: makeDemo(ServerOptions(**options), clock))

    def get(self, harness: RoomHarness, path: str, method: str = "GET") -> Response:
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = harness.raw(request.encode()).response
        assert answer is not None
        return answer


class PageTests(DemoTestCase):
    """The page at "/"."""

    def test_page(self) -> None:
        """It is HTML that is sent as a whole and must be revalidated."""
        page = self.get(self.demo(), "/")
        self.assertEqual(page.status, 200)
        self.assertEqual(page.headers.get("content-type"), "text/html; charset=utf-8")
        self.assertEqual(page.headers.get("cache-control"), "no-cache")
        self.assertTrue(page.body.startswith(b"<!doctype html>"))
        self.assertTrue(page.body.rstrip().endswith(b"</html>"))

    def test_loads(self) -> None:
        """The files that it loads are served with the media types that browsers require."""
        harness = self.demo()
        page = self.get(harness, "/").body.decode()
        wanted = re.findall(r"(?:src|href|action|url)\s*[=(]\s*[\"']?([^\"'\s>)]+)", page)
        script = self.get(harness, "/demo.js").body.decode()
        wanted += re.findall(r"\bfrom \"\./([^\"]+)\"", script)
        types = {
            name: self.get(harness, f"/{name}").headers.get("content-type")
            for name in wanted
            if not name.startswith("data:")
        }
        javascript = "text/javascript; charset=utf-8"
        expected = {"demo.css": "text/css; charset=utf-8", "demo.js": javascript, "txroom.js": javascript}
        self.assertEqual(types, expected)

    def test_policy(self) -> None:
        """Inline scripts do not run, and the page cannot connect to other servers."""
        page = self.get(self.demo(), "/")
        policy = page.headers.get("content-security-policy") or ""
        self.assertIn("default-src 'none'; script-src 'self'; style-src 'self';", policy)
        self.assertNotIn("unsafe", policy)
        self.assertNotRegex(page.body, rb"<script(?![^>]*\ssrc=)|<style|<[^>]+\s(?:style|on\w+)=")

    def test_nothingElse(self) -> None:
        """
        The path of a socket is not a page, an unknown path is not a socket, and only some files are served.
        """
        harness = self.demo()
        paths = {
            "/": 200,
            "/healthz": 200,
            "/echo": 426,
            "/broadcast": 426,
            "/rooms": 426,
            "/rooms/chat": 426,
            "/index.html": 404,
            "/txroom.d.ts": 404,
            "/web/index.html": 404,
            "//": 404,
            "/../demo.py": 400,
        }
        self.assertEqual({path: self.get(harness, path).status for path in paths}, paths)
        for path in ("/", "/other", "/echo/", "/healthz", "/rooms/other"):
            client = harness.connect(path)
            self.assertIsNotNone(client.response, path)
            assert client.response is not None
            self.assertEqual(client.response.status, 404, path)
        self.assertEqual(self.get(harness, "/", "POST").status, 405)


def frames(client: Client, *kinds: str) -> list[Any]:
    """The frames of some kinds that a client has received."""
    return [frame for frame in map(loads, client.received) if frame[0] in kinds]


def messages(client: Client) -> list[Any]:
    """The type and the data of each message that a client has received."""
    return [frame[3:] for frame in frames(client, "msg")]


def idOf(client: Client) -> str:
    """The id of a client's member."""
    member: str = frames(client, "joined")[0][3]["member"]
    return member


class ChatTests(DemoTestCase):
    """/rooms/chat"""

    def test_say(self) -> None:
        """A text, bare or in an object, is sent to all members, including the sender."""
        harness = self.demo()
        ann, bob = harness.connect("/rooms/chat?name=ann"), harness.connect("/rooms/chat?name=bob")
        ann.send('["send",null,"say","hello"]')
        bob.send('["send",null,"say",{"text":"schön"}]')
        expected = [
            ["said", {"from": idOf(ann), "name": "ann", "text": "hello"}],
            ["said", {"from": idOf(bob), "name": "bob", "text": "schön"}],
        ]
        self.assertEqual([messages(ann), messages(bob)], [expected, expected])

    def test_call(self) -> None:
        """A call of "say" returns the offset."""
        client = self.demo().connect("/rooms/chat")
        client.send('["call",7,null,"say","hello"]')
        self.assertEqual(frames(client, "reply"), [["reply", 7, 1]])

    def test_wrong(self) -> None:
        """Data that is not a string, or is empty or too long, is refused and sent to nobody."""
        client = self.demo().connect("/rooms/chat")
        for data in ("", "x" * 2001):
            client.send(dumps(["call", 1, None, "say", data]))
        self.assertEqual([frame[3] for frame in frames(client, "error")], ["invalidData"] * 2)
        self.assertEqual(messages(client), [])

    def test_history(self) -> None:
        """New members receive the last hundred messages, even if the room was empty for a while."""
        harness = self.demo(messageRate=0)
        ann = harness.connect("/rooms/chat")
        for number in range(120):
            ann.send(dumps(["send", None, "say", str(number)]))
        ann.close()
        harness.advance(50)
        bob = harness.connect("/rooms/chat")
        self.assertEqual([data["text"] for _, data in messages(bob)], [str(n) for n in range(20, 120)])
        bob.close()
        harness.advance(61)
        self.assertEqual(messages(harness.connect("/rooms/chat")), [])

    def test_topics(self) -> None:
        """Each topic has its own room, and the list of rooms has the topics."""
        harness = self.demo()
        ann, bob = harness.connect("/rooms/chat?topic=tea"), harness.connect("/rooms/chat")
        ann.send('["send",null,"say","hello"]')
        self.assertEqual(messages(bob), [])
        bob.send('["rooms",1,"chat",{}]')
        ((_, _, listed),) = frames(bob, "reply")
        self.assertEqual(
            [(each["metadata"]["topic"], each["clients"]) for each in listed], [("tea", 1), ("", 1)]
        )
        refused = harness.connect("/rooms/chat?topic=" + "x" * 41)
        self.assertEqual([frame[3] for frame in frames(refused, "error")], ["badRequest"])

    def test_away(self) -> None:
        """Presence shows a member whose connection is lost as away until it returns."""
        harness = self.demo()
        for name in ("chat", "mole"):
            ann, bob = (harness.client().join(name, name=each) for each in ("ann", "bob"))
            bob.client.offline()
            self.assertEqual([self.isAway(ann, bob), self.isAway(ann, ann)], [True, False], name)
            bob.client.online()
            self.assertFalse(self.isAway(ann, bob), name)

    def isAway(self, watcher: JoinedRoom, member: JoinedRoom) -> bool:
        metas = [meta for each in watcher.members for meta in each.metas]
        return any(meta.get("away", False) for meta in metas if meta["member"] == member.member)

    def test_presence(self) -> None:
        """Presence has the names of the members, and changes of a name."""
        harness = self.demo()
        ann, bob = harness.connect("/rooms/chat?name=ann"), harness.connect("/rooms/chat")
        bob.send('["send",null,"rename","bob"]')
        names = [[user["metas"][0]["name"] for user in frame[2]] for frame in frames(ann, "presence")]
        self.assertEqual(names, [["somebody"], ["bob"]])

    def test_typing(self) -> None:
        """The other members receive "typing", which is not kept."""
        harness = self.demo()
        ann, bob = harness.connect("/rooms/chat"), harness.connect("/rooms/chat")
        ann.send('["send",null,"typing",null]')
        ((kind, _, offset, *message),) = frames(bob, "msg")
        self.assertEqual((kind, offset, message), ("msg", None, ["typing", idOf(ann)]))
        self.assertEqual(messages(ann), [])

    def test_whisper(self) -> None:
        """
        A private message is sent to two members and not shown to new ones; it is refused if the receiver
        has left.
        """
        harness = self.demo()
        ann, bob, eve = (harness.connect(f"/rooms/chat?name={name}") for name in ("ann", "bob", "eve"))
        ann.send(dumps(["send", None, "whisper", {"to": idOf(bob), "text": "psst"}]))
        expected = [["whispered", {"from": idOf(ann), "name": "ann", "to": "bob", "text": "psst"}]]
        self.assertEqual([messages(ann), messages(bob), messages(eve)], [expected, expected, []])
        self.assertEqual(messages(harness.connect("/rooms/chat")), [])
        bob.close()
        ann.send(dumps(["call", 1, None, "whisper", {"to": idOf(bob), "text": "psst"}]))
        self.assertEqual([frame[3] for frame in frames(ann, "error")], ["gone"])

    def test_whisperAway(self) -> None:
        """
        A member who is away is notified of a private message, also after it has left the room; one who is
        there is not.
        """
        harness = self.demo()
        ann = harness.client().join("chat", name="ann", topic="tea")
        bob = harness.client("/rooms?user=bob-bob-bob-bob-").join("chat", name="bob", topic="tea")
        ann.call("whisper", {"to": bob.member, "text": "you are here"})
        bob.client.offline()
        for number in range(22):
            ann.call("whisper", {"to": bob.member, "text": f"{number}"})
        harness.advance(31)
        with self.assertRaises(RoomError):
            ann.call("whisper", {"to": bob.member, "text": "you have left"})
        page = harness.client("/rooms?user=bob-bob-bob-bob-")
        page.listen()
        expected = [{"name": "ann", "text": f"{number}", "topic": "tea"} for number in range(2, 22)]
        self.assertEqual(page.notifications, [("whispered", each) for each in expected])
        self.assertEqual(page.droppedNotifications, 2)

    def test_secretUser(self) -> None:
        """Nobody sees the id of another's page, and what can't be such an id is no user."""
        harness = self.demo()
        for name in ("chat", "mole"):
            ann = harness.client().join(name, name="ann")
            for user in ("bob-bob-bob-bob-", "short", "x" * 65, "%F0%9F%A6%A6" * 16):
                bob = harness.client(f"/rooms?user={user}").join(name, name="bob")
                self.assertEqual([member.user for member in ann.members], [ann.member, bob.member])
                expected = {"id": user} if user.startswith("bob") else None
                client = harness.roomOf(bob).client(bob.member)
                self.assertEqual(client and client.user, expected)
                bob.leave()

    def test_restarted(self) -> None:
        """In the next process of the room its members are there, with the topic and all messages."""
        harness = self.demo()
        ann, bob = (harness.client().join("chat", name=name, topic="tea") for name in ("ann", "bob"))
        ann.send("say", "before")
        ann.send("rename", "anna")
        harness.restart(ann)
        ann.send("say", "after")
        harness.advance(1)
        self.assertEqual([bob.expect("said")["text"] for _ in range(2)], ["before", "after"])
        self.assertNotIn("lost", ann.events + bob.events)
        carol = harness.client().join("chat", name="carol", topic="tea")
        self.assertEqual([carol.expect("said")["name"] for _ in range(2)], ["ann", "anna"])
        self.assertEqual([each["metadata"] for each in carol.client.query("chat")], [{"topic": "tea"}])
        self.assertEqual(
            [[meta["name"] for meta in member.metas] for member in carol.members],
            [["anna"], ["bob"], ["carol"]],
        )


class MoleTests(DemoTestCase):
    """/rooms/mole"""

    def test_restarted(self) -> None:
        """When the room goes on in another process, its players have their points, and the mole moves on."""
        harness = self.demo()
        ann = harness.client().join("mole", name="ann")
        harness.advance(1.5)
        ann.call("hit", ann.state.mole)
        ann.expect("hit")
        harness.restart(ann)
        (member,) = ann.members
        self.assertEqual(member.metas[0]["points"], 1)
        harness.advance(2)
        ann.until(lambda game: game.mole is not None)

    def test_game(self) -> None:
        """The mole moves once a second, and the first player who hits it gets a point, which all see."""
        harness = self.demo()
        ann, bob = (harness.client().join("mole", name=name) for name in ("ann", "bob"))
        self.assertIsNone(ann.state.mole)
        harness.advance(3.5)
        hole = bob.state.mole
        self.assertEqual([client.call("hit", hole) for client in (ann, bob, ann)], [True, False, False])
        self.assertEqual(bob.expect("hit"), {"by": ann.member, "hole": hole})
        late = harness.client().join("mole", name="late")
        metas = [member.metas[0] for member in late.members]
        points = {meta["name"]: meta["points"] for meta in metas}
        self.assertEqual(points, {"ann": 1, "bob": 0, "late": 0})
        self.assertEqual((late.state.holes, late.state.mole), (9, None))

    def test_noSuchHole(self) -> None:
        """There are nine holes."""
        client = self.demo().connect("/rooms/mole")
        client.send('["call",1,null,"hit",9]')
        self.assertEqual([frame[3] for frame in frames(client, "error")], ["invalidData"])

    def test_full(self) -> None:
        """Eight players play in one room, the ninth in another."""
        harness = self.demo()
        rooms = [frames(harness.connect("/rooms/mole"), "joined")[0][2] for _ in range(9)]
        self.assertEqual([rooms.count(room) for room in dict.fromkeys(rooms)], [8, 1])


class EchoTests(DemoTestCase):
    """/echo"""

    def test_kinds(self) -> None:
        """Text is sent back as text and binary as binary, to the sender only."""
        harness = self.demo()
        client, other = harness.connect("/echo"), harness.connect("/echo")
        for message in ("schön", b"\x00\xff", "", b""):
            client.send(message)
        self.assertEqual(client.received, ["schön", b"\x00\xff", "", b""])
        self.assertEqual(other.received, [])

    def test_slowReader(self) -> None:
        """A client that sends and does not read loses nothing, and little is buffered for it."""
        harness = self.demo()
        client = harness.connect("/echo")
        connection = harness.connectionOf(client)
        client.stall()
        sent = [f"{number:06}" * 1000 for number in range(200)]
        for message in sent:
            client.send(message)
        self.assertLess(connection.bufferedAmount, 2 * harness.server.options.highWaterMark)
        client.unstall()
        harness.advance(1)
        self.assertEqual(client.received, sent)

    def test_large(self) -> None:
        """A message of 16 MiB is sent back if `maxPayload` allows it, whatever `maxBackpressure` is."""
        harness = self.demo(maxPayload=16 * MIB)
        client = harness.connect("/echo")
        message = bytes(16 * MIB)
        client.send(message)
        harness.advance(1)
        self.assertEqual(len(client.received), 1)
        self.assertTrue(client.received[0] == message)

    def test_largeAfterSmall(self) -> None:
        """A message that is too long to be queued behind others is sent after them."""
        harness = self.demo(maxPayload=4 * MIB)
        client = harness.connect("/echo")
        client.stall()
        client.send("small" * 2000)
        client.send("large" * 500_000)
        client.send("end")
        client.unstall()
        harness.advance(1)
        self.assertEqual([message[:5] for message in client.received], ["small", "large", "end"])

    def test_lostBeforeSent(self) -> None:
        """A client that leaves while its echo is queued leaves nothing behind and causes no error."""
        harness = self.demo(maxPayload=4 * MIB)
        client = harness.connect("/echo")
        client.stall()
        client.send("small" * 2000)
        client.send("large" * 500_000)
        client.drop()
        harness.flush()
        self.assertEqual(harness.server.connections, [])


class BroadcastTests(DemoTestCase):
    """/broadcast"""

    def test_everyone(self) -> None:
        """Every message is sent to all connections of this path, including the sender's, and to no others."""
        harness = self.demo()
        ann, bob, other = (harness.connect(path) for path in ("/broadcast", "/broadcast", "/echo"))
        ann.send("hello")
        bob.send(b"\x01")
        self.assertEqual(ann.received, ["hello", b"\x01"])
        self.assertEqual(bob.received, ["hello", b"\x01"])
        self.assertEqual(other.received, [])

    def test_left(self) -> None:
        """A connection that was closed causes no error."""
        harness = self.demo()
        ann, bob = harness.connect("/broadcast"), harness.connect("/broadcast")
        bob.close()
        ann.send("hello")
        self.assertEqual((ann.received, bob.received), (["hello"], []))


class LobbyTests(DemoTestCase):
    """The rooms are open to everybody."""

    def test_crowd(self) -> None:
        """Thirteen connections with sixteen rooms each leave enough rooms for others."""
        harness = self.demo()
        crowd = [harness.client(peer=f"192.0.2.{number}") for number in range(13)]
        for client in crowd:
            for number in range(16):
                client.create("mole" if number % 2 else "chat", topic=f"{number}")
        self.assertEqual(len(harness.server.rooms.rooms), 208)
        newcomer = harness.client()
        self.assertEqual(newcomer.create("chat", topic="mine").name, "chat")
        self.assertEqual(newcomer.join("mole").name, "mole")

    def test_oneAddress(self) -> None:
        """One address can create only a limited number of rooms, however many connections it has."""
        harness = self.demo()
        made = refused = 0
        for _ in range(16):
            client = harness.client()
            for _ in range(16):
                try:
                    client.create("chat")
                    made += 1
                except RoomError as error:
                    self.assertEqual(error.code, "rateLimited")
                    refused += 1
        self.assertEqual((made, refused), (200, 56))
