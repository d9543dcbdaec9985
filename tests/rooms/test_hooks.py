"""How hooks are called, and what a room's own hooks and handlers may wait for."""

from __future__ import annotations

from collections.abc import Generator
from contextvars import ContextVar
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms.case import NotingRoom, RoomTestCase, onBothEngines
from txroom import Client, message
from txroom.core.awaitables import runUntilWaiting

setting: ContextVar[str] = ContextVar("setting", default="outside")


class BeginTests(SynchronousTestCase):
    """`runUntilWaiting`: a coroutine runs until it waits for something."""

    def test_atOnce(self) -> None:
        """One that has nothing to wait for is over: no Deferred is made."""

        async def hook() -> str:
            return await succeed("done")

        self.assertEqual(runUntilWaiting(hook()), "done")

    def test_raises(self) -> None:
        """What it raises before it waits is raised."""

        async def hook() -> None:
            raise KeyError("x")

        self.assertRaises(KeyError, runUntilWaiting, hook())

    def test_waits(self) -> None:
        """Results are sent into it, failures are raised in it, as often as it waits."""
        gates: list[Deferred[int]] = [Deferred() for _ in range(3)]

        async def hook() -> list[Any]:
            seen: list[Any] = []
            for gate in gates:
                try:
                    seen.append(await gate)
                except KeyError as error:
                    seen.append(error.args)
            return seen

        result = runUntilWaiting(hook())
        gates[0].callback(1)
        gates[1].errback(KeyError("x"))
        self.assertNoResult(result)
        gates[2].callback(3)
        self.assertEqual(self.successResultOf(result), [1, ("x",), 3])

    def test_fails(self) -> None:
        """What it raises after it has waited fails the Deferred."""
        gate: Deferred[None] = Deferred()

        async def hook() -> None:
            await gate
            raise KeyError("x")

        result = runUntilWaiting(hook())
        gate.callback(None)
        self.failureResultOf(result, KeyError)

    def test_cancelled(self) -> None:
        """Cancelling cancels what it waits for; the coroutine may see to its end."""
        cancelled: list[object] = []
        seen: list[str] = []

        async def hook() -> None:
            try:
                await Deferred(cancelled.append)
            finally:
                seen.append("end")

        result = runUntilWaiting(hook())
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertEqual((len(cancelled), seen), (1, ["end"]))

    def test_context(self) -> None:
        """All its steps run in one context of its own, which nobody else sees."""
        gate: Deferred[None] = Deferred()

        async def hook() -> tuple[str, str]:
            token = setting.set("inside")
            await gate
            before = setting.get()
            setting.reset(token)
            return before, setting.get()

        result = runUntilWaiting(hook())
        self.assertEqual(setting.get(), "outside")
        other = setting.set("other")
        gate.callback(None)
        setting.reset(other)
        self.assertEqual(self.successResultOf(result), ("inside", "outside"))


class EndingRoom(NotingRoom):
    """Its handlers end it and wait for that, each in its own way."""

    def ended(self, result: object = None) -> None:
        self.events.append(("waited", result))

    @message("plain")
    def plain(self, client: Client) -> None:
        self.events.append(("waited", self.disconnect().called))

    @message("Deferred")
    def deferred(self, client: Client) -> Deferred[None]:
        return self.disconnect().addCallback(self.ended)

    @message("inlineCallbacks")
    @inlineCallbacks
    def inline(self, client: Client) -> Generator[Deferred[Any], Any, None]:
        yield self.clock.sleep(1)
        yield self.disconnect()
        self.ended()

    @message("withinAPlainOne")
    def within(self, client: Client) -> Deferred[None]:
        return self.inline(client)

    @message("coroutine")
    async def coroutine(self, client: Client) -> None:
        await self.disconnect()
        self.ended()

    @message("later")
    async def later(self, client: Client) -> None:
        await self.clock.sleep(1)
        await self.disconnect()
        self.ended()


@onBothEngines
class EndingTests(RoomTestCase):
    """A room that ends waits for its handlers, so these don't wait for its end."""

    def test_handlers(self) -> None:
        """Whatever a handler is: `disconnect` fires at once in it, also after it has waited."""
        kinds = ("plain", "Deferred", "inlineCallbacks", "withinAPlainOne", "coroutine", "later")
        self.rooms(EndingRoom)
        for kind in kinds:
            with self.subTest(kind):
                self.events.clear()
                ada = self.joined()
                ada.send(kind)
                self.advance(1)
                self.assertEqual(len(self.named("waited")), 1)
                self.advance(0)
                self.assertEqual(len(self.app.rooms), 0)

    def test_elsewhere(self) -> None:
        """Code outside the hooks of that room waits for its end, though a hook of it is running."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            @message("wait")
            async def wait(self, client: Client) -> None:
                await self.clock.sleep(1)

            async def onDispose(self) -> None:
                await gate

        self.rooms(Chat)
        ada = self.joined()
        ada.send("wait")
        ended = self.room(ada).disconnect()
        self.advance(2)
        self.assertNoResult(ended)
        gate.callback(None)
        self.advance(0)
        self.successResultOf(ended)
