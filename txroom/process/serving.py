"""
From the settings of a process to its server.
"""

from __future__ import annotations

from collections.abc import Iterable
from inspect import iscoroutine
from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.python.usage import UsageError

from ..core.application import Application
from ..core.validation import OptionError
from ..rooms.api.room import Room
from ..rooms.contract.ports import EngineService
from ..server import Server
from ..service.pages import SMALL_BODY
from .loading import errorWithPlace, inOneLine, loadAttribute
from .settings import DEFAULT_PORT, Settings

#: How much of each message a server for developers logs, in characters.
SHOWN_MESSAGE = 200


def serverFor(settings: Settings, reactor: Any) -> Server:
    """Make the server for these settings, without listeners of its own. Raises `UsageError`."""
    app = loadApp(settings.app) if settings.app else demo(reactor)
    if isinstance(app, Server):
        server = app
    else:
        server = Server(clock=reactor)
        if isinstance(app, Application):
            server.addApplication(app)
        else:
            server.addFactory(None, app)
        server.addHealthPage()
    try:
        server.overrideOptions(settings.options)
    except OptionError as error:
        raise UsageError(str(error)) from None
    engine = redisEngine(settings)
    if engine is not None:
        server.useEngine(engine)
    if not settings.http:
        server.removePages()
    server.setDebug(settings.logLevel == "debug")
    if settings.isDevelopment:
        addDevPage(server, reactor)
        server.tellErrors(True)
        server.showMessages(SHOWN_MESSAGE)
    server.setAccessLog(settings.accessLog)
    return server


def addDevPage(server: Server, reactor: Any) -> None:
    """Serve the playground for developers, unless the app has a page at that path."""
    from ..admin.devpage import PATH, DevPage  # not at load: other servers don't need it

    if PATH not in server.pages:
        server.addPage(PATH, DevPage(server, reactor), maxBody=SMALL_BODY)


def demo(reactor: Any) -> Server:
    """Make the server of the demo."""
    from ..demo import makeDemo  # not at load: servers with an app don't need it

    return makeDemo(clock=reactor)


def listenOn(server: Server, wheres: Iterable[Any]) -> None:
    """
    Let a server listen on these endpoints, and on the default port if it would listen nowhere. Raises
    `UsageError`.
    """
    for where in wheres:
        try:
            server.listen(where)
        except Exception as error:
            raise UsageError(f"--listen {where}: {inOneLine(error)}") from None
    if not server.hasListeners:
        server.listen(DEFAULT_PORT)


def redisEngine(settings: Settings) -> EngineService | None:
    """Make the engine for the settings of Redis; `None` if there is no URL. Raises `UsageError`."""
    if settings.redis is None:
        return None
    options: dict[str, Any] = {
        "durable": settings.redisDurable,
        "restored": settings.redisRestored,
        "run": settings.redisRun,
    }
    if settings.redisPrefix is not None:
        options["prefix"] = settings.redisPrefix
    try:
        from ..engine.redis import RedisEngine

        return RedisEngine(settings.redis, **options)
    except (ValueError, ImportError) as error:
        why = inOneLine(error)
        isPrefix = why.startswith("prefix=")
        raise UsageError(f"{'--redis-prefix' if isPrefix else settings.redisSource}: {why}") from None


def loadApp(name: str) -> Any:
    """Return what "module:attribute" names, or what it returns if it is callable. Raises `UsageError`."""
    app = loadAttribute("--app", name)
    if callable(app):
        try:
            app = app()
        except Exception as error:
            raise UsageError(f"--app {name}: calling it failed: {errorWithPlace(error)}") from None
    if isinstance(app, Server | Application) or IProtocolFactory.providedBy(app):
        return app
    what = type(app).__name__
    if isinstance(app, Room):
        raise UsageError(f"--app {name}: {what} is a Room: use server.register('name', {what}) of a Server")
    if iscoroutine(app):
        app.close()
        raise UsageError(f"--app {name}: can't be async, because it is called before the reactor runs")
    raise UsageError(
        f"--app {name}: must be a Server, an Application, a protocol factory, or a function that returns "
        f"one; it is of type {what}"
    )
