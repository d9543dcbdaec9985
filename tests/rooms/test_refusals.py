"""Refusals told in the room protocol, since a browser sees nothing of an HTTP answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.web.server import Site

from tests.case import CLOSE, PING, TEXT, Recorder
from tests.rooms.case import MSGPACK, NotingRoom, RoomTestCase
from txroom import Accept, Application, Connection, Deny, Handshake, RoomApplication, Server, UpgradeError
from txroom.http.inbandrefusals import MAX_REFUSALS, MAX_REFUSALS_PER_ADDRESS
from txroom.http.lingering import LINGERING_TIMEOUT
from txroom.protocol.closecodes import MAX_REASON
from txroom.protocol.limits import JSON_PROTOCOL
from txroom.rooms.edge.refusals import MAX_RETRY_AFTER, RETRY_AFTER
from txroom.testing import Client, MemoryReactor, RawClient, RoomHarness, clientFrame, upgradeRequest

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/protocol-v1.json").read_text())
PROTOCOLS = (JSON_PROTOCOL, MSGPACK)


class RefusalCase(RoomTestCase):
    """A server of rooms that refuses."""

    def refusing(self, answer: Any = None, **options: Any) -> None:
        """Rooms whose `verifyClient` gives `answer`, or calls it."""
        verify = answer if callable(answer) else lambda handshake: answer
        self.hooks: list[str] = []
        self.rooms(app=RoomApplication(verifyClient=verify, **options))
        self.watch(self.harness.server)

    def watch(self, server: Server) -> None:
        """Note what a server tells of its connections and of upgrades that failed."""
        self.errors: list[tuple[int, str]] = []
        server.onClientError = lambda error, handshake: self.errors.append((error.status, error.reason))
        server.onConnection = lambda connection: self.hooks.append("connection")

    def told(self, path: str = "/rooms", protocol: str = JSON_PROTOCOL, **more: Any) -> list[Any]:
        """The one frame that a refused client gets, and its close code."""
        client = self.harness.connect(path, protocols=[protocol], **more)
        return self.toldTo(client)

    def toldTo(self, client: Client) -> list[Any]:
        response = client.response
        assert response is not None
        self.assertEqual(response.status, 101)
        decode: Any = msgspec.msgpack.decode if client.protocolInUse == MSGPACK else msgspec.json.decode
        (frame,) = [decode(each) for each in client.received]
        self.assertEqual(frame[:3], ["error", None, None])
        self.assertTrue(client.isClosed)
        assert client.closeInfo is not None
        self.assertEqual(client.closeInfo.reason, frame[4].encode()[:MAX_REASON].decode(errors="ignore"))
        return [*frame[3:], client.closeCode]

    def status(self, *protocols: str, path: str = "/rooms", **more: Any) -> int:
        """The status of the HTTP answer."""
        response = self.harness.connect(path, protocols=protocols, **more).response
        assert response is not None
        return response.status

    def assertNothingLeft(self) -> None:
        """No connection, no count, no hook of a connection; the server knows of refusals only."""
        admission = self.harness.server._gateway.admission
        self.assertEqual((len(admission.inBandRefusals), len(admission.pending)), (0, 0))
        self.assertEqual((admission.perAddress.total(), admission.perApplication.total()), (0, 0))
        self.assertEqual((self.harness.server.connections, self.harness.server.stats().total), ([], 0))
        self.assertEqual((self.hooks, self.events), ([], []))


class CodeTests(RefusalCase):
    """What becomes of a status."""

    def test_statuses(self) -> None:
        """The code of the error, the details and the close code, in both encodings."""
        for status, code, closeCode in (
            (400, "forbidden", 4001),
            (401, "unauthorized", 4001),
            (402, "forbidden", 4001),
            (403, "forbidden", 4001),
            (404, "noSuchRoom", 4004),
            (408, "unavailable", 1013),
            (410, "noSuchRoom", 4004),
            (425, "unavailable", 1013),
            (429, "rateLimited", 1013),
            (451, "forbidden", 4001),
            (500, "unavailable", 1013),
            (503, "unavailable", 1013),
            (511, "unavailable", 1013),
        ):
            self.refusing(Deny(status, "because"))
            details = {"status": status} | ({"retryAfter": RETRY_AFTER} if closeCode == 1013 else {})
            for protocol in PROTOCOLS:
                expected = [code, "because", details, closeCode]
                self.assertEqual(self.told(protocol=protocol), expected, status)
            self.assertEqual(self.errors, [(status, "denied")] * 2)
            self.assertEqual(self.harness.server.stats().rejected, {"denied": 2})
            self.assertNothingLeft()

    def test_vectors(self) -> None:
        """Those of the protocol document, for clients in other languages."""
        for vector in VECTORS["refusals"]:
            after = vector.get("retryAfter")
            headers = {} if after is None else {"Retry-After": after}
            self.refusing(Deny(vector["status"], vector["body"], headers))
            for protocol in PROTOCOLS:
                told = self.told(protocol=protocol)
                self.assertEqual(["error", None, None, *told[:3]], vector["frame"], vector["about"])
                self.assertEqual(told[3], vector["closed"], vector["about"])

    def test_falsehood(self) -> None:
        """`False` is 401."""
        self.refusing(False)
        self.assertEqual(self.told(), ["unauthorized", "Unauthorized", {"status": 401}, 4001])

    def test_choice(self) -> None:
        """The first of the offered sub-protocols that is ours; the answer and the frame agree in it."""
        self.refusing(Deny(403))
        client = self.harness.connect("/rooms", protocols=["other", MSGPACK, JSON_PROTOCOL])
        self.assertEqual(client.protocolInUse, MSGPACK)
        self.assertEqual(self.toldTo(client)[0], "forbidden")

    def test_raised(self) -> None:
        """A hook that raised: 1011, without a word of the exception."""
        self.refusing(lambda handshake: 1 / 0)
        self.assertEqual(self.told(), ["internal", "the server could not decide", {"status": 500}, 1011])
        self.assertRaised(ZeroDivisionError)
        self.assertEqual(self.errors, [(500, "error")])

    def test_timeout(self) -> None:
        """Hooks that take too long."""
        self.refusing(lambda handshake: Deferred())
        client = self.harness.connect("/rooms", protocols=[JSON_PROTOCOL])
        self.advance(5.2)
        self.assertEqual(self.toldTo(client)[0::3], ["timeout", 1013])
        self.assertEqual(self.errors, [(503, "timeout")])
        self.assertNothingLeft()

    def test_names(self) -> None:
        """A name that isn't registered, in whatever letters; `verifyClient` isn't asked."""
        self.refusing(lambda handshake: 1 / 0)
        code, message, _, closeCode = self.told("/rooms/chta")
        self.assertEqual(
            (code, message, closeCode), ("noSuchRoom", "no rooms are registered as 'chta'", 4004)
        )
        for name in ("%F0%9F%98%80" * 60, "%22" * 300, "%ED%A0%80", "x" * 4000):
            code, message, _, closeCode = self.told(f"/rooms/{name}")
            self.assertEqual((code, closeCode), ("noSuchRoom", 4004))
            self.assertIn("registered as", message)
            self.assertLessEqual(len(message.encode()), 200)

    def test_paths(self) -> None:
        """A path where nothing is, also with rooms on another host only: those aren't told of."""
        self.hooks = []
        self.events = []
        self.harness = self.serve({"/other": Recorder(), "chat": NotingRoom})
        self.watch(self.harness.server)
        expected = ["noSuchRoom", "no rooms are served at this path", {"status": 404}, 4004]
        for path in ("/", "/room", "/rooms%2fchat", "/roomsx"):
            self.assertEqual(self.told(path), expected, path)
        self.assertEqual(self.errors, [(404, "path")] * 4)
        self.assertNothingLeft()
        elsewhere = RoomHarness(lambda clock: hosted(clock, "a.example"))
        self.addCleanup(elsewhere.stop)
        self.harness = elsewhere
        self.assertEqual(self.told(path="/x", host="a.example")[0], "noSuchRoom")
        self.assertEqual(self.status(JSON_PROTOCOL, path="/x", host="b.example"), 404)

    def test_plain(self) -> None:
        """A plain application isn't taken for rooms; one without rooms chooses by itself."""
        plain = Recorder()
        self.hooks = []
        self.events = []
        self.harness = self.serve({"/*": plain, "chat": NotingRoom})
        self.watch(self.harness.server)
        self.assertEqual(self.told("/room")[0::3], ["noSuchRoom", 4004])
        self.assertEqual(self.status("other", JSON_PROTOCOL, path="/room"), 101)
        self.assertEqual(self.status(path="/room"), 101)
        self.assertEqual(len(plain.named("connect")), 2)
        cases: list[tuple[Application, dict[str, Any]]] = [
            (Application(chooseProtocol=lambda offered, handshake: offered[0]), {"chat": NotingRoom}),
            (Application(), {}),
        ]
        for application, rooms in cases:
            self.harness = self.serve({"/*": application, **rooms})
            client = self.harness.connect("/room", protocols=[JSON_PROTOCOL])
            self.assertEqual((client.protocolInUse, client.isClosed), (JSON_PROTOCOL, False))


class TextTests(RefusalCase):
    """The message, the time and the headers."""

    def message(self, body: str | None) -> str:
        self.refusing(Deny(403, body))
        told: str = self.told()[1]
        return told

    def test_body(self) -> None:
        """`Deny.body` up to 200 bytes, else the status."""
        for text in ("no", "nö 😀", "x" * 200, "ö" * 100):
            self.assertEqual(self.message(text), text)
        for body in (None, "", "x" * 201, "ö" * 101, "<html>" * 1000):
            self.assertEqual(self.message(body), "Forbidden")

    def test_retryAfter(self) -> None:
        """From Retry-After in seconds; what isn't that is as none, and nothing is endless."""
        for value, seconds in (
            ("30", 30.0),
            ("0", 0.0),
            ("9" * 30, MAX_RETRY_AFTER),
            ("soon", RETRY_AFTER),
            ("-1", RETRY_AFTER),
            ("Wed, 21 Oct 2026 07:28:00 GMT", RETRY_AFTER),
        ):
            self.refusing(Deny(503, headers={"retry-AFTER": value}))
            self.assertEqual(self.told()[2], {"status": 503, "retryAfter": seconds})

    def test_cookies(self) -> None:
        """Of the headers only Set-Cookie goes on the 101."""
        headers = [("Set-Cookie", "a=1"), ("X-Why", "x"), ("set-cookie", "b=2"), ("Content-Type", "a/b")]
        self.refusing(Deny(403, headers=headers))
        response = self.harness.connect("/rooms", protocols=[JSON_PROTOCOL]).response
        assert response is not None
        self.assertEqual(response.headers.getAll("set-cookie"), ["a=1", "b=2"])
        for name in ("x-why", "content-type", "content-length", "sec-websocket-extensions"):
            self.assertNotIn(name, response.headers)


class LimitTests(RefusalCase):
    """Refused for want of room."""

    def test_total(self) -> None:
        """`maxConnections`: come again."""
        self.refusing(True, maxConnections=1)
        self.player()
        expected = ["unavailable", "too many connections", {"status": 503, "retryAfter": 5.0}, 1013]
        self.assertEqual(self.told(), expected)
        self.assertEqual(self.errors, [(503, "limit")])
        self.assertEqual(len(self.harness.server.connections), 1)

    def test_address(self) -> None:
        """`maxConnectionsPerAddress`."""
        self.refusing(True, maxConnectionsPerAddress=1)
        self.player()
        expected = ["rateLimited", "too many connections", {"status": 429, "retryAfter": 5.0}, 1013]
        self.assertEqual(self.told(), expected)
        self.assertEqual(self.told(peer="198.51.100.7", path="/rooms/none")[0], "noSuchRoom")

    def test_evicted(self) -> None:
        """The oldest of too many handshakes."""
        self.hooks = []
        self.app = RoomApplication(verifyClient=lambda handshake: Deferred())
        self.harness = self.serve(self.app, maxPendingHandshakes=1)
        client = self.harness.connect("/rooms", protocols=[JSON_PROTOCOL])
        other = self.harness.raw(b"GET")
        self.assertEqual(self.toldTo(client)[0::3], ["unavailable", 1013])
        other.drop()

    def test_perAddress(self) -> None:
        """At most 4 at a time from one address; the next gets the HTTP answer, another address is told."""
        self.refusing(Deny(403))
        clients = [self.hanging("203.0.113.1") for _ in range(MAX_REFUSALS_PER_ADDRESS)]
        self.assertEqual(len(self.harness.server._gateway.admission.inBandRefusals), MAX_REFUSALS_PER_ADDRESS)
        self.assertEqual(self.status(JSON_PROTOCOL, peer="203.0.113.1"), 403)
        self.assertEqual(self.told(peer="203.0.113.2")[0], "forbidden")
        clients[0].drop()
        self.assertEqual(self.told(peer="203.0.113.1")[0], "forbidden")
        self.advance(LINGERING_TIMEOUT + 0.2)
        self.assertTrue(all(client.isClosed for client in clients))
        self.assertNothingLeft()

    def test_all(self) -> None:
        """At most 256 in all."""
        self.refusing(Deny(403))
        for number in range(MAX_REFUSALS):
            self.hanging(f"203.0.{number // 4}.{number % 4}")
        self.assertEqual(len(self.harness.server._gateway.admission.inBandRefusals), MAX_REFUSALS)
        self.assertEqual(self.status(JSON_PROTOCOL), 403)
        self.advance(LINGERING_TIMEOUT + 0.2)
        self.assertEqual(self.told()[0], "forbidden")
        self.assertNothingLeft()

    def test_unix(self) -> None:
        """Peers of a UNIX socket have no address that could be counted."""
        self.refusing(Deny(403))
        for _ in range(3 * MAX_REFUSALS_PER_ADDRESS):
            self.hanging("")
        self.assertEqual(
            len(self.harness.server._gateway.admission.inBandRefusals), 3 * MAX_REFUSALS_PER_ADDRESS
        )
        self.advance(LINGERING_TIMEOUT + 0.2)

    def hanging(self, peer: str) -> RawClient:
        """A refused client that neither closes nor goes."""
        client = self.harness.raw(peer=peer)
        client.stall()
        client.send(upgradeRequest("/rooms", {"Sec-WebSocket-Protocol": JSON_PROTOCOL}))
        self.assertFalse(client.isClosed)
        return client


class HTTPTests(RefusalCase):
    """Clients that get the HTTP answer as ever."""

    def test_option(self) -> None:
        """`refusals="http"`, of the server and of an application."""
        self.refusing(Deny(403), refusals="http")
        self.assertEqual(self.status(JSON_PROTOCOL), 403)
        harness = self.harness = self.serve({"chat": NotingRoom}, refusals="http")
        self.assertEqual(self.status(JSON_PROTOCOL, path="/rooms/none"), 404)
        self.assertEqual(self.status(JSON_PROTOCOL, path="/none"), 404)
        self.assertEqual(len(harness.server._gateway.admission.inBandRefusals), 0)

    def test_noOffer(self) -> None:
        """Clients that don't offer the protocol."""
        self.refusing(Deny(403))
        self.assertEqual((self.status(), self.status("other", "txroom.v2.json")), (403, 403))
        self.assertEqual(self.status("other", path="/rooms/none"), 404)

    def test_foreign(self) -> None:
        """A foreign page learns nothing, also where a limit or a wrong path comes before its origin."""
        evil = "https://evil.example"
        self.refusing(True, maxConnections=1)
        self.assertEqual(self.status(JSON_PROTOCOL, origin=evil), 403)
        self.player()
        self.assertEqual(self.status(JSON_PROTOCOL, origin=evil), 503)
        self.assertEqual(self.told(origin="http://localhost:8080")[0], "unavailable")
        harness = self.harness = self.serve({"chat": NotingRoom})
        self.assertEqual(self.status(JSON_PROTOCOL, path="/none", origin=evil), 404)
        self.assertEqual(self.told(path="/none", origin="http://localhost:8080")[0], "noSuchRoom")
        self.assertEqual(len(harness.server._gateway.admission.inBandRefusals), 0)

    def test_hookOfOrigin(self) -> None:
        """`acceptsOrigin` decides there too, and may take its time."""
        asked: list[str | None] = []
        waiting: Deferred[bool] = Deferred()

        def accepts(origin: str | None) -> Any:
            asked.append(origin)
            return waiting if origin == "https://slow.example" else origin == "https://good.example"

        self.refusing(Deny(403), acceptsOrigin=accepts, maxConnections=1)
        self.harness.server._gateway.admission.perApplication[self.app] = 1
        self.assertEqual(self.status(JSON_PROTOCOL, origin="https://evil.example"), 503)
        self.assertEqual(self.told(origin="https://good.example")[0], "unavailable")
        client = self.harness.connect("/rooms", protocols=[JSON_PROTOCOL], origin="https://slow.example")
        self.assertIsNone(client.response)
        waiting.callback(True)
        self.harness.flush()
        self.assertEqual(self.toldTo(client)[0], "unavailable")
        self.harness.server._gateway.admission.perApplication.clear()
        self.assertEqual(len(asked), 3)

    def test_draining(self) -> None:
        """A server that stops is asked by its proxy again, not by a page."""
        waiting: Deferred[None] = Deferred()
        self.refusing(lambda handshake: Deferred())
        client = self.harness.connect("/rooms", protocols=[JSON_PROTOCOL])
        self.harness.server.onShutdown(lambda: waiting)
        self.harness.server.stopService()
        for path in ("/rooms", "/rooms/none"):
            self.assertEqual(self.status(JSON_PROTOCOL, path=path), 503)
        waiting.callback(None)
        self.harness.flush()
        assert client.response is not None
        self.assertEqual(client.response.status, 503)
        self.advance(3)

    def test_redirect(self) -> None:
        """A redirect is for clients that follow it."""
        self.refusing(Deny(303, "", {"Location": "/login"}))
        self.assertEqual(self.status(JSON_PROTOCOL), 303)

    def test_badRequest(self) -> None:
        """What isn't a sound request of a WebSocket."""
        self.refusing(Deny(403))
        headers = {"Sec-WebSocket-Protocol": JSON_PROTOCOL, "Sec-WebSocket-Version": "8"}
        response = self.harness.raw(upgradeRequest("/rooms", headers)).response
        assert response is not None
        self.assertEqual(response.status, 426)

    def test_fails(self) -> None:
        """An application that can't tell it."""

        class Clumsy(RoomApplication):
            def tellRefusal(self, handshake: Handshake, error: UpgradeError) -> Any:
                raise ZeroDivisionError

        self.rooms(app=Clumsy(verifyClient=lambda handshake: False))
        self.assertEqual(self.status(JSON_PROTOCOL), 401)
        self.assertRaised(ZeroDivisionError)

    def test_left(self) -> None:
        """A client that has left, and one that floods, get nothing."""
        self.refusing(lambda handshake: Deferred())
        client = self.harness.raw(upgradeRequest("/rooms", {"Sec-WebSocket-Protocol": JSON_PROTOCOL}))
        client.send(bytes(20_000))
        self.assertEqual((client.output, client.isClosed), (b"", True))
        self.harness.connect("/rooms", protocols=[JSON_PROTOCOL]).drop()
        self.assertEqual(self.errors, [(0, "flood"), (0, "left")])
        self.assertNothingLeft()


def hosted(clock: MemoryReactor, host: str) -> Server:
    """A server with rooms on one host only."""
    server = Server(clock=clock)
    app = RoomApplication()
    app.register("chat", NotingRoom)
    server.addApplication(app, host=host, path="/rooms/*")
    return server


class NothingTests(RefusalCase):
    """Nothing that a refused client sends arrives anywhere."""

    frames = st.one_of(
        st.binary(max_size=200),
        st.builds(clientFrame, st.sampled_from([TEXT, 2, CLOSE, PING, 10, 0]), st.binary(max_size=100)),
        st.sampled_from(
            [
                clientFrame(TEXT, '["join",1,"chat",{}]'),
                clientFrame(TEXT, '["ping",1]'),
                clientFrame(CLOSE, b"\x03\xe8"),
                upgradeRequest("/rooms/chat"),
            ]
        ),
    )

    @settings(max_examples=60, deadline=None)
    @given(
        early=st.lists(frames, max_size=3),
        late=st.lists(frames, max_size=5),
        protocol=st.sampled_from(PROTOCOLS),
        isSlow=st.booleans(),
        isStalled=st.booleans(),
    )
    def test_fuzz(
        self, early: list[bytes], late: list[bytes], protocol: str, isSlow: bool, isStalled: bool
    ) -> None:
        """Whatever it sends with its request, while hooks decide, and after: one answer, no hook, no room."""
        waiting: Deferred[Any] = Deferred()
        calls: list[Any] = []

        class Watched(RoomApplication):
            def onConnect(self, connection: Connection) -> Any:
                calls.append("connect")

            def onMessage(self, connection: Connection, message: str | bytes) -> Any:
                calls.append(message)

            def onDisconnect(self, connection: Connection, code: int, reason: str) -> Any:
                calls.append(code)

        app = Watched(verifyClient=lambda handshake: waiting if isSlow else Deny(403))
        app.register("chat", NotingRoom)
        with RoomHarness(app) as harness:
            request = upgradeRequest("/rooms", {"Sec-WebSocket-Protocol": protocol})
            client = harness.raw()
            if isStalled:  # so that it is there while it is dropped
                client.stall()
            client.send(request + b"".join(early))
            if isSlow:
                waiting.callback(Deny(403))
                harness.flush()
            first = client.output
            for part in late:
                client.send(part)
            harness.advance(LINGERING_TIMEOUT + 0.2)
            if not isStalled:
                self.assertEqual((client.output, first.count(b"HTTP/1.1 101 ")), (first, 1))
            self.assertEqual(harness.server.stats().rejected, {"denied": 1})
            self.assertTrue(client.isClosed)
            self.assertEqual((calls, harness.server.stats().total, harness.rooms), ([], 0, []))
            self.assertEqual(len(harness.server._gateway.admission.inBandRefusals), 0)


class SiteTests(RefusalCase):
    """Under a foreign `Site`, and by hand."""

    def test_site(self) -> None:
        """The same."""
        self.refusing(Deny(403, "members only"))
        site = Site(self.harness.server.resource(), reactor=self.harness.clock)
        self.assertEqual(self.told(to=site), ["forbidden", "members only", {"status": 403}, 4001])
        self.assertEqual(self.status(to=site), 403)
        self.assertNothingLeft()

    def test_tls(self) -> None:
        """Over TLS."""
        self.refusing(Deny(403))
        self.assertEqual(self.told(tls=True)[0], "forbidden")
        self.assertNothingLeft()

    def test_accepted(self) -> None:
        """A client that is accepted isn't told anything."""
        self.refusing(Accept("ada"))
        player = self.player(protocol=JSON_PROTOCOL)
        self.assertEqual(player.join()[0], "joined")
        self.assertEqual(self.hooks, ["connection"])
