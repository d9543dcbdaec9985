"""
Faults of a parent's own store and of its data: `make chaos`.

`test_chaos.py` has the faults that nodes with any Redis have too, and `test_kills.py` kills workers and the
store again and again.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from twisted.internet.threads import deferToThread

from tests.functional.cluster.parent import PATIENCE, Workers
from tests.functional.cluster.test_cluster import report, settled
from tests.functional.support import until, within
from tests.requires import requires

pytestmark = pytest.mark.chaos


async def test_parentKilled(directory: Path) -> None:
    """The parent is killed: everything ends, and the next parent goes on with the rooms."""
    async with Workers(directory, 3) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        await nodes.parent.killed()
        await nodes.start()
        await crowd.during(2)
        await settled("kill -9 of the parent", crowd)


async def test_storeHangsShortly(directory: Path) -> None:
    """The store stands still for 4 seconds: nobody resumes."""
    async with Workers(directory, 3) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        nodes.redis.pause()
        await crowd.during(4)
        nodes.redis.resume()
        tally = await settled("SIGSTOP of the store, 4 s", crowd)
        assert (tally.sockets, tally.recovered) == (0, 0)


async def test_storeHangsLong(directory: Path) -> None:
    """The store stands still for 15 seconds, which is longer than the leases: the owners go on."""
    async with Workers(directory, 3) as nodes:
        crowd = await nodes.crowd()
        owners = [nodes.ownerOf(witness) for witness in crowd.witnesses]
        crowd.listenAgain()
        nodes.redis.pause()
        await crowd.during(15)
        nodes.redis.resume()
        await crowd.during(5)
        tally = await settled("SIGSTOP of the store, 15 s", crowd)
        assert tally.sockets == 0
        assert [nodes.ownerOf(witness) for witness in crowd.witnesses] == owners


async def test_oneWorker(directory: Path) -> None:
    """A single worker with a state directory: its rooms survive a reload, and the end of all processes."""
    async with Workers(directory, 1) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        parent = nodes.parent
        parent.signal(signal.SIGHUP)
        done = "reload: the new worker serves"
        await until(lambda: done in parent.output, f"no reload: {parent.output}", 2 * PATIENCE)
        await crowd.during(2)
        await parent.killed()
        await nodes.start()
        await crowd.during(2)
        tally = await settled("one worker: a reload, and kill -9 of the parent", crowd)
        assert tally.epochs == 4


async def test_storeKilledAtStop(directory: Path) -> None:
    """The store is killed while the workers stop: it is started again for them, and nothing is lost."""
    async with Workers(directory, 3) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        parent = nodes.parent
        store = parent.store
        parent.signal(signal.SIGTERM)
        os.kill(store, signal.SIGKILL)
        await until(lambda: parent.status is not None, f"it does not end: {parent.output}", PATIENCE)
        assert parent.status == -signal.SIGTERM
        assert "the store has ended, it is started again" in parent.output
        await nodes.start()
        await crowd.during(2)
        await settled("SIGTERM of the parent, and kill -9 of the store", crowd)


@contextmanager
def smallDisk(path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    path.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "txroom", path], capture_output=True)
    if mount.returncode:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.decode()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.parametrize("killed", ["", "the store", "the store and a worker"])
async def test_diskFull(directory: Path, killed: str) -> None:
    """
    The disk of the store is full, and perhaps the store is killed meanwhile. If the owner of a room is killed
    too, the room begins a new epoch, since nobody knows what it had confirmed.
    """
    with smallDisk(directory / "state") as disk:
        async with Workers(directory, 3) as nodes:
            crowd = await nodes.crowd()
            crowd.listenAgain()
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(b"x" * 512)
            full = "writing to the AOF file"
            await until(lambda: full in nodes.parent.output, "the disk is not full", PATIENCE)
            await crowd.during(3)
            if killed:
                nodes.redis.kill()
            if "worker" in killed:
                nodes[nodes.ownerOf(crowd.witnesses[0])].kill()
            await crowd.during(1)
            filler.unlink()
            await crowd.during(6)
            tally = await crowd.settle()
            report(f"disk full{killed and f', and kill -9 of {killed}'}", crowd, tally)
            assert not tally.broken, tally
            assert tally.left == 0, tally
            if "worker" in killed:
                assert tally.lost > 0
            else:
                assert tally.acknowledged == tally.sent, tally
                assert (tally.lost, tally.sockets) == (0, 0), tally


HANGING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int hang(int fd, const char *name) {
    while (access(getenv("HANG"), F_OK) == 0) usleep(10000);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return hang(fd, "fsync"); }
int fdatasync(int fd) { return hang(fd, "fdatasync"); }
"""


def hangingFsync(directory: Path) -> Path:
    """
    Make a program "redis-server" that is first on the PATH. Its fsync hangs while the file that is returned
    exists.
    """
    source, library, program = (directory / name for name in ("hang.c", "hang.so", "redis-server"))
    source.write_text(HANGING)
    subprocess.run([requires("cc"), "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environment = f"LD_PRELOAD={library} HANG={directory / 'hang'}"
    program.write_text(f'#!/bin/sh\n{environment} exec {requires("redis-server")} "$@"\n')
    program.chmod(0o755)
    return directory / "hang"


@pytest.mark.parametrize("isKilled", [False, True])
async def test_fsyncHangs(directory: Path, isKilled: bool) -> None:
    """With ``--fsync always`` the disk hangs for 9 seconds, and perhaps the store is killed meanwhile."""
    hang = hangingFsync(directory)
    environment = {"PATH": f"{directory}:{os.environ['PATH']}"}
    async with Workers(directory, 3, "--fsync", "always", environment=environment) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        hang.touch()
        await crowd.during(9)
        if isKilled:
            nodes.redis.kill()
        hang.unlink()
        await crowd.during(4)
        killed = ", and kill -9 of the store" if isKilled else ""
        tally = await settled(f"fsync hangs, 9 s{killed}", crowd)
        assert tally.sockets == 0
        assert tally.silence > 8


async def test_both(directory: Path) -> None:
    """All workers and the store are killed at once."""
    async with Workers(directory, 3) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        for worker in nodes:
            worker.kill()
        nodes.redis.kill()
        await crowd.during(6)
        await settled("kill -9 of all workers and the store", crowd)


# -- what the parent finds when it starts


def dataOf(nodes: Workers) -> Path:
    """The file of the commands."""
    [file] = (nodes.state / "store" / "appendonlydir").glob("*.incr.aof")
    return file


async def test_olderCopy(directory: Path) -> None:
    """The directory is replaced by an older copy: the parent notices it, and all rooms begin new epochs."""
    async with Workers(directory, 3) as nodes:
        crowd = await nodes.crowd()
        shutil.copytree(nodes.state, directory / "copy")
        await crowd.during(3)
        crowd.listenAgain()
        await nodes.parent.killed()
        shutil.rmtree(nodes.state)
        shutil.copytree(directory / "copy", nodes.state)
        await nodes.start()
        await crowd.during(3)
        tally = await crowd.settle()
        report("the state directory of 3 s ago", crowd, tally)
        assert "is a copy, so its data may be old" in nodes.parent.output
        assert not tally.broken, tally
        assert tally.left == 0
        assert tally.lost == len(crowd.witnesses)


async def test_truncated(directory: Path) -> None:
    """After a power cut the last command is incomplete: the rooms begin new epochs, and it is logged."""
    async with Workers(directory, 3) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        await nodes.parent.killed()
        file = dataOf(nodes)
        os.truncate(file, file.stat().st_size - 5)
        (nodes.state / "store" / "run").write_text("another boot:0\n")
        await nodes.start()
        await crowd.during(3)
        tally = await crowd.settle()
        report("the last command is incomplete after a power cut", crowd, tally)
        assert not tally.broken, tally
        assert tally.left == 0
        assert tally.lost == len(crowd.witnesses)
        assert f"Truncating the AOF {file.name}" in nodes.parent.output


async def test_corrupt(directory: Path) -> None:
    """A corrupt file: the parent ends with status 1, and names the file and the command that repairs it."""
    async with Workers(directory, 3) as nodes:
        crowd = await nodes.crowd()
        await nodes.parent.killed()
        file = dataOf(nodes)
        data = file.read_bytes()
        middle = data.index(b"*", len(data) // 2)
        damaged = data[:middle] + b"x" + data[middle + 1 :]
        file.write_bytes(damaged)
        nodes.parent.begin()
        parent = nodes.parent
        await until(lambda: parent.status is not None, f"it does not end: {parent.output}", PATIENCE)
        assert parent.status == 1
        start = f"txroom: {file} is damaged or missing, so the store does not start"
        [line] = [line for line in parent.output.splitlines() if line.startswith(start)]
        assert file.read_bytes() == damaged
        command = shlex.split(line.partition("run: ")[2])
        repair = partial(subprocess.run, input=b"y\n", check=True, stdout=subprocess.DEVNULL)
        await within(deferToThread(repair, command))
        await nodes.start()
        await crowd.during(1)
        crowd.end()


async def test_parentHangs(directory: Path) -> None:
    """The parent stands still for 15 seconds: nobody notices."""
    async with Workers(directory, 3) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        nodes.parent.signal(signal.SIGSTOP)
        await crowd.during(15)
        nodes.parent.signal(signal.SIGCONT)
        tally = await settled("SIGSTOP of the parent, 15 s", crowd)
        assert (tally.sockets, tally.recovered) == (0, 0)
