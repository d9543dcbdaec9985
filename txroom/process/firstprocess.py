"""
The first process of a container, which has the id 1.

The kernel makes it the parent of each process whose own parent has ended, and lets it ignore the signals that
it does not handle. So the server goes on in a child process, and the first process runs this program, with
nothing but Python's standard library::

    python -I -S firstprocess.py SERVER

SERVER is the id of the child process. The program passes signals on to it, waits for all processes that end,
and ends with the server, with the same status. The kernel then ends all other processes.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

FIRST = 1
#: The signals that are passed on.
PASSED_ON = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
    }
)


def leaveFirst() -> None:
    """
    Go on in a child process if this is the first process; otherwise do nothing.

    The child gets a session of its own, so that it does not get Ctrl-C twice, and the listening sockets that
    the first process was given.
    """
    if os.getpid() != FIRST:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until the program handles them
    server = os.fork()
    if server:
        os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, str(server)])
    os.setsid()
    _takeSockets()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _takeSockets() -> None:
    """Let LISTEN_PID name this process if it named the first one, in whose place this one goes on."""
    from ..service.socketactivation import environmentAtStart  # not at load: the program has no packages

    if environmentAtStart().get("LISTEN_PID") == str(FIRST):
        os.environ["LISTEN_PID"] = str(os.getpid())


def main(server: int) -> int:
    """Do what the module says, and return the status."""

    def passOn(number: int, frame: FrameType | None) -> None:
        try:
            os.kill(server, number)
        except ProcessLookupError:
            pass  # it has just ended

    os.closerange(3, 1 << 16)  # listening sockets, if the service manager has opened them
    for number in PASSED_ON:
        signal.signal(number, passOn)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    while True:
        process, status = os.wait()
        if process == server:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
