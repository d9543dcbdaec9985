"""
The kinds of measurements: each sets clients up at a running server, and says what one run found.
"""

from __future__ import annotations

import json
import os
import random
import string
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .clients import Client, ClientFailed, Dialect
from .contenders import BUILD, Workload
from .processes import LOAD_CPU, Server

Found = dict[str, float]

#: Frames of a speaker that never says the same again.
MANY = 20_000


class LoadFailed(Exception):
    """The load generator gave up; the text says why."""


@dataclass(frozen=True)
class Effort:
    """How long one run takes."""

    seconds: float
    warm: float


class Load:
    """The load generator on connections that are open; it has warmed up when this is made."""

    def __init__(
        self,
        mode: str,
        connected: Sequence[Client],
        frames: Sequence[bytes],
        effort: Effort,
        match: bytes = b"",
        mute: Sequence[Client] = (),
    ) -> None:
        numbers = [client.fileno() for client in connected]
        self._process = subprocess.Popen(
            [str(BUILD / "load")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=numbers,
            preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}),
        )
        self._say(
            f"mode {mode}",
            "fds " + " ".join(map(str, numbers)),
            "mute " + " ".join(str(client.fileno()) for client in mute),
            f"match {match.hex()}",
            f"warm {effort.warm}",
            f"seconds {effort.seconds}",
            f"frames {len(frames)}",
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
            self._process.stdin.write("\n".join([*lines, ""]))
            self._process.stdin.flush()
        except BrokenPipeError:
            self._fail()

    def _hear(self) -> str:
        line: str = self._process.stdout.readline()
        if not line:
            self._fail()
        return line

    def _fail(self) -> None:
        raise LoadFailed(self._process.communicate()[1].strip())


def textOf(size: int, seed: int = 0) -> str:
    """So many characters, as random as words."""
    random_ = random.Random(seed)
    letters = string.ascii_lowercase + " "
    return "".join(random_.choices(letters, k=size))


def echo(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """Every client awaits the answer to its message and sends the next."""
    text = textOf(workload.size)
    with dialect.crowd(server.port, workload.clients) as clients:
        frames = checked(dialect.spoken(text, MANY), text, clients[0], clients[:1])
        return loaded(server, Load("echo", clients, frames, effort, dialect.heard))


def broadcast(server: Server, dialect: Dialect, workload: Workload, effort: Effort) -> Found:
    """One client speaks, all hear it, and it speaks again."""
    text = textOf(workload.size)
    with dialect.crowd(server.port, workload.clients) as clients:
        frames = checked(dialect.spoken(text, MANY), text, clients[0], clients)
        return loaded(server, Load("broadcast", clients, frames, effort, dialect.heard))


def checked(frames: list[bytes], text: str, speaker: Client, hearers: Sequence[Client]) -> list[bytes]:
    """
    The frames that are left after the first was sent and heard, word for word.

    Raises `ClientFailed`.
    """
    speaker.socket.sendall(frames[0])
    for client in hearers:
        while text not in (heard := client.answer()):
            if len(heard) > len(text):
                raise ClientFailed(f"{text!r} was said, {heard!r} was heard")
    return frames[1:] or frames


def loaded(server: Server, load: Load) -> Found:
    """What a server costs while the generator runs."""
    before = server.cpu()
    found = load.run()
    cpu = server.cpu() - before
    server.check()
    messages = found["messages"]
    return {
        "cpu": cpu / messages * 1e6,
        "rate": messages / found["seconds"],
        "p50": found["p50"],
        "p99": found["p99"],
        "rss": server.rss() / 1e6,
        "load": found["cpu"] / messages * 1e6,
    }


KINDS: dict[str, Callable[[Server, Dialect, Workload, Effort], Found]] = {
    "echo": echo,
    "broadcast": broadcast,
}
