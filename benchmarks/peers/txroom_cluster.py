"""
A cluster of txroom: a node for each `--port`, and a Redis that keeps nothing on its disk. Each node is
txroom_server.py.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

from common import arguments

SERVER = Path(__file__).parent / "txroom_server.py"


def freePort() -> int:
    """A free port of the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def awaitPort(port: int) -> None:
    """Wait until something listens there."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)


def main() -> None:
    options = arguments(__doc__)
    port = freePort()
    redis = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    children = [subprocess.Popen(redis)]
    awaitPort(port)
    for each in options.ports:
        node = [sys.executable, str(SERVER), "--redis", f"redis://127.0.0.1:{port}", "--port", str(each)]
        children.append(subprocess.Popen([*node, options.role]))
    # If one of them ends, the benchmark sees it: this process ends, too.
    while all(child.poll() is None for child in children):
        time.sleep(0.5)
    sys.exit("a process of the cluster has ended")


if __name__ == "__main__":
    main()
