"""Yjs documents at ws://host/yjs/<document>, for unmodified y-websocket clients."""

from msgspec import msgpack
from pycrdt import (
    Awareness,
    Doc,
    YMessageType,
    create_awareness_message,
    create_sync_message,
    create_update_message,
    handle_sync_message,
    read_message,
)

from txroom import (
    CloseCode,
    ErrorCode,
    Prepared,
    Room,
    RoomApplication,
    RoomError,
    Server,
    message,
)
from txroom.rooms.contract.commands import Send
from txroom.rooms.contract.items import Message
from txroom.rooms.edge.session import RoomSession


class RawDialect:
    """Passes binary messages between a client and its room, and nothing else."""

    isJSON = False

    def decode(self, message):
        return Send("frame", msgpack.encode(message))

    def frame(self, item):
        return (
            Prepared(msgpack.decode(item.data)) if type(item) is Message else None
        )

    def closeCode(self, code):
        # y-websocket reconnects after all codes except 4400-4499.
        return code + 400 if 4000 <= code < 4100 else code


class DocumentSession(RoomSession):
    """The session of a client that edits the document in its path."""

    dialect = RawDialect()

    def __init__(self, services, connection, document):
        super().__init__(services, connection, self.dialect)
        self.document = document

    def optionsOfPath(self):
        return {"document": self.document}

    def received(self, message):
        if self.isMute:
            return
        if isinstance(message, bytes):
            self.submit(None, None, self.dialect.decode(message))
        else:
            self.close(CloseCode.UNSUPPORTED_DATA, "binary messages only")


class Documents(RoomApplication):
    """Each document is a room."""

    def chooseProtocol(self, offered, handshake):
        return None

    def roomNameOf(self, handshake):
        return "document" if super().roomNameOf(handshake) else None

    def sessionFor(self, connection):
        return DocumentSession(
            self.services, connection, super().roomNameOf(connection.handshake)
        )


class Document(Room):
    binary = True
    resumeSeconds = 0  # Yjs itself brings a client up to date
    recoveryLimit = 1
    linger = 60.0

    def onCreate(self, options):
        self.editor = None
        self.doc = Doc()
        self.doc.observe(self.changed)
        self.awareness = Awareness(self.doc)
        self.awareness.set_local_state(None)
        self.awareness.observe(self.moved)
        self.cursors = {}

    def onJoin(self, client, options):
        self.cursors[client] = set()
        client.send("frame", create_sync_message(self.doc))
        if self.awareness.states:
            client.send("frame", self.awarenessOf(list(self.awareness.states)))

    @message("frame")
    def frame(self, client, data: bytes):
        self.editor = client
        try:
            if data[0] == YMessageType.SYNC:
                answer = handle_sync_message(data[1:], self.doc)
                if answer is not None:
                    client.send("frame", answer)
            elif data[0] == YMessageType.AWARENESS:
                self.awareness.apply_awareness_update(
                    read_message(data[1:]), client
                )
        except (IndexError, ValueError):
            raise RoomError(ErrorCode.BAD_REQUEST, "not of the protocol") from None
        finally:
            self.editor = None

    def changed(self, event):
        self.broadcast(
            "frame", create_update_message(event.update), exclude=self.editor or ()
        )

    def moved(self, topic, change):
        if topic == "update":
            moved, client = change
            if client in self.cursors:
                self.cursors[client].update(moved["added"], moved["updated"])
            ids = moved["added"] + moved["updated"] + moved["removed"]
            self.broadcast("frame", self.awarenessOf(ids))

    def awarenessOf(self, ids):
        return create_awareness_message(self.awareness.encode_awareness_update(ids))

    def onLeave(self, client, reason):
        self.awareness.remove_awareness_states(
            list(self.cursors.pop(client)), client
        )


def makeServer(clock=None):
    server = Server(clock=clock)
    documents = Documents(path="/yjs", messageRate=0)
    documents.register("document", Document).filterBy("document")
    server.addApplication(documents)
    return server
