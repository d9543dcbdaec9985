"""
Messages to the service manager, systemd, about the state of the service: the protocol of sd_notify(3).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping

from .pipe import Group


class Notifier:
    """
    Tells the service manager what this process does. Without one, nothing happens.

    Args:
        environment: The environment, in which the service manager has put its address.
        seconds: Returns the monotonic time of the system.
    """

    def __init__(self, environment: Mapping[str, str], seconds: Callable[[], float] = time.monotonic) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._seconds = seconds

    def ready(self) -> None:
        """The service serves, for the first time or after a reload."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Let ``systemctl status`` show this line."""
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """The service reloads, until `ready`."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(self._seconds() * 1_000_000)}")

    def stopping(self) -> None:
        """The service stops."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.setblocking(False)
                manager.sendto(state.encode(), address)
        except OSError:
            pass  # the service works without its manager's knowing


class Status:
    """
    The line about the workers that ``systemctl status`` shows.

    Args:
        notifier: What passes it on.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._workers = ""
        self._reload = ""
        #: How the last reload has ended; empty: well.
        self._last = ""
        self._told = ""

    def regrouped(self, group: Group) -> None:
        """The workers have changed."""
        self._workers = str(group)
        self._tell()

    def reloading(self, what: str) -> None:
        """What a reload does now, as a part of a sentence; empty: there is none."""
        self._reload = what
        self._tell()

    def reloaded(self, isDone: bool) -> None:
        """A reload has ended: the workers were replaced, or it was given up."""
        self._notifier.ready()
        self._last = "" if isDone else "the last reload was given up, see the log"
        self._tell()

    def _tell(self) -> None:
        text = "; ".join(filter(None, (self._workers, self._reload or self._last)))
        if self._workers and text != self._told:
            self._told = text
            self._notifier.status(text)
