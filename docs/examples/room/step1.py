from txroom import Room, Server, message


class ChatRoom(Room):
    @message("say")
    def say(self, client, text: str):
        self.broadcast("said", text)


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("chat", ChatRoom)
    return server
