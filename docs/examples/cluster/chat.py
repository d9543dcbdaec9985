"""A chat whose rooms can be on any of several servers."""

from txroom import History, Room, Server, message


class Chat(Room):
    history = History(limit=100, onJoin=20)
    resumeSeconds = 60

    def onCreate(self, options):
        self.topic = options["topic"]

    @message("say")
    def say(self, client, text: str):
        self.broadcast("said", text)


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("chat", Chat).filterBy("topic")
    server.addHealthPage()
    return server
