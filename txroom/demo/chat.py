"""A chat with history, names, private messages, and a sign that a member is typing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from txroom import Client, History, Room, RoomError, message

Name = Annotated[str, Meta(min_length=1, max_length=24)]
Text = Annotated[str, Meta(min_length=1, max_length=2000)]


class Say(Struct):
    text: Text


class Whisper(Struct):
    to: str
    text: Text


class ChatRoom(Room):
    """Sends each message to all members. New members receive the last 100."""

    history = History(limit=100, onJoin=100)
    presence = True
    linger = 60.0

    def onCreate(self, options: Mapping[str, Any]) -> None:
        topic = options.get("topic") or ""
        if not isinstance(topic, str) or len(topic) > 40:
            raise RoomError("badRequest", "topic: must be a string of at most 40 characters")
        self.setMetadata({"topic": topic})

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> None:
        client.meta = {"name": str(options.get("name") or "somebody")[:24]}

    def onDrop(self, client: Client) -> None:
        client.meta = {**client.meta, "away": True}

    def onResume(self, client: Client, recovered: bool) -> None:
        client.meta = {"name": client.meta["name"]}

    @message("say")
    def say(self, client: Client, data: Text | Say) -> int | None:
        text = data if isinstance(data, str) else data.text
        said = {"from": client.id, "name": client.meta["name"], "text": text}
        return self.broadcast("said", said)

    @message("typing")
    def typing(self, client: Client) -> None:
        self.broadcast("typing", client.id, exclude=client, volatile=True)

    @message("whisper")
    def whisper(self, client: Client, data: Whisper) -> None:
        receiver = self.client(data.to)
        if receiver is None:
            raise RoomError("gone", "the receiver has left the room")
        told = {
            "from": client.id,
            "name": client.meta["name"],
            "to": receiver.meta["name"],
            "text": data.text,
        }
        self.broadcast("whispered", told, to=[client, receiver])

    @message("rename")
    def rename(self, client: Client, name: Name) -> None:
        client.meta = {"name": name}
