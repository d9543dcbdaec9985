"""
A real Redis server of a test, as a process.

    with RedisServer(directory) as redis:
        client = RedisClient(reactor(), redis.url)
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hiredis import Reader, pack_command

from tests.functional.launched import PATIENCE, freePort, until
from tests.requires import requires

#: The server to start; set the environment variable to test with another one, such as valkey-server.
SERVER = os.environ.get("TXROOM_REDIS_SERVER", "redis-server")


class RedisServer:
    """
    One server, in a directory of its own. It listens on a UNIX socket, and on TCP if asked to.

    Args:
        directory: The directory of the socket, the log and the data. Its path must be short.
        options: Options of redis-server, such as ``"--requirepass", "secret"``.
        hasTCP: Whether it listens on a free port of 127.0.0.1 too.
        isDurable: Whether it writes each command to its disk before it replies, and loads them at the next
            start. Otherwise it keeps nothing.
        environment: Further variables of its environment.
    """

    def __init__(
        self,
        directory: Path,
        *options: str,
        hasTCP: bool = False,
        isDurable: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.port = freePort() if hasTCP else 0
        self._options = options
        self._isDurable = isDurable
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the UNIX socket."""
        return f"unix://{self.socket}"

    @property
    def log(self) -> str:
        """What the server has logged."""
        return (self.directory / "redis.log").read_text("utf-8")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert self._process is None
        self.socket.unlink(missing_ok=True)
        durability = ("--appendonly", "yes", "--appendfsync", "always") if self._isDurable else ()
        with (self.directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [requires(SERVER), "--port", str(self.port), "--bind", "127.0.0.1",
                 "--unixsocket", str(self.socket), "--dir", str(self.directory), "--save", "",
                 "--appendonly", "no", *durability, *self._options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
            )  # fmt: skip
        until(self._listens, f"Redis does not listen: {self.log}")

    def _listens(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log
        try:
            self._connected().close()
        except OSError:
            return False
        return True

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        try:
            connection.connect(str(self.socket))
        except OSError:
            connection.close()
            raise
        return connection

    def kill(self) -> None:
        """End it with SIGKILL."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop it, as a hanging server, until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it continue."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def run(self, *args: str | bytes | int) -> Any:
        """Run one command by a connection of its own; an error is raised."""
        reader = Reader(notEnoughData=...)
        with self._connected() as connection:
            connection.sendall(pack_command(args))  # type: ignore[arg-type]
            while (reply := reader.gets()) is ...:
                data = connection.recv(65536)
                assert data, "Redis has closed the connection"
                reader.feed(data)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
