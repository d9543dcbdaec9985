"""
Tests for the upgrade: from a request head to an open WebSocket or a refusal.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import LogLevel, capturedLogs, formatEvent

from tests.case import BINARY, TEXT, HarnessTestCase, Recorder, closeFrame
from txroom import Accept, Application, Connection, Deny, Handshake, ReadyState, UpgradeError
from txroom.http.origins import NAMED_ORIGINS
from txroom.http.response import refusal
from txroom.http.upgrade import MAX_HELD
from txroom.testing import Client, RawClient, Response, RoomHarness, clientFrame, upgradeRequest


class UpgradeCase(HarnessTestCase):
    """Sends one request and checks the answer."""

    def start(self, application: Application | None = None, **options: Any) -> RoomHarness:
        self.app = application if application is not None else Recorder()
        self.errors: list[str] = []
        self.harness = self.serve(self.app, **options)
        self.harness.server.onClientError = lambda error, handshake: self.errors.append(error.reason)
        return self.harness

    def ask(self, headers: Any = (), **more: Any) -> Response:
        """Return the answer to one request. A refusal must be complete, and the only answer."""
        client = self.harness.raw(upgradeRequest(headers=headers, **more))
        return self.answered(client)

    def answered(self, client: RawClient) -> Response:
        response = client.response
        assert response is not None, client.output
        self.assertEqual(client.output.count(b"HTTP/1.1 "), 1)
        if response.status != 101:
            self.assertEqual(response.headers["content-length"], str(len(response.body)))
            self.assertIn("close", response.headers.listed("connection"))
            self.assertEqual(response.headers["content-type"], "text/plain; charset=utf-8")
            self.assertTrue(client.isClosed)
        return response

    def status(self, headers: Any = (), **more: Any) -> int:
        return self.ask(headers, **more).status

    def assertCounts(self, expected: int) -> None:
        """Check the number of counted connections and pending handshakes."""
        admission = self.harness.server._gateway.admission
        self.assertEqual(admission.perAddress.total(), expected)
        self.assertEqual(admission.perApplication.total(), expected)
        self.assertEqual(len(admission.pending), 0)


class AnswerTests(UpgradeCase):
    """The 101 answer."""

    def test_example(self) -> None:
        """The example of RFC 6455 §1.3 gives its accept value."""
        self.start()
        response = self.ask({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
        self.assertEqual((response.status, response.reason), (101, "Switching Protocols"))
        self.assertEqual(response.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.assertEqual(response.headers["upgrade"], "websocket")
        self.assertEqual(response.headers["connection"], "Upgrade")
        self.assertNotIn("sec-websocket-protocol", response.headers)
        self.assertNotIn("sec-websocket-extensions", response.headers)

    def test_everyKey(self) -> None:
        """Each request gets the accept value for its own key."""
        self.start()
        for number in range(5):
            key = b64encode(bytes([number] * 16)).decode()
            accept = self.ask({"Sec-WebSocket-Key": key}).headers["sec-websocket-accept"]
            digest = sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            self.assertEqual(accept, b64encode(digest).decode())

    def test_earlyFrames(self) -> None:
        """Frames in the segment of the request are delivered, wherever the bytes are cut."""
        for cut in (0, 1, 5):
            self.start()
            data = upgradeRequest() + clientFrame(TEXT, "a") + clientFrame(BINARY, b"b" * 70_000)
            client = self.harness.raw(data[: len(data) - cut])
            client.send(data[len(data) - cut :])
            assert isinstance(self.app, Recorder)
            self.assertEqual(self.app.named("message"), ["a", b"b" * 70_000])

    def test_earlyClose(self) -> None:
        """An early Close frame works, too."""
        self.start()
        client = self.harness.raw(upgradeRequest() + closeFrame(4000))
        assert isinstance(self.app, Recorder)
        self.assertEqual(self.app.events, [("connect",), ("disconnect", 4000, "")])
        self.assertTrue(client.output.endswith(b"\x88\x02\x0f\xa0"))

    def test_acceptHeaders(self) -> None:
        """
        The answer has the headers of `Accept`, the server and the application; the connection has the user.
        """
        self.start(
            Recorder(
                verifyClient=lambda handshake: Accept("alice", headers={"X-A": "1"}),
                responseHeaders=lambda handshake: [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
            )
        )
        self.harness.server.responseHeaders = lambda handshake: {"X-S": "2"}
        response = self.ask()
        self.assertEqual(
            response.headers.pairs[3:],
            (("x-a", "1"), ("x-s", "2"), ("set-cookie", "a=1"), ("set-cookie", "b=2")),
        )
        assert isinstance(self.app, Recorder)
        self.assertEqual(self.app.connection.user, "alice")

    def test_laterHooks(self) -> None:
        """All hooks of the upgrade may be asynchronous."""

        async def later(value: Any) -> Any:
            await succeed(None)
            return value

        self.start(
            Application(
                acceptsOrigin=lambda origin: later(True),
                verifyClient=lambda handshake: later(Accept("bob")),
                chooseProtocol=lambda offered, handshake: later("b"),
                responseHeaders=lambda handshake: later({"X-A": "1"}),
            )
        )
        response = self.ask({"Origin": "http://a.example", "Sec-WebSocket-Protocol": "a, b"})
        self.assertEqual((response.status, response.headers["sec-websocket-protocol"]), (101, "b"))
        self.assertEqual(response.headers["x-a"], "1")

    def test_order(self) -> None:
        """
        The order is Origin, verifyClient, protocol, headers, connect; each hook sees what earlier ones left
        in `data`.
        """
        calls: list[str] = []

        def note(name: str, result: Any) -> Any:
            def hook(*args: Any) -> Any:
                calls.append(name)
                return result

            return hook

        def verify(handshake: Handshake) -> bool:
            calls.append("verify")
            handshake.data["x"] = 1
            return True

        self.start(
            Application(
                acceptsOrigin=note("origin", True),
                verifyClient=verify,
                chooseProtocol=note("protocol", None),
                responseHeaders=note("headers", None),
                onConnect=lambda connection: calls.append(f"connect {connection.handshake.data['x']}"),
            )
        )
        self.assertEqual(self.status(), 101)
        self.assertEqual(calls, ["origin", "verify", "protocol", "headers", "connect 1"])


class OrderTests(UpgradeCase):
    """Of several faults the first in the order of the steps is reported."""

    #: Each adds one fault, in the order of the steps.
    FAULTS: tuple[tuple[int, dict[str, str]], ...] = (
        (405, {}),
        (400, {"Sec-WebSocket-Key": "x"}),
        (426, {"Sec-WebSocket-Version": "8"}),
    )

    def test_request(self) -> None:
        """Method, key, version, then the path."""
        self.start()
        self.harness.server._routes.clear()
        key, version = self.FAULTS[1][1], self.FAULTS[2][1]
        self.assertEqual(self.status({**key, **version}, method="POST"), 405)
        self.assertEqual(self.status({**key, **version}), 400)
        self.assertEqual(self.status(version), 426)
        self.assertEqual(self.status(), 404)

    def test_server(self) -> None:
        """Path, draining, limits, origin, verifyClient, protocol."""
        evil = {"Origin": "https://evil.example", "Sec-WebSocket-Protocol": "x"}
        self.start(
            Application(
                verifyClient=lambda handshake: handshake.path == "/ok",
                chooseProtocol=lambda offered, handshake: False,
            ),
            maxConnections=1,
        )
        waiting: Deferred[None] = Deferred()
        self.harness.server.onShutdown(lambda: waiting)
        self.assertEqual(self.status(evil), 403)
        evil.pop("Origin")
        self.assertEqual(self.status(evil), 401)
        self.assertEqual(self.status(evil, path="/ok"), 400)
        self.harness.server._gateway.admission.perApplication[self.app] = 1
        self.assertEqual((self.status({"Origin": "https://evil.example"}), self.errors[-1]), (503, "limit"))
        self.harness.server.stopService()
        self.assertEqual((self.status(), self.errors[-1]), (503, "draining"))
        self.harness.server._routes.clear()
        self.assertEqual(self.status(), 404)
        self.harness.server._gateway.admission.perApplication.clear()
        waiting.callback(None)

    def test_versionHeader(self) -> None:
        """426 names the supported version."""
        self.start()
        response = self.ask({"Sec-WebSocket-Version": "8"})
        self.assertEqual(response.headers["sec-websocket-version"], "13")
        self.assertEqual(response.headers.listed("upgrade"), ["websocket"])

    def test_methodHeader(self) -> None:
        """405 names the allowed method."""
        self.start()
        self.assertEqual(self.ask(method="PUT").headers["allow"], "GET")

    def test_noHookRuns(self) -> None:
        """No hook runs for an invalid request, or for one from a foreign page."""
        calls: list[Any] = []
        self.start(Application(verifyClient=lambda handshake: calls.append(handshake) or True))  # type: ignore[func-returns-value]
        self.status({"Sec-WebSocket-Version": "8"})
        self.status({"Origin": "https://evil.example", "Cookie": "session=1"})
        self.assertEqual(calls, [])


class OriginTests(UpgradeCase):
    """Which pages may connect."""

    def origin(self, origin: str | None) -> int:
        return self.status({"Origin": origin} if origin else {})

    def test_default(self) -> None:
        """Pages of the same host and port may connect, and clients that are not browsers."""
        self.start()
        for origin, status in (
            (None, 101),
            ("http://localhost:8080", 101),
            ("https://localhost:8080", 101),
            ("http://localhost", 403),
            ("https://evil.example", 403),
            ("null", 403),
        ):
            self.assertEqual(self.origin(origin), status, origin)
        self.assertEqual(set(self.errors), {"origin"})

    def test_allowed(self) -> None:
        """Listed origins may connect, too."""
        self.start(allowedOrigins=("https://a.example",))
        self.assertEqual(self.origin("https://a.example"), 101)
        self.assertEqual(self.origin("http://localhost:8080"), 101)
        self.assertEqual(self.origin("https://b.example"), 403)

    def test_required(self) -> None:
        """`requireOrigin` refuses clients without an Origin, also if the application decides."""
        self.start(requireOrigin=True)
        self.assertEqual((self.origin(None), self.origin("http://localhost:8080")), (403, 101))
        self.start(Application(acceptsOrigin=lambda origin: True), requireOrigin=True)
        self.assertEqual((self.origin(None), self.origin("null")), (403, 101))

    def test_hook(self) -> None:
        """`acceptsOrigin` replaces the default, and is called without an Origin, too."""
        self.start(Application(acceptsOrigin=lambda origin: origin == "null"), allowedOrigins=("*",))
        self.assertEqual(self.origin("null"), 101)
        self.assertEqual((self.origin(None), self.origin("http://localhost:8080")), (403, 403))

    def test_override(self) -> None:
        """Options may differ per application."""
        self.start(Application(allowedOrigins="*"))
        self.assertEqual(self.origin("https://evil.example"), 101)

    def warnings(self, *origins: str) -> list[str]:
        """Return what is logged when pages of these origins connect."""
        with capturedLogs() as logged:
            for origin in origins:
                self.origin(origin)
        return [formatEvent(event) or "" for event in logged if event["log_level"] is LogLevel.warn]

    def test_warning(self) -> None:
        """The log names the option, once for each refused origin."""
        self.start()
        other = "http://localhost:5173"
        (warning,) = self.warnings(other, other, "http://localhost:8080")
        self.assertEqual(
            warning,
            "a page from 'http://localhost:5173' may not connect to 'localhost:8080': its origin has another "
            "host or port, and is not in allowedOrigins (--allowed-origin)",
        )
        self.assertEqual(len(self.warnings(other, "null")), 1)

    def test_warningsBounded(self) -> None:
        """Clients that make up origins can't fill the log, or write their own lines into it."""
        self.start()
        others = [f"http://{n}.example" for n in range(2 * NAMED_ORIGINS)]
        warnings = self.warnings("http://\x1b[2Jé", *others)
        self.assertEqual(len(warnings), NAMED_ORIGINS)
        self.assertTrue(all(warning.isascii() and warning.isprintable() for warning in warnings))

    def test_noWarning(self) -> None:
        """Nothing is logged if the application's own hook refuses."""
        self.start(Application(acceptsOrigin=lambda origin: False))
        self.assertEqual(self.warnings("http://localhost:5173"), [])


class VerifyTests(UpgradeCase):
    """`verifyClient`."""

    def answer(self, result: Any) -> Response:
        self.start(Application(verifyClient=lambda handshake: result))
        return self.ask()

    def test_bools(self) -> None:
        """It may return True or False."""
        self.assertEqual(self.answer(True).status, 101)
        response = self.answer(False)
        self.assertEqual((response.status, response.body, self.errors), (401, b"Unauthorized", ["denied"]))

    def test_deny(self) -> None:
        """The answer has the status, body and headers of `Deny`."""
        response = self.answer(Deny(402, "no money, €", {"X-Why": "poor", "Set-Cookie": "a=1"}))
        self.assertEqual((response.status, response.reason), (402, "Payment Required"))
        self.assertEqual(response.body, "no money, €".encode())
        self.assertEqual((response.headers["x-why"], response.headers["set-cookie"]), ("poor", "a=1"))

    def test_denyDefault(self) -> None:
        """The default is 401 with its phrase."""
        response = self.answer(Deny())
        self.assertEqual((response.status, response.body), (401, b"Unauthorized"))

    def test_denyWrong(self) -> None:
        """A body that can't be sent is an error of the hook: the client gets 500."""
        for body in (b"bytes", {"error": "x"}, "no \udcff"):
            bad: Any = body
            self.start(Application(verifyClient=lambda handshake, bad=bad: Deny(403, bad)))
            response = self.ask()
            self.assertEqual((response.status, response.body), (500, b"Internal Server Error"))
            self.assertEqual(len(self.flushLoggedErrors(TypeError, ValueError)), 1)

    def test_contentType(self) -> None:
        """A body of another type has only its own Content-Type."""
        self.start(
            Application(verifyClient=lambda handshake: Deny(403, "{}", {"Content-Type": "application/json"}))
        )
        client = self.harness.raw(upgradeRequest())
        assert client.response is not None
        self.assertEqual(client.response.headers.getAll("content-type"), ["application/json"])
        self.assertEqual(client.response.body, b"{}")

    def test_redirect(self) -> None:
        """A redirect is a refusal."""
        response = self.answer(Deny(303, "", {"Location": "/login"}))
        self.assertEqual((response.status, response.headers["location"], response.body), (303, "/login", b""))

    def test_raises(self) -> None:
        """An exception becomes 500 without its text, and is logged."""

        async def later(handshake: Handshake) -> bool:
            raise ZeroDivisionError("secret")

        for hook in (lambda handshake: 1 / 0, later):
            self.start(Application(verifyClient=hook))
            response = self.ask()
            self.assertEqual((response.status, response.body), (500, b"Internal Server Error"))
            self.assertEqual(self.errors, ["error"])
            self.assertRaised(ZeroDivisionError)

    def test_wrongType(self) -> None:
        """Any other result refuses the client: an application that forgot to return accepts nobody."""
        for result in (None, 1, "yes", ("alice",)):
            self.assertEqual(self.answer(result).status, 500)
            self.assertRaised(TypeError)

    def test_injection(self) -> None:
        """Headers with line breaks from any hook become 500, and are not sent."""
        bad = {"X-A": "a\r\nSet-Cookie: b=1"}
        for hooks in (
            {"verifyClient": lambda handshake: Accept(headers=bad)},
            {"verifyClient": lambda handshake: Deny(headers=bad)},
            {"responseHeaders": lambda handshake: bad},
            {"responseHeaders": lambda handshake: {"Sec-WebSocket-Protocol": "x"}},
        ):
            self.start(Application(**hooks))
            client = self.harness.raw(upgradeRequest())
            self.assertEqual(self.answered(client).status, 500)
            self.assertNotIn(b"Set-Cookie", client.output)
            self.assertRaised(ValueError)

    def test_serverHeaders(self) -> None:
        """The server's own hook is checked in the same way."""
        self.start()
        self.harness.server.responseHeaders = lambda handshake: {"X-A": "\n"}
        self.assertEqual(self.status(), 500)
        self.assertRaised(ValueError)

    def test_upgradeError(self) -> None:
        """A hook may raise `UpgradeError` itself."""

        def refuse(handshake: Handshake) -> bool:
            raise UpgradeError(418, "teapot", "short and stout")

        self.start(Application(verifyClient=refuse))
        response = self.ask()
        self.assertEqual((response.status, response.body, self.errors), (418, b"short and stout", ["teapot"]))


class ProtocolTests(UpgradeCase):
    """Sub-protocols."""

    def chosen(self, offered: str | None, hook: Any = None) -> str | int | None:
        hooks = {} if hook is None else {"chooseProtocol": hook}
        self.start(Recorder(**hooks))
        headers = {} if offered is None else {"Sec-WebSocket-Protocol": offered}
        response = self.ask(headers)
        if response.status != 101:
            return response.status
        assert isinstance(self.app, Recorder)
        self.assertEqual(self.app.connection.protocol, response.headers.get("sec-websocket-protocol"))
        return response.headers.get("sec-websocket-protocol")

    def test_default(self) -> None:
        """The first offered one is chosen, or none."""
        self.assertEqual(self.chosen("b, a"), "b")
        self.assertIsNone(self.chosen(None))

    def test_hook(self) -> None:
        """The hook may choose any offered one."""
        self.assertEqual(self.chosen("a, b, c", lambda offered, handshake: offered[1]), "b")

    def test_none(self) -> None:
        """`None` goes on without one."""
        self.assertIsNone(self.chosen("a", lambda offered, handshake: None))

    def test_false(self) -> None:
        """`False` refuses with 400."""
        self.assertEqual(self.chosen("a", lambda offered, handshake: False), 400)
        self.assertEqual(self.errors, ["protocol"])

    def test_asked(self) -> None:
        """The hook is called even if nothing was offered, so that it can refuse."""
        self.assertEqual(self.chosen(None, lambda offered, handshake: bool(offered) and offered[0]), 400)

    def test_notOffered(self) -> None:
        """A choice that was not offered becomes 500 and is logged."""
        for result in ("b", "", "A", 0, True):
            self.assertEqual(self.chosen("a", lambda offered, handshake: result), 500)  # noqa: B023
            self.assertRaised(ValueError)

    def test_raises(self) -> None:
        """An exception becomes 500."""
        self.assertEqual(self.chosen("a", lambda offered, handshake: 1 / 0), 500)
        self.assertRaised(ZeroDivisionError)


class PendingTests(UpgradeCase):
    """Events while a hook runs."""

    def pend(self, **options: Any) -> RawClient:
        self.waiting: Deferred[Any] = Deferred()
        self.recorder = Recorder(verifyClient=lambda handshake: self.waiting)
        self.start(self.recorder, **options)
        return self.harness.raw(upgradeRequest())

    def accept(self) -> None:
        self.waiting.callback(True)
        self.harness.flush()

    def test_leaves(self) -> None:
        """If the client leaves, a later result of the hook opens nothing."""
        for leave in ("drop", "finish"):
            client = self.pend()
            getattr(client, leave)()
            self.assertEqual(self.errors, ["left"])
            self.assertTrue(client.isClosed)
            self.assertTrue(self.waiting.called, "the hook was cancelled")
            self.flushLoggedErrors()
            self.assertEqual((self.recorder.events, client.output), ([], b""))
            self.assertCounts(0)

    def test_lateAnswer(self) -> None:
        """The late result of a hook that ignores its cancellation is dropped."""
        waiting: list[Deferred[Any]] = []

        async def verify(handshake: Handshake) -> bool:
            while True:
                waiting.append(Deferred())
                try:
                    await waiting[-1]
                    return True
                except CancelledError:
                    pass

        recorder = Recorder(verifyClient=verify)
        self.start(recorder)
        client = self.harness.raw(upgradeRequest())
        client.drop()
        waiting[-1].callback(None)
        self.harness.flush()
        self.assertEqual((recorder.events, client.output), ([], b""))
        self.assertCounts(0)

    def test_cancelled(self) -> None:
        """A coroutine sees its cancellation, and may clean up."""
        seen: list[str] = []

        async def verify(handshake: Handshake) -> bool:
            try:
                await Deferred()
            finally:
                seen.append("cleaned up")
            return True

        self.start(Application(verifyClient=verify))
        self.harness.raw(upgradeRequest()).drop()
        self.assertEqual(seen, ["cleaned up"])

    def test_pipelined(self) -> None:
        """A second request is not answered: its bytes belong to the WebSocket."""
        client = self.pend()
        client.send(upgradeRequest("/second"))
        self.assertEqual(client.output, b"")
        self.accept()
        self.assertEqual(client.output.count(b"HTTP/1.1 101"), 1)
        self.assertEqual([code for code, _ in self.recorder.named("disconnect")], [1002])
        self.assertEqual(len(self.recorder.named("connect")), 1)

    def test_frameWithCRLF(self) -> None:
        """A frame that looks like the end of a head is a frame."""
        client = self.pend()
        client.send(clientFrame(TEXT, "a\r\n\r\nb", mask=b"\0\0\0\0"))
        self.accept()
        self.assertEqual(self.recorder.named("message"), ["a\r\n\r\nb"])

    def test_notMute(self) -> None:
        """A result that can't be carried out is answered, not ignored."""
        client = self.pend()
        self.waiting.callback("nonsense")
        self.harness.flush()
        self.assertEqual(self.answered(client).status, 500)
        self.assertRaised(TypeError)

    def test_held(self) -> None:
        """Bytes that arrive meanwhile are held, in order, up to the limit."""
        client = self.pend()
        client.send(clientFrame(BINARY, b"x" * (MAX_HELD - 8)))
        self.assertFalse(client.isClosed)
        client.send(b"")
        self.accept()
        self.assertEqual(self.recorder.named("message"), [b"x" * (MAX_HELD - 8)])

    def test_flood(self) -> None:
        """Over the limit the connection is dropped."""
        client = self.pend()
        client.send(b"x" * MAX_HELD)
        self.assertFalse(client.isClosed)
        client.send(b"x")
        self.assertEqual((client.isClosed, client.output, self.errors), (True, b"", ["flood"]))
        self.assertCounts(0)

    def test_floodAtOnce(self) -> None:
        """The limit also applies to bytes in the segment of the request."""
        for extra in (0, 1):
            self.start(Application(verifyClient=lambda handshake: Deferred()))
            client = self.harness.raw(upgradeRequest() + b"x" * (MAX_HELD + extra))
            self.assertEqual((client.isClosed, self.errors), (bool(extra), ["flood"] * extra))

    def test_cancellerRaises(self) -> None:
        """If a hook can't be cancelled, that is logged, the client is answered, and nothing is left."""

        def cancel(waiting: Deferred[bool]) -> None:
            raise ZeroDivisionError

        self.start(Application(verifyClient=lambda handshake: Deferred(cancel)), handshakeTimeout=5)
        client = self.harness.raw(upgradeRequest())
        self.harness.advance(8)
        self.assertEqual(self.answered(client).status, 503)
        self.assertCounts(0)
        self.assertRaised(ZeroDivisionError)

    def test_timeout(self) -> None:
        """
        At `handshakeTimeout`, counted from the beginning, the client gets 503 and the hook is cancelled.
        """
        self.waiting = Deferred()
        self.start(Application(verifyClient=lambda handshake: self.waiting), handshakeTimeout=5)
        client = self.harness.raw(upgradeRequest()[:20])
        self.harness.advance(3)
        client.send(upgradeRequest()[20:])
        self.harness.advance(1.9)
        self.assertIsNone(client.response)
        self.harness.advance(0.3)
        self.assertEqual((self.answered(client).status, self.errors), (503, ["timeout"]))
        self.assertTrue(self.waiting.called)
        self.assertCounts(0)

    def test_timeoutLate(self) -> None:
        """A result after the deadline is dropped, even if the hook ignores its cancellation."""
        client = self.pend(handshakeTimeout=1)
        inner: Deferred[Any] = Deferred(lambda _: None)
        self.waiting = inner
        inner.cancel = lambda: None  # type: ignore[method-assign]
        other = self.harness.raw(upgradeRequest())
        self.harness.advance(1.2)
        inner.callback(True)
        self.harness.flush()
        self.assertEqual((self.answered(client).status, self.answered(other).status), (503, 503))
        self.assertEqual(self.recorder.events, [])

    def test_noTimeout(self) -> None:
        """`handshakeTimeout=0`: no deadline."""
        client = self.pend(handshakeTimeout=0)
        self.harness.advance(3600)
        self.accept()
        self.assertEqual(self.answered(client).status, 101)

    def test_giveWay(self) -> None:
        """With too many handshakes at a time the oldest gets 503, whichever hook is running."""
        client = self.pend(maxPendingHandshakes=2)
        second = self.harness.raw(b"GET")
        third = self.harness.raw(b"GET")
        self.assertEqual((self.answered(client).status, self.errors), (503, ["pending"]))
        self.assertEqual((second.response, third.response), (None, None))

    def test_everyHook(self) -> None:
        """The same holds while any of the hooks is running."""
        for name in ("acceptsOrigin", "chooseProtocol", "responseHeaders"):
            waiting: Deferred[Any] = Deferred()
            recorder = Recorder(**{name: lambda *args: waiting})  # noqa: B023
            self.start(recorder)
            client = self.harness.raw(upgradeRequest())
            client.drop()
            self.assertEqual((self.errors, recorder.events), (["left"], []))

    def test_others(self) -> None:
        """A running hook does not delay other clients."""
        self.pend()
        self.harness.server.addApplication(Application(), path="/other")
        self.harness.server._routes.reverse()
        self.assertTrue(self.harness.connect("/other").isOpen)

    def test_goodbyeInConnect(self) -> None:
        """In `onConnect` the connection is OPEN, and the answer is written."""
        states: list[ReadyState] = []

        def connect(connection: Connection) -> None:
            states.append(connection.readyState)
            connection.send("welcome")

        self.start(Application(onConnect=connect))
        client = self.harness.connect()
        self.assertEqual((states, client.received), ([ReadyState.OPEN], ["welcome"]))


class LimitTests(UpgradeCase):
    """Limits on connections."""

    def test_total(self) -> None:
        """Over `maxConnections` a client gets 503 with Retry-After, until another one leaves."""
        self.start(maxConnections=2)
        clients = [self.harness.connect() for _ in range(2)]
        response = self.ask()
        self.assertEqual((response.status, response.headers["retry-after"]), (503, "5"))
        self.assertEqual(self.errors, ["limit"])
        clients[0].close()
        self.assertEqual(self.status(), 101)

    def test_perAddress(self) -> None:
        """One address gets 429, others may connect."""
        self.start(maxConnectionsPerAddress=2)
        for _ in range(2):
            self.assertTrue(self.harness.connect(peer="192.0.2.1").isOpen)
        client: Client = self.harness.connect(peer="192.0.2.1")
        assert client.response is not None
        self.assertEqual((client.response.status, client.response.headers["retry-after"]), (429, "5"))
        self.assertTrue(self.harness.connect(peer="192.0.2.2").isOpen)

    def test_peerChanged(self) -> None:
        """A hook that changes the handshake's peer does not change the counted address."""

        def verify(handshake: Handshake) -> bool:
            handshake.peer = "198.51.100.7"
            return True

        self.start(Application(verifyClient=verify), maxConnectionsPerAddress=2)
        for _ in range(4):
            self.harness.connect().drop()
        self.assertEqual(self.errors, [])
        self.assertCounts(0)

    def test_unix(self) -> None:
        """Peers on a UNIX socket share no address."""
        self.start(maxConnectionsPerAddress=1)
        clients = [self.harness.connect(peer="") for _ in range(3)]
        self.assertTrue(all(client.isOpen for client in clients))

    def test_behindProxy(self) -> None:
        """The client's address is counted, not the proxy's."""
        self.start(maxConnectionsPerAddress=1, trustedProxies="10.0.0.1")
        for hop, status in (("203.0.113.1", 101), ("203.0.113.2", 101), ("203.0.113.1", 429)):
            client = self.harness.connect(headers={"X-Forwarded-For": hop}, peer="10.0.0.1")
            assert client.response is not None
            self.assertEqual(client.response.status, status)

    def test_perApplication(self) -> None:
        """An application may have its own limit, below the server's."""
        self.start(Application(maxConnections=1), maxConnections=2)
        other = self.harness.server.addApplication(Application(), path="/other")
        self.harness.server._routes.reverse()
        self.assertTrue(self.harness.connect("/").isOpen)
        self.assertEqual(self.status(), 503)
        self.assertTrue(self.harness.connect("/other").isOpen)
        self.assertEqual(self.status(path="/other"), 503)
        self.assertEqual(len(other.connections), 1)

    def test_pendingCounts(self) -> None:
        """A handshake whose hook is running is counted."""
        waiting: Deferred[bool] = Deferred()
        self.start(Application(verifyClient=lambda handshake: waiting), maxConnections=1)
        first = self.harness.raw(upgradeRequest())
        self.assertEqual(self.status(), 503)
        waiting.callback(False)
        self.harness.flush()
        self.assertEqual(self.answered(first).status, 401)
        self.assertCounts(0)

    def test_backToNothing(self) -> None:
        """However connections end, the counts return to zero."""
        self.start(Recorder(verifyClient=lambda handshake: "no" not in handshake.target))
        self.status(path="/?no")
        self.status({"Origin": "null"})
        self.status({"Sec-WebSocket-Version": "8"})
        self.harness.connect().close()
        self.harness.connect().drop()
        self.harness.connect(tls=True).close()
        terminated = self.harness.connect()
        self.harness.connectionOf(terminated).terminate()
        self.harness.flush()
        self.assertCounts(0)
        self.harness.connect()
        self.assertCounts(1)


class RefusalTests(HarnessTestCase):
    """The answer of a refusal."""

    def test_upgradeRequired(self) -> None:
        """426 says what to upgrade to (RFC 9110 §15.5.22), and Connection lists it."""
        data = refusal(UpgradeError(426, "noUpgrade"))
        self.assertIn(b"\r\nUpgrade: websocket\r\n", data)
        self.assertIn(b"\r\nConnection: close, upgrade\r\n", data)

    def test_bodyLength(self) -> None:
        """Content-Length counts bytes."""
        data = refusal(UpgradeError(403, "origin", "é"))
        self.assertIn(b"Content-Length: 2\r\n", data)
        self.assertTrue(data.endswith(b"\r\n\r\n\xc3\xa9"))

    def test_noBody(self) -> None:
        """An empty body has Content-Length 0."""
        self.assertIn(b"Content-Length: 0\r\n", refusal(UpgradeError(403, "origin", "")))

    def test_slowReader(self) -> None:
        """A refused client that reads nothing can't keep its connection."""
        harness = self.serve(Application(verifyClient=lambda handshake: False))
        client = harness.raw()
        client.stall()
        client.send(upgradeRequest())
        harness.advance(2.2)
        client.unstall()
        self.assertTrue(client.isClosed)
