"""
The data of a fake Redis: the commands that txroom uses, and a twin in Python of each script.

`tests/functional/test_redis_scripts.py` compares them with a real server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from hashlib import sha1
from typing import Any

from twisted.internet.interfaces import IReactorTime

from txroom.engine.redis.resp import RedisError
from txroom.engine.redis.scripts import NAMES, digestOf, textOf

#: The commands and scripts that change keys, and where in their arguments the keys are.
ONE_KEY = frozenset(
    {
        "HDEL", "HINCRBY", "HSET", "HSETNX", "INCR", "PEXPIRE", "SADD", "SET", "SREM", "XADD", "XTRIM",
        "ZADD", "ZREM",
    }
)  # fmt: skip
#: How many changes can be rolled back.
HISTORY = 500

#: The digests of the scripts, by their texts, and the names of the scripts, by their digests.
KNOWN = {textOf(name).encode(): digestOf(name).encode() for name in NAMES}
DIGESTS = {digestOf(name).encode(): name for name in NAMES}


def toBytes(value: Any) -> bytes:
    """Return an argument or a number as Redis keeps it."""
    return value if isinstance(value, bytes) else str(value).encode()


def textual(value: float) -> bytes:
    """Return the score of a sorted set as text."""
    return b"%d" % value if value == int(value) else repr(value).encode()


class Stream(list[Any]):
    """The items of a stream, and the greatest id that it ever had."""

    last = 0

    def copy(self) -> Stream:
        copy = Stream(self)
        copy.last = self.last
        return copy


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | Stream | set) else value


class Store:
    """
    The keys of a fake Redis, and the commands.

    Args:
        clock: The time of the test; Redis's own clock may differ, see `ahead`.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        #: By how many seconds Redis's clock is ahead of that of the test.
        self.ahead = 1_000_000.0
        self.run = "run1"
        #: More of what it says of itself.
        self.info: dict[str, str] = {}
        self.keys: dict[bytes, Any] = {}
        self._expiries: dict[bytes, int] = {}
        self.loaded: set[bytes] = set()
        self._history: deque[list[tuple[bytes, Any, int | None]]] = deque(maxlen=HISTORY)
        #: Whether the memory is full: commands that take memory are refused, unless a script has written.
        self.isFull = False
        self._hasWritten = False
        #: Called by PUBLISH with the channel and the data; returns how many clients got it.
        self.publish: Callable[[bytes, bytes], int] = lambda channel, data: 0

    # -- what happens to a server

    @property
    def now(self) -> int:
        """The server's clock, in milliseconds."""
        return int((self._clock.seconds() + self.ahead) * 1000)

    def rollBack(self, changes: int) -> None:
        """Forget the last changes of rooms, and what else was changed since then."""
        while changes > 0 and self._history:
            change = self._history.pop()
            for key, value, expiry in change:
                self._put(key, value, expiry)
            changes -= any(b"{" in key for key, _, _ in change)

    def _put(self, key: bytes, value: Any, expiry: int | None) -> None:
        if value is None:
            self.keys.pop(key, None)
        else:
            self.keys[key] = value
        if expiry is None:
            self._expiries.pop(key, None)
        else:
            self._expiries[key] = expiry

    def restarted(self) -> None:
        """The server was started again, with its data."""
        self.run = f"run{int(self.run[3:]) + 1}"
        self.loaded.clear()

    def copyTo(self, other: Store) -> None:
        """Give another server this one's data, as a replica that becomes a primary has it."""
        other.keys = {key: _copied(value) for key, value in self.keys.items()}
        other._expiries = dict(self._expiries)
        other.run = f"run{int(self.run[3:]) + 1}"

    def flush(self) -> None:
        """Forget everything."""
        self._note(list(self.keys))
        self.keys.clear()
        self._expiries.clear()

    def _note(self, keys: Iterable[bytes]) -> None:
        """Remember the values of keys, to roll back what is going to change."""
        self._history.append(
            [
                (
                    key,
                    _copied(value),
                    self._expiries.get(key),
                )
                for key, value in ((key, self.keys.get(key)) for key in dict.fromkeys(keys))
            ]
        )

    # -- commands

    def execute(self, *args: Any) -> Any:
        """Run a command; an error is returned, and not raised."""
        if self._expiries:
            now = self.now
            for key in [key for key, expiry in self._expiries.items() if expiry <= now]:
                self._put(key, None, None)
        name, *rest = [arg if type(arg) is bytes else toBytes(arg) for arg in args]
        command = name.decode().upper()
        method = getattr(self, "do" + command, None)
        if method is None:
            return RedisError(f"ERR unknown command '{command}'")
        keys = rest[:1] if command in ONE_KEY else rest if command == "DEL" else ()
        if command == "EVALSHA":
            keys = rest[2 : 2 + int(rest[1])]
        if keys:
            self._note(keys)
        self._hasWritten = False
        try:
            return method(*rest)
        except RedisError as error:
            return error
        finally:
            if keys and all(self.keys.get(key) == value for key, value, _ in self._history[-1]):
                self._history.pop()

    def _value(self, key: bytes, kind: type, isNeeded: bool = False) -> Any:
        value = self.keys.get(key)
        if value is None:
            value = kind()
            if isNeeded:
                self.keys[key] = value
        elif type(value) is not kind:
            raise RedisError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _hash(self, key: bytes, isNeeded: bool = False) -> dict[bytes, bytes]:
        value: dict[bytes, bytes] = self._value(key, dict, isNeeded)
        return value

    def _grow(self) -> None:
        """The next write takes memory."""
        if self.isFull and not self._hasWritten:
            raise RedisError("OOM command not allowed when used memory > 'maxmemory'.")
        self._hasWritten = True

    def _tidy(self, key: bytes) -> None:
        """Remove a key that has nothing left."""
        if key in self.keys and not self.keys[key] and type(self.keys[key]) is not bytes:
            self._put(key, None, None)

    def doPING(self) -> bytes:
        return b"PONG"

    def doTIME(self) -> list[bytes]:
        return [b"%d" % (self.now // 1000), b"%d" % (self.now % 1000 * 1000)]

    def doINFO(self, *sections: bytes) -> bytes:
        lines = [f"{name}:{value}" for name, value in {"run_id": self.run, **self.info}.items()]
        return "\r\n".join(["# Server", "redis_version:7.0.15", *lines, ""]).encode()

    def doFLUSHALL(self, *how: bytes) -> bytes:
        self.flush()
        return b"OK"

    def doSCRIPT(self, what: bytes, text: bytes = b"") -> bytes:
        if what.upper() == b"FLUSH":
            self.loaded.clear()
            return b"OK"
        digest = KNOWN.get(text) or sha1(text).hexdigest().encode()
        self.loaded.add(digest)
        return digest

    def doEVALSHA(self, digest: bytes, count: bytes, *args: bytes) -> Any:
        if digest not in self.loaded or digest not in DIGESTS:
            raise RedisError("NOSCRIPT No matching script. Please use EVAL.")
        keys, rest = args[: int(count)], args[int(count) :]
        return getattr(self, "run" + DIGESTS[digest].capitalize())(keys, rest)

    def doPUBLISH(self, channel: bytes, data: bytes) -> int:
        return self.publish(channel, data)

    def doDEL(self, *keys: bytes) -> int:
        self._hasWritten = True
        found = [key for key in keys if key in self.keys]
        for key in found:
            self._put(key, None, None)
        return len(found)

    def doEXISTS(self, *keys: bytes) -> int:
        return sum(key in self.keys for key in keys)

    def doKEYS(self, pattern: bytes) -> list[bytes]:
        head, star, tail = pattern.partition(b"*")
        if not star:
            return [key for key in self.keys if key == pattern]
        return [key for key in self.keys if key.startswith(head) and key.endswith(tail)]

    def doSCAN(self, cursor: bytes, *args: bytes) -> list[Any]:
        options = dict(zip(args[::2], args[1::2], strict=True))
        first, last = int(cursor), int(cursor) + int(options.get(b"COUNT", 10))
        matching = set(self.doKEYS(options.get(b"MATCH", b"*")))
        some = [key for key in list(self.keys)[first:last] if key in matching]
        if options.get(b"TYPE") == b"hash":
            some = [key for key in some if type(self.keys[key]) is dict]
        return [b"%d" % (last if last < len(self.keys) else 0), some]

    def doPEXPIRE(self, key: bytes, milliseconds: bytes) -> int:
        if key not in self.keys:
            return 0
        self._expiries[key] = self.now + int(milliseconds)
        return 1

    def doPTTL(self, key: bytes) -> int:
        if key not in self.keys:
            return -2
        return self._expiries[key] - self.now if key in self._expiries else -1

    def doGET(self, key: bytes) -> bytes | None:
        return self._value(key, bytes) if key in self.keys else None

    def doMGET(self, *keys: bytes) -> list[bytes | None]:
        return [self.doGET(key) if isinstance(self.keys.get(key), bytes) else None for key in keys]

    def doSET(self, key: bytes, value: bytes, *args: bytes) -> bytes | None:
        if args[2:] == (b"NX",) and self.doEXISTS(key):
            return None
        self._grow()
        self._put(key, value, None)
        if args:
            self._expiries[key] = self.now + int(args[1]) * (1 if args[0].upper() == b"PX" else 1000)
        return b"OK"

    def doINCR(self, key: bytes) -> int:
        self._grow()
        number = int(self._value(key, bytes) or b"0") + 1
        self.keys[key] = b"%d" % number
        return number

    def doHGET(self, key: bytes, field: bytes) -> bytes | None:
        return self._hash(key).get(field)

    def doHMGET(self, key: bytes, *fields: bytes) -> list[bytes | None]:
        found = self._hash(key)
        return [found.get(field) for field in fields]

    def doHGETALL(self, key: bytes) -> dict[bytes, bytes]:
        return dict(self._hash(key))

    def doHKEYS(self, key: bytes) -> list[bytes]:
        return list(self._hash(key))

    def doHVALS(self, key: bytes) -> list[bytes]:
        return list(self._hash(key).values())

    def doHLEN(self, key: bytes) -> int:
        return len(self._hash(key))

    def doHEXISTS(self, key: bytes, field: bytes) -> int:
        return int(field in self._hash(key))

    def doHSET(self, key: bytes, *pairs: Any) -> int:
        self._grow()
        found = self._hash(key, True)
        before = len(found)
        for field, value in zip(pairs[::2], pairs[1::2], strict=True):
            found[toBytes(field)] = toBytes(value)
        return len(found) - before

    def doHSETNX(self, key: bytes, field: bytes, value: bytes) -> int:
        return 0 if field in self._hash(key) else self.doHSET(key, field, value)

    def doHDEL(self, key: bytes, *fields: bytes) -> int:
        self._hasWritten = True
        found = self._hash(key)
        gone = [found.pop(field) for field in fields if field in found]
        self._tidy(key)
        return len(gone)

    def doHINCRBY(self, key: bytes, field: bytes, by: bytes) -> int:
        self._grow()
        number = int(self._hash(key).get(field, b"0")) + int(by)
        self.doHSET(key, field, number)
        return number

    def doSADD(self, key: bytes, *members: bytes) -> int:
        self._grow()
        found = self._value(key, set, True)
        before = len(found)
        found.update(members)
        return len(found) - before

    def doSREM(self, key: bytes, *members: bytes) -> int:
        found = self._value(key, set)
        before = len(found)
        found.difference_update(members)
        after = len(found)
        self._tidy(key)
        return before - after

    def doSMEMBERS(self, key: bytes) -> list[bytes]:
        return list(self._value(key, set))

    def doXADD(self, key: bytes, id: bytes, *fields: bytes) -> bytes:
        self._grow()
        offset = int(id.partition(b"-")[0])
        if self._value(key, Stream).last >= offset:
            raise RedisError(
                "ERR The ID specified in XADD is equal or smaller than the target stream top item"
            )
        entries = self._value(key, Stream, True)
        entries.append([id, list(fields)])
        entries.last = offset
        return id

    def doXLEN(self, key: bytes) -> int:
        return len(self._value(key, Stream))

    def doXRANGE(self, key: bytes, start: bytes, end: bytes, *count: bytes) -> list[Any]:
        entries = self._value(key, Stream)
        least = 0 if start == b"-" else int(start.lstrip(b"(").partition(b"-")[0]) + start.startswith(b"(")
        most = float("inf") if end == b"+" else int(end.partition(b"-")[0])
        found = [[id, list(fields)] for id, fields in entries if least <= int(id.partition(b"-")[0]) <= most]
        return found[: int(count[1])] if count else found

    def doXTRIM(self, key: bytes, *args: bytes) -> int:
        """Trim exactly; a real server keeps some more entries than it has to after ``~``."""
        self._hasWritten = True
        least = int(args[-1].partition(b"-")[0])
        entries = self._value(key, Stream)
        kept = [entry for entry in entries if int(entry[0].partition(b"-")[0]) >= least]
        trimmed = len(entries) - len(kept)
        entries[:] = kept
        return trimmed

    # -- sorted sets are kept as a dict of scores

    def _scores(self, key: bytes) -> dict[bytes, float]:
        return {member: float(score) for member, score in self._hash(key).items()}

    def doZADD(self, key: bytes, *pairs: Any) -> int:
        return self.doHSET(
            key, *(each for at in range(0, len(pairs), 2) for each in pairs[at : at + 2][::-1])
        )

    def doZREM(self, key: bytes, *members: bytes) -> int:
        return self.doHDEL(key, *members)

    def doZSCORE(self, key: bytes, member: bytes) -> float | None:
        return self._scores(key).get(member)

    def doZCARD(self, key: bytes) -> int:
        return self.doHLEN(key)

    def doZRANGE(self, key: bytes, first: bytes, last: bytes, *how: bytes) -> list[Any]:
        ranked = sorted((score, member) for member, score in self._scores(key).items())
        end = len(ranked) if int(last) == -1 else int(last) + 1
        chosen = ranked[int(first) : end]
        return [[member, score] for score, member in chosen] if how else [member for _, member in chosen]

    # -- the twins of the scripts

    def runAppend(self, keys: Any, args: Any) -> Any:
        fields, log = keys
        token, before, after, least, offset, entries, removals, *rest = args
        room = self._hash(fields)
        if b"tok" not in room:
            raise RedisError("NOROOM there is no such room")
        if room[b"tok"] != token:
            raise RedisError("FENCED the room has another owner")
        have = int(room[b"seq"])
        if have > int(before) and have >= int(after):
            return have
        if have != int(before):
            raise RedisError(f"HOLE {have}")
        if before == after:
            self.doXTRIM(log, b"MINID", b"~", least)
            return int(after)
        if entries:
            self.doXADD(log, offset + b"-0", b"e", entries)
        self.doHSET(fields, b"seq", after, b"off", offset)
        if least != b"0":
            self.doXTRIM(log, b"MINID", b"~", least)
        self.doHDEL(fields, *rest[: int(removals)])
        self.doHSET(fields, *rest[int(removals) :])
        return int(after)

    def runCheck(self, keys: Any, args: Any) -> Any:
        token, seq, run = args
        room = self._hash(keys[0])
        if b"tok" not in room:
            raise RedisError("NOROOM there is no such room")
        if room[b"tok"] != token:
            raise RedisError("FENCED the room has another owner")
        have = int(room[b"seq"])
        if have != int(seq):
            raise RedisError(f"HOLE {have}")
        room[b"run"] = run
        return have

    def runClaim(self, keys: Any, args: Any) -> Any:
        fields, grave = keys
        seen, token, node, newEpoch, run, durable, died, app, name, age, version, keyed = args
        room = self._hash(fields)
        had = room.get(b"tok", b"")
        if had == token:
            return [1, int(room[b"gen"]), room[b"epoch"], 0]
        buried = None if had else self.doGET(grave)
        if had != seen or (buried is not None and (keyed != b"1" or buried in (b"ended", token))):
            return [0]
        newest = max(int(room.get(b"v", version)), int(version))
        if abs(int(room.get(b"v", version)) - int(version)) > 1:
            return [-2, int(room[b"v"])]
        if died == b"1":
            left = self._countDeath(fields, had)
            if left is not None:
                return [-1, left]
        epoch = room.get(b"epoch")
        if epoch is None or (room.get(b"run") != run and durable != b"1"):
            epoch = newEpoch
        if not had:
            self.doDEL(grave)
            self.doHSET(fields, b"seq", 0, b"off", 0, b"app", app, b"name", name, b"age", age)
        self.doHSET(
            fields, b"tok", token, b"node", node, b"epoch", epoch, b"run", run, b"v", newest
        )  # fmt: skip
        return [1, self.doHINCRBY(fields, b"gen", b"1"), epoch, int(not had)]

    def _countDeath(self, fields: bytes, token: bytes) -> int | None:
        now = self.now
        counted, died, levelText, untilText = self.doHMGET(fields, b"counted", b"died", b"level", b"until")
        level, until = int(levelText or b"-1"), int(untilText or b"0")
        if counted != token:
            times = [at for at in (died or b"").split() if abs(now - int(at)) < 60000]
            times.append(b"%d" % now)
            isRecent = abs(now - until) < 60000
            if len(times) >= 3 or isRecent:
                level = min(level + 1, 4) if isRecent else 0
                until = now + min(30000 * 2**level, 300_000)
                times = []
            self.doHSET(
                fields, b"counted", token, b"died", b" ".join(times), b"level", level, b"until", until
            )  # fmt: skip
        left = until - now
        return left if 0 < left <= 300_000 else None

    def runRelease(self, keys: Any, args: Any) -> Any:
        fields, log, grave = keys
        token = self.doHGET(fields, b"tok")
        if token is None:
            return 0
        if token != args[0]:
            raise RedisError("FENCED the room has another owner")
        self.doDEL(fields, log)
        self.doSET(grave, args[2] if len(args) > 2 else token, b"PX", args[1])
        return 1

    def runStrand(self, keys: Any, args: Any) -> Any:
        if b"tok" not in self._hash(keys[0]):
            return 0
        fields = self._hash(keys[0])
        since = int(fields.get(b"stranded", self.now))
        if abs(self.now - int(fields.get(b"tried", 0))) > 900_000:
            since = int(self.now)
        self.doHSET(keys[0], b"stranded", b"%d" % since, b"tried", b"%d" % self.now)
        return since

    def runHandover(self, keys: Any, args: Any) -> Any:
        token = self.doHGET(keys[0], b"tok")
        if token is None:
            raise RedisError("NOROOM there is no such room")
        if token == args[1]:
            return 1
        if token != args[0]:
            raise RedisError("FENCED the room has another owner")
        self.doHDEL(keys[0], b"counted", b"died", b"level", b"until")
        self.doHSET(keys[0], b"tok", args[1], b"node", args[2])
        return 1

    def runFound(self, keys: Any, args: Any) -> Any:
        fields, log, grave = keys
        names = (
            b"tok", b"node", b"gen", b"epoch", b"run", b"app", b"name", b"age", b"v", b"seq", b"off",
        )  # fmt: skip
        had = self.doHGET(fields, b"tok")
        if had == args[1]:
            return int(self._hash(fields)[b"seq"])
        isEnded = grave in self.keys or self.now > int(args[12])
        if had != args[0] and (had is not None or isEnded):
            raise RedisError("FENCED the room has another owner")
        self.doDEL(fields, log)
        for pair in zip(names, args[1:12], strict=True):
            self.doHSET(fields, *pair)
        last = 14 + 2 * int(args[13])
        for offset, entries in zip(args[14:last:2], args[15:last:2], strict=True):
            self.doXADD(log, offset + b"-0", b"e", entries)
        self.doHSET(fields, *args[last:])
        return int(args[10])

    def runRenew(self, keys: Any, args: Any) -> Any:
        node, lease, remembered = args
        now = self.now
        had = self._scores(keys[0]).get(node, -1)
        self._hasWritten = True
        for other, until in self._scores(keys[0]).items():
            if until <= now - int(remembered):
                self.doZREM(keys[0], other)
        self.doZADD(keys[0], now + int(lease), node)
        leases: list[Any] = []
        for until, other in sorted((until, other) for other, until in self._scores(keys[0]).items()):
            leases += [other, int(until)]
        return [int(had > now), now, leases]

    def runRestarted(self, keys: Any, args: Any) -> Any:
        nodes, stopped = keys
        node, run = args
        scores = self._scores(nodes)
        if self.doHGET(stopped, b"run") != run:
            newest = max(scores.values(), default=-1)
            self.doDEL(stopped)
            self.doHSET(stopped, b"run", run, b"newest", int(newest))
        return [int(scores.get(node, -1)), int(self._hash(stopped)[b"newest"]), self.now]

    def _queue(self, keys: Any, args: Any) -> dict[str, Any]:
        """What ``queue.lua`` does; return its variables."""
        queue, log, devices, *_ = keys
        run, fresh, kept, most = args[:4]
        had = self._hash(queue)
        isNew = b"e" not in had
        last, former = int(had.get(b"n", 0)), had.get(b"f", b"").split()
        if not isNew and had[b"r"] != run:
            former = [had[b"e"], b"%d" % last, *former][: 2 * int(most)]
        epoch = fresh if isNew or had[b"r"] != run else had[b"e"]
        acknowledged, size, uses = (int(had.get(name, 0)) for name in (b"a", b"b", b"s"))
        self.doHSET(
            queue, b"e", epoch, b"n", last, b"r", run, b"a", acknowledged, b"f", b" ".join(former),
            b"b", size, b"s", uses,
        )  # fmt: skip
        if isNew:
            self.doDEL(log, devices)
        for key in keys[:3]:
            self.doPEXPIRE(key, kept)
        pairs = list(zip(former[::2], map(int, former[1::2]), strict=True))
        return {
            "epoch": epoch, "last": last, "acknowledged": acknowledged, "former": pairs, "size": size,
            "uses": uses, "isNew": isNew,
        }  # fmt: skip

    def _notices(self, log: bytes) -> list[tuple[int, dict[bytes, bytes]]]:
        return [
            (int(id.partition(b"-")[0]), dict(zip(fields[::2], fields[1::2], strict=True)))
            for id, fields in self._value(log, Stream)
        ]

    def _forgetKey(self, keys: Any, key: bytes, overhead: int) -> int:
        known = self.doHGET(keys[3], key)
        self.doHDEL(keys[3], key)
        self.doZREM(keys[4], key)
        return 0 if known is None else len(key) + len(known.split(b" ", 3)[3]) + overhead

    def runNotify(self, keys: Any, args: Any) -> Any:
        queue = self._queue(keys, args)
        (
            channel, message, limit, most, milliseconds, type_, data, key, digest, keyMilliseconds, mostKeys,
            mostKeysSize, overhead,
        ) = args[4:]  # fmt: skip
        epoch, weight = queue["epoch"], int(overhead)
        if queue["isNew"]:
            self.doDEL(*keys[3:])
        known = self.doHGET(keys[3], key) if key else None
        if known is not None:
            expiry, itsEpoch, number, its = known.split(b" ", 3)
            if int(expiry) > self.now:
                if its != digest:
                    return []
                return [itsEpoch, int(number), self.doPUBLISH(channel, b""), 1, 0]
        n, dropped = queue["last"] + 1 if int(limit) > 0 else 0, 0
        if key:
            size = 0
            if self.doEXISTS(keys[3]):
                size = int(self._hash(keys[0]).get(b"k", 0)) - self._forgetKey(keys, key, weight)
            expiry = b"%d" % (self.now + int(keyMilliseconds))
            self.doHSET(keys[3], key, b"%s %s %d %s" % (expiry, epoch, n, digest))
            self.doZADD(keys[4], expiry, key)
            size += len(key) + len(digest) + weight
            while True:
                oldest = self.doZRANGE(keys[4], b"0", b"0", b"WITHSCORES")
                if not oldest:
                    break
                first, expires = oldest[0]
                isOver = self.doZCARD(keys[4]) > int(mostKeys) or size > int(mostKeysSize)
                if not isOver and expires > self.now:
                    break
                size -= self._forgetKey(keys, first, weight)
            self.doHSET(keys[0], b"k", size)
            for each in keys[3:]:
                self.doPEXPIRE(each, keyMilliseconds)
        if int(limit) > 0:
            size = queue["size"] + len(type_) + len(data) + weight
            expires = 0 if milliseconds == b"0" else self.now + int(milliseconds)
            self.doXADD(keys[1], b"%d-0" % n, b"t", type_, b"d", data, b"x", b"%d" % expires)
            entries = self._value(keys[1], Stream)
            while entries:
                _, eldest = self._notices(keys[1])[0]
                isExpired = eldest[b"x"] != b"0" and int(eldest[b"x"]) <= self.now
                if len(entries) <= int(limit) and size <= int(most) and not isExpired:
                    break
                dropped += not isExpired
                del entries[0]
                size -= len(eldest[b"t"]) + len(eldest[b"d"]) + weight
            self.doHSET(keys[0], b"n", n, b"b", size)
            self.doPEXPIRE(keys[1], args[2])
        return [epoch, n, self.doPUBLISH(channel, message), 0, dropped]

    def runNotices(self, keys: Any, args: Any) -> Any:
        queue = self._queue(keys, args)
        device, epoch, number, what, count, size, mostDevices = args[4:]
        left, room = int(count), int(size)
        cursor = self.doHGET(keys[2], device) if device else None
        known = None if cursor is None else int(cursor.split()[0])
        kept = self._notices(keys[1])
        isLost = False
        if not epoch:
            n = queue["acknowledged"] if known is None else known
        else:
            ends = dict(reversed(queue["former"])) | {queue["epoch"]: queue["last"]}
            isLost = epoch not in ends
            n = (kept[0][0] if kept else queue["last"] + 1) - 1 if isLost else min(int(number), ends[epoch])
        isUse = what == b"open" or (what == b"acknowledge" and not isLost)
        if epoch and isUse and n > queue["acknowledged"]:
            self.doHSET(keys[0], b"a", n)
        if device and isUse:
            uses = queue["uses"] + 1
            self.doHSET(keys[0], b"s", uses)
            self.doHSET(keys[2], device, b"%d %d" % (max(n, known or 0), uses))
            if self.doHLEN(keys[2]) > int(mostDevices):
                devices = self._hash(keys[2])
                self.doHDEL(keys[2], min(devices, key=lambda each: int(devices[each].split()[1])))
            self.doPEXPIRE(keys[2], args[2])
        answer: list[Any] = [queue["epoch"], n, queue["last"], int(isLost)]
        for each, fields in kept:
            if each <= n or (fields[b"x"] != b"0" and int(fields[b"x"]) <= self.now):
                continue
            room -= len(fields[b"d"])
            if left <= 0 or (room < 0 and len(answer) > 4):
                break
            left -= 1
            answer += [each, fields[b"t"], fields[b"d"]]
        return answer

    def runCreate(self, keys: Any, args: Any) -> Any:
        listings, ages = keys
        room, value, most, known = args
        rooms = self.doHLEN(listings)
        if 0 < int(most) <= rooms and not self.doHEXISTS(listings, room):
            return [0, rooms]
        if not self.doHSETNX(listings, room, value):
            return [-1, 0]
        age = max(self.doINCR(ages), int(known) + 1)
        self.keys[ages] = b"%d" % age
        return [1, age]

    def runMake(self, keys: Any, args: Any) -> Any:
        room, node, token, seats, milliseconds, dead, waited, *tried = args
        made = self._hash(keys[0])
        if made and made[b"tok"] != dead and made[b"room"] not in tried:
            answer = [made[b"room"], made[b"node"], made[b"tok"], int(made[b"made"])]
            if made[b"tok"] == token:
                return [1, *answer[:3], 0]
            if made[b"tok"] == waited:
                return [0, *answer]
            if int(made[b"seats"]) == 0 or int(made[b"waiters"]) + 1 < int(made[b"seats"]):
                self.doHINCRBY(keys[0], b"waiters", b"1")
                return [0, *answer]
        self.doHSET(
            keys[0], b"room", room, b"node", node, b"tok", token, b"seats", seats, b"waiters", 0, b"made", 0
        )  # fmt: skip
        self.doPEXPIRE(keys[0], milliseconds)
        return [1, room, node, token, 0]

    def runMade(self, keys: Any, args: Any) -> Any:
        if self.doHGET(keys[0], b"tok") != args[0]:
            return 0
        if args[1] != b"0":
            self.doHSET(keys[0], b"made", 1)
            return self.doPEXPIRE(keys[0], args[1])
        return self.doDEL(keys[0])
