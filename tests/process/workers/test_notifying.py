"""
Tests for the messages to the service manager.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers.notifying import Notifier


class NotifierTests(SynchronousTestCase):
    """`Notifier`."""

    def manager(self, address: str) -> socket.socket:
        """A service manager."""
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.setblocking(False)
        manager.bind(address)
        return manager

    def test_states(self) -> None:
        """Each state is a message to the address in the environment."""
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        address = os.path.join(directory, "notify")
        manager = self.manager(address)
        notifier = Notifier({"NOTIFY_SOCKET": address}, lambda: 12.5)
        notifier.ready()
        notifier.reloading()
        notifier.status("2 of 3 workers serve")
        notifier.stopping()
        self.assertEqual(
            [manager.recv(100) for _ in range(4)],
            [
                b"READY=1",
                b"RELOADING=1\nMONOTONIC_USEC=12500000",
                b"STATUS=2 of 3 workers serve",
                b"STOPPING=1",
            ],
        )

    def test_abstract(self) -> None:
        """An address that begins with @ has no file."""
        name = f"txroom-test-{os.getpid()}"
        manager = self.manager(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        self.assertEqual(manager.recv(100), b"READY=1")

    def test_nobody(self) -> None:
        """Without a service manager, or if it can't be reached, nothing happens."""
        Notifier({}).ready()
        Notifier({"NOTIFY_SOCKET": "/nowhere/notify"}).ready()
