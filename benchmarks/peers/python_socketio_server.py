"""python-socketio under uvicorn, with uvicorn[standard]: uvloop, httptools, websockets."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import socketio
import uvicorn
from common import arguments

sockets = socketio.AsyncServer(async_mode="asgi", transports=["websocket"])


@sockets.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    """Join the room."""
    (name,) = parse_qs(environ["QUERY_STRING"])["name"]
    await sockets.save_session(sid, {"name": name})
    await sockets.enter_room(sid, "chat")


@sockets.event
async def say(sid: str, data: dict[str, str]) -> None:
    """Send a message to all members."""
    session = await sockets.get_session(sid)
    await sockets.emit("said", {"name": session["name"], "text": data["text"]}, room="chat")


@sockets.event
async def ask(sid: str, data: dict[str, str]) -> dict[str, str]:
    """Answer a call with its data."""
    session = await sockets.get_session(sid)
    return {"name": session["name"], "text": data["text"]}


if __name__ == "__main__":
    options = arguments(__doc__)
    uvicorn.run(
        socketio.ASGIApp(sockets),
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        ws_per_message_deflate=False,
        backlog=511,
    )
