"""
Clients that speak and listen in rooms, and what they agree on.

Whatever happens to the nodes, three things hold for each client. What the room acknowledged to anybody
arrives at everybody. Everything arrives once and in order. A client that misses something is told so, by the
event "lost".
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import attrs
from twisted.internet.task import LoopingCall

from tests.functional.support import reactor, sleep, until
from txroom.client import JSON_PROTOCOL, MSGPACK_PROTOCOL, Client
from txroom.client import Room as Joined

#: How many seconds the last messages may take.
SETTLE = 40.0


class Entry(NamedTuple):
    """A message that was received."""

    room: str
    epoch: str
    offset: int
    who: str
    i: int
    #: The process that ran the room.
    owner: int


class Witness:
    """One client in one room."""

    def __init__(self, who: str, url: str, number: int, random: Random) -> None:
        self.who = who
        self.client = Client(
            url,
            reactor=reactor(),
            protocol=(JSON_PROTOCOL, MSGPACK_PROTOCOL)[number % 2],
            minDelay=0.05,
            maxDelay=1.0,
            connectTimeout=3.0,
            requestTimeout=SETTLE,
            callTimeout=SETTLE,
            random=random.random,
        )
        self.room: Joined
        self.sent = 0
        #: The numbers of what was sent and acknowledged.
        self.acknowledged: set[int] = set()
        self.failures: list[tuple[int, Any]] = []
        self.errors: list[Any] = []
        #: What was received, in parts: a new one begins at each event "lost".
        self.parts: list[list[Entry]] = [[]]
        self.counts: Counter[str] = Counter()
        #: Why it is not in the room any more, if so.
        self.reason = ""
        self._heardAt = reactor().seconds()
        #: The longest time without a message since `listenAgain`.
        self.silence = 0.0
        self.client.on("error", self.errors.append)
        self.client.on("reconnecting", lambda *args: self.counts.update(["sockets"]))

    def __str__(self) -> str:
        return (
            f"{self.who} in {self.room.id}: {self.room.status} {self.reason}, sent {self.sent}, acknowledged "
            f"{len(self.acknowledged)}, failures {self.failures[:2]}, last {self.last}"
        )

    async def join(self, method: str, target: str) -> None:
        """Join a room and listen."""
        room = self.room = await getattr(self.client, method)(target, {"who": self.who})
        room.on("added", self._received)
        room.on("tick", lambda *args: self._heard())
        room.on("error", self.errors.append)
        for name in ("reconnecting", "recovered", "left"):
            room.on(name, lambda *args, name=name: self.counts.update([name]))
        room.on("lost", self._lost)
        room.on("left", self._left)

    def _received(self, data: Any, offset: int) -> None:
        self.parts[-1].append(Entry(self.room.id, self.room.epoch, offset, *data))
        self._heard()

    def _heard(self) -> None:
        now = reactor().seconds()
        self.silence = max(self.silence, now - self._heardAt)
        self._heardAt = now

    def _left(self, code: int, reason: str) -> None:
        self.reason = f"{code} {reason}"

    def _lost(self, loss: Any) -> None:
        self.counts["lost"] += 1
        self.parts.append([])

    def listenAgain(self) -> None:
        """Measure the silence from now on."""
        self.silence = 0.0
        self._heardAt = reactor().seconds()

    def speak(self) -> None:
        """Send the next message; every third one is a call."""
        self.sent += 1
        i = self.sent
        try:
            waited = (
                self.room.send("add", i).whenHandled() if i % 3 else self.room.call("add", i, timeout=SETTLE)
            )
        except Exception as error:
            self.failures.append((i, error))
            return
        waited.addCallbacks(
            partial(self._acknowledged, i), lambda failure: self.failures.append((i, failure.value))
        )

    def _acknowledged(self, i: int, answer: Any) -> None:
        if i % 3 == 0 and answer != i * 2:
            self.errors.append(f"a wrong answer to {i}: {answer!r}")
        self.acknowledged.add(i)

    @property
    def isSettled(self) -> bool:
        """Whether each message was acknowledged or has failed."""
        return len(self.acknowledged) + len(self.failures) == self.sent

    @property
    def last(self) -> Entry | None:
        """The last message that was received."""
        return next((part[-1] for part in reversed(self.parts) if part), None)


@attrs.define
class Tally:
    """What happened to all clients together."""

    sent: int = 0
    acknowledged: int = 0
    received: int = 0
    #: Messages that a client has not received, though another one has or they were acknowledged, and
    #: without being told that something is lost.
    missed: int = 0
    doubled: int = 0
    reordered: int = 0
    #: Offsets at which two clients have received different messages.
    disputed: int = 0
    failed: int = 0
    errors: int = 0
    recovered: int = 0
    lost: int = 0
    left: int = 0
    sockets: int = 0
    silence: float = 0.0
    owners: int = 0
    #: The epochs of all rooms together.
    epochs: int = 0

    def __str__(self) -> str:
        values = attrs.asdict(self)
        return ", ".join(
            f"{name} {value:.1f} s" if name == "silence" else f"{name} {value}"
            for name, value in values.items()
        )

    @property
    def broken(self) -> dict[str, int]:
        """The counts that must be 0 whatever happens."""
        names = ("missed", "doubled", "reordered", "disputed", "errors")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


class Crowd:
    """
    Witnesses in several rooms, who speak in turn.

    Args:
        urls: The URLs of the nodes.
        isSpread: Whether each node creates some of the rooms; otherwise the first one creates all.
        rooms: How many rooms there are.
        perNode: How many clients of each room use each of the nodes.
        rate: How many messages are sent each second, in all.
    """

    def __init__(
        self,
        urls: list[str],
        isSpread: bool = False,
        rooms: int = 4,
        perNode: int = 2,
        rate: float = 60.0,
    ) -> None:
        self._random = Random(14)
        self._urls = urls
        self._isSpread = isSpread
        self._rooms = rooms
        self._perNode = perNode
        self._rate = rate
        self.witnesses: list[Witness] = []
        #: The witnesses by the number of their node.
        self.at: list[list[Witness]] = [[] for _ in urls]
        self._speaking: LoopingCall | None = None

    async def join(self) -> None:
        """Create the rooms and join them."""
        for room in range(self._rooms):
            target = ""
            first = room % len(self._urls) if self._isSpread else 0
            for node in (*range(first, len(self._urls)), *range(first)):
                for _ in range(self._perNode):
                    number = len(self.witnesses)
                    witness = Witness(f"c{number}", self._urls[node], number, self._random)
                    self.witnesses.append(witness)
                    self.at[node].append(witness)
                    await witness.join(*(("joinById", target) if target else ("create", "ledger")))
                    target = witness.room.id
            assert target, room

    def begin(self) -> None:
        """Begin to speak."""
        self._speaking = LoopingCall.withCount(self._speak)
        self._speaking.clock = reactor()
        self._speaking.start(1 / self._rate, now=False)

    def end(self) -> None:
        """Stop speaking."""
        speaking, self._speaking = self._speaking, None
        if speaking is not None:
            speaking.stop()

    def _speak(self, count: int) -> None:
        # After a pause of this process, no burst of everything that was missed.
        for _ in range(min(count, 5)):
            self._random.choice(self.witnesses).speak()

    async def during(self, seconds: float) -> None:
        """Go on for a while."""
        await sleep(seconds)

    async def heard(self) -> None:
        """Wait until each client has heard a message of its room."""
        await until(lambda: all(witness.last for witness in self.witnesses), "some hear nothing", SETTLE)

    def elsewhere(self, node: int) -> tuple[int, float]:
        """
        How many sockets to all nodes but one were lost since `listenAgain`, and how long clients there heard
        nothing.
        """
        others = [witness for at, group in enumerate(self.at) if at != node for witness in group]
        return sum(each.counts["sockets"] for each in others), max(each.silence for each in others)

    def listenAgain(self) -> None:
        """Measure silence and count sockets from now on."""
        for witness in self.witnesses:
            witness.listenAgain()
            witness.counts["sockets"] = 0

    async def settle(self, seconds: float = SETTLE) -> Tally:
        """Stop speaking, wait until everything has arrived, and count."""
        self.end()
        try:
            await until(lambda: self.isSettled, "", seconds)
        except AssertionError:
            raise AssertionError(f"not settled: {self.unsettled}") from None
        return self.tally()

    @property
    def areJoined(self) -> bool:
        """Whether all clients are in their rooms, and not away."""
        return all(witness.room.status == "joined" for witness in self.witnesses)

    @property
    def isSettled(self) -> bool:
        """Whether all is acknowledged, and all clients of each room have received the same last message."""
        return all(
            witness.isSettled and (witness.room.status == "joined" or witness.counts["left"])
            for witness in self.witnesses
        ) and all(len({witness.last for witness in group}) == 1 for group in self.groups())

    @property
    def unsettled(self) -> str:
        """What is missing, for an error."""
        return "; ".join(
            str(witness)
            for group in self.groups()
            if len({witness.last for witness in group}) > 1
            or any(not witness.isSettled or witness.room.status != "joined" for witness in group)
            for witness in group
        )

    def groups(self) -> list[list[Witness]]:
        """The witnesses by their rooms, without those who were made to leave."""
        groups: dict[str, list[Witness]] = {}
        for witness in self.witnesses:
            if not witness.counts["left"]:
                groups.setdefault(witness.room.id, []).append(witness)
        return list(groups.values())

    def tally(self) -> Tally:
        """Compare what all clients have received."""
        return self.tallyOf(self.witnesses)

    def tallyOf(self, witnesses: list[Witness]) -> Tally:
        """Compare what some clients have received."""
        tally = Tally()
        for witness in witnesses:
            tally.sent += witness.sent
            tally.acknowledged += len(witness.acknowledged)
            tally.failed += len(witness.failures)
            tally.errors += len(witness.errors)
            tally.received += sum(map(len, witness.parts))
            tally.sockets += witness.counts["sockets"]
            tally.silence = max(tally.silence, witness.silence)
            for name in ("recovered", "lost", "left"):
                setattr(tally, name, getattr(tally, name) + witness.counts[name])
            for part in witness.parts:
                _compareOrder(part, tally)
        tally.owners = len({entry.owner for each in witnesses for part in each.parts for entry in part})
        tally.epochs = len({entry.epoch for each in witnesses for part in each.parts for entry in part})
        for group in _companies(witnesses):
            _compareWitnesses(group, tally)
        return tally

    async def close(self) -> None:
        """Close all clients."""
        self.end()
        for witness in self.witnesses:
            await witness.client.close()


def _compareOrder(part: list[Entry], tally: Tally) -> None:
    """Whether a client has received everything once, and what each client said in order."""
    said: dict[str, list[int]] = {}
    for entry in part:
        said.setdefault(entry.who, []).append(entry.i)
    for numbers in said.values():
        tally.doubled += len(numbers) - len(set(numbers))
        tally.reordered += sum(a > b for a, b in pairwise(numbers))
    tally.reordered += sum(a.epoch == b.epoch and a.offset >= b.offset for a, b in pairwise(part))


def _companies(witnesses: list[Witness]) -> list[list[Witness]]:
    """The witnesses by their rooms, if each has been in one room only; it takes too long to compare many."""
    companies: dict[str, list[Witness]] = {}
    for witness in witnesses:
        if {entry.room for part in witness.parts for entry in part} - {witness.room.id}:
            return [witnesses]
        companies.setdefault(witness.room.id, []).append(witness)
    return list(companies.values())


def _compareWitnesses(witnesses: list[Witness], tally: Tally) -> None:
    """Whether clients have received the same, and everything that was acknowledged to anybody."""
    everything: dict[tuple[str, str, int], Entry] = {}
    for witness in witnesses:
        for part in witness.parts:
            for entry in part:
                tally.disputed += everything.setdefault(entry[:3], entry) != entry
    acknowledged = {(each.who, i) for each in witnesses for i in each.acknowledged}
    for witness in witnesses:
        missed: set[tuple[str, int]] = set()
        for part in witness.parts:
            missed |= _skippedOffsets(part, everything) | _skippedNumbers(part, acknowledged)
        if len(witness.parts) == 1 and not witness.counts["left"]:
            here = {each.who for each in witnesses if each.room.id == witness.room.id}
            received = {(entry.who, entry.i) for entry in witness.parts[0]}
            missed |= {(who, i) for who, i in acknowledged if who in here} - received
        tally.missed += len(missed)


def _skippedOffsets(part: list[Entry], everything: dict[tuple[str, str, int], Entry]) -> set[tuple[str, int]]:
    """What others have received between two messages of a client."""
    ends: dict[tuple[str, str], tuple[int, int]] = {}
    for room, epoch, offset, *_ in part:
        first, last = ends.get((room, epoch), (offset, offset))
        ends[room, epoch] = (min(first, offset), max(last, offset))
    received = {entry[:3] for entry in part}
    return {
        (entry.who, entry.i)
        for key, entry in everything.items()
        if key not in received and key[:2] in ends and ends[key[:2]][0] <= entry.offset <= ends[key[:2]][1]
    }


def _skippedNumbers(part: list[Entry], acknowledged: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """What was acknowledged between two messages of one client."""
    said: dict[str, list[int]] = {}
    for entry in part:
        said.setdefault(entry.who, []).append(entry.i)
    return {
        (who, i)
        for who, numbers in said.items()
        for a, b in pairwise(numbers)
        for i in range(a + 1, b)
        if (who, i) in acknowledged
    }
