from txroom import Application


class Chat(Application):
    def onMessage(self, connection, message):
        self.broadcast(message)
