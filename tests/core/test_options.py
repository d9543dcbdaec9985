"""Tests for every option: its default, its range, and the error of a wrong value."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from txroom.core.options import ServerOptions
from txroom.core.validation import OptionError

KIB = 1024
MIB = 1024 * KIB

#: The documented defaults.
DEFAULTS: dict[str, Any] = {
    "maxPayload": MIB,
    "maxCompressedSize": 0,
    "maxFragments": 1024,
    "messageTimeout": 30,
    "handshakeTimeout": 5,
    "closeTimeout": 10,
    "pingInterval": 25,
    "pingTimeout": 20,
    "idleTimeout": 0,
    "maxLifetime": 0,
    "highWaterMark": 64 * KIB,
    "maxBackpressure": MIB,
    "closeOnBackpressureLimit": False,
    "compression": "disabled",
    "threshold": 1024,
    "serverMaxWindowBits": 15,
    "clientMaxWindowBits": 15,
    "serverNoContextTakeover": False,
    "clientNoContextTakeover": False,
    "memoryLevel": 8,
    "maxConnections": 0,
    "maxConnectionsPerAddress": 0,
    "maxPendingHandshakes": 1024,
    "maxPages": 256,
    "maxPagesPerAddress": 64,
    "maxPageBody": 16 * KIB,
    "clientTracking": True,
    "backlog": 511,
    "noDelay": True,
    "autoPong": True,
    "skipUTF8Validation": False,
    "allowSynchronousEvents": True,
    "closeOnError": True,
    "trustedProxies": (),
    "allowedOrigins": (),
    "refusals": "protocol",
    "allowedHosts": (),
    "requireOrigin": False,
    "messageRate": 0,
    "messageBurst": 0,
    "byteRate": 0,
    "byteBurst": 0,
    "shutdownTimeout": 10,
    "drainDelay": 0,
}

_NO_SIZE = (-1, 1.5, "1", None, True)
_NO_NUMBER = (-0.1, "1", None, True, float("inf"), float("nan"))
_NO_FLAG = (0, 1, "yes", None)
_NO_BITS = (8, 16, 9.0, True, "9")

#: For each kind of option: the limits of its range, and values outside it.
KINDS: dict[str, tuple[tuple[Any, ...], tuple[Any, ...], str]] = {
    "a whole number of bytes, 0 or more": ((0, 1, 2**40), _NO_SIZE, "size"),
    "a whole number, 0 or more": ((0, 1, 10**9), _NO_SIZE, "count"),
    "a finite number of seconds, 0 or more": ((0, 0.001, 86400), _NO_NUMBER, "seconds"),
    "a finite number, 0 or more": ((0, 0.5, 1e9), _NO_NUMBER, "rate"),
    "True or False": ((True, False), _NO_FLAG, "flag"),
    "a whole number from 9 to 15": ((9, 15), _NO_BITS, "bits"),
    "a whole number from 1 to 9": ((1, 9), (0, 10, 1.0, True), "level"),
    "a whole number, 1 or more": ((1, 4096), (0, -1, 1.5, True), "backlog"),
    "'disabled', 'shared' or 'dedicated'": (
        ("disabled", "shared", "dedicated"),
        ("", "Shared", None, True),
        "compression",
    ),
    "'protocol' or 'http'": (("protocol", "http"), ("", "HTTP", None, True), "refusals"),
}


def options(**given: Any) -> ServerOptions:
    """What converters take is more than the types of the fields say."""
    return ServerOptions(**given)


class TableTests(SynchronousTestCase):
    """The table is the only list of options there is."""

    def test_defaults(self) -> None:
        """Nobody changes a default without saying so here."""
        self.assertEqual(attrs.asdict(ServerOptions()), DEFAULTS)

    def test_described(self) -> None:
        """Every field has what the command line and the documentation show, in sentences."""
        for field in attrs.fields(ServerOptions):
            self.assertEqual(set(field.metadata), {"doc", "unit", "allowed", "source"}, field.name)
            self.assertRegex(field.metadata["doc"], r"^[A-Z].*\.$", field.name)
            if isinstance(field.default, bool):
                self.assertRegex(field.metadata["doc"], "^Whether ", field.name)

    def test_keywordOnly(self) -> None:
        """Options are keyword-only."""
        self.assertRaises(TypeError, ServerOptions, 1)

    def test_frozen(self) -> None:
        """Options can't be changed."""
        options = ServerOptions()
        with self.assertRaises(attrs.exceptions.FrozenInstanceError):
            options.maxPayload = 1  # type: ignore[misc]

    def test_unknown(self) -> None:
        """A misspelt option is refused."""
        self.assertRaises(TypeError, ServerOptions, maxPayloads=1)


class RangeTests(SynchronousTestCase):
    """Each option accepts exactly what its text says."""

    def test_everyKind(self) -> None:
        """The limits of each range are accepted unchanged."""
        for field in self.fields():
            for value in KINDS[field.metadata["allowed"]][0]:
                options = ServerOptions(**{field.name: value})
                self.assertEqual(getattr(options, field.name), value)

    def test_wrong(self) -> None:
        """The error names the option, the value and what is allowed."""
        for field in self.fields():
            allowed = field.metadata["allowed"]
            for value in KINDS[allowed][1]:
                with self.assertRaises(OptionError) as caught:
                    ServerOptions(**{field.name: value})
                self.assertEqual(str(caught.exception), f"{field.name}={value!r}: must be {allowed}")

    def test_valueError(self) -> None:
        """The error is a `ValueError`."""
        self.assertRaises(ValueError, ServerOptions, maxPayload=-1)

    def fields(self) -> list[Any]:
        """Return all fields except lists, which have tests of their own."""
        fields = [field for field in attrs.fields(ServerOptions) if field.default != ()]
        self.assertEqual({field.metadata["allowed"] for field in fields}, set(KINDS))
        return fields


class ListTests(SynchronousTestCase):
    """Options that are lists."""

    def test_proxies(self) -> None:
        """Addresses, networks of both families, and UNIX sockets."""
        made = options(trustedProxies=["10.0.0.0/8", "192.0.2.1", "fd00::/8", "unix"])
        self.assertEqual(
            made.trustedProxies,
            (ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32"), ip_network("fd00::/8"), "unix"),
        )

    def test_oneProxy(self) -> None:
        """A single value need not be in a list; a string is not split into letters."""
        self.assertEqual(options(trustedProxies="unix").trustedProxies, ("unix",))
        network = ip_network("127.0.0.1/32")
        self.assertEqual(options(trustedProxies="127.0.0.1").trustedProxies, (network,))

    def test_wrongProxy(self) -> None:
        """
        A host name, host bits below the mask, and anything that is not a list are refused; the error shows
        the value.
        """
        for value in ("localhost", ["10.0.0.1/8"], ["*"], 7, [None]):
            with self.assertRaises(OptionError) as caught:
                options(trustedProxies=value)
            self.assertTrue(str(caught.exception).startswith("trustedProxies="))
            self.assertIn("CIDR", str(caught.exception))

    def test_origins(self) -> None:
        """Origins, or "*"."""
        for value in (["https://a.example", "http://b.example:8080"], ["*"], []):
            self.assertEqual(options(allowedOrigins=value).allowedOrigins, tuple(value))
        self.assertEqual(options(allowedOrigins="*").allowedOrigins, ("*",))

    def test_wrongOrigin(self) -> None:
        """An origin that no browser can send is refused."""
        for value in ("example.org", "https://example.org/", ["https://a.example", 7], "null"):
            with self.assertRaises(OptionError) as caught:
                options(allowedOrigins=value)
            self.assertIn("allowedOrigins=", str(caught.exception))
            self.assertIn("must be origins", str(caught.exception))


class OverrideTests(SynchronousTestCase):
    """Options that an application overrides."""

    def test_override(self) -> None:
        """Other options are kept."""
        changed = ServerOptions(maxPayload=5, maxFragments=6).override({"maxPayload": 7})
        self.assertEqual((changed.maxPayload, changed.maxFragments), (7, 6))

    def test_nothing(self) -> None:
        """Without changes there is no copy, so that thousands of applications can share one object."""
        options = ServerOptions()
        self.assertIs(options.override({}), options)

    def test_unknown(self) -> None:
        """The error names every unknown option."""
        with self.assertRaises(OptionError) as caught:
            ServerOptions().override({"maxPayload": 1, "zebra": 1, "ape": 2})
        self.assertEqual(str(caught.exception), "no such option: ape, zebra")

    def test_wrong(self) -> None:
        """Values are checked as in the constructor."""
        self.assertRaises(OptionError, ServerOptions().override, {"maxPayload": -1})

    def test_converted(self) -> None:
        """Lists are converted as in the constructor."""
        changed = ServerOptions().override({"trustedProxies": "10.0.0.0/8"})
        self.assertEqual(changed.trustedProxies, (ip_network("10.0.0.0/8"),))
        self.assertEqual(changed.override({"maxPayload": 1}).trustedProxies, changed.trustedProxies)
