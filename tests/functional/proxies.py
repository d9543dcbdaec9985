"""Real proxies as processes: HAProxy and nginx, with a configuration that a test writes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from tests.functional.launched import PATIENCE, until
from tests.requires import requires

NGINX = """
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {http}
}}
"""


@contextmanager
def haproxy(configuration: str, ports: Sequence[int], directory: Path) -> Iterator[None]:
    """Run HAProxy with its defaults and `configuration`; the block begins when it listens on `ports`."""
    file = directory / "haproxy.cfg"
    file.write_text(configuration, "utf-8")
    with _running([requires("haproxy"), "-db", "-f", str(file)], ports, directory / "haproxy.log"):
        yield


@contextmanager
def nginx(http: str, ports: Sequence[int], directory: Path) -> Iterator[None]:
    """
    Run nginx with `http` in that block of its configuration; the block begins when it listens on `ports`.
    """
    command = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or requires("nginx")
    user = "" if os.getuid() else "user root;"  # else it would give that up, and reach no socket of ours
    file = directory / "nginx.conf"
    file.write_text(NGINX.format(directory=directory, http=http, user=user), "utf-8")
    with _running([command, "-p", str(directory), "-c", str(file)], ports, directory / "nginx.log"):
        yield


@contextmanager
def _running(command: Sequence[str], ports: Sequence[int], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def isReady() -> bool:
        if process.poll() is not None:
            _ended(log)
        return all(map(accepts, ports))

    try:
        until(isReady, f"{command[0]} doesn't listen")
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _ended(log: Path) -> NoReturn:
    raise AssertionError(log.read_text())


def accepts(port: int) -> bool:
    """Whether a port of 127.0.0.1 accepts connections."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
