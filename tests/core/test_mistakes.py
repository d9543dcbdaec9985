"""
Tests for mistakes that beginners make, and for the errors and warnings about them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from linecache import getline
from typing import Any
from unittest.mock import Mock
from warnings import warn_explicit

from msgspec import Struct
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.web.resource import Resource

from tests.case import HarnessTestCase, Recorder, fired, warningsOf
from tests.rooms.case import NotingRoom, RoomTestCase
from txroom import (
    Application,
    Client,
    Connection,
    OptionError,
    Room,
    RoomApplication,
    Server,
    ServerOptions,
    message,
)
from txroom.client import ClientOptions
from txroom.core.validation import unknownNames
from txroom.rooms.owner.runner import FAILED
from txroom.testing import MemoryReactor


class Chat(Room):
    """A room."""


class MistakeTestCase(HarnessTestCase):
    """Collects errors and warnings."""

    def setUp(self) -> None:
        super().setUp()
        self.server = Server(clock=MemoryReactor())

    def says(self, kind: type[Exception], function: Any, *args: Any, **more: Any) -> str:
        """Return the text of the error, which must have that type."""
        return str(self.assertRaises(kind, function, *args, **more))


class NameTests(MistakeTestCase):
    """Misspelt options and hooks."""

    def test_nearest(self) -> None:
        """The error suggests a similar name, if there is one."""
        known = ["maxPayload", "onMessage"]
        self.assertEqual(unknownNames(["onMessage"], known), "")
        self.assertEqual(unknownNames(["max_payload"], known), "max_payload (did you mean maxPayload?)")
        self.assertEqual(
            unknownNames(["zebra", "onMesage"], known), "onMesage (did you mean onMessage?), zebra"
        )

    def test_options(self) -> None:
        """That holds wherever options are given."""
        meant = "no such option: maxPaylod (did you mean maxPayload?)"
        wrong = {"maxPaylod": 1}
        self.assertEqual(self.says(TypeError, ServerOptions, **wrong), meant)
        self.assertEqual(self.says(TypeError, ClientOptions, **wrong), meant)
        self.assertEqual(self.says(OptionError, ServerOptions().override, wrong), meant)
        self.assertEqual(self.says(OptionError, self.server.overrideOptions, wrong), meant)

    def test_server(self) -> None:
        """Options that are given to the server itself are refused with a hint."""
        server: Any = Server
        self.assertEqual(
            self.says(TypeError, server, maxPayload=3),
            "maxPayload is an option: use Server(ServerOptions(maxPayload=...))",
        )
        self.assertIn(
            "must be a ServerOptions, such as ServerOptions(", self.says(TypeError, server, {"maxPayload": 3})
        )
        self.assertIn("unexpected keyword argument 'zebra'", self.says(TypeError, server, zebra=3))

    def test_applications(self) -> None:
        """A keyword of an application may be a misspelt hook or option."""
        for kind in (Application, RoomApplication):
            self.assertEqual(
                self.says(OptionError, kind, onMesage=print),
                "no such hook or option: onMesage (did you mean onMessage?)",
            )
            self.assertEqual(
                self.says(OptionError, kind, pinginterval=1),
                "no such hook or option: pinginterval (did you mean pingInterval?)",
            )


class HookTests(MistakeTestCase):
    """Methods that are never called."""

    def warnings(self) -> list[str]:
        return [str(warning["message"]) for warning in warningsOf(self)]

    def test_garbage(self) -> None:
        """A warning that an earlier test has left a file open is not counted."""
        warn_explicit("unclosed file", ResourceWarning, __file__, 1)
        self.assertEqual(self.warnings(), [])
        [warning] = self.flushWarnings()
        self.assertEqual(warning["category"], ResourceWarning)

    def test_application(self) -> None:
        """A method of an application that differs from a hook in case and underscores."""

        class Wrong(Application):
            def on_message(self, connection: Connection, message: Any) -> None: ...
            def onconnect(self, connection: Connection) -> None: ...
            def verify_client(self, handshake: Any) -> bool:
                return False

        self.server.addApplication(Wrong())
        self.assertEqual(
            self.warnings(),
            [
                "Wrong.on_message is never called: the hook is onMessage; "
                "Wrong.onconnect is never called: the hook is onConnect; "
                "Wrong.verify_client is never called: the hook is verifyClient",
            ],
        )

    def test_connection(self) -> None:
        """The same in a connection class."""

        class Wrong(Connection):
            def onmessage(self, message: Any) -> None: ...

        self.server.addApplication(Application(connectionClass=Wrong))
        self.assertEqual(self.warnings(), ["Wrong.onmessage is never called: the hook is onMessage"])

    def test_room(self) -> None:
        """The same in a room."""

        class Wrong(Chat):
            def on_join(self, client: Any, options: Any) -> None: ...
            def canjoin(self, options: Any, user: Any) -> bool:
                return False

        self.server.register("chat", Wrong)
        self.assertEqual(
            self.warnings(),
            [
                "Wrong.on_join is never called: the hook is onJoin; "
                "Wrong.canjoin is never called: the hook is canJoin",
            ],
        )

    def test_letters(self) -> None:
        """Letters that are swapped."""

        class Wrong(Chat):
            def onJion(self, client: Any, options: Any) -> None: ...
            def onAtuh(self, client: Any, options: Any, handshake: Any) -> bool:
                return False

        self.server.register("chat", Wrong)
        self.assertEqual(
            self.warnings(),
            [
                "Wrong.onJion is never called: the hook is onJoin; "
                "Wrong.onAtuh is never called: the hook is onAuth"
            ],
        )

    def test_place(self) -> None:
        """The warning is located at the class; the error about an option is located at the call."""

        class Wrong(Chat):
            def onJoined(self, client: Any, options: Any) -> None: ...

        self.server.register("chat", Wrong)
        [warning] = warningsOf(self)
        _, line = inspect.getsourcelines(Wrong)
        self.assertEqual((warning["filename"], warning["lineno"]), (__file__, line))
        self.server.register("other", Chat, maxClient=2)
        [warning] = warningsOf(self)
        self.assertEqual(warning["filename"], __file__)
        self.assertIn("maxClient=2", getline(__file__, warning["lineno"]))

    def test_elsewhere(self) -> None:
        """Names of other frameworks, and misspelt settings."""

        class Wrong(Chat):
            maxClient = 4
            tickrate = 20
            seatReservationTime = 5

            def onDisconnect(self, client: Any) -> None: ...
            def requestJoin(self, options: Any) -> bool:
                return False

        self.server.register("chat", Wrong)
        self.assertEqual(
            self.warnings(),
            [
                "Wrong.maxClient is never read: the setting is maxClients; "
                "Wrong.tickrate is never read: the setting is tickRate; "
                "Wrong.seatReservationTime is never read: the setting is seatSeconds; "
                "Wrong.onDisconnect is never called: the hook is onDrop or onLeave; "
                "Wrong.requestJoin is never called: the hook is canJoin"
            ],
        )

    def test_optionsOfRooms(self) -> None:
        """An unknown keyword of a registration is a room's option, unless it is similar to a setting."""
        options = {"maxClient": 2, "resumeSecond": 3, "topic": "x", "maxPlayersPerTeam": 2}
        registration = self.server.register("chat", Chat, **options)
        self.assertEqual(registration.options, options)
        own = "is an option of your own: the setting is"
        self.assertEqual(
            self.warnings(),
            [
                f"register('chat', maxClient=...) {own} maxClients",
                f"register('chat', resumeSecond=...) {own} resumeSeconds",
            ],
        )
        self.server.register("other", Chat, maxRoom=2, clientMayCreate=False, filterBy="mode")
        self.assertEqual(
            self.warnings(),
            [
                f"register('other', maxRoom=...) {own} maxRooms",
                f"register('other', clientMayCreate=...) {own} clientsMayCreate",
                "register('other', filterBy=...) is an option of your own: register(...).filterBy(...)",
            ],
        )

    def test_noFalseAlarm(self) -> None:
        """
        There is no warning of methods that are called, of other attributes, or if the hook itself exists.
        """

        class Right(Application):
            on_close = None
            ondisconnect = ()

            def onMessage(self, connection: Connection, message: Any) -> None:
                self.on_message(connection, message)

            def on_message(self, connection: Connection, message: Any) -> None: ...
            def onMessages(self) -> None: ...

        class Fine(Chat):
            @message("leave")
            def on_leave(self, client: Any) -> None: ...

            @message("onLeft")
            def onLeft(self, client: Any) -> None: ...

            def onDrop(self, client: Any) -> None:
                self.onDisconnect(client)

            def onDisconnect(self, client: Any) -> None: ...
            def onMove(self) -> None: ...
            def user_id(self) -> None: ...

            maxClients = 4
            teams = 2
            players = ()

        self.server.addApplication(Right())
        self.server.addApplication(Recorder())
        self.server.register("chat", Fine)
        self.assertEqual(self.warnings(), [])

    def test_signatures(self) -> None:
        """A hook with wrong parameters is refused at once, and the error shows the right ones."""

        class Join(Chat):
            def onJoin(self, client: Any) -> None: ...  # type: ignore[override]

        class Tick(Chat):
            async def onTick(self) -> None: ...  # type: ignore[override]

        class Leave(Chat):
            def onLeave(self, client: Any, reason: Any, code: int) -> None: ...  # type: ignore[override]

        class Create(Chat):
            @staticmethod
            def onCreate(room: Any, options: Any) -> None: ...  # type: ignore[override]

        class UserId(Chat):
            def userId(self, user: Any, *, name: str) -> str: ...  # type: ignore[override, empty-body]

        for kind, wanted in {
            Join: "onJoin(self, client, options)",
            Tick: "onTick(self, seconds)",
            Leave: "onLeave(self, client, reason)",
            Create: "onCreate(self, options)",
            UserId: "userId(self, user)",
        }.items():
            hook = wanted.partition("(")[0]
            self.assertEqual(
                self.says(TypeError, self.server.register, "chat", kind),
                f"{kind.__name__}.{hook} can't be called as it will be: def {wanted}",
            )

    def test_signaturesThatFit(self) -> None:
        """Anything that can be called with the arguments is accepted."""

        def logged(hook: Any) -> Any:
            return lambda *args: hook(*args)

        class Fine(Chat):
            onDispose = Mock()

            def onJoin(self, *args: Any) -> None: ...
            def onLeave(self, who: Any, why: Any, more: int = 5) -> None: ...
            @logged
            def onDrop(self) -> None: ...
            @staticmethod
            def onCreate(options: Any) -> None: ...
            @classmethod
            def canJoin(cls, options: Any, user: Any) -> bool:
                return True

            @inlineCallbacks
            def onResume(self, client: Any, recovered: bool) -> Any:
                yield

        self.server.register("chat", Fine)

    def test_atOnce(self) -> None:
        """A hook whose result is needed at once can't be async, because the coroutine would be its result."""

        class Snapshot(Chat):
            async def snapshot(self, client: Any) -> Any: ...

        class UserId(Chat):
            async def userId(self, user: Any) -> Any: ...  # type: ignore[override]

        for kind, hook in ((Snapshot, "snapshot"), (UserId, "userId")):
            self.assertEqual(
                self.says(TypeError, self.server.register, "chat", kind),
                f"{kind.__name__}.{hook} can't be async: its answer is needed at once",
            )


class HandlerTests(MistakeTestCase):
    """Methods that handle messages."""

    def test_two(self) -> None:
        """Two handlers of one type are refused, because only one would ever be called."""

        class Base(Chat):
            @message("say")
            def say(self, client: Any) -> None: ...

        class Twice(Base):
            @message("say")
            def shout(self, client: Any) -> None: ...

        told = self.says(TypeError, self.server.register, "chat", Twice)
        where = "HandlerTests.test_two.<locals>."
        self.assertEqual(
            told, f"two handlers of messages of type 'say': {where}Base.say and {where}Twice.shout"
        )

    def test_overridden(self) -> None:
        """A method with the same name replaces the inherited one; a handler may have two types."""

        class Base(Chat):
            @message("say")
            def say(self, client: Any) -> None: ...

        class Other(Base):
            @message("say")
            def say(self, client: Any) -> None: ...

            tell = say

        handlers = self.server.register("chat", Other).handlers
        self.assertIs(handlers["say"].function, Other.say)

    def test_kept(self) -> None:
        """
        An override is still a handler without a decorator of its own; its own decorator replaces the
        inherited one.
        """

        class Base(Chat):
            @message("say")
            def say(self, client: Any) -> None: ...
            @message("tell")
            def tell(self, client: Any) -> None: ...

        class Other(Base):
            def say(self, client: Any) -> None: ...
            @message("shout")
            def tell(self, client: Any) -> None: ...

        handlers = self.server.register("chat", Other).handlers
        self.assertEqual(
            {kind: each.function for kind, each in handlers.items()}, {"say": Other.say, "shout": Other.tell}
        )

    def refused(self, handler: Any, kind: str = "say") -> str:
        """Return the error when a room with that handler is registered."""
        return self.says(TypeError, self.server.register, "chat", self.roomWith(handler, kind))

    def roomWith(self, handler: Any, kind: str = "say") -> type[Room]:
        return type("Wrong", (Chat,), {handler.__name__: message(kind)(handler), "__module__": __name__})

    def test_noClient(self) -> None:
        """A handler without a client parameter is refused, because it would get the client as its data."""

        def say(self: Any, text): ...
        def roll(self: Any, sides: int): ...
        def hit(self: Any, data: Any, client): ...
        def swap(self: Any, hole, client): ...
        def pick(self: Any, pick): ...
        def give(self: Any, items: list[Client]): ...
        def none(self: Any): ...
        def four(self: Any, client, data, more): ...
        def keyword(self: Any, client, *, data): ...

        hit.__annotations__.pop("data")
        for handler, name in {say: "text", roll: "sides", hit: "data", swap: "hole", give: "items"}.items():
            self.assertIn(
                f"{handler.__name__}: its first argument is the client, not {name}: ", self.refused(handler)
            )
        self.assertIn("not pick: def pick(self, client)", self.refused(pick, "pick"))
        for handler in (none, four):
            self.assertIn("a handler takes the client, and the data if it needs it", self.refused(handler))
        self.assertIn(
            "keyword: a handler is called with client and data, without data", self.refused(keyword)
        )

    def test_clientOfAnyName(self) -> None:
        """The parameter may have any name."""
        later: Any = "OnlyForTypeCheckers"

        def say(self: Any, player): ...
        def tell(self: Any, c): ...
        def none(self: Any, _who): ...
        def any(self: Any, dude: Any): ...
        def one(self: Any, dude: Client | None, hole: int): ...
        def known(self: Any, dude, hole): ...
        def more(self: Any, *args): ...
        def unknown(self: Any, dude, text: str): ...

        unknown.__annotations__["dude"] = later
        for number, handler in enumerate((say, tell, none, any, one, known, more, unknown)):
            registration = self.server.register(f"chat{number}", self.roomWith(handler))
            self.assertEqual(registration.handlers["say"].takesData, handler in (one, known, more, unknown))
        self.assertEqual(warningsOf(self), [])

    def test_perhapsNoClient(self) -> None:
        """If it is not certain, there is a warning."""

        def hit(self: Any, hole): ...

        self.server.register("chat", self.roomWith(hit))
        [warning] = warningsOf(self)
        self.assertIn(
            "hit is called with the client as hole; to receive the data: def hit(self, client, data)",
            warning["message"],
        )

    def test_annotations(self) -> None:
        """An annotation that no data can match, at any depth, is an error when the class is registered."""

        class Point:
            """Neither a Struct nor a dataclass."""

        class Move(Struct):
            to: list[Point]

        unknown: Any = "Nix"
        for kind, told in {
            Point: "data of clients is never a Point; make it a msgspec.Struct or a dataclass",
            list[Point]: "data of clients is never a Point",
            Move: "Point",
            Client: "data of clients is never a Client",
            complex: "data of clients is never a complex",
            unknown: "name 'Nix' is not defined",
        }.items():

            def say(self: Any, client, data): ...

            say.__annotations__["data"] = kind
            said = self.refused(say)
            self.assertIn("say: data can't be checked against this annotation: ", said)
            self.assertIn(told, said)
        for kind in (object, Iterable[int], dict[str, int], int | None, "int"):

            def tell(self: Any, client, data): ...

            tell.__annotations__["data"] = kind
            self.server.register(str(kind)[:30], self.roomWith(tell))

    def test_names(self) -> None:
        """A handler must not replace a method, property, hook or setting of Room."""
        for name in ("broadcast", "lock", "members", "client", "onJoin", "presence", "clock"):

            def handler(self: Any, client: Any, data: Any) -> None: ...

            handler.__name__ = name
            said = self.refused(handler, "move")
            self.assertIn(f"Wrong.{name}", said)
            self.assertIn(f"Room.{name}", said)
            self.assertIn("@message('move') may be a method of any name, such as onMove", said)

        def snapshot(self: Any, client: Any) -> None: ...

        self.assertIn("Wrong.snapshot hides Room.snapshot", self.refused(snapshot, "look"))

    def test_attributes(self) -> None:
        """An attribute of the class or of the room must not replace a member of Room."""

        for name, value in {
            "members": {},
            "id": "7",
            "name": "x",
            "broadcast": 5,
            "snapshot": {},
            "onTick": 20,
        }.items():
            wrong = type("Wrong", (Chat,), {name: value})
            self.assertIn(f"Room.{name}", self.says(TypeError, self.server.register, "chat", wrong))

        class Fine(Chat):
            onDispose = Mock()
            group = property(lambda self: "g")

            def lock(self) -> None:
                super().lock()

            @property
            def clients(self) -> Any:
                return super().clients

        self.server.register("chat", Fine)

    def test_message(self) -> None:
        """The decorator needs a type."""
        self.assertIn("write @message('say')", self.says(TypeError, message, lambda self, client: None))


class AssignedTests(MistakeTestCase):
    """Hooks that are assigned to attributes."""

    def warnings(self) -> list[str]:
        return [str(warning["message"]) for warning in warningsOf(self)]

    def test_application(self) -> None:
        """A value that can't be called is refused; a misspelt name causes a warning."""
        app: Any = Application()
        self.assertIn("onMessage=5: must be callable", self.says(TypeError, setattr, app, "onMessage", 5))
        app.onMesage = print
        app.verifyclient = print
        self.assertEqual(
            self.warnings(),
            [
                "Application.onMesage is never called: the hook is onMessage",
                "Application.verifyclient is never called: the hook is verifyClient",
            ],
        )
        app.onMessage = app.onConnect = print
        app.onMessage = None
        app.onConnected, app.helper, app.onGreen = print, print, 5
        self.assertEqual(self.warnings(), [])

    def test_connection(self) -> None:
        """The same for a connection."""
        app = Recorder()
        self.serve(app).connect("/")
        connection: Any = app.connection
        self.assertIn("onText=5: must be callable", self.says(TypeError, setattr, connection, "onText", 5))
        connection.onTxt = print
        connection.onText = print
        connection.onTexts = print
        self.assertEqual(self.warnings(), ["Connection.onTxt is never called: the hook is onText"])

    def test_server(self) -> None:
        """The same for a server, which does not have the hooks of applications."""
        server: Any = self.server
        self.assertIn("onClose=5: must be callable", self.says(TypeError, setattr, server, "onClose", 5))
        self.assertEqual(
            self.says(TypeError, setattr, server, "onMessage", print),
            "Server.onMessage is never called: it is a hook of applications; use Application(onMessage=...)",
        )
        server.onConection = print
        self.assertEqual(self.warnings(), ["Server.onConection is never called: the hook is onConnection"])

        class Wrong(Server):
            def onListenning(self, port: Any) -> None: ...
            def verifyClient(self, handshake: Any) -> bool:
                return False

        Wrong(clock=MemoryReactor())
        self.assertEqual(
            self.warnings(),
            [
                "Wrong.onListenning is never called: the hook is onListening; "
                "Wrong.verifyClient is never called: it is a hook of applications"
            ],
        )


class RoomTests(RoomTestCase):
    """Arguments of a room's methods."""

    def says(self, kind: type[Exception], function: Any, *args: Any, **more: Any) -> str:
        return str(self.assertRaises(kind, function, *args, **more))

    def setUp(self) -> None:
        super().setUp()
        self.rooms()
        self.ada = self.joined()
        self.chat: Any = self.room()
        self.client: Any = self.chat.clients[0]

    def test_ids(self) -> None:
        """A client in place of an id, and an id in place of a client."""
        id = self.client.id
        for name in ("to", "exclude"):
            for wrong in (id, [id], [self.client, id]):
                said = self.says(TypeError, self.chat.broadcast, "said", 1, **{name: wrong})
                self.assertIn(id, said)
                self.assertIn("client", said)
        self.assertIn(
            "a string names a group, for one client use to=client",
            self.says(TypeError, self.chat.broadcast, "said", to=id),
        )
        self.client.enter(id)
        self.chat.broadcast("said", "to a group that is called so", to=id)
        self.chat.broadcast("said", "to a group of nobody", to="nobody")
        self.assertIn("room.client(id)", self.says(TypeError, self.chat.kick, id))
        self.assertIn("id=<Client", self.says(TypeError, self.chat.client, self.client))
        self.assertIn("name=5: must be a string", self.says(TypeError, self.chat.group, 5))
        self.settle()
        self.assertEqual(self.ada.said(), ["to a group that is called so"])

    def test_assigned(self) -> None:
        """An attribute that replaces a method is refused, because only clients would notice, and late."""
        for name in ("snapshot", "broadcast", "onJoin", "lock", "userId"):
            said = self.says(TypeError, setattr, self.chat, name, {"a": 1})
            what = f"NotingRoom.{name}={{'a': 1}} hides Room.{name}()"
            self.assertEqual(said, f"{what}, which rooms have; choose another name")
        self.assertIn("_host=5: txroom uses this name", self.says(TypeError, setattr, self.chat, "_host", 5))
        self.chat.snapshot = lambda client: {"a": 1}
        self.chat.cards = self.chat.players = [1]
        self.assertEqual(self.player().join()[3]["snapshot"], {"a": 1})
        self.assertRaises(AttributeError, setattr, self.chat, "clients", [])

    def test_assignedSettings(self) -> None:
        """A misspelt setting that is assigned, and a name of the class itself."""
        self.chat.maxclients = 4
        self.chat.tick_rate = 20
        self.chat.handlers = self.chat.tickRateOfAll = 1
        self.assertEqual(
            [warning["message"] for warning in warningsOf(self)],
            [
                "NotingRoom.maxclients is never read: the setting is maxClients",
                "NotingRoom.tick_rate is never read: the setting is tickRate",
            ],
        )

        class Own(NotingRoom):
            maxclients = 0

        self.rooms(Own)
        self.player().join()
        [room] = self.app.rooms.values()
        warningsOf(self)  # of the class
        room.maxclients = 4
        self.assertEqual(warningsOf(self), [])

    def test_forgottenAwait(self) -> None:
        """A result that was not awaited, or can't be sent, is named with its field."""

        class Card(Struct):
            owner: Any

        async def later() -> int:
            return 1

        def says(send: Any, *args: Any) -> str:
            return self.says(TypeError, send, *args)

        wrong: Any
        for wrong, kind in ((later(), "coroutine"), (Deferred(), "Deferred")):
            for data, path in (
                (wrong, "data"),
                ({"score": wrong}, "data.score"),
                ([1, {"cards": ({"x": "y"}, wrong)}], "data[1].cards[1]"),
                ({"card": Card(wrong)}, "data.card.owner"),
            ):
                said = f"{path} is a {kind}: await it"
                self.assertIn(said, says(self.chat.broadcast, "said", data))
                self.assertIn(said, says(self.client.send, "said", data))
            said = says(self.chat.setMetadata, {"score": wrong})
            self.assertIn(f"metadata.score is a {kind}: await it", said)
            said = says(setattr, self.client, "meta", {"score": wrong})
            self.assertIn(f"meta.score is a {kind}: await it", said)
            if kind == "coroutine":
                wrong.close()

        def answer(client: Any, data: Any) -> Any:
            return {"score": Deferred()}

        handlers = self.chat._host.registration.handlers
        self.patch(handlers["say"], "function", lambda room, *args: answer(*args))
        self.assertEqual(self.ada.call("say", 1)[3], "internal")
        [failure] = self.flushLoggedErrors(TypeError)
        self.assertIn("answer.score is a Deferred: await it", str(failure.value))
        self.assertIn("data.who is <Client", says(self.chat.broadcast, "said", {"who": self.client}))
        self.assertIn("data[0] is <NotingRoom", says(self.chat.broadcast, "said", [self.chat]))
        self.settle()
        self.assertEqual(self.ada.said(), [])

    def test_matchmaking(self) -> None:
        """Wrong metadata and options of rooms."""
        self.assertIn("must be a mapping", self.says(TypeError, self.chat.setMetadata, "x"))
        self.assertIn("must be True or False", self.says(TypeError, self.chat.setPrivate, "no"))

    def test_clock(self) -> None:
        """Wrong times, and results of calls in place of functions."""
        clock = self.chat.clock
        for wrong in ("1", -1, float("nan"), float("inf"), None, True):
            for function in (clock.callLater, clock.every):
                self.assertIn(
                    f"seconds={wrong!r}: must be a number of seconds",
                    self.says(ValueError, function, wrong, print),
                )
            self.assertIn(f"seconds={wrong!r}: must be", self.says(ValueError, clock.sleep, wrong))
        self.assertIn("seconds=0: must be", self.says(ValueError, clock.every, 0, print))
        for function in (clock.callLater, clock.every):
            self.assertIn(
                "function=None: must be a function; pass it without ()",
                self.says(TypeError, function, 1, None),
            )
        self.assertEqual(len(clock._timers._timers), 0)

    def test_server(self) -> None:
        """Names and ids that a server passes."""
        rooms: Any = self.app
        self.assertIn("name=None: must be a string", self.says(TypeError, rooms.createRoom, None))
        self.assertIn("options='x': must be a mapping", self.says(TypeError, rooms.createRoom, "chat", "x"))
        self.assertIn("roomId=<NotingRoom", self.says(TypeError, rooms.reserveSeat, self.chat))
        self.assertIn("seconds='5'", self.says(ValueError, rooms.reserveSeat, self.chat.id, None, "5"))
        self.assertIn("name=5: must be a string", self.says(TypeError, rooms.query, 5))
        self.assertIn("listener=None", self.says(TypeError, rooms.registrations["chat"].on, "join", None))
        self.assertIn(
            "can't be called with (room, client)",
            self.says(TypeError, rooms.registrations["chat"].on, "join", lambda client: None),
        )

    def test_names(self) -> None:
        """The error names an unregistered name; with `tellErrors`, also the registered ones."""
        self.app.register("other", NotingRoom)
        player = self.player()
        said = "no rooms are registered as 'caht'"
        for kind in ("join", "joinOnly", "create", "rooms"):
            self.assertEqual(player.ask(kind, "caht", {})[3:5], ["noSuchRoom", said])
        self.assertEqual(self.result(self.app.createRoom("caht")).value.message, said)
        self.assertEqual(self.result(self.app.query("caht")).value.message, said)
        self.harness.server.tellErrors(True)
        said += "; registered: 'chat', 'other'"
        for kind in ("join", "rooms"):
            self.assertEqual(player.ask(kind, "caht", {})[4], said)
        self.assertEqual(self.result(self.app.createRoom("caht")).value.message, said)
        by = self.harness.connect("/rooms/caht")
        assert by.response is not None
        self.assertIn(said.encode(), by.response.body)
        for number in range(9):
            self.app.register(f"{number}" * 99, NotingRoom)
        said = self.result(self.app.createRoom("x" * 99)).value.message
        self.assertTrue(said.endswith(", ...") and len(said) <= 200, said)
        self.harness.server.tellErrors(False)
        self.assertNotIn("registered:", player.ask("join", "caht", {})[4])
        self.assertEqual(player.ask("joinById", "nix", {})[4], "there is no room of that id")

    def test_raised(self) -> None:
        """With `tellErrors`, clients are told what a hook or a handler has raised."""

        class Broken(NotingRoom):
            where = ""

            def __init__(self) -> None:
                super().__init__()
                self.fail("")

            def fail(self, hook: str) -> Any:
                if self.where == hook:
                    raise ValueError("secret")

            def onCreate(self, options: Any) -> None:
                self.fail("onCreate")

            def canJoin(self, options: Any, user: Any) -> bool:
                self.fail("canJoin")
                return True

            def onJoin(self, client: Client, options: Any) -> None:
                self.fail("onJoin")

            @message("say")
            def say(self, client: Client, data: Any) -> Any:
                return data if data else self.fail("say")

            @message("later")
            async def later(self, client: Client, data: Any) -> Any:
                return object() if data else self.fail("later")

        self.app.register("broken", Broken)
        for isOn in (False, True):
            self.harness.server.tellErrors(isOn)
            for hook, before in (
                ("", "the room can't be created"),
                ("onCreate", FAILED),
                ("canJoin", FAILED),
                ("onJoin", FAILED),
                ("say", FAILED),
                ("later", FAILED),
            ):
                Broken.where = hook
                player = self.player()
                answer = player.ask("create", "broken", {})
                if answer[0] == "joined":
                    answer = player.ask("call", answer[2], hook)
                told = f"Broken{'.' if hook else ''}{hook} raised ValueError: secret"
                self.assertEqual(answer[3:5], ["internal", told if isOn else before], hook)
            Broken.where = "no"
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 6)


class KindTests(MistakeTestCase):
    """A class in place of an instance, and the like."""

    def test_application(self) -> None:
        """The error says what was probably meant."""
        add = self.server.addApplication
        self.assertEqual(
            self.says(TypeError, add, Application),
            "Application is a class: give an instance, Application()",
        )
        for room in (Chat, Chat()):
            self.assertEqual(
                self.says(TypeError, add, room), "Chat is a Room: use server.register('name', Chat)"
            )
        self.assertEqual(self.says(TypeError, add, 5), "application=5: must be an Application")

    def test_connectionClass(self) -> None:
        """`connectionClass` must be a subclass of Connection."""
        wrong: Any
        for wrong in (5, Application, object()):
            said = self.says(TypeError, Application, connectionClass=wrong)
            self.assertIn("must be a subclass of Connection", said)

    def test_paths(self) -> None:
        """Wrong hosts and paths of applications and pages."""
        add: Any = self.server.addApplication
        self.assertIn("give the path by path=...", self.says(ValueError, add, Application(), "/chat"))
        self.assertIn("host=5: must be a string", self.says(TypeError, add, Application(), 5))
        self.assertIn("path=5: must be a string", self.says(TypeError, add, Application(), None, 5))
        self.assertIn(
            "must have '*' only at its end", self.says(ValueError, add, Application(), path="/x/*/y")
        )
        self.assertEqual(self.server.applications, [])

    def test_pages(self) -> None:
        """A page must be a resource of twisted.web."""
        add: Any = self.server.addPage
        self.assertIn("twisted.web.static.Data(", self.says(TypeError, add, "/", "<h1>Welcome</h1>"))
        self.assertIn("twisted.web.static.Data(", self.says(TypeError, add, "/", b"<h1>Welcome</h1>"))
        self.assertIn("page=Resource is a class: give an instance", self.says(TypeError, add, "/", Resource))
        self.assertIn("must be a resource of twisted.web", self.says(TypeError, add, "/", 5))
        self.assertIn("must not have a '*'", self.says(ValueError, add, "/*", Resource()))
        self.assertIn("must begin with '/'", self.says(ValueError, add, "index.html", Resource()))

    def test_ids(self) -> None:
        """A connection in place of its id."""
        app = Recorder()
        harness = self.serve(app)
        harness.connect("/")
        server: Any = harness.server
        for function in (server.send, server.disconnect, server.connection):
            more = ["x"] if function == server.send else []
            self.assertIn("must be a string", self.says(TypeError, function, app.connection, *more))
        self.assertIn("isOn=1: must be True or False", self.says(TypeError, server.setDebug, 1))
        self.assertIn("isOn=1: must be True or False", self.says(TypeError, server.tellErrors, 1))
        self.assertIn("callback=None: must be callable", self.says(TypeError, server.onShutdown, None))

    def test_room(self) -> None:
        """`register` needs a name and then a Room class."""
        register = self.server.register
        self.assertIn("register the class itself, Chat", self.says(TypeError, register, "chat", Chat()))
        self.assertIn("the class comes second", self.says(TypeError, register, Chat, "chat"))
        self.assertIn("is not a subclass of Room", self.says(TypeError, register, "chat", Application))

    def test_close(self) -> None:
        """`close` needs a code and then a reason."""
        app = Recorder()
        self.serve(app).connect("/")
        close = app.connection.close
        self.assertEqual(
            self.says(TypeError, close, "bye"),
            "close code 'bye': must be a number; the reason is second: close(1000, 'bye')",
        )
        self.assertEqual(self.says(TypeError, close, 1000, b"bye"), "close reason b'bye': must be a string")
        self.assertEqual(app.connection.readyState, 1)

    def test_endpoint(self) -> None:
        """Wrong descriptions of endpoints."""
        for where, why in {
            "tcp:foo": "'foo' is not a number",
            "tcp": "port is missing",
            "tcp:80:intrface=x": "unknown argument intrface",
            "tcp:80:port=81": "argument port is given twice",
            "systemd:domain:INET:index:0": "too many arguments",
            "nosuch:1": "Unknown endpoint type: 'nosuch'",
        }.items():
            self.assertEqual(self.says(ValueError, self.server.listen, where), f"{where}: {why}")
        self.assertFalse(self.server.hasListeners)
        self.assertEqual(fired(self.server.listen("tcp:80")), [])
