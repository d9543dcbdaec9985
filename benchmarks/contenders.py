"""
What is measured (`WORKLOADS`) and who takes part (`CONTENDERS`): two tables.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from .clients import Dialect

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "bench"
NODE = BUILD / "node" / "node_modules"
PYTHON = sys.executable
#: Whoever all others are compared with.
REFERENCE = "txroom"


@dataclass(frozen=True)
class Workload:
    """What clients do, and the role that a server has to play."""

    title: str
    #: How it is measured: the name of a function of `measure`.
    kind: str
    #: What the server does: the argument of each file in peers/.
    role: str
    clients: int
    size: int = 64
    #: Messages are built ahead, so many different ones.
    frames: int = 1


@dataclass(frozen=True)
class Contender:
    """A server: how it is started, and how its clients speak in each role that it plays."""

    command: tuple[str, ...]
    roles: Mapping[str, Dialect]
    #: The options that it runs with, for the report.
    options: str
    #: Python modules or files without which it can't run.
    needs: tuple[str | Path, ...] = field(default=())

    def missing(self) -> list[str]:
        """What it needs and isn't there."""
        return [
            str(need)
            for need in self.needs
            if not (need.exists() if isinstance(need, Path) else find_spec(need) is not None)
        ]


WORKLOADS = {
    "echo-64": Workload("Echo, 50 clients, 64 B", "echo", "echo", clients=50),
    "echo-4096": Workload("Echo, 50 clients, 4 KiB", "echo", "echo", clients=50, size=4096),
    "broadcast-500": Workload("Broadcast to 500 clients, 64 B", "broadcast", "broadcast", clients=500),
    "broadcast-2000": Workload("Broadcast to 2,000 clients, 64 B", "broadcast", "broadcast", clients=2000),
}

PLAIN = Dialect()
SOCKETS = {"echo": PLAIN, "broadcast": PLAIN}


def python(file: str, *arguments: str) -> tuple[str, ...]:
    """A server written in Python."""
    return (PYTHON, str(HERE / "peers" / file), *arguments)


def node(file: str, *arguments: str) -> tuple[str, ...]:
    """A server written for Node."""
    return ("node", str(HERE / "peers" / file), *arguments)


CONTENDERS = {
    "floor": Contender((str(BUILD / "floor"),), SOCKETS, "C: epoll, read, write of frames made beforehand"),
    "txroom": Contender(python("txroom_plain.py"), SOCKETS, "defaults; default reactor"),
    "autobahn": Contender(python("autobahn_server.py"), SOCKETS, "defaults; broadcast of prepared messages"),
    "websockets": Contender(
        python("websockets_server.py"), SOCKETS, "compression=None; asyncio's loop", needs=("websockets",)
    ),
    "aiohttp": Contender(
        python("aiohttp_server.py"), SOCKETS, "compress=False; asyncio's loop", needs=("aiohttp",)
    ),
    "ws": Contender(
        node("ws_server.js"), SOCKETS, "perMessageDeflate: false; with bufferutil", needs=(NODE / "ws",)
    ),
}
