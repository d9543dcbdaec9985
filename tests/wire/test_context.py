"""What the connections of one server share."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.case import HarnessTestCase, Recorder
from txroom.core.options import ServerOptions
from txroom.wire.context import WireContext
from txroom.wire.deflate import DeflateParameters
from txroom.wire.protocol import WireProtocol, protocolClass


class DeflaterTests(SynchronousTestCase):
    """Deflaters: one each, or one for all."""

    def setUp(self) -> None:
        events: Any = None
        self.context = WireContext(Clock(), events)

    def test_shared(self) -> None:
        """Without context takeover, all of the same parameters share one."""
        first = self.context.deflater(DeflateParameters(serverTakeover=False))
        self.assertIs(self.context.deflater(DeflateParameters(serverTakeover=False)), first)
        other = self.context.deflater(DeflateParameters(serverTakeover=False, serverBits=10))
        self.assertIsNot(other, first)

    def test_own(self) -> None:
        """With it each connection has its own."""
        first = self.context.deflater(DeflateParameters())
        self.assertIsNot(self.context.deflater(DeflateParameters()), first)

    def test_class(self) -> None:
        """What options decide is in the class of the connections that have them."""
        made = protocolClass(self.context, ServerOptions(closeOnError=False, maxPayload=5))
        self.assertTrue(issubclass(made, WireProtocol))
        self.assertEqual((made.closeOnError, made.options.maxPayload), (False, 5))
        self.assertIs(made().context, self.context)
        self.assertFalse(hasattr(made(), "__dict__"))


class EventsTests(HarnessTestCase):
    """What a connection tells upwards."""

    def test_events(self) -> None:
        """Opened, closed with the address it is counted under, finished; in that order, once each."""
        application = Recorder()
        harness = self.serve(application)
        told: list[Any] = []

        class Events:
            def opened(self, connection: Any, options: Any) -> None:
                told.append(("opened", connection))
                own.opened(connection, options)

            def closed(self, connection: Any, address: str) -> None:
                told.append(("closed", connection))
                own.closed(connection, address)

            def finished(self) -> None:
                told.append("finished")
                own.finished()

        client = harness.connect()
        wire: Any = harness.connectionOf(client)._wire
        context = wire.context
        own = context.events
        self.patch(context, "events", Events())
        second = harness.connect()
        connection = harness.connectionOf(second)
        second.drop()
        harness.flush()
        self.assertEqual(told, [("opened", connection), ("closed", connection), "finished"])
