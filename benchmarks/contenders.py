"""
Two tables: what is measured (`WORKLOADS`), and the servers that take part (`CONTENDERS`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from benchmarks.clients import (
    ChannelsRoom,
    ColyseusRoom,
    Deflated,
    Dialect,
    SocketIORoom,
    TxroomKeyed,
    TxroomParty,
    TxroomRoom,
    TxroomState,
)
from benchmarks.processes import REDIS

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "bench"
NODE = BUILD / "node" / "node_modules"
PYTHON = sys.executable
#: The contender with which all others are compared.
REFERENCE = "txroom"
#: The kind and role of the workload in which a program measures its own encoder, instead of a server.
ENCODER = "encoder"


@dataclass(frozen=True)
class Workload:
    """What the clients do, and the role of the server."""

    title: str
    #: The name of the function in `measure` that measures it.
    kind: str
    #: The role of the server: the argument of the programs in peers/.
    role: str
    clients: int
    size: int = 64
    #: How many clients of a broadcast talk; each has one message in flight.
    speakers: int = 1
    #: How many messages a client of a pipelined echo has in flight.
    depth: int = 1
    #: For a workload that shows how txroom's cost grows: what grows, and its value in each run.
    points: tuple[int, ...] = ()
    point: int = 0


@dataclass(frozen=True)
class Contender:
    """A server: the command that starts it, and what its clients send in each of its roles."""

    command: tuple[str, ...]
    roles: Mapping[str, Dialect]
    #: The options that it runs with, as the report shows them.
    options: str
    #: The program that measures its encoder.
    encoder: tuple[str, ...] = ()
    #: The Python modules, programs and files that it needs.
    needs: tuple[str | Path, ...] = ()
    #: Workloads that it cannot do, although it has their role.
    cannot: frozenset[str] = frozenset()
    #: The workloads that it is for; empty: all that it has the roles for.
    only: frozenset[str] = frozenset()
    #: The number of its processes that clients connect to, each with a port of its own.
    nodes: int = 1

    def missing(self) -> list[str]:
        """What it needs and is not installed."""
        return [
            str(need)
            for need in self.needs
            if not (need.exists() if isinstance(need, Path) else isInstalled(need))
        ]


def isInstalled(need: str) -> bool:
    """Whether there is that Python module, or that program."""
    return find_spec(need) is not None or which(need) is not None


WORKLOADS = {
    "busy-50-room": Workload(
        "One room of 50 members who all talk, 64 characters in JSON", "broadcast", "rooms", 50, speakers=50
    ),
    "busy-500-room": Workload(
        "One room of 500 members of whom 25 talk, 64 characters in JSON",
        "broadcast",
        "rooms",
        500,
        speakers=25,
    ),
    "busy-50": Workload(
        "Broadcast to 50 clients who all talk, 64 B", "broadcast", "broadcast", 50, speakers=50
    ),
    "busy-500": Workload(
        "Broadcast to 500 clients of whom 25 talk, 64 B", "broadcast", "broadcast", 500, speakers=25
    ),
    "echo-64": Workload("Echo, 50 clients, 64 B", "echo", "echo", clients=50),
    "echo-4096": Workload("Echo, 50 clients, 4 KiB", "echo", "echo", clients=50, size=4096),
    "broadcast-500": Workload("Broadcast to 500 clients, 64 B", "broadcast", "broadcast", clients=500),
    "broadcast-2000": Workload("Broadcast to 2,000 clients, 64 B", "broadcast", "broadcast", clients=2000),
    "room": Workload("One room of 500 members, 64 characters in JSON", "broadcast", "rooms", clients=500),
    "pipelined": Workload(
        "Echo, 50 clients, 16 messages of 64 B in flight each", "pipelined", "echo", 50, depth=16
    ),
    "answer": Workload(
        "A message to a room, answered to its sender: 50 members, 64 characters in JSON",
        "answer",
        "rooms",
        50,
    ),
    "presence": Workload(
        "2,000 clients join a room with presence at once; then 1,000 of them leave at once",
        "wave",
        "presence",
        clients=2000,
    ),
    "deflate": Workload("Broadcast to 300 clients, 1 KiB of JSON, deflated", "states", "deflate", 300, 1024),
    "tls": Workload("Echo with TLS, 50 clients, 64 B", "tls", "tls", clients=50),
    "large": Workload("Echo, 4 clients, 1 MiB", "echo", "echo", clients=4, size=1 << 20),
    "slow": Workload(
        "Broadcast to 1,000 clients, 16 KiB; 50 stop reading", "slow", "broadcast", 1000, 1 << 14
    ),
    "upgrades": Workload("2,000 clients connect", "upgrades", "echo", clients=2000),
    "idle": Workload("10,000 idle connections", "idle", "echo", clients=10_000),
    "members": Workload("10,000 silent members of one room", "idle", "rooms", clients=10_000),
    "state-100": Workload(
        "A state of 500 entities of which 50 move in each of 20 ticks a second; 100 clients",
        "ticks",
        "state",
        100,
    ),
    "state-300": Workload("The same with 300 clients", "ticks", "state", 300),
    "views-100": Workload("The same with 100 clients of which each sees 100 entities", "ticks", "views", 100),
    "views-300": Workload("The same with 300 clients of which each sees 100 entities", "ticks", "views", 300),
    "encoder": Workload(
        "The encoder alone: 500 entities, of which 50 move, or all with 300 views of 60 entities",
        ENCODER,
        ENCODER,
        0,
    ),
    "cluster-room": Workload(
        "One room of 500 members on all nodes of a cluster, 64 characters in JSON", "broadcast", "rooms", 500
    ),
    "cluster-busy": Workload(
        "One room of 50 members on all nodes of a cluster who all talk, 64 characters in JSON",
        "broadcast",
        "rooms",
        50,
        speakers=50,
    ),
    "cluster-elsewhere": Workload(
        "100 rooms of one member each, which the first node of a cluster runs; the members are at the last",
        "elsewhere",
        "cluster",
        100,
    ),
    "cluster-joins": Workload("500 clients join one room from all nodes of a cluster", "joins", "rooms", 500),
    "cluster-find": Workload("One room is found among 10,000 of a cluster", "finds", "cluster", 10),
    "scaling-idle": Workload(
        "Echo, 50 clients among idle connections", "amongIdle", "echo", 50, points=(1000, 3000, 10_000)
    ),
    "scaling-rooms": Workload(
        "Calls of 50 members of one room of many", "amongRooms", "rooms", 50, points=(10, 100, 1000, 10_000)
    ),
    "scaling-history": Workload(
        "One room of 50 members with a history", "withHistory", "rooms", 50, points=(10, 100, 1000, 10_000)
    ),
}

PLAIN = Dialect()
SOCKETS = {"echo": PLAIN, "broadcast": PLAIN, "tls": PLAIN}
DEFLATING = {**SOCKETS, "deflate": Deflated()}


def python(file: str, *arguments: str) -> tuple[str, ...]:
    """A server written in Python."""
    return (PYTHON, str(HERE / "peers" / file), *arguments)


def node(file: str, *arguments: str) -> tuple[str, ...]:
    """A server written for Node."""
    return ("node", str(HERE / "peers" / file), *arguments)


def bun(file: str) -> tuple[str, ...]:
    """
    A server written for Bun, whose program may not be in its place if npm was not allowed to run its
    script.
    """
    programs = [*NODE.glob("@oven/bun-linux-*/bin/bun"), NODE / "bun" / "bin" / "bun.exe"]
    return (str(programs[0]), str(HERE / "peers" / file))


def txroom(options: str, *arguments: str) -> Contender:
    """txroom, or txroom with other options."""
    roles = {
        **DEFLATING,
        "rooms": TxroomRoom(),
        "presence": TxroomParty(isTold=True),
        "cluster": TxroomKeyed(),
        "state": TxroomState("state"),
        "views": TxroomState("views"),
        ENCODER: PLAIN,
    }
    return Contender(
        python("txroom_server.py", *arguments),
        roles,
        options,
        encoder=python("txroom_encoder.py", "native"),
    )


#: The workloads of clusters; of the other servers only txroom with its rooms in memory takes part.
CLUSTER = frozenset(name for name in WORKLOADS if name.startswith("cluster-"))


def cluster(nodes: int, options: str) -> Contender:
    """So many nodes of txroom, and their Redis."""
    roles = {"rooms": TxroomRoom(), "cluster": TxroomKeyed()}
    command = python("txroom_cluster.py")
    return Contender(command, roles, options, needs=("hiredis", REDIS), only=CLUSTER, nodes=nodes)


def answering(type: str, options: str) -> Contender:
    """txroom, whose handler of messages of that type answers by a message to their sender."""
    return Contender(
        python("txroom_server.py"), {"rooms": TxroomRoom(type)}, options, only=frozenset({"answer"})
    )


def takesPart(name: str, workload: str) -> bool:
    """Whether a contender is measured in a workload."""
    isMeant = name == REFERENCE or name in CLUSTERS or workload not in CLUSTER
    if WORKLOADS[workload].points:
        isMeant = name.startswith(REFERENCE)
    contender = CONTENDERS[name]
    isMeant = (
        isMeant and workload not in contender.cannot and (not contender.only or workload in contender.only)
    )
    return isMeant and WORKLOADS[workload].role in contender.roles


#: Servers that wait for each client, so that a client that does not read delays all others.
WAITS = frozenset({"slow"})

CONTENDERS = {
    "floor": Contender(
        (str(BUILD / "floor"),),
        {"echo": PLAIN, "broadcast": PLAIN},
        "C: epoll, read, write of frames made beforehand",
        needs=(BUILD / "floor",),
        cannot=WAITS | {"idle"},
    ),
    "floor-python": Contender(
        python("floor_server.py"),
        {"echo": PLAIN, "broadcast": PLAIN},
        "the same in Python",
        # It sends as much as fits at once, or fails.
        cannot=WAITS | {"idle", "large"},
    ),
    REFERENCE: txroom(
        "defaults, default reactor; rooms: messageRate, createRate, joinRate=0; deflate: compression='shared'"
    ),
    "txroom-lean": txroom("the same on the lean reactor", "--reactor", "leanepoll"),
    "txroom-operated": txroom(
        "with the page of operators open, metrics that are read every 5 s, and the log as JSON",
        *("--operated", "on"),
    ),
    "txroom-send": answering("askSend", "answers by client.send(...), logged, in place of a call's reply"),
    "txroom-volatile": answering("askVolatile", "answers by client.send(..., volatile=True)"),
    "txroom-coroutine": Contender(
        python("txroom_server.py"),
        {"rooms": TxroomRoom("askAsync", isCall=True)},
        "a call's handler is a coroutine",
        only=frozenset({"answer"}),
    ),
    "txroom-colyseus": Contender(
        python("txroom_server.py"),
        {"state": ColyseusRoom("state"), "views": ColyseusRoom("views"), ENCODER: PLAIN},
        "clients of Colyseus at txroom",
        encoder=python("txroom_encoder.py", "schema"),
    ),
    "txroom-quantized": Contender(
        python("txroom_server.py"),
        {ENCODER: PLAIN},
        "the places of entities have 16 bits",
        encoder=python("txroom_encoder.py", "quantized"),
    ),
    "txroom-undeflated": Contender(
        python("txroom_server.py"), {"deflate": PLAIN}, "compression='shared', but its clients don't offer it"
    ),
    "txroom-redis": cluster(1, "one node; Redis keeps nothing on its disk"),
    "txroom-nodes": cluster(2, "two nodes; Redis keeps nothing on its disk"),
    "txroom-untold": Contender(
        python("txroom_server.py", "--presence", "off"),
        {"presence": TxroomParty(isTold=False)},
        "rooms without presence",
    ),
    "autobahn": Contender(
        python("autobahn_server.py"),
        DEFLATING,
        "defaults; broadcast of prepared messages; deflate: what is offered is accepted",
    ),
    "websockets": Contender(
        python("websockets_server.py"),
        DEFLATING,
        "asyncio's loop; compression=None, deflate: 'deflate'",
        needs=("websockets",),
    ),
    "websockets-uvloop": Contender(
        python("websockets_server.py", "--loop", "uvloop"),
        DEFLATING,
        "uvloop; compression=None, deflate: 'deflate'",
        needs=("websockets", "uvloop"),
    ),
    "aiohttp": Contender(
        python("aiohttp_server.py"),
        DEFLATING,
        "asyncio's loop; compress=False, deflate: True",
        needs=("aiohttp",),
        cannot=WAITS,
    ),
    "aiohttp-uvloop": Contender(
        python("aiohttp_server.py", "--loop", "uvloop"),
        DEFLATING,
        "uvloop; compress=False, deflate: True",
        needs=("aiohttp", "uvloop"),
        cannot=WAITS,
    ),
    "picows": Contender(
        python("picows_server.py"),
        SOCKETS,
        "uvloop; it has no permessage-deflate",
        needs=("picows", "uvloop"),
    ),
    "tornado": Contender(
        python("tornado_server.py"),
        DEFLATING,
        "asyncio's loop; no compression, deflate: its defaults",
        needs=("tornado",),
    ),
    "ws": Contender(
        node("ws_server.js"),
        DEFLATING,
        "with bufferutil; perMessageDeflate: false, deflate: true",
        needs=(NODE / "ws",),
    ),
    "bun": Contender(
        bun("bun_server.js"), DEFLATING, "perMessageDeflate: false, deflate: true", needs=(NODE / "bun",)
    ),
    "socket.io": Contender(
        node("socketio_server.js"), {"rooms": SocketIORoom()}, "websocket only", needs=(NODE / "socket.io",)
    ),
    "python-socketio": Contender(
        python("python_socketio_server.py"),
        {"rooms": SocketIORoom()},
        "uvicorn[standard] with ws_per_message_deflate=False, websocket only",
        needs=("socketio", "uvicorn"),
    ),
    "channels": Contender(
        python("channels_server.py"),
        {"rooms": ChannelsRoom()},
        "daphne, the layer in memory",
        needs=("channels", "daphne"),
        # 10,000 members need more than a minute to join.
        cannot=frozenset({"members"}),
    ),
    "colyseus": Contender(
        node("colyseus_server.js"),
        {
            "rooms": ColyseusRoom(),
            "presence": ColyseusRoom(),
            "state": ColyseusRoom("state"),
            "views": ColyseusRoom("views"),
            ENCODER: PLAIN,
        },
        "ws-transport; presence: a map of the players in the state",
        encoder=node("colyseus_encoder.js"),
        needs=(NODE / "@colyseus",),
    ),
}


CLUSTERS = frozenset(name for name, contender in CONTENDERS.items() if contender.only is CLUSTER)


@dataclass(frozen=True)
class Goal:
    """The most that txroom may need, or the least that it must do, alone or compared with another server."""

    workload: str
    metric: str
    other: str | None
    bound: float
    isLeast: bool = False
    who: str = REFERENCE

    def __str__(self) -> str:
        bound = f"{'least' if self.isLeast else 'most'} {self.bound}"
        other = f" x {self.other}" if self.other else ""
        return f"{self.workload}, {self.metric} of {self.who}: at {bound}{other}"

    def isMet(self, value: float) -> bool:
        """Whether a value reaches the goal."""
        return value >= self.bound if self.isLeast else value <= self.bound


GOALS = (
    Goal("busy-50-room", "cpu", "colyseus", 0.15),
    Goal("busy-50-room", "cpu", "socket.io", 0.15),
    Goal("busy-500-room", "cpu", "colyseus", 0.15),
    Goal("busy-50", "cpu", "ws", 0.15),
    Goal("busy-50", "cpu", "bun", 3.0),
    Goal("pipelined", "cpu", "ws", 0.6),
    Goal("echo-64", "cpu", "ws", 1.0),
    Goal("echo-64", "cpu", "websockets", 0.6),
    Goal("echo-64", "cpu", "aiohttp", 0.9),
    Goal("echo-64", "cpu", "autobahn", 0.35),
    Goal("echo-64", "cpu", "ws", 0.95, who="txroom-lean"),
    Goal("echo-64", "cpu", "bun", 1.7, who="txroom-lean"),
    Goal("broadcast-500", "cpu", "floor", 1.3),
    Goal("broadcast-500", "cpu", "ws", 0.9),
    Goal("broadcast-500", "cpu", "aiohttp", 0.9),
    Goal("broadcast-500", "cpu", "websockets", 0.75),
    Goal("broadcast-500", "cpu", "autobahn", 0.35),
    Goal("answer", "cpu", "colyseus", 1.15),
    *(
        Goal(workload, "cpu", REFERENCE, 1.03, who="txroom-operated")
        for workload in ("echo-64", "busy-50", "answer")
    ),
    Goal("answer", "cpu", "colyseus", 1.25, who="txroom-volatile"),
    Goal("answer", "cpu", "colyseus", 1.6, who="txroom-send"),
    Goal("room", "cpu", "colyseus", 0.85),
    Goal("room", "cpu", "socket.io", 0.75),
    Goal("room", "cpu", "python-socketio", 0.2),
    Goal("room", "cpu", "channels", 0.04),
    Goal("presence", "joining", "txroom-untold", 2.0),
    Goal("presence", "leaving", None, 200),
    Goal("deflate", "cpu", "txroom-undeflated", 1.15),
    Goal("deflate", "cpu", "ws", 0.25),
    Goal("deflate", "cpu", "bun", 1.0),
    Goal("upgrades", "upgrades", "websockets", 1.2, isLeast=True),
    Goal("upgrades", "upgrades", "ws", 1.0, isLeast=True),
    Goal("idle", "memory", "ws", 1.0),
    Goal("tls", "cpu", "websockets", 1.0),
    Goal("members", "memory", None, 10),
    Goal("slow", "slowdown", None, 1.2),
    Goal("slow", "growth", None, 50),
    *(
        Goal(workload, "tick", "colyseus", bound, who=who)
        for who in (REFERENCE, "txroom-colyseus")
        for workload, bound in (
            ("state-100", 0.7),
            ("state-300", 0.8),
            ("views-100", 0.9),
            ("views-300", 0.95),
        )
    ),
    *(
        Goal("encoder", metric, "colyseus", bound, who=who)
        for who in (REFERENCE, "txroom-colyseus")
        for metric, bound in (("shared", 3.5), ("views", 0.5), ("full", 4.5))
    ),
    Goal("encoder", "bytes", "colyseus", 0.8),
    Goal("encoder", "bytes", "colyseus", 1.0, who="txroom-colyseus"),
    Goal("encoder", "bytes", "colyseus", 0.7, who="txroom-quantized"),
    Goal("cluster-room", "cpu", REFERENCE, 1.2, who="txroom-nodes"),
    Goal("cluster-busy", "cpu", REFERENCE, 1.5, who="txroom-nodes"),
    Goal("cluster-elsewhere", "cpu", REFERENCE, 2.2, who="txroom-nodes"),
    Goal("cluster-joins", "joins", REFERENCE, 0.5, isLeast=True, who="txroom-nodes"),
    Goal("cluster-find", "cpu", None, 1000, who="txroom-nodes"),
    Goal("scaling-idle", "cpu", "txroom, 1,000", 1.1, who="txroom, 10,000"),
    Goal("scaling-rooms", "cpu", "txroom, 10", 1.1, who="txroom, 10,000"),
    Goal("scaling-history", "cpu", "txroom, 10", 1.1, who="txroom, 10,000"),
)
