"""
Messages to the service manager, systemd, about the state of the service: the protocol of sd_notify(3).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping


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

    def ready(self, status: str = "") -> None:
        """
        The service serves, for the first time or after a reload.

        Args:
            status: What ``systemctl status`` shows.
        """
        self._send(f"READY=1\nSTATUS={status}")

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
