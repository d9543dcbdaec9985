"""The options of a client, and its URL."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom import OptionError
from txroom.client import Client, ClientOptions
from txroom.client.transport import absolute
from txroom.testing import MemoryReactor


class OptionTests(SynchronousTestCase):
    """Making clients."""

    def test_refused(self) -> None:
        """An error names the option, the value and what is allowed."""
        for name, value in (
            ("connectTimeout", 0), ("requestTimeout", -1), ("callTimeout", "x"), ("pingInterval", 1e999),
            ("window", 65), ("window", 0), ("maxBuffered", 1.5), ("maxPayload", 0), ("rejoin", 1),
            ("protocol", "chat"), ("maxAttempts", -1), ("retryPolicy", 5), ("minDelay", True),
            ("device", ""), ("device", "x" * 65), ("device", 5),
        ):  # fmt: skip
            error = self.assertRaises(OptionError, ClientOptions, **{name: value})
            self.assertIn(f"{name}={value!r}: must be ", str(error))
        self.assertRaises(TypeError, Client, "ws://localhost", reactor=MemoryReactor(), windows=3)

    def test_urls(self) -> None:
        """URLs are read like in a browser; without a path, the path is "/rooms"."""
        for url, expected in (
            ("ws://localhost", "ws://localhost/rooms"),
            ("http://localhost:8080/", "ws://localhost:8080/rooms"),
            ("https://example.org/x?y=z#w", "wss://example.org/x?y=z"),
            ("wss://[::1]:8443/rooms", "wss://[::1]:8443/rooms"),
        ):
            self.assertEqual(absolute(url), expected)
            Client(url, reactor=MemoryReactor())
        for url in ("localhost:8080", "ftp://localhost", "/rooms", ""):
            self.assertRaises(ValueError, absolute, url)
