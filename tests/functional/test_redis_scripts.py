"""The scripts on a real server: the fake one of the unit tests does the same, command by command."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hiredis import Reader, ReplyError, pack_command
from twisted.internet.task import Clock

from tests.engine.redis.fakestore import Store
from tests.functional.redisserver import RedisServer
from txroom.engine.redis.keys import Keys
from txroom.engine.redis.scripts import NAMES, Scripts, textOf

#: How many random commands are compared.
COMMANDS = 6000
#: Numbers that are times may differ by so many milliseconds.
SLACK = 3000

KEYS = Keys("eq")
NODES = ("n1", "n2", "n3")
TOKENS = ("t1", "t2", "t3", "")


class Wire:
    """A connection that waits for each reply."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(str(path))
        self._reader = Reader()
        self.ask("HELLO", 3)

    def ask(self, *args: Any) -> Any:
        self._socket.sendall(pack_command(args))
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(1 << 16))
        return reply

    def close(self) -> None:
        self._socket.close()


class Pair:
    """A real server and the fake one, which get the same commands."""

    def __init__(self, path: Path) -> None:
        self.real = Wire(path)
        self.fake = Store(Clock())
        self.scripts = Scripts()
        for name in NAMES:
            loaded = self.both("SCRIPT", "LOAD", textOf(name))
            assert loaded.decode() == self.scripts.command(name, (), ())[1]

    def both(self, *args: Any) -> Any:
        """Run a command on both, compare the replies, and return that of the real one."""
        seconds, micros = self.real.ask("TIME")
        self.fake.ahead = int(seconds) + int(micros) / 1e6
        real, fake = self.real.ask(*args), self.fake.execute(*args)
        assert alike(real, fake), f"{args}: {real!r} is not {fake!r}"
        return real

    def run(self, name: str, keys: Any, *args: Any) -> Any:
        return self.both(*self.scripts.command(name, keys, args))

    def compare(self) -> None:
        """Compare everything that is stored."""
        keys = set(self.real.ask("KEYS", "eq:*"))
        assert keys == set(self.fake.doKEYS(b"eq:*"))
        for key in sorted(keys):
            kind = self.real.ask("TYPE", key)
            if kind == b"hash":
                self.both("HGETALL", key)
            elif kind == b"zset":
                self.both("ZRANGE", key, 0, -1, "WITHSCORES")
            elif kind == b"string":
                self.both("GET", key)
            else:
                # A real server trims whole blocks only, so it may have some more of the oldest items.
                real, fake = (side("XRANGE", key, "-", "+") for side in (self.real.ask, self.fake.execute))
                assert alike(real[len(real) - len(fake) :], fake), key
            assert alike(self.real.ask("PTTL", key), self.fake.execute("PTTL", key)), key


def alike(real: Any, fake: Any) -> bool:
    """Whether two replies are the same, but for times."""
    if isinstance(real, ReplyError) or isinstance(fake, ReplyError):
        return type(real) is type(fake) and str(real).split()[:2] == str(fake).split()[:2]
    if isinstance(real, list) and isinstance(fake, list):
        return len(real) == len(fake) and all(map(alike, real, fake))
    if isinstance(real, dict) and isinstance(fake, dict):
        return real.keys() == fake.keys() and all(alike(real[key], fake[key]) for key in real)
    if isinstance(real, bytes) and isinstance(fake, bytes) and real != fake:
        times, others = real.split(), fake.split()
        isTimes = len(times) == len(others) and all(one.isdigit() for one in (*times, *others))
        return isTimes and all(alike(int(one), int(other)) for one, other in zip(times, others, strict=True))
    if isinstance(real, int | float) and isinstance(fake, int | float) and min(real, fake) > 1000:
        return abs(real - fake) <= SLACK
    return bool(real == fake)


class Commands:
    """Random commands, most of which mean something at that moment."""

    def __init__(self, pair: Pair, random: Random) -> None:
        self.pair = pair
        self.random = random

    def step(self) -> None:
        """Run one command."""
        name = self.random.choice(
            (*NAMES, "append", "append", "append", "claim", "notify", "notices", "data")
        )
        getattr(self, name)()

    def room(self) -> Any:
        return KEYS.room(self.random.choice(("r1", "r2")))

    def token(self, room: Any) -> str:
        """The token of a room, mostly."""
        token = self.pair.both("HGET", room.fields, "tok")
        if self.random.random() < 0.8 and token is not None:
            return str(token.decode())
        return self.random.choice(TOKENS)

    def names(self, count: int) -> list[str]:
        return [f"m:{self.random.randrange(12)}" for _ in range(count)]

    def append(self) -> None:
        room, random = self.room(), self.random
        have = int(self.pair.both("HGET", room.fields, "seq") or 0)
        offset = int(self.pair.both("HGET", room.fields, "off") or 0)
        before = have + random.choice((0, 0, 0, 0, 0, -1, -2, 1))
        after = before + random.choice((0, 1, 1, 2, 3))
        entries = b""
        if random.random() < 0.7:
            entries = bytes([0x91, random.randrange(100)])
            offset += random.choice((1, 1, 1, 2, 0))
        least = random.choice((0, 0, 0, max(0, offset - 5), offset + 1))
        removed = self.names(random.choice((0, 0, 1, 2, 1500)))
        pairs = [part for name in self.names(random.choice((0, 1, 2, 1100))) for part in (name, str(have))]
        self.pair.run(
            "append", room[:2], self.token(room), before, after, least, offset, entries, len(removed),
            *removed, *pairs,
        )  # fmt: skip

    def check(self) -> None:
        room = self.room()
        have = int(self.pair.both("HGET", room.fields, "seq") or 0)
        seq = have + self.random.choice((0, -1, 1))
        self.pair.run("check", room[:1], self.token(room), seq, self.random.choice(("run1", "run2")))

    def claim(self) -> None:
        room, random = self.room(), self.random
        self.pair.run(
            "claim", (room.fields, room.grave), self.token(room), random.choice(TOKENS[:3]),
            random.choice(NODES), f"e{random.randrange(100)}", random.choice(("run1", "run2")),
            random.choice((0, 0, 1)), random.choice((0, 1)), "/rooms", "chat", random.randrange(9),
            random.choice((1, 1, 1, 2, 3)), random.choice((0, 0, 1)),
        )  # fmt: skip

    def release(self) -> None:
        room = self.room()
        if self.random.random() < 0.3:
            self.pair.run("release", room, self.token(room), 50_000, *self.random.choice([(), (b"ended",)]))

    def strand(self) -> None:
        fields = self.room()[:1]
        if self.random.random() < 0.3 and self.pair.both("HEXISTS", fields[0], "tok"):
            self.pair.both("HSET", fields[0], "stranded", 1000, "tried", 1000)
        self.pair.run("strand", fields)

    def handover(self) -> None:
        room = self.room()
        choice = self.random.choice
        self.pair.run("handover", room[:1], self.token(room), choice(TOKENS[:3]), choice(("", *NODES)))

    def found(self) -> None:
        room, random = self.room(), self.random
        if random.random() < 0.5:
            return
        parts = [part for at in range(random.choice((0, 1, 3))) for part in (at * 10 + 5, b"\x91\x01")]
        pairs = [part for name in self.names(random.choice((1, 4, 1200))) for part in (name, "v")]
        self.pair.run(
            "found", room, self.token(room), random.choice(TOKENS[:3]), "n1", 4, "e", "run1", "/rooms",
            "chat", 3, 1, random.randrange(20), 25, random.choice((0, 9 * 10**15)),
            len(parts) // 2, *parts, *pairs,
        )  # fmt: skip

    def renew(self) -> None:
        """Leases of hours, or expired for hours, so that it does not matter how long commands take."""
        random = self.random
        index = random.randrange(len(NODES))
        lease = random.choice((7_200_000, 3_600_000, 0, -3_600_000)) + index * 60_000  # none are the same
        remembered = random.choice((90_000, 9_000_000))
        self.pair.run("renew", (KEYS.nodes,), NODES[index], lease, remembered)

    def restarted(self) -> None:
        random = self.random
        self.pair.run("restarted", (KEYS.nodes, KEYS.run), random.choice(NODES), random.choice("xy"))

    def create(self) -> None:
        listings = KEYS.listings("/rooms", "chat")
        room = f"r{self.random.randrange(9)}"
        if self.random.random() < 0.3:
            self.pair.both("HDEL", listings, room)
        args = (room, "", self.random.choice((0, 3, 5)), self.random.randrange(1000))
        self.pair.run("create", (listings, KEYS.ages), *args)

    def make(self) -> None:
        random = self.random
        key = KEYS.making("/rooms", "chat", random.choice("ab"))
        token = f"m{random.randrange(5)}"
        seats = random.choice((0, 1, 2, 3))
        tried = [f"r{random.randrange(9)}" for _ in range(random.randrange(3))]
        dead, waited = (random.choice(("", f"m{random.randrange(5)}")) for _ in range(2))
        args = (f"r{random.randrange(9)}", "n1", token, seats, 60_000, dead, waited, *tried)
        self.pair.run("make", (key,), *args)

    def made(self) -> None:
        key = KEYS.making("/rooms", "chat", self.random.choice("ab"))
        self.pair.run("made", (key,), f"m{self.random.randrange(5)}", self.random.choice((0, 60_000)))

    def queue(self) -> tuple[Any, ...]:
        """The keys of a queue of notifications, and the first arguments of its scripts."""
        keys = KEYS.notices(self.random.choice(("ann", "bob")))
        run = "run1" if self.random.random() < 0.95 else f"run{self.random.randrange(9)}"
        return keys, (run, self.random.randrange(100), 604_800_000, 3)

    def notify(self) -> None:
        keys, queue = self.queue()
        choice = self.random.choice
        key = choice((0, 0, 0, 1, 2, 3, 4, 5))  # each key is forgotten at another time
        self.pair.run(
            "notify", keys, *queue, keys.queue, choice(("", "data")), choice((0, 3, 9, 9)),
            choice((300, 900)), choice((0, 0, 7_200_000, -3_600_000)), "type",
            "d" * self.random.randrange(200), f"k{key}" if key else "", choice("123"),
            3_600_000 * (1 + key), 4, choice((30, 100)), 10,
        )  # fmt: skip

    def notices(self) -> None:
        keys, queue = self.queue()
        choice = self.random.choice
        epoch = self.pair.both("HGET", keys.queue, "e") or b"1"
        former = (self.pair.both("HGET", keys.queue, "f") or b"").split()
        epoch = choice((epoch, epoch, epoch, b"", b"500", *former[::2]))
        n = int(self.pair.both("HGET", keys.queue, "n") or 0) - choice((0, 0, 1, 2, 5, 9, -1))
        self.pair.run(
            "notices", keys[:3], *queue, choice(("", "d1", "d2", "d3", "d4")), epoch, max(0, n),
            choice(("open", "read", "acknowledge")), choice((0, 1, 5, 99)), choice((0, 100, 10_000)), 3,
        )  # fmt: skip

    def data(self) -> None:
        """Something else happens to the data."""
        if self.random.random() < 0.02:
            self.pair.both("FLUSHALL")
        elif self.random.random() < 0.1:
            self.pair.both("DEL", self.room().grave)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server on a UNIX socket."""
    with TemporaryDirectory(prefix="txroom-") as name, RedisServer(Path(name)) as redis:
        yield redis


@pytest.mark.parametrize("seed", [1, 2, None])
def test_same(server: RedisServer, seed: int | None) -> None:
    """Random commands have the same results on the fake and on a real server."""
    chosen = Random().randrange(1 << 32) if seed is None else seed
    pair = Pair(server.socket)
    pair.both("FLUSHALL")
    commands = Commands(pair, Random(chosen))
    try:
        for number in range(COMMANDS // 3):
            commands.step()
            if number % 50 == 0:
                pair.compare()
        pair.compare()
    except AssertionError as error:
        raise AssertionError(f"seed {chosen}: {error}") from None
    finally:
        pair.real.close()


def test_scan(server: RedisServer) -> None:
    """The pattern of the fields of rooms, and the options of SCAN, mean the same to both."""
    pair = Pair(server.socket)
    pair.both("FLUSHALL")
    try:
        for room in ("r1", "a-_b", "r3"):
            keys = KEYS.room(room)
            pair.both("HSET", keys.fields, "tok", "t")
            pair.both("XADD", keys.log, "1-0", "e", "x")
            pair.both("SET", keys.grave, "")
        pair.both("SET", KEYS.room("text").fields, "no hash")
        pair.both("HSET", KEYS.listings("/rooms", "chat"), "r1", "x")
        found = []
        for run in (pair.real.ask, pair.fake.execute):
            cursor = 0
            rooms: set[str] = set()
            while not rooms or cursor:
                next_, keys = run("SCAN", cursor, "MATCH", KEYS.rooms, "COUNT", 3, "TYPE", "hash")
                cursor = int(next_)
                rooms |= {KEYS.roomOf(key) for key in keys}
            found.append(rooms)
        assert found == [{"r1", "a-_b", "r3"}] * 2
    finally:
        pair.real.close()


def test_keyed(server: RedisServer) -> None:
    """
    A room that a request with a key has not opened may be claimed by another one, but not by a claim that
    comes late; nor by one without a key. What is left of it doesn't outlast the next one.
    """
    pair = Pair(server.socket)
    pair.both("FLUSHALL")
    room = KEYS.room("r1")

    def claim(token: str, isKeyed: int) -> int:
        args = ("", token, "n1", "e1", "run1", 0, 0, "/rooms", "chat", 1, 1, isKeyed)
        answer: int = pair.run("claim", (room.fields, room.grave), *args)[0]
        return answer

    try:
        for token in ("t1", "t2"):
            assert claim(token, 1) == 1
            assert not pair.both("EXISTS", room.grave)
            assert pair.run("release", room, token, 50_000) == 1
            assert [claim(token, 1), claim("t3", 0)] == [0, 0]
        assert claim("t3", 1) == 1
        assert pair.run("release", room, "t3", 50_000, "ended") == 1
        assert claim("t4", 1) == 0
        pair.compare()
    finally:
        pair.real.close()


def test_forgottenKeys(server: RedisServer) -> None:
    """The keys of a user that have expired before the queue don't count any more."""
    pair = Pair(server.socket)
    pair.both("FLUSHALL")
    keys = KEYS.notices("ann")
    try:
        for n in range(1, 5):
            args = (keys.queue, "", 9, 900, 0, "type", "data", f"k{n}", "1", 3_600_000, 4, 30, 10)
            sent = pair.run("notify", keys, "run1", "e1", 604_800_000, 3, *args)
            assert sent[1:] == [n, 0, 0, 0]
            assert pair.run("notify", keys, "run1", "e1", 604_800_000, 3, *args)[1:] == [n, 0, 1, 0]
            assert pair.both("HGET", keys.queue, "k") == b"13"
            pair.both("DEL", keys.once, keys.expiries)
        pair.compare()
    finally:
        pair.real.close()


def test_full(server: RedisServer) -> None:
    """
    If the memory is full, scripts are refused as a whole, but leases are renewed, rooms are handed over, and
    scripts that free memory are run.
    """
    pair = Pair(server.socket)
    pair.both("FLUSHALL")
    room = KEYS.room("r1")
    claim = ("", "t1", "n1", "e1", "run1", 0, 0, "/rooms", "chat", 1, 1, 0)
    pair.run("claim", (room.fields, room.grave), *claim)
    for n in range(3):
        pair.run("append", room[:2], "t1", n, n + 1, 0, n + 1, b"\x91\x01", 0, f"m:{n}", "x")
    before = pair.real.ask("CONFIG", "GET", "maxmemory")
    pair.real.ask("CONFIG", "SET", "maxmemory", 1)
    pair.fake.isFull = True
    try:
        for entries, pairs in ((b"\x91\x01", ()), (b"", ("m:9", "x")), (b"", ())):
            full = pair.run("append", room[:2], "t1", 3, 4, 0, 4, entries, 1, "m:0", *pairs)
            assert str(full).startswith("OOM")
        pair.compare()
        for node in ("n1", "n2"):
            pair.run("renew", (KEYS.nodes,), node, 60_000, 60_000)
            pair.run("restarted", (KEYS.nodes, KEYS.run), node, f"run of {node}")
        assert pair.run("handover", room[:1], "t1", "t2", "") == 1
        assert str(pair.run("claim", (room.fields, room.grave), "t2", "t1", *claim[2:])).startswith("OOM")
        assert pair.run("handover", room[:1], "t2", "t1", "n1") == 1
        pair.compare()
        assert pair.run("append", room[:2], "t1", 3, 3, 2, 3, b"", 0) == 3
        assert pair.run("release", room, "t1", 50_000) == 1
        pair.compare()
    finally:
        pair.real.ask("CONFIG", "SET", "maxmemory", before[b"maxmemory"])
        pair.real.close()
