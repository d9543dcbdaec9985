"""
Django Channels under daphne, with the layer in memory; a layer in Redis would cost more.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import django
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter
from common import arguments
from daphne.cli import CommandLineInterface
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    SECRET_KEY="none",
)
django.setup()


class Consumer(AsyncJsonWebsocketConsumer):
    """Sends each message to all clients, and each call back."""

    groups = ["chat"]

    async def connect(self) -> None:
        (self.name,) = parse_qs(self.scope["query_string"].decode())["name"]
        await self.accept()

    async def receive_json(self, content: dict[str, Any]) -> None:
        told = {"name": self.name, "text": content["text"]}
        if content["type"] == "say":
            await self.channel_layer.group_send("chat", {"type": "said", **told})
        else:
            await self.send_json({"type": "answered", **told})

    async def said(self, event: dict[str, Any]) -> None:
        """Send a message of another client."""
        await self.send_json(event)


application = ProtocolTypeRouter({"websocket": Consumer.as_asgi()})

if __name__ == "__main__":
    options = arguments(__doc__)
    CommandLineInterface().run(
        ["-b", "127.0.0.1", "-p", str(options.port), "-v", "0", "__main__:application"]
    )
