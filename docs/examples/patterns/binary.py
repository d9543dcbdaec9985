"""Binary messages whose first byte is their type, beside text messages."""

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
        # Never use a name that a client chose. Write in a thread: while a hook
        # waits for the disk, the server serves no other client.
        path = self.directory / f"upload_{secrets.token_hex(8)}"
        await self.inThread(path.write_bytes, data[1:])
        connection.send(f'{{"type": "file_uploaded", "size": {len(data) - 1}}}')

    def relay(self, connection, data):
        """Send to all others. A slow client misses some of the sound or video."""
        self.broadcast(data, exclude=[connection])

    def onText(self, connection, text):
        connection.send(f"text: {text}")
