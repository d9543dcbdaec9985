"""
What operators have open of a server: its page, as the calls that the overview watches, and Prometheus, which
reads the metrics every five seconds. It goes on in a process of its own until the server has ended.

    python txroom_operator.py ADMIN-PORT TOKEN
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

#: The calls that the overview of the page watches, with their arguments and the seconds between two calls.
WATCHED: tuple[tuple[str, dict[str, Any], float], ...] = (
    ("nodes.list", {}, 2.0),
    ("rooms.stuck", {}, 5.0),
    ("rooms.stranded", {}, 5.0),
    ("rooms.list", {"order": "-clients", "limit": 6}, 10.0),
)
#: How often Prometheus reads the metrics, in seconds.
SCRAPE = 5.0


def operate(port: int, token: str) -> None:
    """Watch and read until the server has ended."""
    headers = {"Authorization": f"Bearer {token}"}
    metrics = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    protocols: Any = ["jsonrpc"]
    with connect(f"ws://127.0.0.1:{port}/rpc", subprotocols=protocols, additional_headers=headers) as socket:
        for number, (call, args, every) in enumerate(WATCHED):
            params = {"call": call, "args": args, "every": every}
            socket.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": "watch", "params": params}))
        due = time.monotonic()
        while True:
            try:
                socket.recv(max(0.0, due - time.monotonic()))
            except TimeoutError:
                due = time.monotonic() + SCRAPE
                with urllib.request.urlopen(metrics, timeout=SCRAPE) as answer:
                    answer.read()


if __name__ == "__main__":
    if os.fork():
        sys.exit()  # the server doesn't wait for it, and its CPU time is not the server's
    os.setsid()
    try:
        operate(int(sys.argv[1]), sys.argv[2])
    except (ConnectionClosed, OSError):
        pass  # the server has ended
