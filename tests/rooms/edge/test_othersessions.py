"""Sessions for clients that speak another protocol than txroom's own: `RoomApplication.sessionFor`."""

from __future__ import annotations

from typing import Any

from tests.rooms.case import NotingRoom, RoomTestCase, onBothEngines
from txroom import Client, CloseCode, Connection, Handshake, History, Prepared, RoomApplication, message
from txroom.protocol.errors import BadFrame, NotWellFormed
from txroom.rooms.contract.commands import Leave, Send
from txroom.rooms.contract.items import Item, Message
from txroom.rooms.edge.framesession import FrameSession
from txroom.rooms.edge.matchmaker import JoinMethod
from txroom.rooms.edge.session import MAX_ROOMS, RoomSession


class LineDialect:
    """``type data`` both ways, with data in JSON; clients get messages, and nothing else."""

    isJSON = True

    def __init__(self) -> None:
        self.framed: list[str] = []

    def decode(self, message: str | bytes) -> Send | Leave:
        if not isinstance(message, str):
            raise NotWellFormed("text")
        if message == "bye":
            return Leave(1)
        type, _, data = message.partition(" ")
        return Send(type, data.encode())

    def frame(self, item: Item) -> Prepared | None:
        self.framed.append(type(item).__name__)
        if type(item) is not Message or item.type == "secret":
            return None
        return Prepared(f"{item.type} {item.data.decode('latin-1')}")

    def closeCode(self, code: int) -> int:
        return 3000 + code % 1000


class LineSession(RoomSession):
    """One client, in one room: of its path, or the lobby, in which it is without asking."""

    def begin(self) -> None:
        """Join the lobby."""
        self.requestJoin(JoinMethod.JOIN_OR_CREATE, "chat", {"lobby": "1"}, None)

    def received(self, message: str | bytes) -> None:
        if self.isMute:
            return
        try:
            frame = self.dialect.decode(message)
        except BadFrame as error:
            self.close(CloseCode.MISUSE, error.message)
            return
        room = None if self.attachmentOf(None) is not None else next(iter(self.rooms), None)
        self.submit(room, None, frame)


class Lines(RoomApplication):
    """Lines at /rooms/line-…, and txroom's own protocol anywhere else."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.dialect = LineDialect()
        self.asked: list[str] = []

    def roomNameOf(self, handshake: Handshake) -> str | None:
        name = super().roomNameOf(handshake)
        return name.removeprefix("line-") if name else name

    def sessionFor(self, connection: Connection) -> RoomSession:
        path = connection.handshake.path
        self.asked.append(path)
        if path.endswith("/line-"):
            session = LineSession(self.services, connection, self.dialect)
            session.begin()
            return session
        if "/line-" in path:
            return LineSession(self.services, connection, self.dialect)
        return super().sessionFor(connection)


class Talk(NotingRoom):
    """Says some things."""

    history = History(onJoin=10)

    @message("whisper")
    def whisper(self, client: Client, data: Any) -> None:
        self.broadcast("secret", data)
        self.broadcast("said", data)

    @message("fail")
    def fail(self, client: Client) -> None:
        client.kick("enough")


@onBothEngines
class OtherSessionTests(RoomTestCase):
    """Two protocols in one room."""

    app: Lines

    def setUp(self) -> None:
        super().setUp()
        self.rooms(Talk, app=Lines())

    def line(self, path: str = "/rooms/line-chat") -> Any:
        client = self.harness.connect(path)
        self.settle()
        return client

    def say(self, client: Any, text: str) -> None:
        client.send(text)
        self.settle()

    def test_together(self) -> None:
        """Clients of both are members of the same room, and hear one another; each gets its own frames."""
        ada, bob = self.line(), self.joined()
        self.say(ada, 'say "hello"')
        self.assertEqual([frame[3:] for frame in bob.take("msg")], [["said", "hello"]])
        bob.send("say", "hi")
        self.assertEqual(ada.received, ["said \xa5hello", "said \xa2hi"])
        self.assertEqual(len(self.room().clients), 2)
        self.assertEqual(self.app.asked, ["/rooms/line-chat", "/rooms"])

    def test_framedOnce(self) -> None:
        """An item is asked for once, however many get it, and also if they get nothing of it."""
        ada, bob = self.line(), self.line()
        self.app.dialect.framed.clear()
        self.say(ada, 'whisper "x"')
        self.assertEqual(ada.received + bob.received, ["said \xa1x"] * 2)
        self.assertEqual(self.app.dialect.framed, ["Message"] * 2)

    def test_history(self) -> None:
        """What is shown to somebody who joins is one item each; those without a frame are left out."""
        self.say(self.line(), 'whisper "x"')
        self.app.dialect.framed.clear()
        bob = self.line()
        self.assertEqual(bob.received, ["said \xa1x"])
        self.assertNotIn("Replay", self.app.dialect.framed)

    def test_closeCode(self) -> None:
        """Connections are closed with the codes of the dialect."""
        ada, bob, cyd = self.line(), self.line(), self.line()
        self.say(ada, "fail")
        self.say(bob, "bye")
        cyd.send(b"\x00")
        self.settle()
        self.assertEqual([each.closeCode for each in (ada, bob, cyd)], [3003, 3000, 3010])
        self.assertEqual(self.named("leave"), ["kicked", "left"])
        self.advance(40)
        self.assertEqual(self.named("leave"), ["kicked", "left", "dropped"])

    def test_refused(self) -> None:
        """A client that gets no seat learns it by the close code alone."""
        self.rooms(Talk, app=Lines(), maxClients=1, clientsMayCreate=True, maxRooms=1)
        self.line()
        bob = self.line()
        self.assertEqual((bob.received, bob.closeCode), ([], 3013))

    def test_slow(self) -> None:
        """So does one that is too slow."""
        ada = self.line()
        session = next(iter(self.app.sessions.values()))
        session._tooSlow()
        self.settle()
        self.assertEqual(ada.closeCode, 3102)

    def test_request(self) -> None:
        """A session may ask for a seat itself, in place of the path."""
        ada = self.line("/rooms/line-")
        self.assertEqual(self.named("join"), [{"lobby": "1"}])
        self.say(ada, 'say "hello"')
        self.assertEqual(ada.received, ["said \xa5hello"])

    def test_requests(self) -> None:
        """A session gets no more seats for its client than one of txroom's own; it is told of each."""
        self.line("/rooms/line-")
        (session,) = self.app.sessions.values()
        before = self.app.dialect.framed.count("Error")
        for _ in range(MAX_ROOMS):
            session.requestJoin(JoinMethod.CREATE, "chat", {}, None)
        self.settle()
        room = next(iter(self.app.rooms))
        self.successResultOf(session.joinById(room, {}, None))
        self.successResultOf(session.resume(room, "token", "", 0, None))
        self.settle()
        self.assertEqual(len(self.app.edge.attachments), MAX_ROOMS)
        self.assertEqual(len(self.named("join")), MAX_ROOMS)
        self.assertEqual(self.app.dialect.framed.count("Error") - before, 3)

    def test_goodbye(self) -> None:
        """The server stops: `bye` is nothing to this client, its close code is."""
        ada = self.line()
        self.app.shutDown(next(iter(self.app.connections)))
        self.settle()
        self.assertEqual((ada.received, ada.closeCode), ([], 3100))

    def test_default(self) -> None:
        """Otherwise it is a session of txroom's own protocol."""
        self.joined()
        (session,) = self.app.sessions.values()
        self.assertIsInstance(session, FrameSession)
