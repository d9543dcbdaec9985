"""A chat that keeps 100 messages, and shows the last 20 to each new member."""

from datetime import UTC, datetime

from txroom import History, Room, Server, message


class Chat(Room):
    history = History(limit=100, seconds=24 * 3600, onJoin=20)
    linger = 3600  # an empty room keeps its history for an hour

    @message("say")
    def say(self, client, text: str):
        self.broadcast(
            "message", {"text": text, "timestamp": datetime.now(UTC).isoformat()}
        )

    @message("history")
    def older(self, client, before: int):
        """Return the twenty messages before an offset."""
        past = [
            (offset, data)
            for offset, type, data in self.messages
            if offset < before
        ]
        return past[-20:]


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("chat", Chat).filterBy("roomId")
    return server
