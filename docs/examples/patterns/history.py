"""A chat whose newcomers see the last 20 of 100 messages, with the time of each."""

from datetime import UTC, datetime

from txroom import History, Room, Server, message


class Chat(Room):
    history = History(limit=100, seconds=24 * 3600, onJoin=20)
    linger = 3600  # an empty room remembers for an hour

    @message("say")
    def say(self, client, text: str):
        self.broadcast("message", {"text": text, "timestamp": datetime.now(UTC).isoformat()})

    @message("history")
    def older(self, client, before: int):
        """A call: the twenty before an offset, for who scrolls back."""
        past = [(offset, data) for offset, type, data in self.messages if offset < before]
        return past[-20:]


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("chat", Chat).filterBy("roomId")
    return server
