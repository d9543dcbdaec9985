"""uvicorn as a service of Twisted."""

import asyncio
import contextlib

import uvicorn
from twisted.application.service import Service
from twisted.internet.defer import Deferred


class Uvicorn(Service):
    """An ASGI application, served by uvicorn on the reactor's event loop."""

    serving = None

    def __init__(self, reactor, app, **config):
        self.reactor = reactor
        self.uvicorn = uvicorn.Server(uvicorn.Config(app, **config))
        # twistd handles the signals.
        self.uvicorn.capture_signals = contextlib.nullcontext

    def startService(self):
        super().startService()
        self.reactor.callLater(0, self.serve)  # when the loop runs

    def serve(self):
        self.serving = asyncio.ensure_future(self.run())

    async def run(self):
        try:
            await self.uvicorn.serve()
        except SystemExit:  # it could not start, and has logged why
            self.reactor.stop()

    def stopService(self):
        super().stopService()
        self.uvicorn.should_exit = True
        return Deferred.fromFuture(self.serving) if self.serving else None
