"""Clients of another system in txroom's rooms: an example of the documentation with y-websocket."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

from twisted.internet.defer import Deferred

from tests.functional.support import ROOT, Net, until
from tests.functional.test_js_client import portOf, run
from tests.requires import requiresModule, requiresPackage


def example() -> Any:
    """The module of the example."""
    requiresModule("pycrdt")
    spec = spec_from_file_location("yjs", ROOT / "docs" / "examples" / "yjs.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


async def test_editors(net: Net) -> None:
    """Unmodified clients of y-websocket edit together, apart, and together again; one is kicked."""
    requiresPackage("y-websocket")
    server = await net.start(example().makeServer())
    playing = run("yjs.mjs", f"ws://127.0.0.1:{portOf(server)}/yjs")
    finished: list[Any] = []

    def rude() -> Any:
        """Wait for the client that calls itself rude, or for the end of the script."""
        rooms: Any = server.rooms.rooms
        for room in rooms.values():
            for client, ids in room.cursors.items():
                if any(room.awareness.states.get(id, {}).get("user") == "rude" for id in ids):
                    return client
        return finished

    done = Deferred.fromCoroutine(playing).addBoth(finished.append)
    await until(rude, "nobody is rude", 60)
    if not finished:
        rude().kick("rude")
    await done
    (seen,) = finished
    assert seen == {
        "users": [["ada", "bob"], ["ada", "bob"]],
        "other": "",
        "closed": 4403,
        "text": "oh, hello world!",
    }
