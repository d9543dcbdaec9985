"""
The command line of `twistd txroom` and `twist txroom`: from its options to a service.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import twisted
from twisted.logger import InvalidLogLevelError, LogLevel
from twisted.python import usage
from twisted.python.usage import UsageError

from ..core.options import ServerOptions
from ..core.validation import OptionError
from ..service.endpoints import endpointFrom
from .adminsettings import READ_TOKEN_FILE, TOKEN_FILE, addAdmins, adminSettings
from .firstprocess import leaveFirst
from .gctuning import THRESHOLD
from .loading import inOneLine, refuseAbbreviations
from .logs import dropPluginCacheWarning
from .monotonic import useMonotonicClock, useMonotonicTimers
from .settings import DEFAULT_PORT, Settings
from .workers.parent import Workers

if TYPE_CHECKING:
    from ..server import Server
    from .development import Development
    from .launcher import LaunchedServer

_YES_NO = {"yes": True, "no": False}


class Options(usage.Options):
    """
    The options of `twistd txroom`.

    In addition to those below there is one option for each field of `ServerOptions`. A wrong option raises
    `UsageError`; under twistd and twist it ends the process with that line and status 1.
    """

    synopsis = "[options]"
    longdesc = (
        "Serves WebSockets, or a demonstration if --app is not given. It listens on port 8080 if neither "
        "--port nor --listen is given and the app does not listen by itself."
    )

    def __init__(self) -> None:
        super().__init__()
        self["app"] = None
        self["app-dir"] = os.path.abspath(".")
        self["listen"] = []
        self["http"] = True
        self["log-level"] = None
        self["access-log"] = False
        self["log-format"] = "text"
        self["redis"] = None
        self["redis-prefix"] = None
        self["redis-durable"] = self["redis-restored"] = False
        self["workers"] = self["state-dir"] = None
        self["dev"] = False
        self["admin"], self["admin-host"] = [], []
        self[TOKEN_FILE] = self[READ_TOKEN_FILE] = None
        self["fsync"] = "no"
        self["gc-threshold"] = THRESHOLD
        #: The given options of the server, by their names in `ServerOptions`.
        self.changes: dict[str, Any] = {}

    def opt_port(self, value: str) -> None:
        """Listen on this TCP port, on IPv4 and IPv6."""
        if not re.fullmatch("[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
            raise UsageError(f"--port {value}: must be a number from 1 to 65535; for endpoints use --listen")
        self["listen"].append(int(value))

    opt_p = opt_port

    def opt_listen(self, value: str) -> None:
        """Listen on this endpoint: tcp, ssl, tls, unix, systemd or haproxy. May be given several times."""
        from twisted.internet import reactor

        try:
            endpointFrom(reactor, value)
        except ValueError as error:
            raise UsageError(f"--listen {inOneLine(error)}") from None
        except Exception as error:
            raise UsageError(f"--listen {value}: {inOneLine(error)}") from None
        self["listen"].append(value)

    def opt_app(self, value: str) -> None:
        """
        Serve this module:attribute, which is a Server, an Application, a protocol factory, or a function that
        makes one.
        """
        if not all(value.partition(":")):
            raise UsageError(f"--app {value}: must be module:attribute")
        self["app"] = value

    def opt_app_dir(self, value: str) -> None:
        """The directory in which the module of --app is looked for first. [default: the working directory]"""
        if not os.path.isdir(value):
            raise UsageError(f"--app-dir {value}: no such directory")
        self["app-dir"] = os.path.abspath(value)

    def opt_log_level(self, value: str) -> None:
        """
        Log only this level and above: debug, info, warn, error or critical; debug logs each connection's
        events. The default is info.
        """
        try:
            self["log-level"] = LogLevel.levelWithName(value)
        except InvalidLogLevelError:
            levels = ", ".join(level.name for level in LogLevel.iterconstants())
            raise UsageError(f"--log-level {value}: must be one of {levels}") from None

    def opt_log_format(self, value: str) -> None:
        """
        Write the log as text, or as json: a line for each event, with its room, member, user and connection.
        [default: text]
        """
        if value not in ("json", "text"):
            raise UsageError(f"--log-format {value}: must be json or text")
        self["log-format"] = value

    def opt_http(self) -> None:
        """Serve pages beside the sockets, at least /healthz. [default]"""
        self["http"] = True

    def opt_no_http(self) -> None:
        """Serve no pages."""
        self["http"] = False

    def opt_access_log(self) -> None:
        """Log each page request and each upgrade, at level info."""
        self["access-log"] = True

    def opt_dev(self) -> None:
        """
        Serve the developers of the app, on this machine only: changed code is loaded at once, messages are
        logged, and clients are told the texts of errors.
        """
        self["dev"] = True

    def opt_redis(self, value: str) -> None:
        """
        Serve the same rooms as all servers with this Redis: redis://host:6379/0, rediss://host for TLS, or
        unix:///path. [default: the environment variable TXROOM_REDIS_URL, which doesn't show a password]
        """
        self["redis"] = value

    def opt_redis_prefix(self, value: str) -> None:
        """What the names of all keys in Redis begin with. [default: txr]"""
        self["redis-prefix"] = value

    def opt_redis_durable(self) -> None:
        """Redis never loses what it has confirmed: it has appendfsync always and no replicas."""
        self["redis-durable"] = True

    def opt_redis_restored(self) -> None:
        """Redis was started with an older copy of its data. Give it for the first start after that."""
        self["redis-restored"] = True

    def opt_workers(self, value: str) -> None:
        """
        Serve with this number of processes, which share the port and the rooms; "auto": one for each
        processor.
        """
        if value != "auto" and (not re.fullmatch("[0-9]{1,3}", value) or not int(value)):
            raise UsageError(f"--workers {value}: must be a number from 1 to 999, or auto")
        self["workers"] = value if value == "auto" else int(value)

    def opt_state_dir(self, value: str) -> None:
        """
        With --workers and without --redis: keep the rooms in this directory, so that they survive the end of
        all processes.
        """
        self["state-dir"] = os.path.abspath(value)

    def opt_fsync(self, value: str) -> None:
        """
        With --state-dir: "always" writes to the disk before a message is acknowledged, so that a power cut
        loses nothing; "no" lets the operating system decide. [default: no]
        """
        if value not in ("no", "always"):
            raise UsageError(f"--fsync {value}: must be no or always")
        self["fsync"] = value

    def opt_admin(self, value: str) -> None:
        """
        Listen on this endpoint for operators and back ends, who use the HTTP API: unix, ssl, tls, or tcp with
        a loopback address, or a port number on 127.0.0.1. May be given several times.
        """
        self["admin"].append(int(value) if re.fullmatch("[0-9]{1,5}", value) else value)

    def opt_admin_token_file(self, value: str) -> None:
        """
        The file with the secret of those who may do everything there. [default: the environment variable
        TXROOM_ADMIN_TOKEN]
        """
        self[TOKEN_FILE] = os.path.abspath(value)

    def opt_admin_read_token_file(self, value: str) -> None:
        """
        The file with the secret of those who may only read there. [default: the environment variable
        TXROOM_ADMIN_READ_TOKEN]
        """
        self[READ_TOKEN_FILE] = os.path.abspath(value)

    def opt_admin_host(self, value: str) -> None:
        """A name of that listener besides localhost and addresses. May be given several times."""
        self["admin-host"].append(value)

    def opt_version(self) -> NoReturn:
        """Print the version of txroom, and exit."""
        from .. import __version__

        print(f"txroom {__version__} (Twisted {twisted.__version__})")
        raise SystemExit(0)

    def opt_gc_threshold(self, value: str) -> None:
        """
        The number of new objects after which Python's garbage collector runs; 0 leaves the collector
        unchanged.
        """
        if not re.fullmatch("[0-9]{1,9}", value):
            raise UsageError(f"--gc-threshold {value}: must be a whole number, 0 or more")
        self["gc-threshold"] = int(value)

    def change(self, field: attrs.Attribute[Any], text: str) -> None:
        """Set an option of the server from the `text` on the command line."""
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
            raise UsageError(f"{rest[0]}: unexpected argument; there are only options, which begin with --")

    def postOptions(self) -> None:
        if self["app"]:
            sys.path.insert(0, self["app-dir"])
        parent = self.parent
        if parent is not None and "logLevel" in parent:  # twist has such an option itself
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
            # twistd would print all of the help, and twist would end with another status.
            raise SystemExit(f"txroom: {error}") from None

    def settings(self) -> Settings:
        """Return what the server has to be. Raises `UsageError`."""
        source, url = "--redis", self["redis"]
        if not url:
            source, url = "TXROOM_REDIS_URL", os.environ.get("TXROOM_REDIS_URL")
        if not url:
            for name in ("redis-prefix", "redis-durable", "redis-restored"):
                if self[name]:
                    raise UsageError(f"--{name}: needs --redis, or the environment variable TXROOM_REDIS_URL")
        level = self["log-level"]
        return Settings(
            app=self["app"],
            appDir=self["app-dir"],
            http=self["http"],
            logLevel=None if level is None else level.name,
            logsJSON=self["log-format"] == "json",
            accessLog=self["access-log"],
            redis=url or None,
            redisSource=source,
            redisPrefix=self["redis-prefix"],
            redisDurable=self["redis-durable"],
            redisRestored=self["redis-restored"],
            gcThreshold=self["gc-threshold"],
            isDevelopment=self["dev"],
            admin=adminSettings(self, os.environ),
            options=dict(self.changes),
        )

    @property
    def isTwistd(self) -> bool:
        """Whether twistd, which has no log levels, parses the options."""
        return self.parent is not None and "nodaemon" in self.parent

    @property
    def user(self) -> tuple[int, int] | None:
        """
        The ids of the user and group that twistd changes to, -1 for one that stays; `None` if both stay.
        Raises `UsageError` if there is no such user.
        """
        uid, gid = (None if self.parent is None else self.parent.get(name) for name in ("uid", "gid"))
        if uid is not None and (gid is None or uid != os.getuid()):
            try:
                group = pwd.getpwuid(uid).pw_gid
            except KeyError:  # twistd needs the name
                raise UsageError(f"--uid {uid}: there is no such user; start twistd as that user") from None
            gid = group if gid is None else gid
        return None if gid is None else (-1 if uid is None else uid, gid)


def flagOf(field: attrs.Attribute[Any]) -> str:
    """Return the name of a server option on the command line: `maxPayload` is "max-payload"."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", field.name).lower()
    if isinstance(field.default, tuple):  # given one value at a time
        name = re.sub("ies$", "y", name).removesuffix("s")
    return name


def _addOption(field: attrs.Attribute[Any]) -> None:
    """Add the command line option for one field of `ServerOptions` to `Options`."""

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
    """Replace the names of options in a text by those on the command line."""
    for field in attrs.fields(ServerOptions):
        doc = doc.replace(f"`{field.name}`", "--" + flagOf(field))
    return doc.replace("`", "")


for _field in attrs.fields(ServerOptions):
    _addOption(_field)
for _name, _method in vars(Options).items():
    if _name.startswith("opt_") and _method.__doc__:  # the help would keep the indentation of a second line
        _method.__doc__ = " ".join(_method.__doc__.split())


def _parsed(default: Any, text: str) -> Any:
    """Convert the text of an option to the type of its default. Raises `ValueError` or `KeyError`."""
    if isinstance(default, bool):
        return _YES_NO[text.lower()]
    if isinstance(default, int | float):
        return type(default)(text)
    return text


# -- the service


def makeService(config: Options) -> LaunchedServer | Workers | Development:
    """Make the service that twistd and twist run. If that fails, the process ends with one line."""
    from twisted.internet import reactor

    leaveFirst()
    dropPluginCacheWarning()
    level = config["log-level"]
    # twistd has no log levels, and twist filters the log itself.
    filtered = (level or LogLevel.info) if config.isTwistd else None
    try:
        if config["workers"] or config["dev"]:
            useMonotonicTimers(reactor)
            make = makeDevelopment if config["dev"] else makeWorkers
            return make(config, reactor, filtered)
        useMonotonicClock(reactor)
        for name, default in (("state-dir", None), ("fsync", "no")):
            if config[name] != default:
                raise UsageError(f"--{name}: needs --workers, such as --workers 1")
        user, server = config.user, makeServer(config, reactor)
    except UsageError as error:
        raise SystemExit(f"txroom: {error}") from None
    from .launcher import LaunchedServer

    launched = LaunchedServer(server, reactor, filtered, config["gc-threshold"], user)
    launched.logsJSON = config["log-format"] == "json"
    return launched


def makeServer(config: Options, reactor: Any) -> Server:
    """Make the server for the given options. Raises `UsageError`."""
    from .serving import listenOn, serverFor  # not at load: the parent of workers doesn't need them

    settings = config.settings()
    server = serverFor(settings, reactor)
    listenOn(server, config["listen"])
    addAdmins(server, settings.admin)
    return server


def makeWorkers(config: Options, reactor: Any, filtered: Any) -> Workers:
    """Make the parent of workers for the given options. Raises `UsageError`."""
    settings = config.settings()
    if config["state-dir"] is not None and settings.redis is not None:
        raise UsageError(f"--state-dir: must not be given together with {settings.redisSource}")
    if config["fsync"] == "always" and config["state-dir"] is None:
        raise UsageError("--fsync always: needs --state-dir")
    workers = Workers(stateDir=config["state-dir"], fsync=config["fsync"], reactor=reactor)
    workers.settings = settings
    workers.fork(None if config["workers"] == "auto" else config["workers"])
    workers.logFilter, workers.user = filtered, config.user
    for where in config["listen"]:
        workers.listen(where)
    workers.addAdmins(settings.admin)
    return workers


def makeDevelopment(config: Options, reactor: Any, filtered: Any) -> Development:
    """Make the service of ``--dev`` for the given options. Raises `UsageError`."""
    from .development import Development, hasStore, localOnly

    if config["workers"]:
        raise UsageError("--dev: has one worker, so it must not be given together with --workers")
    try:
        config["listen"] = [localOnly(where) for where in config["listen"] or [DEFAULT_PORT]]
    except ValueError as error:
        raise UsageError(f"--listen {error}") from None
    config["workers"] = 1
    workers = makeWorkers(config, reactor, filtered)
    workers.isInMemory = workers.settings.redis is None and not hasStore()
    return Development(workers, config["app-dir"], reactor)
