"""What a page in a real browser sees when its client is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request
from twisted.web.static import Data

from tests.functional.support import Net, child, until
from tests.requires import requires
from txroom import Deny, Handshake, Room, RoomApplication, Server

PAGE = b"""<!doctype html><script type="module">
const ask = (path) => new Promise((done) => {
  const socket = new WebSocket(`ws://${location.host}${path}`, ["txroom.v1.json"]);
  const frames = [];
  socket.onmessage = (event) => frames.push(JSON.parse(event.data));
  socket.onclose = (event) => done([path, frames, event.code, event.reason, event.wasClean]);
});
const told = [];
for (const path of ["/rooms?status=403", "/rooms?status=503", "/rooms?raise", "/rooms/nix", "/nowhere"])
  told.push(await ask(path));
await fetch("/told", {method: "POST", body: JSON.stringify({told, cookie: document.cookie})});
</script>"""


class Told(Resource):
    """Receives the page's report."""

    isLeaf = True
    seen: Any = None

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        self.seen = json.loads(request.content.read())
        return b""


def verify(handshake: Handshake) -> Any:
    """Decide as the query says."""
    if "raise" in handshake.query:
        raise ZeroDivisionError("secret")
    headers = [("Set-Cookie", "seen=1"), ("Retry-After", "7")]
    return Deny(int(handshake.query["status"]), "members only", headers)


async def test_browser(net: Net, tmp_path: Path) -> None:
    """The page sees the frame, the close code and a clean close each time, and its cookies are kept."""
    chromium = requires("chromium")
    server, told = Server(), Told()
    application = RoomApplication(verifyClient=verify)
    application.register("chat", Room)
    for path in ("/rooms", "/rooms/*"):
        server.addApplication(application, path=path)
    server.addPage("/", Data(PAGE, "text/html"))
    server.addPage("/told", told)
    await net.start(server)
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}")
    with child(chromium, *options, "--remote-debugging-port=0", f"http://127.0.0.1:{server.address().port}/"):
        await until(lambda: told.seen, "the page has told nothing", 60)
    assert len(net.flush(ZeroDivisionError)) == 1
    refused = {"status": 403}
    later = {"status": 503, "retryAfter": 7}
    failed = {"status": 500}
    unknown = {"status": 404}
    assert told.seen["cookie"] == "seen=1"
    expected = [
        ("/rooms?status=403", "forbidden", "members only", refused, 4001),
        ("/rooms?status=503", "unavailable", "members only", later, 1013),
        ("/rooms?raise", "internal", "the server could not decide", failed, 1011),
        ("/rooms/nix", "noSuchRoom", "no rooms are registered as 'nix'", unknown, 4004),
        ("/nowhere", "noSuchRoom", "no rooms are served at this path", unknown, 4004),
    ]
    assert [tuple(each) for each in told.seen["told"]] == [
        (path, [["error", None, None, code, message, details]], closeCode, message, True)
        for path, code, message, details, closeCode in expected
    ]
    assert server.stats().total == 0
