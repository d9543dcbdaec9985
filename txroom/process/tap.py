"""
The command line: `twistd txroom` and `twist txroom`, from its options to a running service.
"""

from __future__ import annotations

import os
import pwd
import re
import signal
import sys
from collections.abc import Callable
from inspect import iscoroutine
from types import FrameType, TracebackType
from typing import Any, NoReturn

import attrs
import twisted
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import InvalidLogLevelError, Logger, LogLevel
from twisted.python import usage
from twisted.python.usage import UsageError

from .. import __version__
from ..core.application import Application
from ..core.options import ServerOptions
from ..core.validation import OptionError
from ..demo import makeDemo
from ..rooms.api.room import Room
from ..service.endpoints import endpointFrom
from ..service.health import INTERVAL, STALL
from ..service.server import Server
from ..service.unixsocket import giveAway
from .announcing import whatIsServed, whereOf
from .gctuning import THRESHOLD, relaxCollector
from .loading import inOneLine, loadAttribute, refuseAbbreviations, whereAndWhy
from .logs import LogFiles, filterLog, forgetNoCache
from .monotonic import useMonotonicClock
from .watchdog import Watchdog

DEFAULT_PORT = 8080

_YES_NO = {"yes": True, "no": False}


class Options(usage.Options):
    """
    The options of `twistd txroom`.

    One option for each field of `ServerOptions` is added to these below. A wrong one raises
    `UsageError`; under twistd and twist it ends the process with that line and status 1.
    """

    synopsis = "[options]"
    longdesc = (
        "Serves WebSockets; a demonstration if no --app is given. Listens on port 8080 if neither --port nor "
        "--listen is given and the app doesn't listen by itself."
    )

    def __init__(self) -> None:
        super().__init__()
        self["app"] = None
        self["app-dir"] = os.path.abspath(".")
        self["listen"] = []
        self["http"] = True
        self["log-level"] = None
        self["access-log"] = False
        self["gc-threshold"] = THRESHOLD
        #: The options of the server that were given, by their names in `ServerOptions`.
        self.changes: dict[str, Any] = {}

    def opt_port(self, value: str) -> None:
        """Listen on this TCP port, on IPv4 and IPv6."""
        if not re.fullmatch("[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
            raise UsageError(f"--port {value}: must be a number from 1 to 65535; endpoints go to --listen")
        self["listen"].append(int(value))

    opt_p = opt_port

    def opt_listen(self, value: str) -> None:
        """Listen on this endpoint: tcp, ssl, tls, unix, systemd, haproxy. May be given several times."""
        from twisted.internet import reactor

        try:
            endpointFrom(reactor, value)
        except ValueError as error:
            raise UsageError(f"--listen {inOneLine(error)}") from None
        except Exception as error:
            raise UsageError(f"--listen {value}: {inOneLine(error)}") from None
        self["listen"].append(value)

    def opt_app(self, value: str) -> None:
        """Serve this: module:attribute, a Server, an Application, or a callable that makes one."""
        if not all(value.partition(":")):
            raise UsageError(f"--app {value}: must be module:attribute")
        self["app"] = value

    def opt_app_dir(self, value: str) -> None:
        """Where to look for the module of --app first. [default: the working directory]"""
        if not os.path.isdir(value):
            raise UsageError(f"--app-dir {value}: no such directory")
        self["app-dir"] = os.path.abspath(value)

    def opt_log_level(self, value: str) -> None:
        """Log nothing below debug, info, warn, error or critical; debug logs each connection's events."""
        try:
            self["log-level"] = LogLevel.levelWithName(value)
        except InvalidLogLevelError:
            levels = ", ".join(level.name for level in LogLevel.iterconstants())
            raise UsageError(f"--log-level {value}: must be one of {levels}") from None

    def opt_http(self) -> None:
        """Serve pages beside the sockets, at least /healthz. [default]"""
        self["http"] = True

    def opt_no_http(self) -> None:
        """Serve no pages."""
        self["http"] = False

    def opt_access_log(self) -> None:
        """Log each request for a page, and each upgrade, at level info."""
        self["access-log"] = True

    def opt_version(self) -> NoReturn:
        """Print the version of txroom, and exit."""
        print(f"txroom {__version__} (Twisted {twisted.__version__})")
        raise SystemExit(0)

    def opt_gc_threshold(self, value: str) -> None:
        """
        New objects after which Python looks for cycles among them; 0 leaves its collector alone.
        """
        if not re.fullmatch("[0-9]{1,9}", value):
            raise UsageError(f"--gc-threshold {value}: must be a whole number, 0 or more")
        self["gc-threshold"] = int(value)

    def change(self, field: attrs.Attribute[Any], text: str) -> None:
        """One option of the server was given as `text`."""
        name, flag = field.name, flagOf(field)
        allowed = "yes or no" if isinstance(field.default, bool) else field.metadata["allowed"]
        try:
            value = _parsed(field.default, text)
            if isinstance(field.default, tuple):
                value = (*self.changes.get(name, ()), text)
            ServerOptions().override({name: value})
        except OptionError as error:
            reason = str(error).rpartition(": must be ")[2]
            raise UsageError(f"--{flag} {text}: must be {reason}") from None
        except (ValueError, KeyError):
            raise UsageError(f"--{flag} {text}: must be {allowed}") from None
        self.changes[name] = value

    def parseArgs(self, *rest: str) -> None:
        if rest:
            raise UsageError(f"{rest[0]}: there are only options")

    def postOptions(self) -> None:
        if self["app"]:
            sys.path.insert(0, self["app-dir"])
        parent = self.parent
        if parent is not None and "logLevel" in parent:  # twist has such an option of its own
            if self["log-level"] is None:
                self["log-level"] = parent["logLevel"]
            parent["logLevel"] = self["log-level"]

    def parseOptions(self, options: Any = None) -> None:
        try:
            refuseAbbreviations(self, sys.argv[1:] if options is None else options)
            super().parseOptions(options)
        except UsageError as error:
            if self.parent is None:
                raise
            # The launchers would print all of the help, and twist ends with another status.
            raise SystemExit(f"txroom: {error}") from None

    @property
    def isTwistd(self) -> bool:
        """Whether twistd parses these, which has no log levels."""
        return self.parent is not None and "nodaemon" in self.parent

    @property
    def user(self) -> tuple[int, int] | None:
        """The user and the group that twistd will be; `None` if it stays who it is, -1 for one that stays."""
        uid, gid = (None if self.parent is None else self.parent.get(name) for name in ("uid", "gid"))
        if uid is not None and gid is None:
            gid = pwd.getpwuid(uid).pw_gid
        return None if gid is None else (-1 if uid is None else uid, gid)


def flagOf(field: attrs.Attribute[Any]) -> str:
    """The name of a server option on the command line: `maxPayload` is "max-payload"."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", field.name).lower()
    if isinstance(field.default, tuple):  # given one at a time
        name = re.sub("ies$", "y", name).removesuffix("s")
    return name


def _addOption(field: attrs.Attribute[Any]) -> None:
    """Give `Options` the option of one field of `ServerOptions`."""

    def opt(self: Options, value: str) -> None:
        self.change(field, value)

    default, unit = field.default, field.metadata["unit"]
    if isinstance(default, bool):
        notes = ["yes or no", f"default: {'yes' if default else 'no'}"]
    elif isinstance(default, tuple):
        notes = ["may be given several times"]
    else:
        notes = [unit, f"default: {default:g}" if isinstance(default, float) else f"default: {default}"]
    opt.__doc__ = f"{_asFlags(field.metadata['doc'])} [{', '.join(note for note in notes if note)}]"
    setattr(Options, "opt_" + flagOf(field).replace("-", "_"), opt)


def _asFlags(doc: str) -> str:
    """A text about the fields of `ServerOptions`, for those who type them."""
    for field in attrs.fields(ServerOptions):
        doc = doc.replace(f"`{field.name}`", "--" + flagOf(field))
    return doc.replace("False: ", "no: ").replace("`", "")


for _field in attrs.fields(ServerOptions):
    _addOption(_field)


def _parsed(default: Any, text: str) -> Any:
    """The value of an option with that default; raises `ValueError` or `KeyError`."""
    if isinstance(default, bool):
        return _YES_NO[text.lower()]
    if isinstance(default, int | float):
        return type(default)(text)
    return text


# -- what is served


def makeService(config: Options) -> LaunchedServer:
    """The service that twistd and twist run; what can't be served ends the process with one line."""
    from twisted.internet import reactor

    useMonotonicClock(reactor)
    forgetNoCache()
    try:
        server = makeServer(config, reactor)
    except UsageError as error:
        raise SystemExit(f"txroom: {error}") from None
    level = config["log-level"]
    server.setDebug(level is LogLevel.debug)
    server.setAccessLog(config["access-log"])
    filtered = (level or LogLevel.debug) if config.isTwistd else None
    return LaunchedServer(server, reactor, filtered, config["gc-threshold"], config.user)


def makeServer(config: Options, reactor: Any) -> Server:
    """The server that was asked for; raises `UsageError`."""
    app = loadApp(config["app"]) if config["app"] else makeDemo(clock=reactor)
    if isinstance(app, Server):
        server = app
    else:
        server = Server(clock=reactor)
        server.addApplication(app)
        server.addHealthPage()
    try:
        server.overrideOptions(config.changes)
    except OptionError as error:
        raise UsageError(str(error)) from None
    if not config["http"]:
        server.removePages()
    for where in config["listen"]:
        try:
            server.listen(where)
        except Exception as error:
            raise UsageError(f"--listen {where}: {inOneLine(error)}") from None
    if not server.hasListeners:
        server.listen(DEFAULT_PORT)
    return server


def loadApp(name: str) -> Server | Application:
    """What "module:attribute" names, or makes if it is callable; raises `UsageError`."""
    app = loadAttribute("--app", name)
    if callable(app):
        try:
            app = app()
        except Exception as error:
            raise UsageError(f"--app {name}: calling it failed: {whereAndWhy(error)}") from None
    if isinstance(app, Server | Application):
        return app
    what = type(app).__name__
    if isinstance(app, Room):
        raise UsageError(f"--app {name}: {what} is a Room; server.register('name', {what}) on a Server")
    if iscoroutine(app):
        app.close()
        raise UsageError(f"--app {name}: can't be async: it is called before there is anything to wait for")
    raise UsageError(f"--app {name}: must be a Server, an Application, or make one; it is of type {what}")


# -- the process


class StartError(Exception):
    """Why the service can't start, in one line."""


class LaunchedServer(MultiService):
    """
    A server that has a process to itself: what it owes to the signals, the log and the terminal.

    The first SIGTERM or SIGINT lets it drain, the second doesn't; SIGHUP reads certificates again, and opens
    the files of the log again. `level` filters the log of a launcher that can't do that itself, `gcThreshold`
    is for `relaxCollector` (0: leave the collector alone), `user` and group get the UNIX sockets.
    """

    _log = Logger()

    def __init__(
        self,
        server: Server,
        reactor: Any,
        level: Any = None,
        gcThreshold: int = 0,
        user: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self._gcThreshold = gcThreshold
        self._restoreCollector: Callable[[], None] | None = None
        self.server = server
        self._reactor = reactor
        self._level = level
        self._user = user
        self._watchdog: Watchdog | None = None
        self._isStopping = False
        self._isReloading = False
        server.tellWayOut("a second signal ends it")
        server.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Bind the listeners, while twistd still may."""
        if self._level is not None:
            filterLog(self._level)
            self._level = None
        _begin(super().privilegedStartService)
        if self._user is not None:
            for port in self.server.ports:
                giveAway(port, *self._user)

    def startService(self) -> None:
        """Serve."""
        _begin(super().startService)
        self._watchdog = Watchdog(INTERVAL + STALL)
        self._watchdog.start()
        self.server.watch.onTurn = self._watchdog.beat
        if self._gcThreshold:
            self._restoreCollector = relaxCollector(self._gcThreshold)
        signal.signal(signal.SIGHUP, self._hangUp)
        self._reactor.callWhenRunning(self._announce)

    def stopService(self) -> Deferred[Any]:
        """Drain and stop, see `Server.stopService`."""
        stopping: Deferred[Any] = super().stopService()
        return stopping.addBoth(self._stopped)

    def _stopped(self, result: Any) -> Any:
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._restoreCollector is not None:
            self._restoreCollector()
            self._restoreCollector = None
        return result

    def _announce(self) -> None:
        """Say what is served where; whoever reads that may send a signal at once."""
        self._handleSignals()
        for port in self.server.ports:
            self._log.info("listening: {where}", where=whereOf(port))
        for line in whatIsServed(self.server):
            self._log.info("{line}", line=line)

    def _handleSignals(self) -> None:
        """Put our handlers in front of Twisted's, which are there now that the reactor runs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            if callable(previous):
                signal.signal(number, self._stopHandler(previous))

    def _stopHandler(
        self, first: Callable[[int, FrameType | None], Any]
    ) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if self._isStopping:
                self._reactor.callFromThread(self.server.stopNow)
            else:
                self._isStopping = True
                first(number, frame)

        return handle

    def _hangUp(self, number: int, frame: FrameType | None) -> None:
        if not self._isReloading:
            self._isReloading = True
            self._reactor.callFromThread(self._reload)

    def _reload(self) -> None:
        self._isReloading = False
        for problem in LogFiles().reopen():
            self._log.error("the log could not be opened again: {problem}", problem=problem)
        try:
            isReloaded = self.server.reloadCertificates()
        except Exception as error:
            self._log.error(
                "the certificates were not reloaded, those in force stay: {why}", why=inOneLine(error)
            )
        else:
            what = "the certificates were reloaded" if isReloaded else "there are no certificates to reload"
            self._log.info("SIGHUP: {what}", what=what)


def _begin(start: Callable[[], None]) -> None:
    """Start; a port that can't be had ends the process with one line."""
    try:
        start()
    except (CannotListenError, OSError, OverflowError) as error:
        # An exception, not SystemExit: twistd has to remove its pid file, and to tell the parent of a daemon.
        sys.excepthook = _explain
        raise StartError(inOneLine(error)) from None


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """`sys.excepthook`: the launchers know nothing but a traceback."""
    if not isinstance(error, StartError):
        sys.__excepthook__(kind, error, trace)
        return
    LaunchedServer._log.error("{why}", why=str(error))
    print(f"txroom: {error}", file=sys.__stderr__)
