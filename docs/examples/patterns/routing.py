"""
A handler for each type of message. Rooms handle joining, leaving and errors.
"""

from msgspec import Struct

from txroom import Room, RoomError, Server, message


class PrivateMessage(Struct):
    targetUserId: str
    message: str


class Talk(Room):
    presence = True  # tells members who joins and leaves

    def onAuth(self, client, options, handshake):
        return options.get("user")  # a real server checks a token

    @message("chat")
    def chat(self, client, data: str):
        self.broadcast(
            "chat", {"user": client.userId, "message": data}, exclude=client
        )

    @message("private_message")
    def privateMessage(self, client, data: PrivateMessage):
        targets = [
            each for each in self.clients if each.userId == data.targetUserId
        ]
        if not targets:
            raise RoomError("offline", "User not found or offline")
        self.broadcast(
            "private_message",
            {"from": client.userId, "message": data.message},
            to=targets,
        )


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("talk", Talk).filterBy("roomId")
    return server
