import os

from twisted.application.service import Application
from twisted.internet import reactor

from txroom import History, Room, Server, message
from txroom.engine.redis import RedisEngine
from txroom.process import useMonotonicClock

useMonotonicClock(reactor)


class Chat(Room):
    history = History(limit=100, onJoin=20)

    @message("say")
    def say(self, client, text: str):
        self.broadcast("said", text)


def engineFailed(failure):
    # The server has logged why, and stops. So this process has nothing left to do.
    reactor.callWhenRunning(reactor.stop)


server = Server(engine=RedisEngine(os.environ["REDIS_URL"]))
server.register("chat", Chat)
server.addHealthPage()
server.listen("tcp:" + os.environ["PORT"])
server.onEngineFailed = engineFailed

application = Application("chat")
server.setServiceParent(application)
