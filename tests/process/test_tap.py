"""
Tests for the command line: its options, the server they make, and its errors.
"""

from __future__ import annotations

import io
import os
import pwd
import sys
import textwrap
import time
from collections.abc import Callable
from importlib.metadata import version
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from unittest import SkipTest

import attrs
import msgspec
import twisted
from twisted.logger import LogLevel
from twisted.python import usage
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.case import warningsOf
from txroom import Application, OptionError, Server, ServerOptions, __version__
from txroom.http import twistedweb
from txroom.http.autobahn import AutobahnApplication
from txroom.process import monotonic, tap
from txroom.process import serving as servingModule
from txroom.process.launcher import LaunchedServer
from txroom.process.monotonic import useMonotonicClock
from txroom.process.serving import loadApp, redisEngine, serverFor
from txroom.process.settings import Settings
from txroom.process.tap import Options, flagOf, makeServer
from txroom.process.workers.parent import Workers
from txroom.process.workers.processors import usableProcessors
from txroom.testing import MemoryReactor

FIELDS = {field.name: field for field in attrs.fields(ServerOptions)}

# For each kind of option a right value, and the error of a wrong one.
KINDS: dict[str, tuple[str, Any, str, str]] = {
    "maxPayload": ("65536", 65536, "1k", "a whole number of bytes, 0 or more"),
    "maxFragments": ("0", 0, "-1", "a whole number, 0 or more"),
    "pingInterval": ("2.5", 2.5, "nan", "a finite number of seconds, 0 or more"),
    "messageRate": ("100", 100.0, "inf", "a finite number, 0 or more"),
    "autoPong": ("no", False, "0", "yes or no"),
    "requireOrigin": ("YES", True, "", "yes or no"),
    "compression": ("shared", "shared", "gzip", "'disabled', 'shared' or 'dedicated'"),
    "serverMaxWindowBits": ("9", 9, "8", "a whole number from 9 to 15"),
    "memoryLevel": ("1", 1, "10", "a whole number from 1 to 9"),
    "backlog": ("1", 1, "0", "a whole number, 1 or more"),
    "allowedOrigins": (
        "https://a.example",
        ("https://a.example",),
        "a.example",
        "origins such as 'https://example.org', without a path, or '*'",
    ),
    "trustedProxies": (
        "10.0.0.0/8",
        (ip_network("10.0.0.0/8"),),
        "10.0.0.1/8",
        "addresses, networks in CIDR notation, or 'unix' (10.0.0.1/8 has host bits set)",
    ),
}


def parse(*arguments: str, parent: usage.Options | None = None) -> Options:
    options = Options()
    options.parent = parent
    options.parseOptions(list(arguments))
    return options


class TapTestCase(SynchronousTestCase):
    """Tests that restore sys.path, and may import a module "chat" of their own."""

    def setUp(self) -> None:
        self.patch(sys, "path", list(sys.path))
        self.addCleanup(sys.modules.pop, "chat", None)

    def assertRefused(self, expected: str, call: Callable[..., Any], *args: Any) -> None:
        """Check the text of the error, which is one line."""
        error = self.assertRaises(UsageError, call, *args)
        self.assertEqual(str(error), expected)
        self.assertNotIn("\n", str(error))

    def module(self, source: str, name: str = "chat") -> str:
        """Make a directory with a module in it."""
        directory: str = self.mktemp()
        os.makedirs(directory)
        Path(directory, f"{name}.py").write_text(textwrap.dedent(source), "utf-8")
        return directory


class ServerOptionTests(TapTestCase):
    """One option for each field of `ServerOptions`."""

    def test_everyField(self) -> None:
        """Each field has an option, with its text in the help."""
        options = Options()
        help = " ".join(str(options).split())
        for field in FIELDS.values():
            self.assertIn(flagOf(field) + "=", options.longOpt)
            self.assertIn(f"--{flagOf(field)}=", help)
        self.assertIn("The longest message that a client may send, measured after inflation", help)
        self.assertIn("[bytes, default: 1048576]", help)
        self.assertIn("[seconds, default: 25]", help)
        self.assertNotIn("`", help)

    def test_longTexts(self) -> None:
        """The help does not keep the indentation of a docstring of several lines."""
        options = Options()
        options.getUsage()
        indented = [name for name, text in options.docs.items() if "  " in (text or "")]
        # Twisted's own text for --help; from Python 3.13 on, docstrings have no indentation.
        self.assertLessEqual(set(indented), {"help"})

    def test_names(self) -> None:
        """Names are written with hyphens; options that may be repeated, in the singular."""
        expected = {
            "maxPayload": "max-payload",
            "closeOnBackpressureLimit": "close-on-backpressure-limit",
            "skipUTF8Validation": "skip-utf8-validation",
            "allowedOrigins": "allowed-origin",
            "trustedProxies": "trusted-proxy",
            "threshold": "threshold",
        }
        self.assertEqual({name: flagOf(FIELDS[name]) for name in expected}, expected)

    def test_kinds(self) -> None:
        """Each kind of value is parsed."""
        for name, (right, value, _, _) in KINDS.items():
            changes = parse(f"--{flagOf(FIELDS[name])}={right}").changes
            self.assertEqual(getattr(ServerOptions().override(changes), name), value, name)

    def test_wrong(self) -> None:
        """The error names the option, the value and what is allowed."""
        for name, (_, _, wrong, allowed) in KINDS.items():
            flag = flagOf(FIELDS[name])
            self.assertRefused(f"--{flag} {wrong}: must be {allowed}", parse, f"--{flag}={wrong}")

    def test_defaults(self) -> None:
        """Options that are not given override nothing; every default can be given."""
        self.assertEqual(parse().changes, {})
        for field in FIELDS.values():
            if isinstance(field.default, tuple):
                continue
            text = str(field.default)
            if isinstance(field.default, bool):
                text = "yes" if field.default else "no"
            changes = parse(f"--{flagOf(field)}", text).changes
            self.assertEqual(changes, {field.name: field.default})

    def test_repeated(self) -> None:
        """Lists collect their values; of other options the last value counts."""
        options = parse(
            *("--allowed-origin", "https://a.example", "--allowed-origin", "https://b.example"),
            *(
                "--trusted-proxy",
                "unix",
                "--trusted-proxy",
                "::1",
                "--max-payload",
                "1",
                "--max-payload",
                "2",
            ),
        )
        made = ServerOptions().override(options.changes)
        self.assertEqual(made.allowedOrigins, ("https://a.example", "https://b.example"))
        self.assertEqual(made.trustedProxies, ("unix", ip_network("::1")))
        self.assertEqual(made.maxPayload, 2)

    def test_independent(self) -> None:
        """Two parsers share nothing."""
        parse("--max-payload", "1", "--port", "81")
        self.assertEqual((parse().changes, parse()["listen"]), ({}, []))


class OptionTests(TapTestCase):
    """Options other than those of the server."""

    def test_port(self) -> None:
        """A port is a number from 1 to 65535, not an endpoint."""
        self.assertEqual(parse("--port", "1", "-p", "65535")["listen"], [1, 65535])
        for wrong in ("0", "65536", "", "tcp:80", "80a", "-1", "٣", "9" * 5000, "80 "):
            expected = f"--port {wrong}: must be a number from 1 to 65535; for endpoints use --listen"
            self.assertRefused(expected, parse, f"--port={wrong}")

    def test_listen(self) -> None:
        """Endpoints and ports are collected in their order."""
        given = ("tcp:8080", "unix:/tmp/a", "haproxy:tcp:81")
        options = parse("--listen", given[0], "--port", "80", "--listen", given[1], "--listen", given[2])
        self.assertEqual(options["listen"], [given[0], 80, given[1], given[2]])

    def test_wrongEndpoint(self) -> None:
        """A wrong endpoint is an error when it is given."""
        for wrong, reason in {
            "nosuch:1": "Unknown endpoint type: 'nosuch'",
            "8080": "Unknown endpoint type: '8080'",
            "tcp:http": "'http' is not a number",
            "tcp": "port is missing",
            "tcp:80:nosuch=1": "unknown argument nosuch",
            "haproxy:nosuch:1": "Unknown endpoint type: 'nosuch'",
        }.items():
            self.assertRefused(f"--listen {wrong}: {reason}", parse, "--listen", wrong)

    def test_certificates(self) -> None:
        """A certificate that can't be read is an error when it is given, with the reason."""
        error = self.assertRaises(UsageError, parse, "--listen", "ssl:443:privateKey=/nosuch.pem")
        self.assertIn("No such file or directory", str(error))
        path = self.mktemp()
        Path(path).write_text("junk")
        error = self.assertRaises(UsageError, parse, "--listen", f"ssl:443:privateKey={path}")
        self.assertIn(": a certificate or key can't be used: ", str(error))

    def test_app(self) -> None:
        """A module and an attribute."""
        self.assertEqual(parse("--app", "a.b:c.d")["app"], "a.b:c.d")
        for wrong in ("chat", "chat:", ":server", ""):
            self.assertRefused(f"--app {wrong}: must be module:attribute", parse, f"--app={wrong}")

    def test_appDir(self) -> None:
        """
        The directory becomes absolute at once, because twistd changes its own; it is used with --app only.
        """
        directory = self.module("")
        before = list(sys.path)
        self.assertEqual(parse()["app-dir"], os.getcwd())
        self.assertEqual(parse("--app-dir", directory)["app-dir"], os.path.abspath(directory))
        self.assertEqual(sys.path, before)
        parse("--app", "chat:server", "--app-dir", directory)
        self.assertEqual(sys.path, [os.path.abspath(directory), *before])
        self.assertRefused("--app-dir /nosuch: no such directory", parse, "--app-dir", "/nosuch")

    def test_http(self) -> None:
        """The last of --http and --no-http counts."""
        self.assertTrue(parse()["http"])
        self.assertFalse(parse("--no-http")["http"])
        self.assertTrue(parse("--no-http", "--http")["http"])

    def test_gcThreshold(self) -> None:
        """A whole number, by default 10,000."""
        self.assertEqual(parse()["gc-threshold"], 10_000)
        self.assertEqual(parse("--gc-threshold", "0")["gc-threshold"], 0)
        for value in ("-1", "many", "1e3", ""):
            with self.assertRaisesRegex(UsageError, f"--gc-threshold {value}: must be a whole number"):
                parse("--gc-threshold", value)

    def test_logLevel(self) -> None:
        """A level of twisted.logger."""
        self.assertIsNone(parse()["log-level"])
        self.assertIs(parse("--log-level", "warn")["log-level"], LogLevel.warn)
        expected = "--log-level loud: must be one of debug, info, warn, error, critical"
        self.assertRefused(expected, parse, "--log-level", "loud")

    def test_version(self) -> None:
        """The version is printed, and nothing else happens."""
        printed = io.StringIO()
        self.patch(sys, "stdout", printed)
        for parent in (None, usage.Options()):
            error = self.assertRaises(SystemExit, parse, "--version", parent=parent)
            self.assertEqual(error.code, 0)
        line = f"txroom {version('txroom')} (Twisted {twisted.__version__})\n"
        self.assertEqual(printed.getvalue(), line * 2)
        self.assertEqual(__version__, version("txroom"))

    def test_accessLog(self) -> None:
        """The access log is off by default."""
        self.assertFalse(parse()["access-log"])
        self.assertTrue(parse("--access-log")["access-log"])

    def test_user(self) -> None:
        """The user and group that twistd changes to; the group is the user's if none is given."""
        parent = usage.Options()
        self.assertIsNone(parse().user)
        self.assertIsNone(parse(parent=parent).user)
        nobody = pwd.getpwnam("nobody")
        for given, expected in (
            ({"uid": nobody.pw_uid, "gid": None}, (nobody.pw_uid, nobody.pw_gid)),
            ({"uid": nobody.pw_uid, "gid": 7}, (nobody.pw_uid, 7)),
            ({"uid": None, "gid": 7}, (-1, 7)),
        ):
            parent.update(given)
            self.assertEqual(parse(parent=parent).user, expected)

    def test_unknownUser(self) -> None:
        """twistd can't change to a user without a name; a process may be such a user already."""
        parent = usage.Options()
        parent.update({"uid": 4_000_000_123, "gid": 7})
        self.assertRefused(
            "--uid 4000000123: there is no such user; start twistd as that user",
            lambda: parse(parent=parent).user,
        )
        self.patch(os, "getuid", lambda: 4_000_000_123)
        self.assertEqual(parse(parent=parent).user, (4_000_000_123, 7))

    def test_rest(self) -> None:
        """Other arguments are refused."""
        self.assertRefused(
            "chat: unexpected argument; there are only options, which begin with --", parse, "chat"
        )
        self.assertRefused("option --nosuch not recognized", parse, "--nosuch")

    def test_abbreviated(self) -> None:
        """Abbreviated options are refused; a value may look like one."""
        meant = "did you mean --ping-interval or --ping-timeout?"
        self.assertRefused(f"option --ping not recognized: {meant}", parse, "--ping=3")
        told = "option --por not recognized: did you mean --port?"
        self.assertRefused(told, parse, "--max-payload", "65536", "--por", "80")
        self.assertEqual(parse("--app", "--por:x")["app"], "--por:x")


class LauncherTests(TapTestCase):
    """Differences under twistd and twist."""

    def launcher(self, **known: Any) -> usage.Options:
        parent = usage.Options()
        parent.update(known)
        return parent

    def test_oneLine(self) -> None:
        """A wrong option ends the process with one line and status 1, without the whole help."""
        error = self.assertRaises(SystemExit, parse, "--port", "x", parent=self.launcher())
        self.assertTrue(str(error.code).startswith("txroom: --port x: must be a number"))

    def test_twist(self) -> None:
        """--log-level overrides twist's own option, whose value is used otherwise."""
        twist = self.launcher(logLevel=LogLevel.info)
        options = parse("--log-level", "debug", parent=twist)
        self.assertIs(twist["logLevel"], LogLevel.debug)
        self.assertFalse(options.isTwistd)
        twist = self.launcher(logLevel=LogLevel.debug)
        self.assertIs(parse(parent=twist)["log-level"], LogLevel.debug)

    def test_twistd(self) -> None:
        """Under twistd, the log is filtered by txroom."""
        self.assertTrue(parse(parent=self.launcher(nodaemon=1)).isTwistd)
        self.assertFalse(parse().isTwistd)


class LoadTests(TapTestCase):
    """--app"""

    def load(self, source: str, name: str = "chat:app") -> Any:
        sys.path.insert(0, self.module(source))
        return loadApp(name)

    def test_kinds(self) -> None:
        """A server, an application, a class, a function, or an attribute of an attribute."""
        source = """
            from txroom import Application, Server
            from txroom.testing import MemoryReactor
            class Chat(Application): ...
            app = Chat()
            server = Server(clock=MemoryReactor())
            make = lambda: server
            class config:
                app = app
        """
        directory = self.module(source)
        sys.path.insert(0, directory)
        chat = __import__("chat")
        self.assertIs(loadApp("chat:app"), chat.app)
        self.assertIs(loadApp("chat:config.app"), chat.app)
        self.assertIs(loadApp("chat:server"), chat.server)
        self.assertIs(loadApp("chat:make"), chat.server)
        self.assertIsInstance(loadApp("chat:Chat"), chat.Chat)

    def test_factory(self) -> None:
        """An Autobahn factory is served at every path, by a server that is made for it."""
        source = """
            from autobahn.twisted.websocket import WebSocketServerFactory

            app = WebSocketServerFactory(reactor=object())
        """
        directory = self.module(source)
        config = parse("--app", "chat:app", "--app-dir", directory)
        server = makeServer(config, MemoryReactor())
        (application,) = server.applications
        self.assertIsInstance(application, AutobahnApplication)
        self.assertEqual([route.path for route in server.routes], [None])
        self.assertIn("/healthz", server.pages)

    def test_noModule(self) -> None:
        """A missing module is told apart from one that can't be imported."""
        self.assertRefused("--app nosuch:app: there is no module 'nosuch'", loadApp, "nosuch:app")
        self.assertRefused("--app nosuch.a:app: there is no module 'nosuch'", loadApp, "nosuch.a:app")
        self.assertRefused("--app os.nosuch:app: there is no module 'os.nosuch'", loadApp, "os.nosuch:app")

    def test_brokenModule(self) -> None:
        """The error has the exception of the module and its place."""
        for source, reason in {
            "import nosuch": "ModuleNotFoundError: No module named 'nosuch' (",
            "from os import nosuch": "ImportError: cannot import name 'nosuch'",
            "1 / 0": "ZeroDivisionError: division by zero (",
            "raise ValueError('a\\nb')": "ValueError: a b (",
            "def f(:": "SyntaxError: invalid syntax (chat.py, line 1)",
        }.items():
            error = self.assertRaises(UsageError, self.load, source)
            self.assertTrue(str(error).startswith(f"--app chat:app: can't be imported: {reason}"), str(error))
            self.assertIn("chat.py, line 1)", str(error))
            self.assertNotIn("\n", str(error))
            sys.modules.pop("chat", None)
            sys.path.pop(0)

    def test_noAttribute(self) -> None:
        """A missing attribute is not reported as a missing module."""
        self.assertRefused("--app os:nosuch: module 'os' has no 'nosuch'", loadApp, "os:nosuch")

    def test_wrongKind(self) -> None:
        """The error names the type of any other object."""
        wanted = "a Server, an Application, a protocol factory, or a function that returns one"
        for name in ("os:sep", "os:getcwd"):
            self.assertRefused(f"--app {name}: must be {wanted}; it is of type str", loadApp, name)

    def test_room(self) -> None:
        """For a Room, the error says how to register it."""
        error = self.assertRaises(UsageError, self.load, "from txroom import Room\nclass app(Room): pass")
        self.assertEqual(
            str(error), "--app chat:app: app is a Room: use server.register('name', app) of a Server"
        )

    def test_async(self) -> None:
        """An async function is refused, and its coroutine is closed."""
        error = self.assertRaises(UsageError, self.load, "async def app(): pass")
        self.assertIn("--app chat:app: can't be async, because ", str(error))
        self.assertEqual(warningsOf(self), [])

    def test_brokenCallable(self) -> None:
        """If the callable raises, or needs arguments, the error has the place."""
        error = self.assertRaises(UsageError, self.load, "def app():\n    1 / 0")
        self.assertTrue(
            str(error).startswith("--app chat:app: calling it failed: ZeroDivisionError: division by zero (")
        )
        self.assertIn("chat.py, line 2)", str(error))
        self.assertRaises(UsageError, loadApp, "os:chdir")


class MakeServerTests(TapTestCase):
    """The server that the options make."""

    def make(self, *arguments: str, serving: Any = None) -> Server:
        self.reactor = MemoryReactor()
        if serving is not None:
            self.patch(servingModule, "loadApp", lambda name: serving)
            arguments = ("--app", "chat:app", *arguments)
        return makeServer(parse(*arguments), self.reactor)

    def pages(self, server: Server) -> set[str]:
        return set(server._gateway.pages)

    def ports(self, server: Server) -> list[str]:
        server.startService()
        self.addCleanup(server.stopService)
        hosts: list[Any] = [port.getHost() for port in server.ports]
        return [f"{type(host).__name__}:{host.port}" for host in hosts]

    def test_demo(self) -> None:
        """Without --app it is the demonstration, at port 8080 on IPv4 and IPv6."""
        server = self.make()
        self.assertEqual(self.pages(server), {"/", "/demo.css", "/demo.js", "/txroom.js", "/healthz"})
        self.assertIs(server.clock, self.reactor)
        self.assertEqual(self.ports(server), ["IPv6Address:8080"])

    def test_listen(self) -> None:
        """Given listeners replace the default."""
        ports = self.ports(self.make("--port", "81", "--listen", "tcp:82"))
        self.assertEqual(ports, ["IPv6Address:81", "IPv4Address:82"])

    def test_application(self) -> None:
        """An Application is served at every path, by a server with a health page."""
        application = Application()
        server = self.make(serving=application)
        self.assertEqual([route.application for route in server._routes], [application])
        self.assertEqual((server._routes[0].host, server._routes[0].path), (None, None))
        self.assertEqual(self.pages(server), {"/healthz"})

    def test_server(self) -> None:
        """A Server is used as it is; it gets the default listener if it has none."""
        server = Server(clock=MemoryReactor())
        self.assertIs(self.make(serving=server), server)
        self.assertEqual(self.pages(server), set())
        self.assertEqual(len(self.ports(server)), 1)

    def test_ownListener(self) -> None:
        """If the app listens by itself, the default is not used, but given listeners are."""
        server = Server(clock=MemoryReactor())
        server.listen("tcp:9000")
        self.assertEqual(self.ports(self.make(serving=server)), ["IPv4Address:9000"])
        server = Server(clock=MemoryReactor())
        server.listen("tcp:9000")
        self.assertEqual(len(self.ports(self.make("--port", "81", serving=server))), 2)

    def test_noHttp(self) -> None:
        """With --no-http there are no pages at all."""
        self.assertEqual(self.pages(self.make("--no-http")), set())
        self.assertEqual(self.pages(self.make("--no-http", serving=Application())), set())
        server = Server(clock=MemoryReactor())
        server.addHealthPage()
        self.assertEqual(self.pages(self.make("--no-http", serving=server)), set())

    def test_overrides(self) -> None:
        """The command line overrides the options of a server and of its applications."""
        server = Server(ServerOptions(maxPayload=1, pingInterval=7), clock=MemoryReactor())
        application = server.addApplication(Application(maxPayload=2, pingTimeout=3))
        self.make("--max-payload", "4", "--backlog", "5", serving=server)
        options = server._gateway.negotiatorFor(application).options
        self.assertEqual((server.options.maxPayload, server.options.pingInterval), (4, 7))
        self.assertEqual((options.maxPayload, options.pingInterval, options.pingTimeout), (4, 7, 3))
        self.assertEqual(application.overrides, {"pingTimeout": 3})

    def test_backlog(self) -> None:
        """--backlog also applies to a port of the app."""
        server = Server(clock=MemoryReactor())
        server.listen(9000)
        self.make("--backlog", "5", serving=server)
        server.startService()
        self.addCleanup(server.stopService)
        self.assertEqual(server._listeners.backlog, 5)

    def test_running(self) -> None:
        """The options of a running server can't change; a wrong option is refused."""
        server = Server(clock=MemoryReactor())
        self.assertRaises(OptionError, server.overrideOptions, {"maxPayload": -1})
        server.startService()
        self.addCleanup(server.stopService)
        self.assertRaises(RuntimeError, server.overrideOptions, {"maxPayload": 1})

    def test_domainless(self) -> None:
        """A directory without a certificate is refused; Twisted would serve without one."""
        directory = self.mktemp()
        os.makedirs(directory)
        self.assertRaises(UsageError, self.make, "--listen", f"tls:{directory}:8443")


class MakeServiceTests(TapTestCase):
    """`makeService`, which twistd and twist call."""

    def setUp(self) -> None:
        super().setUp()
        from twisted.internet import reactor

        self.reactor: Any = reactor
        # Undone after the test, because other tests in this process use time.time().
        self.patch(self.reactor, "seconds", self.reactor.seconds)
        self.patch(http.HTTPFactory, "_updateLogDateTime", http.HTTPFactory._updateLogDateTime)

    def launched(self, config: Options) -> LaunchedServer:
        service = tap.makeService(config)
        assert isinstance(service, LaunchedServer)
        return service

    def test_clock(self) -> None:
        """The reactor's clock is monotonic before the app is imported, and it is the server's clock."""
        sys.path.insert(
            0,
            self.module("""
                from txroom import Server
                from txroom.process import monotonic
                from twisted.internet import reactor
                assert reactor.seconds is monotonic.seconds
                server = Server()
            """),
        )
        service = self.launched(parse("--app", "chat:server"))
        self.assertIs(self.reactor.seconds, monotonic.seconds)
        self.assertIs(service.server.clock, self.reactor)
        self.assertIs(service.server.parent, service)

    def test_siteTime(self) -> None:
        """The access log of a user's Site still shows the time of day."""
        useMonotonicClock(self.reactor)
        clock: Any = MemoryReactor()
        site = Site(Resource(), reactor=clock)
        self.patch(http, "datetimeToLogString", lambda seconds=None: f"at {seconds}")
        self.patch(twistedweb, "datetimeToLogString", lambda seconds=None: f"at {seconds}")
        site.startFactory()
        self.assertEqual(site._logDateTime, "at None")
        site._logDateTime = ""
        clock.advance(1)
        self.assertEqual(site._logDateTime, "at None")
        site.stopFactory()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_suspended(self) -> None:
        """On Linux the clock goes on while the machine is suspended, so that a lease lapses meanwhile."""
        if not hasattr(time, "CLOCK_BOOTTIME"):
            raise SkipTest("this system has no such clock")
        self.assertLess(abs(monotonic.seconds() - time.clock_gettime(time.CLOCK_BOOTTIME)), 10)

    def test_timers(self) -> None:
        """Timers use that clock."""
        useMonotonicClock(self.reactor)
        call = self.reactor.callLater(100, lambda: None)
        self.assertLess(abs(call.getTime() - monotonic.seconds() - 100), 10)
        call.delay(10)
        self.assertLess(abs(call.getTime() - monotonic.seconds() - 110), 10)
        call.cancel()

    def test_refused(self) -> None:
        """A server that can't be made ends the process with one line."""
        error = self.assertRaises(SystemExit, tap.makeService, parse("--app", "nosuch:app"))
        self.assertEqual(error.code, "txroom: --app nosuch:app: there is no module 'nosuch'")

    def test_debug(self) -> None:
        """
        Level debug logs every event of connections; only under twistd txroom filters the log. The default is
        info, since an operator could not tell a debug without these events from one with them.
        """
        service = self.launched(parse("--log-level", "debug"))
        self.assertTrue(service.server._gateway.context.isTracing)
        self.assertIsNone(service._level)
        self.assertFalse(self.launched(parse()).server._gateway.context.isTracing)
        parent = usage.Options()
        parent["nodaemon"] = 1
        self.assertIs(self.launched(parse(parent=parent))._level, LogLevel.info)
        service = self.launched(parse("--log-level", "warn", parent=parent))
        self.assertIs(service._level, LogLevel.warn)


class WorkersOptionsTests(TapTestCase):
    """The options of workers."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", {})

    def workers(self, *args: str, parent: Any = None) -> Workers:
        reactor: Any = MemoryReactor()
        return tap.makeWorkers(parse(*args, parent=parent), reactor, None)

    def test_made(self) -> None:
        """The parent gets the options of the command line, in a form that it passes on."""
        workers = self.workers(
            "--workers", "3", "--redis", "redis://h", "--app", "chat:app", "--max-payload", "5",
            "--log-level", "warn", "--access-log", "--no-http", "--redis-prefix", "p", "--gc-threshold", "0",
            "--trusted-proxy", "10.0.0.1",
        )  # fmt: skip
        self.assertEqual(workers.count, 3)
        settings = workers.settings
        self.assertEqual((settings.app, settings.redis, settings.redisPrefix), ("chat:app", "redis://h", "p"))
        self.assertEqual((settings.logLevel, settings.accessLog, settings.http), ("warn", True, False))
        self.assertEqual((settings.gcThreshold, settings.appDir), (0, os.path.abspath(".")))
        again = msgspec.json.decode(msgspec.json.encode(settings), type=Settings)
        server = serverFor(msgspec.structs.replace(again, app=None), MemoryReactor())
        self.assertEqual((server.options.maxPayload, server.pages), (5, []))
        self.assertEqual(server.options.trustedProxies, (ip_network("10.0.0.1"),))

    def test_service(self) -> None:
        """`makeService` makes the parent, for twistd and twist."""
        from twisted.internet import reactor

        self.patch(reactor, "seconds", reactor.seconds)
        self.patch(http.HTTPFactory, "_updateLogDateTime", http.HTTPFactory._updateLogDateTime)
        parent = usage.Options()
        parent["nodaemon"] = 1
        workers = tap.makeService(parse("--workers", "auto", parent=parent))
        assert isinstance(workers, Workers)
        self.assertEqual((workers.count, workers.logFilter), (usableProcessors(), LogLevel.info))

    def test_refused(self) -> None:
        """Wrong options are errors of one line."""
        for args, why in (
            ("--workers 0", "--workers 0: must be a number from 1 to 999, or auto"),
            ("--workers many", "--workers many: must be a number from 1 to 999, or auto"),
            ("--fsync maybe", "--fsync maybe: must be no or always"),
            ("--workers 1 --fsync always", "--fsync always: needs --state-dir"),
            (
                "--workers 1 --state-dir /s --redis redis://h",
                "--state-dir: must not be given together with --redis",
            ),
        ):
            self.assertEqual(str(self.assertRaises(UsageError, self.workers, *args.split())), why)
        os.environ["TXROOM_REDIS_URL"] = "redis://h"
        error = self.assertRaises(UsageError, self.workers, "--workers", "1", "--state-dir", "/s")
        self.assertIn("together with TXROOM_REDIS_URL", str(error))

    def test_needsWorkers(self) -> None:
        """The options of the store need workers."""
        from twisted.internet import reactor

        self.patch(reactor, "seconds", reactor.seconds)
        self.patch(http.HTTPFactory, "_updateLogDateTime", http.HTTPFactory._updateLogDateTime)
        for args in (("--state-dir", "/s"), ("--fsync", "always")):
            error = self.assertRaises(SystemExit, tap.makeService, parse(*args))
            self.assertEqual(error.code, f"txroom: {args[0]}: needs --workers, such as --workers 1")


class RedisOptionsTests(SynchronousTestCase):
    """The options of Redis."""

    def setUp(self) -> None:
        self.patch(os, "environ", {})

    def engine(self, *args: str) -> Any:
        config = Options()
        config.parseOptions(list(args))
        return redisEngine(config.settings())

    def refused(self, *args: str) -> str:
        return str(self.assertRaises(UsageError, self.engine, *args))

    def test_none(self) -> None:
        """Without them, rooms live in memory."""
        self.assertIsNone(self.engine())

    def test_given(self) -> None:
        """The URL comes from the option, or else from the environment."""
        self.assertIsNotNone(self.engine("--redis", "redis://localhost", "--redis-prefix", "a"))
        os.environ["TXROOM_REDIS_URL"] = "redis://localhost"
        self.assertIsNotNone(self.engine("--redis-durable", "--redis-restored"))

    def test_wrong(self) -> None:
        """An error names what is wrong."""
        self.assertIn("--redis: ", self.refused("--redis", "nonsense"))
        self.assertIn("--redis-prefix: ", self.refused("--redis", "redis://a", "--redis-prefix", "a b"))
        for option in (["--redis-prefix", "a"], ["--redis-durable"], ["--redis-restored"]):
            self.assertIn(f"{option[0]}: needs --redis", self.refused(*option))
        os.environ["TXROOM_REDIS_URL"] = "nonsense"
        self.assertIn("TXROOM_REDIS_URL: ", self.refused())
