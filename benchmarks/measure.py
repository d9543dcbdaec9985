"""
The kinds of measurements. Each sets up clients at a running server, and returns what one run has measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import string
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.clients import (
    BATCH,
    Attendant,
    Client,
    ClientFailed,
    Dialect,
    Listener,
    TxroomLobby,
    received,
    requestOf,
)
from benchmarks.contenders import BUILD, Workload
from benchmarks.processes import LOAD_CPU, Server

Found = dict[str, float]
#: Makes the frame of a text; the number of the message counts from 1.
Frame = Callable[[str, int], bytes]

#: How many frames a client has that numbers its messages.
MANY = 20_000
#: How many different messages there are if each must differ: more than a window of deflate holds.
DIFFERENT = 500
#: How many messages are sent in turn to slow readers, so that none equals the one before.
IN_TURN = 8
#: How many messages are in flight while a history is filled.
AT_ONCE = 500
#: Among how many rooms one is found.
MANY_ROOMS = 10_000
#: How many ticks a second a state has.
RATE = 20
#: How many clients stop reading.
SLOW = 50
#: The size of the messages that then fill the kernel's buffers, and for how many seconds they are sent.
FILLING = 1 << 16
FILL_SECONDS = 4.0
#: How many clients connect and disconnect before memory is measured.
WARM_CLIENTS = 50
#: For how many seconds the server must then be idle, and how many times that is tried.
CALM = 0.5
CALM_LIMIT = 20


class LoadFailed(Exception):
    """The load generator has stopped; the text says why."""


@dataclass(frozen=True)
class Effort:
    """How long one run takes."""

    seconds: float
    warm: float


@dataclass(frozen=True)
class Secure:
    """TLS clients, which the load generator connects itself."""

    port: int
    count: int
    request: bytes

    def __str__(self) -> str:
        return f"tls {self.port} {self.count} {self.request.hex()}"


class Load:
    """The load generator with open connections. It has warmed up when this object is made."""

    def __init__(
        self,
        mode: str,
        connected: Sequence[Client] | Secure,
        frames: Sequence[bytes],
        effort: Effort,
        match: bytes = b"",
        mute: Sequence[Client] = (),
        isNumbered: bool = False,
        speakers: int = 1,
        depth: int = 1,
    ) -> None:
        numbers = [] if isinstance(connected, Secure) else [client.fileno() for client in connected]
        self._process = subprocess.Popen(
            [str(BUILD / "load")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=numbers,
            preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}),
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._say(
            f"mode {mode}",
            str(connected) if isinstance(connected, Secure) else "fds " + " ".join(map(str, numbers)),
            "mute " + " ".join(str(client.fileno()) for client in mute),
            f"speakers {speakers}",
            f"depth {depth}",
            f"match {match.hex()}",
            f"warm {effort.warm}",
            f"seconds {effort.seconds}",
            f"{'numbered' if isNumbered else 'frames'} {len(frames)}",
            *(frame.hex() for frame in frames),
            "end",
        )
        self._hear()

    def run(self) -> Found:
        """Measure."""
        self._say("go")
        found: Found = json.loads(self._hear())
        self._process.communicate()
        return found

    def _say(self, *lines: str) -> None:
        try:
            self._input.write("\n".join([*lines, ""]))
            self._input.flush()
        except BrokenPipeError:
            self._fail()

    def _hear(self) -> str:
        line = self._output.readline()
        if not line:
            self._fail()
        return line

    def _fail(self) -> None:
        raise LoadFailed(self._process.communicate()[1].strip())


def textOf(size: int, seed: int = 0) -> str:
    """A text of that many characters, about as random as words."""
    return "".join(random.Random(seed).choices(string.ascii_lowercase + " ", k=size))


def jsonOf(size: int, seed: int) -> str:
    """JSON such as a game sends, a little longer than `size`; all with one `size` have the same length."""
    dice = random.Random(seed)
    players: list[dict[str, object]] = []
    while len(text := json.dumps({"type": "state", "tick": seed, "players": players})) < size:
        place = {"x": round(dice.uniform(0, 1000), 2), "y": round(dice.uniform(0, 1000), 2)}
        players.append({"id": dice.randrange(1 << 32), **place, "alive": dice.random() < 0.9})
    return text.ljust(size + 80)


def echo(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """Every client waits for the answer to its message and sends the next."""
    return answers(server, dialect, workload, effort, dialect.said, dialect.heard)


def tls(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """An echo with TLS."""
    text, request = textOf(workload.size), requestOf(dialect.path)
    client = Client(server.port, isSecure=True)
    client.ask(request)
    client.upgraded()
    frames = checked([dialect.said(text, 1)], text, client, [client])
    client.close()
    secure = Secure(server.port, workload.clients, request)
    return loaded(server, Load("echo", secure, frames, effort))


def answer(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """Every member of a room awaits the answer to what it asks and asks again."""
    return answers(server, dialect, workload, effort, dialect.asked, dialect.answered)


def answers(
    server: Server, dialect: Dialect, workload: Workload, effort: Effort, frame: Frame, match: bytes
) -> Found:
    """
    Every client sends these frames, each after the answer to the one before; answers begin with `match`.
    """
    text = textOf(workload.size)
    with dialect.crowd(server.port, workload.clients) as clients:
        frames = framesOf(dialect, frame, text)
        for client in clients:
            rest = checked(frames, text, client, [client])
        load = Load("echo", clients, rest, effort, match, isNumbered=dialect.isNumbered)
        return loaded(server, load)


def pipelined(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """Every client sends `depth` messages in one write, waits for all answers, and sends the next ones."""
    text = textOf(workload.size)
    with dialect.crowd(server.port, workload.clients) as clients:
        for client in clients:
            checked(framesOf(dialect, dialect.said, text), text, client, [client])
        frames = [dialect.said(text, 1) * workload.depth]
        load = Load("echo", clients, frames, effort, dialect.heard, depth=workload.depth)
        return loaded(server, load)


def broadcast(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """
    Clients talk, all clients receive it, and they talk again. In a cluster the first node runs the room.

    At any time `speakers` messages are in flight. With one, it is sent again when all have received it.
    """
    text = textOf(workload.size)
    with crowds(server, dialect, workload.clients) as clients:
        frames = framesOf(dialect, dialect.said, text)
        for speaker in clients[: workload.speakers]:
            rest = checked(frames, text, speaker, clients)
        load = Load(
            "broadcast",
            clients,
            rest,
            effort,
            dialect.heard,
            isNumbered=dialect.isNumbered,
            speakers=workload.speakers,
        )
        return loaded(server, load)


def elsewhere(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """Clients of the last node, each alone in a room that the first node runs, await what they have said."""
    text = textOf(workload.size)
    frames = framesOf(dialect, dialect.said, text)
    lobby = TxroomLobby("keyed")
    with contextlib.ExitStack() as stack:
        creators = stack.enter_context(lobby.crowd(server.ports[0], workload.clients // lobby.ROOMS))
        clients = stack.enter_context(dialect.crowd(server.ports[-1], workload.clients, "&key=room%20{}"))
        for creator in creators:
            creator.leave()
            creator.close()
        calm(server)
        for client in clients:
            rest = checked(frames, text, client, [client])
        load = Load("echo", clients, rest, effort, dialect.heard, isNumbered=dialect.isNumbered)
        return loaded(server, load)


def joins(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """Clients join one room from all nodes of a cluster, after as many have joined and left."""
    with crowds(server, dialect, workload.clients):
        pass
    calm(server)
    cpu, redis = server.cpu(), server.redisCPU()
    with crowds(server, dialect, workload.clients):
        redis = server.redisCPU() - redis
        cpu = server.cpu() - cpu - redis
        return {"joins": workload.clients / cpu, "redis": redis / workload.clients * 1e6}


def finds(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """A room of the last node finds one room of the first node among many, when its members ask for it."""
    with contextlib.ExitStack() as stack:
        share = MANY_ROOMS // len(server.ports)
        for index, port in enumerate(server.ports):
            lobby = TxroomLobby("keyed", first=index * share)
            stack.enter_context(lobby.crowd(port, share // lobby.ROOMS))
        clients = stack.enter_context(dialect.crowd(server.ports[-1], workload.clients, "&key=members"))
        frames = framesOf(dialect, dialect.asked, TxroomLobby.KEY.format(0))
        for client in clients:
            rest = checked(frames, TxroomLobby.KEY.format(0), client, [client])
        load = Load("echo", clients, rest, effort, dialect.answered, isNumbered=dialect.isNumbered)
        return loaded(server, load)


@contextlib.contextmanager
def crowds(server: Server, dialect: Dialect, count: int) -> Iterator[list[Client]]:
    """Set up that many clients, as many at each port, in turn."""
    with contextlib.ExitStack() as stack:
        share = count // len(server.ports)
        groups = [stack.enter_context(dialect.crowd(port, share)) for port in server.ports]
        yield [client for clients in zip(*groups, strict=True) for client in clients]


def states(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """A broadcast of JSON that differs each time."""
    texts = [jsonOf(workload.size, seed) for seed in range(DIFFERENT)]
    with dialect.crowd(server.port, workload.clients) as clients:
        frames = [dialect.said(text, number) for number, text in enumerate(texts, 1)]
        frames = checked(frames, texts[0], clients[0], clients)
        return loaded(server, Load("broadcast", clients, frames, effort))


def slow(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """A broadcast to all clients; then again, while some of them do not read."""
    texts, fillings = ([textOf(size, seed) for seed in range(IN_TURN)] for size in (workload.size, FILLING))
    with dialect.crowd(server.port, workload.clients) as clients:
        frames = checked([dialect.said(text, 1) for text in texts], texts[0], clients[0], clients)
        without = loaded(server, Load("broadcast", clients, frames, effort))
        mute = clients[-SLOW:]
        for client in mute:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        # The kernel buffers a few megabytes for clients that do not read, before the server has to.
        filling = [dialect.said(text, 1) for text in fillings]
        Load("broadcast", clients, filling, Effort(0, FILL_SECONDS), mute=mute).run()
        found = loaded(server, Load("broadcast", clients, frames, effort, mute=mute))
        return {
            "slowdown": found["p99"] / without["p99"],
            "p99": found["p99"],
            "p99Without": without["p99"],
            "growth": found["rss"] - without["rss"],
            "cpu": found["cpu"],
        }


def ticks(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """Clients follow a state in which something changes in each tick."""
    with dialect.crowd(server.port, workload.clients) as clients:
        received(clients, effort.warm)
        cpu = server.cpu()
        sizes = received(clients, effort.seconds)
        cpu = server.cpu() - cpu
        server.check()
        if len(sizes) < effort.seconds * RATE / 2:
            raise ClientFailed(f"{len(sizes)} patches have arrived in {effort.seconds} s")
        return {"tick": cpu / len(sizes) * 1e3, "bytes": sum(sizes) / len(sizes), "rss": server.rss() / 1e6}


def upgrades(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """
    Clients connect, after as many have connected and disconnected, so that compilers have optimized the
    code.
    """
    with dialect.crowd(server.port, workload.clients):
        pass
    calm(server)
    cpu = server.cpu()
    with dialect.crowd(server.port, workload.clients):
        return {"upgrades": workload.clients / (server.cpu() - cpu)}


def idle(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """Clients connect, and join if there are rooms, and send nothing."""
    with dialect.crowd(server.port, WARM_CLIENTS):
        pass
    calm(server)
    memory = server.rss()
    with dialect.crowd(server.port, workload.clients):
        calm(server)
        memory = server.rss() - memory
        server.check()
        return {"memory": memory / workload.clients / 1024}


def wave(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """Clients connect; all join at once; then half of them leave at once."""
    with dialect.crowd(server.port, WARM_CLIENTS) as clients:
        for client in clients:
            client.leave()
    calm(server)
    attendant = Attendant()
    try:
        cpu = server.cpu()
        listeners: list[Listener] = []
        while len(listeners) < workload.clients:
            batch = [Listener(server.port, dialect.named) for _ in range(BATCH)]
            listeners += batch
            attendant.add(batch)
            for client in batch:
                dialect.ask(client, "")
            for client in batch:
                client.upgraded()
                if dialect.joinsByConnecting:
                    dialect.enter(client)
            attendant.attend(0)
        if not dialect.joinsByConnecting:
            attend(server, attendant)
            cpu = server.cpu()
        for index, client in enumerate([] if dialect.joinsByConnecting else listeners, 1):
            dialect.enter(client)
            if index % BATCH == 0:
                attendant.attend(0)
        attend(server, attendant)
        joining = server.cpu() - cpu
        heard(listeners[0], dialect, workload.clients)
        staying = workload.clients // 2
        cpu = server.cpu()
        for client in listeners[staying:]:
            client.leave()
        attend(server, attendant)
        server.check()
        heard(listeners[0], dialect, workload.clients, workload.clients - staying)
        return {"joining": joining * 1e3, "leaving": (server.cpu() - cpu) * 1e3}
    finally:
        attendant.close()


def heard(first: Listener, dialect: Dialect, joined: int, left: int = 0) -> None:
    """Check what the first member was told. Raises `ClientFailed`."""
    told = dialect.told(joined, left)
    if dialect.named and first.count != told:
        raise ClientFailed(f"the first member was told {first.count:,} times of members, and not {told:,}")


def attend(server: Server, attendant: Attendant) -> None:
    """Take all that comes until the server has nothing left to do."""
    calms = 0
    while calms < 2:
        before = server.cpu()
        attendant.attend(CALM)
        calms = calms + 1 if server.cpu() - before < CALM / 50 else 0


def calm(server: Server) -> None:
    """Wait until the server has hardly anything left to do, such as removing clients."""
    for _ in range(CALM_LIMIT):
        before = server.cpu()
        time.sleep(CALM)
        if server.cpu() - before < CALM / 50:
            return


def amongIdle(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """An echo beside that many idle connections."""
    with dialect.crowd(server.port, workload.point):
        return echo(server, dialect, workload, effort)


def amongRooms(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """Calls in one of that many rooms."""
    with TxroomLobby().crowd(server.port, workload.point // TxroomLobby.ROOMS):
        return answer(server, dialect, workload, effort)


def withHistory(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """A broadcast in a room whose history has that many messages."""
    text, query = textOf(workload.size), f"&history={workload.point}"
    frames = framesOf(dialect, dialect.said, text, workload.point + MANY)
    with dialect.crowd(server.port, 1, query) as (speaker,):
        for start in range(0, workload.point, AT_ONCE):
            batch = frames[start : min(start + AT_ONCE, workload.point)]
            speaker.socket.sendall(b"".join(batch))
            for _ in batch:
                speaker.answer(dialect.heard.decode())
        with dialect.crowd(server.port, workload.clients - 1, query) as others:
            clients = [speaker, *others]
            rest = checked(frames[workload.point :], text, speaker, clients)
            load = Load("broadcast", clients, rest, effort, dialect.heard, isNumbered=dialect.isNumbered)
            return loaded(server, load)


def framesOf(dialect: Dialect, frame: Frame, text: str, count: int = MANY) -> list[bytes]:
    """The frames that one client sends again and again."""
    return [frame(text, number) for number in range(1, (count if dialect.isNumbered else 1) + 1)]


def checked(frames: list[bytes], text: str, speaker: Client, hearers: Sequence[Client]) -> list[bytes]:
    """
    Send the first frame and check what each client receives, word for word; return the other frames.

    Raises:
        ClientFailed: A client received something else.
    """
    speaker.socket.sendall(frames[0])
    for client in hearers:
        while text not in (heard := client.answer()):
            if len(heard) > len(text):
                raise ClientFailed(f"{text!r} was said, {heard!r} was heard")
    return frames[1:] or frames


def loaded(server: Server, load: Load) -> Found:
    """What a server needs while the load generator runs; its Redis, if it has one, is counted apart."""
    before, redis = server.cpu(), server.redisCPU()
    found = load.run()
    redis = server.redisCPU() - redis
    cpu = server.cpu() - before - redis
    server.check()
    messages = found["messages"]
    return {
        "cpu": cpu / messages * 1e6,
        "rate": messages / found["seconds"],
        "p50": found["p50"],
        "p99": found["p99"],
        "redis": redis / messages * 1e6,
        "rss": server.rss() / 1e6,
        "bytes": found["bytes"] / messages,
        "load": found["cpu"] / messages * 1e6,
    }


KINDS: dict[str, Callable[[Server, Dialect, Workload, Effort], Found]] = {
    one.__name__: one
    for one in (
        echo,
        pipelined,
        tls,
        answer,
        broadcast,
        elsewhere,
        joins,
        finds,
        states,
        slow,
        ticks,
        upgrades,
        idle,
        wave,
        amongIdle,
        amongRooms,
        withHistory,
    )
}
