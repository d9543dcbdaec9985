"""
What a process serves: the options of the command line, in a form that can be passed on to other processes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .adminsettings import AdminSettings
from .gctuning import THRESHOLD

#: The port to listen on if no endpoint is given.
DEFAULT_PORT = 8080


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `twistd txroom` that concern a server, except where it listens."""

    #: "module:attribute"; `None`: the demo.
    app: str | None = None
    #: The directory in which the module is looked for first.
    appDir: str = "."
    #: Whether pages are served.
    http: bool = True
    #: The name of the lowest level of the log; `None`: the default.
    logLevel: str | None = None
    #: Whether the log is JSON.
    logsJSON: bool = False
    #: Whether page requests and upgrades are logged.
    accessLog: bool = False
    #: Whether it serves the developers of the app.
    isDevelopment: bool = False
    #: The URL of Redis; `None`: rooms are in memory.
    redis: str | None = None
    #: Where that URL was given, for error messages.
    redisSource: str = "--redis"
    redisPrefix: str | None = None
    redisDurable: bool = False
    redisRestored: bool = False
    #: The identity of Redis's data; see `RedisEngine`.
    redisRun: str | None = None
    #: The argument of `relaxCollector`.
    gcThreshold: int = THRESHOLD
    #: Where it listens for operators and back ends, and their secrets.
    admin: AdminSettings = AdminSettings()
    #: Options of the server, by their names in `ServerOptions`.
    options: dict[str, Any] = {}
