"""
The visitors of the demo: who they are, and what they have missed.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.logger import Logger

from txroom import Accept, Client, Handshake, RoomError, Server, message

from .chat import ChatRoom, Whisper
from .mole import MoleRoom

#: For how many seconds, and how many, private messages are kept for a visitor who is away.
KEPT = 86400.0
MOST = 20

_ID = re.compile(r"[0-9A-Za-z_-]{16,64}")
_log = Logger()


def identify(handshake: Handshake) -> Accept:
    """
    Accept everybody, as the user whose id is the option "user" of the URL.

    Pages make these ids and keep them. An id is also the password: it must not reach other visitors.
    """
    id = handshake.query.get("user", "")
    return Accept(user={"id": id} if _ID.fullmatch(id) else None)


class Mole(MoleRoom):
    """The game, in which each membership is a player."""

    def userId(self, user: Any) -> None:
        """Return `None`, because presence would show the id to the others."""


def chatRoom(server: Server) -> type[ChatRoom]:
    """Return the class of the chat rooms of a server, which notify a member of what is whispered to it."""

    class Chat(ChatRoom):
        """A chat whose members learn what was whispered to them while they were away."""

        def userId(self, user: Any) -> None:
            """Return `None`, because presence would show the id to the others."""

        @message("whisper")
        def whisper(self, client: Client, data: Whisper) -> None:
            super().whisper(client, data)
            receiver = self.client(data.to)
            if receiver is None or receiver.isConnected or receiver.user is None:
                return
            missed = {"name": client.meta["name"], "text": data.text, "topic": self.metadata["topic"]}
            notified = server.notify(receiver.user["id"], "whispered", missed, limit=MOST, seconds=KEPT)
            notified.addErrback(_notNotified)

    return Chat


def _notNotified(failure: Any) -> None:
    failure.trap(RoomError)
    _log.warn("A private message could not be kept: {error}", error=failure.value)
