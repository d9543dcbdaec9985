"""Addresses of Redis servers."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from txroom.engine.redis.address import RedisAddress
from txroom.testing import MemoryReactor

parse = RedisAddress.parse


class FormTests(SynchronousTestCase):
    """What the parts of a URL mean."""

    def test_tcp(self) -> None:
        """The port is 6379 and the database 0 unless the URL says something else."""
        self.assertEqual(parse("redis://db.example"), RedisAddress(host="db.example"))
        self.assertEqual(parse("redis://db.example/"), RedisAddress(host="db.example"))
        self.assertEqual(
            parse("redis://db.example:7000/3"), RedisAddress(host="db.example", port=7000, database=3)
        )
        self.assertEqual(parse("redis://db.example?db=3").database, 3)

    def test_ipv6(self) -> None:
        """An IPv6 address is in brackets."""
        self.assertEqual(parse("redis://[::1]:7000").host, "::1")
        self.assertEqual(parse("redis://[::1]").port, 6379)
        self.assertEqual(str(parse("redis://[::1]/2")), "redis://[::1]:6379/2")

    def test_credentials(self) -> None:
        """A password alone belongs to the user "default"; both may contain escaped characters."""
        alone = parse("redis://:secret@h")
        self.assertEqual((alone.user, alone.password), ("default", "secret"))
        both = parse("redis://r%C3%BCdi:p%40s%2Fs:w@h")
        self.assertEqual((both.user, both.password), ("rüdi", "p@s/s:w"))
        empty = parse("redis://rooms:@h")
        self.assertEqual((empty.user, empty.password), ("rooms", ""))
        self.assertIsNone(parse("redis://h").password)
        self.assertIsNone(parse("redis://:@h").password)

    def test_unix(self) -> None:
        """A UNIX socket has a path, and its database is a parameter."""
        self.assertEqual(parse("unix:///run/redis.sock"), RedisAddress(path="/run/redis.sock"))
        found = parse("unix://rooms:secret@/run/my%20redis.sock?db=2")
        self.assertEqual(
            (found.path, found.user, found.password, found.database),
            ("/run/my redis.sock", "rooms", "secret", 2),
        )

    def test_tls(self) -> None:
        """The parameters of a rediss URL name PEM files."""
        found = parse("rediss://h?cacert=/etc/ca.pem&cert=/etc/me.pem&key=/etc/key.pem")
        self.assertTrue(found.isTLS)
        self.assertEqual(
            (found.authorities, found.certificate, found.key), ("/etc/ca.pem", "/etc/me.pem", "/etc/key.pem")
        )

    def test_hidden(self) -> None:
        """Neither `repr` nor `str` has the password."""
        for url in ("redis://u:hunter2@h:1/2", "rediss://:hunter2@h", "unix://u:hunter2@/run/s?db=1"):
            address = parse(url)
            self.assertNotIn("hunter2", f"{address!r} {address}")
        self.assertEqual(str(parse("redis://u:hunter2@h:1/2")), "redis://u:***@h:1/2")
        self.assertEqual(str(parse("rediss://:hunter2@h")), "rediss://:***@h:6379")
        self.assertEqual(str(parse("unix://u:hunter2@/run/s?db=1")), "unix://u:***@/run/s?db=1")


class WrongTests(SynchronousTestCase):
    """Wrong URLs are refused, without showing what may be a password."""

    def wrong(self, url: object, expected: str) -> None:
        error = self.assertRaises(ValueError, parse, url)
        self.assertIn(expected, str(error))
        self.assertNotIn("hunter", str(error))
        self.assertIsNone(error.__cause__)
        self.assertTrue(error.__suppress_context__ or error.__context__ is None)

    def test_scheme(self) -> None:
        """The scheme is one of three."""
        for url in ("", "hunter2", "http://h", "redis:h", "redis:/h", "valkey://hunter2@h"):
            self.wrong(url, "must begin with redis://, rediss:// or unix://")
        self.wrong(None, "must be a text")

    def test_unescaped(self) -> None:
        """A password whose special characters are not escaped does not show up as another part."""
        self.wrong("redis://:hun/ter@h", "has no valid host")
        self.wrong("redis://hunter/2@h", "must have a number as its database")
        self.wrong("redis://:hunter#2@h", "must not contain #")
        self.wrong("redis://hunter?2@h", "may have these parameters, once each: db;")
        self.wrong("redis://u:hunter[2@h", "is not valid")
        self.wrong("redis://u:hunter 2@h", "must not contain spaces")
        self.wrong("redis://u:hunter2\n@h", "must not contain spaces")
        self.wrong("redis://u:hunter%ff@h", "not UTF-8")

    def test_user(self) -> None:
        """A user without a password is probably a password without its colon."""
        self.wrong("redis://hunter2@h", "write redis://:password@host")

    def test_host(self) -> None:
        """There must be a host, with a valid port."""
        self.wrong("redis://", "has no valid host")
        self.wrong("redis://:6379", "has no valid host")
        self.wrong("redis://::1", "has no valid host")
        self.wrong("redis://[::1]x", "has no valid host")
        for port in ("0", "65536", "hunter", "-1", "1e3", "٣", "99999999999"):
            self.wrong(f"redis://h:{port}", "must have a port from 1 to 65535")

    def test_database(self) -> None:
        """The database is a number, and given once."""
        for path in ("/hunter", "/-1", "/1/2", "//1", "?db=hunter"):
            self.wrong(f"redis://h{path}", "must have a number as its database")
        self.wrong("redis://h/1?db=2", "names the database twice")

    def test_parameters(self) -> None:
        """Parameters must be known and have a value, and TLS has its own."""
        for query in ("hunter=2", "db=", "db=1&db=2", "db", "cacert=/a", "&"):
            self.wrong(f"redis://h?{query}", "may have these parameters, once each: db;")
        self.wrong("rediss://h?hunter=2", "may have these parameters, once each: db, cacert, cert, key;")
        self.wrong("rediss://h?key=/hunter", "has the parameter key without cert")

    def test_socket(self) -> None:
        """A UNIX socket has an absolute path and no host."""
        for url in ("unix://", "unix:///", "unix://run/s", "unix://:hunter2@run/s"):
            self.wrong(url, "must have the absolute path of a socket")


class EndpointTests(SynchronousTestCase):
    """The endpoint of an address."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()

    def test_kinds(self) -> None:
        """TCP connects to names and addresses, also to names with an underscore."""
        for url, kind in (
            ("redis://h", HostnameEndpoint),
            ("redis://[::1]", HostnameEndpoint),
            ("redis://my_redis", TCP4ClientEndpoint),
            ("unix:///run/s", UNIXClientEndpoint),
        ):
            self.assertIs(type(parse(url).endpoint(self.reactor)), kind)

    def test_tls(self) -> None:
        """TLS trusts the system's authorities, or those of a file that may have several."""
        directory = Path(self.mktemp())
        directory.mkdir()
        authority = Authority(directory)
        authority.issue(directory / "client.pem", "client")
        both = directory / "both.pem"
        both.write_bytes(authority.file.read_bytes() * 2)
        files = f"cacert={both}&cert={directory / 'client.pem'}"
        for query in ("", f"?{files}", f"?{files}&key={directory / 'client.pem'}"):
            address = parse(f"rediss://localhost{query}")
            self.assertNotIsInstance(address.endpoint(self.reactor), HostnameEndpoint)

    def test_files(self) -> None:
        """A file that cannot be used is named before anything connects."""
        directory = Path(self.mktemp())
        directory.mkdir()
        authority = Authority(directory)
        (directory / "empty.pem").touch()
        for query, expected in (
            ("cacert=/no/such/file", "cacert: /no/such/file"),
            (f"cacert={directory / 'empty.pem'}", "has no certificates that can be read"),
            ("cert=/no/such/file", "/no/such/file"),
            (f"cert={authority.file}", "has no certificate with its key"),
            (f"cert={directory / 'empty.pem'}", "has no certificate with its key"),
        ):
            address = parse(f"rediss://localhost?{query}")
            error = self.assertRaises(ValueError, address.endpoint, self.reactor)
            self.assertIn(expected, str(error))

    def test_uncheckable(self) -> None:
        """TLS can't check a name with an underscore."""
        error = self.assertRaises(ValueError, parse("rediss://my_redis").endpoint, self.reactor)
        self.assertIn("whose name TLS cannot check", str(error))
