"""
Two hundred clients in twenty rooms over sockets, whose connections are cut at random.

What the clients receive is compared with what the rooms did: everything acknowledged was handled, and every
message of the log arrived once and in order. `TXROOM_SOAK_SECONDS` sets the duration; `-s` prints the
counts.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from random import Random
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.functional.support import Net, reactor, sleep, until
from txroom import Client as Player
from txroom import Room, Server, message
from txroom.client import JSON_PROTOCOL, MSGPACK_PROTOCOL, Client, Loss
from txroom.client import Room as Joined

SECONDS = float(os.environ.get("TXROOM_SOAK_SECONDS", "5"))
CLIENTS, ROOMS = 200, 20
#: How many messages and cuts there are per second in all; each message is sent to ten clients.
MESSAGES, CUTS = 200, 60
#: How many seconds the last messages may take.
SETTLE = 30.0


class Ledger(Room):
    """A room that records what it handles and sends."""

    resumeSeconds = 60

    def onCreate(self, options: Any) -> None:
        #: What was handled, in order, by client.
        self.handled: dict[str, list[int]] = {}
        #: The log that every client must receive, and the messages to single clients.
        self.log: list[tuple[int | None, str, int]] = []
        self.direct: dict[int | None, str] = {}
        ledgers[self.id] = self

    @message("add")
    def add(self, client: Player, i: int) -> int:
        who = client.options["who"]
        self.handled.setdefault(who, []).append(i)
        self.log.append((self.broadcast("added", [who, i]), who, i))
        if not i % 10:
            self.direct[client.send("receipt", [who, i])] = who
        return i * 2


ledgers: dict[str, Ledger] = {}


class Gate(Protocol):
    """One side of a connection through the proxy."""

    transport: Any
    other: Gate | None = None

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.early: list[bytes] = []

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.proxy.open.discard(self)
        if self.other is not None:
            self.other.transport.loseConnection()


class Proxy:
    """Passes bytes on until it cuts a connection: bytes on their way are lost, in both directions."""

    def __init__(self, target: Any) -> None:
        self.target = target
        #: The clients' sides of the connections.
        self.open: set[Gate] = set()
        self.cuts = 0

    def accept(self) -> Gate:
        """A client has connected."""
        near = Gate(self)
        self.open.add(near)
        self.target.connect(Factory.forProtocol(partial(Gate, self))).addCallbacks(
            partial(self._joined, near), lambda failure: near.transport.abortConnection()
        )
        return near

    def _joined(self, near: Gate, far: Gate) -> None:
        if near not in self.open:
            far.transport.abortConnection()
            return
        near.other, far.other = far, near
        for gate, other in ((near, far), (far, near)):
            for data in gate.early:
                other.transport.write(data)

    def cut(self, gate: Gate) -> None:
        """Reset both sides."""
        self.cuts += 1
        for each in (gate, gate.other):
            if each is not None:
                each.transport.abortConnection()


class Witness:
    """A client that records everything it receives."""

    def __init__(self, who: str, client: Client) -> None:
        self.who = who
        self.client = client
        self.room: Joined
        self.sent = 0
        self.acknowledged: list[int] = []
        self.answers: list[tuple[int, int]] = []
        self.failures: list[Any] = []
        self.received: list[tuple[int | None, str, int]] = []
        self.receipts: list[tuple[int | None, str, int]] = []
        self.counts: Counter[str] = Counter()
        #: How many messages had been received at each "lost".
        self.losses: list[tuple[int, Loss]] = []
        client.on("error", self.failures.append)

    async def join(self, method: str, target: str) -> None:
        """Join the room and listen."""
        room = self.room = await getattr(self.client, method)(target, {"who": self.who})
        room.on("added", lambda data, offset: self.received.append((offset, *data)))
        room.on("receipt", lambda data, offset: self.receipts.append((offset, *data)))
        for name in ("reconnecting", "recovered", "left"):
            room.on(name, lambda *args, name=name: self.counts.update([name]))
        room.on("lost", lambda loss: self.losses.append((len(self.received), loss)))

    def speak(self) -> None:
        """Send the next message; every third one is a call."""
        self.sent += 1
        i = self.sent
        if i % 3:
            self.room.send("add", i).whenHandled().addCallbacks(
                lambda _: self.acknowledged.append(i), self.failures.append
            )
        else:
            self.room.call("add", i, timeout=SETTLE).addCallbacks(
                lambda answer: self.answers.append((i, answer)), self.failures.append
            )

    @property
    def isDone(self) -> bool:
        """Whether everything expected has arrived."""
        ledger = ledgers[self.room.id]
        told = len(self.acknowledged) + len(self.answers)
        return told == self.sent and len(self.received) == len(ledger.log) and self.room.status == "joined"

    def check(self) -> None:
        """Compare what was received with what the room did."""
        ledger = ledgers[self.room.id]
        handled = ledger.handled.get(self.who, [])
        assert not self.failures, self.failures[:3]
        assert not self.losses, self.losses[:3]
        assert set(self.acknowledged) | {i for i, _ in self.answers} <= set(handled), (
            "acknowledged, not handled"
        )
        assert handled == list(range(1, self.sent + 1)), "not once, in order"
        assert sorted(self.acknowledged) == [i for i in handled if i % 3]
        assert sorted(self.answers) == [(i, i * 2) for i in handled if not i % 3]
        offsets = [offset for offset, _, _ in self.received]
        assert offsets == sorted(set(offsets), key=lambda offset: offset or 0), "not once, in order"
        assert self.received == ledger.log, "a hole"
        mine = [offset for offset, who in ledger.direct.items() if who == self.who]
        assert [offset for offset, _, _ in self.receipts] == mine
        assert all(who == self.who for _, who, _ in self.receipts)


async def test_cutsAtRandom(net: Net) -> None:
    """No message is lost or doubled, in either direction."""
    random = Random(20261101)
    server = Server()
    server.register("ledger", Ledger)
    await net.start(server)
    ledgers.clear()
    address = server.address()
    proxy = Proxy(TCP4ClientEndpoint(reactor(), "127.0.0.1", address.port))
    factory = Factory()
    factory.buildProtocol = lambda _: proxy.accept()  # type: ignore[method-assign, assignment]
    port = reactor().listenTCP(0, factory, interface="127.0.0.1")
    url = f"ws://127.0.0.1:{port.getHost().port}"
    witnesses: list[Witness] = []
    try:
        for number in range(CLIENTS):
            client = Client(
                url,
                reactor=reactor(),
                protocol=(JSON_PROTOCOL, MSGPACK_PROTOCOL)[number % 2],
                minDelay=0.05,
                maxDelay=1.0,
                requestTimeout=SETTLE,
                random=random.random,
            )
            witness = Witness(f"c{number}", client)
            witnesses.append(witness)
            if number < ROOMS:
                await witness.join("create", "ledger")
            else:
                await witness.join("joinById", witnesses[number % ROOMS].room.id)
        assert len(ledgers) == ROOMS
        begun = reactor().seconds()
        spoken = cut = 0
        while (passed := reactor().seconds() - begun) < SECONDS:
            while spoken < passed * MESSAGES:
                random.choice(witnesses).speak()
                spoken += 1
            while cut < passed * CUTS:
                # Connections that are just being resumed are cut, too.
                if random.random() < 0.5 and proxy.open:
                    proxy.cut(random.choice(list(proxy.open)))
                else:
                    random.choice(witnesses).client.reconnect(random.random() / 10)
                cut += 1
            await sleep(0.005)
        await until(lambda: all(witness.isDone for witness in witnesses), "not all has come", SETTLE)
        report(witnesses, proxy, cut)
        for witness in witnesses:
            witness.check()
        assert sum(witness.counts["recovered"] for witness in witnesses) > CUTS * SECONDS / 3
        for witness in witnesses:
            assert not witness.counts["left"]
            await witness.room.leave()
        await until(lambda: not any(ledger.clients for ledger in ledgers.values()))
    finally:
        for witness in witnesses:
            await witness.client.close()
        await port.stopListening()


def report(witnesses: list[Witness], proxy: Proxy, cuts: int) -> None:
    """The counts, as text."""
    total = Counter[str]()
    for witness in witnesses:
        total.update(witness.counts)
        ledger = ledgers[witness.room.id]
        handled = ledger.handled.get(witness.who, [])
        total["sent"] += witness.sent
        total["acknowledged"] += len(witness.acknowledged) + len(witness.answers)
        total["handled"] += len(handled)
        total["handled twice"] += len(handled) - len(set(handled))
        total["received"] += len(witness.received) + len(witness.receipts)
        total["missed"] += len(set(ledger.log) - set(witness.received))
        total["received twice"] += len(witness.received) - len(set(witness.received))
        total["lost"] += len(witness.losses)
    names = ("sent", "handled", "handled twice", "acknowledged", "received", "missed", "received twice")
    events = ("reconnecting", "recovered", "lost", "left")
    print(f"\n{SECONDS:g} s, {CLIENTS} clients, {ROOMS} rooms, {cuts} cuts ({proxy.cuts} by the proxy)")
    print(", ".join(f"{name} {total[name]}" for name in names + events))
