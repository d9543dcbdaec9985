"""Binary messages whose first byte says what they are; text is something else."""

import secrets
from pathlib import Path

from twisted.internet.threads import deferToThread

from txroom import Application

FILE, AUDIO, VIDEO = 1, 2, 3


class Media(Application):
    def __init__(self, directory="uploads", inThread=deferToThread):
        super().__init__(maxPayload=16 * 1024 * 1024)
        self.directory = Path(directory)
        self.inThread = inThread
        self.handlers = {FILE: self.file, AUDIO: self.relay, VIDEO: self.relay}

    def onBinary(self, connection, data):
        handler = self.handlers.get(data[0] if data else None)
        if handler is None:
            connection.send("Unknown binary message type")
            return None
        return handler(connection, data)

    async def file(self, connection, data):
        # Never a name that the client chose. A thread writes: a hook that waits for a disk stops everybody.
        path = self.directory / f"upload_{secrets.token_hex(8)}"
        await self.inThread(path.write_bytes, data[1:])
        connection.send(f'{{"type": "file_uploaded", "size": {len(data) - 1}}}')

    def relay(self, connection, data):
        """To all others; whoever is too slow misses some, which is right for sound and pictures."""
        self.broadcast(data, exclude=[connection])

    def onText(self, connection, text):
        connection.send(f"text: {text}")
