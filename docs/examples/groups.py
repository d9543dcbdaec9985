"""
Groups of connections in a plain application.

Clients send ["join", "tea"], ["leave", "tea"] and ["say", "tea", "hello"].
"""

import msgspec

from txroom import Application, Prepared


class Groups(Application):
    def __init__(self):
        super().__init__()
        self.groups = {}

    def onText(self, connection, text):
        match msgspec.json.decode(text):
            case ["join", str(name)]:
                self.join(name, connection)
            case ["leave", str(name)]:
                self.leave(name, connection)
            case ["say", str(name), str(words)]:
                self.say(name, words, exclude=connection)
            case _:
                connection.close(1003, "join, leave or say")

    def join(self, name, connection):
        self.groups.setdefault(name, set()).add(connection)

    def leave(self, name, connection):
        members = self.groups.get(name, set())
        members.discard(connection)
        if not members:
            self.groups.pop(name, None)

    def say(self, name, words, exclude=None):
        message = Prepared(msgspec.json.encode(["said", name, words]).decode())
        for member in list(self.groups.get(name, ())):
            if member is not exclude:
                member.sendFrame(message)

    def onDisconnect(self, connection, code, reason):
        for name in list(self.groups):
            self.leave(name, connection)
