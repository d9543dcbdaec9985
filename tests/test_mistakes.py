"""What is easily done wrong at first, and what is said of it then."""

from __future__ import annotations

import inspect
from linecache import getline
from typing import Any
from unittest.mock import Mock

from twisted.internet.defer import inlineCallbacks

from tests.case import HarnessTestCase, Recorder, fired
from txroom import Application, Connection, OptionError, Room, RoomApplication, Server, ServerOptions, message
from txroom.checks import unknownNames
from txroom.client import ClientOptions
from txroom.testing import MemoryReactor


class Chat(Room):
    """A room."""


class MistakeTestCase(HarnessTestCase):
    """Mistakes of whoever writes a server."""

    def setUp(self) -> None:
        super().setUp()
        self.server = Server(clock=MemoryReactor())

    def says(self, kind: type[Exception], function: Any, *args: Any, **more: Any) -> str:
        """The error, which must be of that kind."""
        return str(self.assertRaises(kind, function, *args, **more))


class NameTests(MistakeTestCase):
    """Options and hooks with a wrong name."""

    def test_nearest(self) -> None:
        """The name that was meant is shown, if there is one that is near."""
        known = ["maxPayload", "onMessage"]
        self.assertEqual(unknownNames(["onMessage"], known), "")
        self.assertEqual(unknownNames(["max_payload"], known), "max_payload (did you mean maxPayload?)")
        self.assertEqual(
            unknownNames(["zebra", "onMesage"], known), "onMesage (did you mean onMessage?), zebra"
        )

    def test_options(self) -> None:
        """Wherever options are given."""
        meant = "no such option: maxPaylod (did you mean maxPayload?)"
        wrong = {"maxPaylod": 1}
        self.assertEqual(self.says(TypeError, ServerOptions, **wrong), meant)
        self.assertEqual(self.says(TypeError, ClientOptions, **wrong), meant)
        self.assertEqual(self.says(OptionError, ServerOptions().override, wrong), meant)
        self.assertEqual(self.says(OptionError, self.server.overrideOptions, wrong), meant)

    def test_server(self) -> None:
        """A server takes its options together."""
        server: Any = Server
        self.assertEqual(
            self.says(TypeError, server, maxPayload=3),
            "maxPayload is given in the options: Server(ServerOptions(maxPayload=...))",
        )
        self.assertIn("must be ServerOptions(", self.says(TypeError, server, {"maxPayload": 3}))
        self.assertIn("unexpected keyword argument 'zebra'", self.says(TypeError, server, zebra=3))

    def test_applications(self) -> None:
        """A keyword of an application may be meant for either."""
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
    """Methods that nobody calls."""

    def warnings(self) -> list[str]:
        return [str(warning["message"]) for warning in self.flushWarnings()]

    def test_application(self) -> None:
        """A method of an application that is a hook but for case and underscores."""

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
        """The same in a class of connections."""

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

    def test_place(self) -> None:
        """The warning is shown where the class is, and that of an option where it is given."""

        class Wrong(Chat):
            def onJoined(self, client: Any, options: Any) -> None: ...

        self.server.register("chat", Wrong)
        [warning] = self.flushWarnings()
        _, line = inspect.getsourcelines(Wrong)
        self.assertEqual((warning["filename"], warning["lineno"]), (__file__, line))
        self.server.register("other", Chat, maxClient=2)
        [warning] = self.flushWarnings()
        self.assertEqual(warning["filename"], __file__)
        self.assertIn("maxClient=2", getline(__file__, warning["lineno"]))

    def test_elsewhere(self) -> None:
        """Names of other frameworks, and settings that are misspelt."""

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
        """An unknown keyword of a registration is an option, but not one that is almost a setting."""
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

    def test_noFalseAlarm(self) -> None:
        """What is called otherwise, is no method, or stands beside the hook, is nobody's mistake."""

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
        """A hook that can't be called as it will be is refused at once, with what is wanted."""

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
        """Whatever can be called so."""

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
        """A hook whose answer is needed at once can't be async: the coroutine would count as the answer."""

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
    """Methods that take messages."""

    def test_two(self) -> None:
        """Two of one type: only one of them would ever be called."""

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
        """A method of the same name takes the place of the former; one with two names is one."""

        class Base(Chat):
            @message("say")
            def say(self, client: Any) -> None: ...

        class Other(Base):
            @message("say")
            def say(self, client: Any) -> None: ...

            tell = say

        handlers = self.server.register("chat", Other).handlers
        self.assertIs(handlers["say"].function, Other.say)


class KindTests(MistakeTestCase):
    """A class where an instance is wanted, and the like."""

    def test_application(self) -> None:
        """What was meant is said."""
        add = self.server.addApplication
        self.assertEqual(
            self.says(TypeError, add, Application),
            "Application is a class: an instance is served, Application()",
        )
        for room in (Chat, Chat()):
            self.assertEqual(self.says(TypeError, add, room), "Chat is a Room: server.register('name', Chat)")
        self.assertEqual(self.says(TypeError, add, 5), "an Application is served, not 5")

    def test_room(self) -> None:
        """A room is registered by its class, after its name."""
        register = self.server.register
        self.assertIn("register the class itself, Chat", self.says(TypeError, register, "chat", Chat()))
        self.assertIn("the class comes second", self.says(TypeError, register, Chat, "chat"))
        self.assertIn("is not a subclass of Room", self.says(TypeError, register, "chat", Application))

    def test_close(self) -> None:
        """The code of a close comes before its reason."""
        app = Recorder()
        self.serve(app).connect("/")
        close = app.connection.close
        self.assertEqual(
            self.says(TypeError, close, "bye"),
            "close code 'bye': must be a number; the reason is second: close(1000, 'bye')",
        )
        self.assertEqual(self.says(TypeError, close, 1000, b"bye"), "close reason b'bye': must be a str")
        self.assertEqual(app.connection.readyState, 1)

    def test_endpoint(self) -> None:
        """What is wrong with the description of an endpoint."""
        for where, why in {
            "tcp:foo": "'foo' is not a number",
            "tcp": "port is missing",
            "tcp:80:intrface=x": "there is no argument intrface",
            "tcp:80:port=81": "argument port is given twice",
            "systemd:domain:INET:index:0": "too many arguments",
            "nosuch:1": "Unknown endpoint type: 'nosuch'",
        }.items():
            self.assertEqual(self.says(ValueError, self.server.listen, where), f"{where}: {why}")
        self.assertFalse(self.server.hasListeners)
        self.assertEqual(fired(self.server.listen("tcp:80")), [])
