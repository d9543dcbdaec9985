"""The client of Redis with a real server: ways to connect, users, TLS, restarts and hangs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import pytest_twisted

from tests.authority import Authority
from tests.functional.launched import freePort
from tests.functional.redisserver import RedisServer
from tests.functional.support import SOON, reactor, sleep, until, within
from txroom.engine.redis.client import ClientState, RedisClient, RedisRefused
from txroom.engine.redis.resp import Commands, Lost, NotSent, RedisError

Made = Callable[..., RedisClient]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose path is short enough for a UNIX socket."""
    with TemporaryDirectory(prefix="txroom-") as name:
        yield Path(name)


@pytest_twisted.async_yield_fixture
async def make() -> AsyncIterator[Made]:
    """Makes clients that are stopped at the end."""
    made: list[RedisClient] = []

    def one(url: str, **more: Any) -> RedisClient:
        made.append(RedisClient(reactor(), url, **more))
        return made[-1]

    yield one
    for client in made:
        await within(client.stop(), "a client does not stop")
    names = [repr(call.func) for call in reactor().getDelayedCalls()]
    assert not [name for name in names if "RedisClient" in name], names


async def upAt(make: Made, url: str, **more: Any) -> RedisClient:
    client = make(url, **more)
    await within(client.start(), f"{client.state} at {client.address}")
    return client


async def ask(client: Commands, *args: str | bytes | int) -> Any:
    return await within(client.ask(*args), f"no reply to {args[0]!r}")


async def failure(kind: type[Exception], waited: Any) -> str:
    with pytest.raises(kind) as caught:
        await within(waited)
    return str(caught.value)


async def test_unix(directory: Path, make: Made) -> None:
    """A UNIX socket; replies of all kinds, large ones, and many commands in one turn."""
    with RedisServer(directory) as redis:
        client = await upAt(make, redis.url, name="node-7")
        assert client.hello["server"] in ("redis", "valkey")
        assert await ask(client, "CLIENT", "GETNAME") == b"node-7"
        large = bytes(range(256)) * 4096
        assert await ask(client, "SET", "k", large) == b"OK"
        assert await ask(client, "GET", "k") == large
        assert await ask(client, "HSET", "h", "a", 1, "b", 2) == 2
        assert await ask(client, "HGETALL", "h") == {b"a": b"1", b"b": b"2"}
        assert await ask(client, "GET", "nothing") is None
        assert "WRONGTYPE" in await failure(RedisError, client.ask("INCR", "h"))
        replies: list[Any] = []
        for _ in range(5000):
            client.send(replies.append, "INCR", "n")
        await until(lambda: len(replies) == 5000)
        assert replies == list(range(1, 5001))


async def test_tcp(directory: Path, make: Made) -> None:
    """TCP, by address and by name, and a database of its own."""
    with RedisServer(directory, hasTCP=True) as redis:
        client = await upAt(make, f"redis://127.0.0.1:{redis.port}/5")
        named = await upAt(make, f"redis://localhost:{redis.port}")
        await ask(client, "SET", "k", "five")
        assert await ask(named, "GET", "k") is None
        assert await ask(client, "GET", "k") == b"five"
        refused = make(f"redis://127.0.0.1:{redis.port}/99")
        assert "database 99" in await failure(RedisRefused, refused.start())


async def test_password(directory: Path, make: Made) -> None:
    """The password of the default user, one that is wrong, and none."""
    with RedisServer(directory, "--requirepass", "p@ss word") as redis:
        path = redis.socket
        client = await upAt(make, f"unix://:p%40ss%20word@{path}")
        assert await ask(client, "ACL", "WHOAMI") == b"default"
        wrong = make(f"unix://:nope@{path}")
        assert "WRONGPASS" in await failure(RedisRefused, wrong.start())
        assert wrong.state is ClientState.REFUSED
        assert "NOAUTH" in await failure(RedisRefused, make(redis.url).start())


async def test_user(directory: Path, make: Made) -> None:
    """A user with few rights; a command that it may not run in `onUp` refuses the client."""
    with RedisServer(directory) as redis:
        # Redis 6.2 allows all channels unless told otherwise.
        channels = ("resetchannels", "&txr:*")
        redis.run("ACL", "SETUSER", "rooms", "on", ">secret", "~txr:*", *channels, "+@all", "-eval")
        url = f"unix://rooms:secret@{redis.socket}"
        client = await upAt(make, url)
        assert await ask(client, "ACL", "WHOAMI") == b"rooms"
        assert "NOPERM" in await failure(RedisError, client.ask("SET", "other", 1))
        assert "NOPERM" in await failure(RedisError, client.subscribe("other"))
        await within(client.subscribe("txr:c"))
        assert await ask(client, "PING") == b"PONG"
        unprepared = make(url)
        unprepared.onUp = lambda commands: commands.ask("EVAL", "return 1", 0)
        assert "NOPERM" in await failure(RedisRefused, unprepared.start())


async def test_passwordChanged(directory: Path, make: Made) -> None:
    """A user that is removed loses its connection, and then the client is refused, once, by `onRefused`."""
    with RedisServer(directory) as redis:
        redis.run("ACL", "SETUSER", "rooms", "on", ">secret", "~*", "&*", "+@all")
        client = await upAt(make, f"unix://rooms:secret@{redis.socket}")
        refused: list[RedisRefused] = []
        client.onRefused = refused.append
        redis.run("ACL", "DELUSER", "rooms")
        await until(lambda: bool(refused))
        assert "WRONGPASS" in str(refused[0])
        await failure(NotSent, client.ask("GET", "k"))


async def test_subscriptions(directory: Path, make: Made) -> None:
    """Commands and messages share one connection; the order on a channel is kept."""
    with RedisServer(directory) as redis:
        client = make(redis.url)
        messages: list[Any] = []
        client.onPush = messages.append
        client.onUp = lambda commands: commands.subscribe("c")
        await within(client.start())
        heard = [client.ask("PUBLISH", "c", n) for n in range(100)]
        assert {await each for each in heard} == {1}
        await until(lambda: len(messages) == 100)  # valkey sends the reply before the message
        assert messages == [[b"message", b"c", str(n).encode()] for n in range(100)]
        await within(client.unsubscribe("c"))
        assert await ask(client, "PUBLISH", "c", "x") == 0


async def test_tls(directory: Path, make: Made) -> None:
    """TLS: an authority of one's own, a wrong name, an unknown authority, a client's certificate."""
    authority = Authority(directory)
    authority.issue(directory / "server.pem", "localhost")
    authority.issue(directory / "client.pem", "client")
    port, certificate = freePort(), str(directory / "server.pem")
    options = (
        *("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", certificate),
        *("--tls-ca-cert-file", str(authority.file)),
    )
    with RedisServer(directory, *options) as redis:
        files = f"cacert={authority.file}&cert={directory / 'client.pem'}"
        client = await upAt(make, f"rediss://localhost:{port}/1?{files}")
        large = b"x" * 1_000_000
        await ask(client, "SET", "k", large)
        assert await ask(client, "GET", "k") == large
        reasons = {
            f"rediss://127.0.0.1:{port}?{files}": "verif",
            f"rediss://localhost:{port}": "certificate verify failed",
            f"rediss://localhost:{port}?cacert={authority.file}": "certificate required",
        }
        for url, reason in reasons.items():
            other = make(url)
            starting = other.start()
            await until(lambda other=other: bool(other._told))  # type: ignore[misc]
            assert reason in other._told.lower(), other._told
            await within(other.stop())
            await failure(NotSent, starting)
        redis.kill()
        await until(lambda: not client.isUp)


async def test_restart(directory: Path, make: Made) -> None:
    """A server that is killed and comes back: `onUp` prepares the new connection; what was waiting is run."""
    with RedisServer(directory, isDurable=True) as redis:
        client = make(redis.url)
        events: list[str] = []
        client.onUp = lambda commands: commands.ask("SET", "prepared", 1)
        client.onDown = lambda: events.append("down")
        await within(client.start())
        await ask(client, "SET", "k", "kept")
        for turn in range(1, 4):
            redis.kill()
            await until(lambda: not client.isUp)
            waiting = client.ask("GET", "k")
            redis.start()
            assert await within(waiting) == b"kept"
            assert events == ["down"] * turn
        assert await ask(client, "GET", "prepared") == b"1"


async def test_inFlight(directory: Path, make: Made) -> None:
    """Commands in flight when the connection is cut fail with `Lost`."""
    with RedisServer(directory) as redis:
        client = await upAt(make, redis.url)
        redis.pause()
        answers = [client.ask("INCR", "n") for _ in range(3)]
        await sleep(0.05)
        redis.kill()
        for answer in answers:
            await failure(Lost, answer)


async def test_hanging(directory: Path, make: Made) -> None:
    """A server that hangs: commands fail at the deadline, and the client is back when the server is."""
    with RedisServer(directory) as redis:
        client = await upAt(make, redis.url, timeout=1.0)
        downs: list[float] = []
        client.onDown = lambda: downs.append(reactor().seconds())
        began = reactor().seconds()
        redis.pause()
        try:
            await failure(Lost, client.ask("INCR", "n"))
            assert 0.7 < downs[0] - began < SOON
            await failure(NotSent, client.ask("INCR", "n"))
        finally:
            redis.resume()
        await until(lambda: client.isUp)
        # The first was in the server's socket: it was run in the end. The second was not.
        assert await ask(client, "GET", "n") == b"1"


async def test_loading(directory: Path, make: Made) -> None:
    """A server that loads its data is waited for."""
    slow = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
    with RedisServer(directory, *slow, isDurable=True) as redis:
        for n in range(500):
            redis.run("SET", f"k{n}", "x" * 100)
        redis.run("BGREWRITEAOF")
        await until(lambda: b"aof_rewrite_in_progress:0" in redis.run("INFO", "persistence"))
        redis.restart()
        client = make(redis.url)
        started = client.start()
        await until(lambda: bool(client._told))
        assert "LOADING" in client._told
        await within(started)
        assert await ask(client, "DBSIZE") == 500


async def test_cluster(directory: Path, make: Made) -> None:
    """A server in cluster mode is refused."""
    with RedisServer(directory, "--cluster-enabled", "yes", hasTCP=True) as redis:
        assert "cluster mode" in await failure(RedisRefused, make(redis.url).start())


async def test_noServer(directory: Path, make: Made) -> None:
    """Without a server, and with one that appears later, the client waits."""
    redis = RedisServer(directory)
    client = make(redis.url)
    started = client.start()
    await until(lambda: client.state is ClientState.WAITING)
    with redis:
        await within(started)
        assert client.isUp
