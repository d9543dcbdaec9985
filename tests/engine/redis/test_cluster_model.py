"""
A model of a cluster: three nodes with clients on one Redis, and what must hold whatever goes wrong.

Nodes are killed, suspended, cut off and stopped, and leave as when a server is reloaded; Redis is cut, hangs,
is killed, loses its newest data or all of it, refuses commands, and has a clock that jumps; packets between
nodes are lost, doubled and delayed.

- In one epoch no offset is used for two messages.
- What was acknowledged is in the log, once, or a new epoch tells all clients that something may be missing.
- Messages come in order, none of them twice, and after `recovered` none is missing.
- A member stays one, unless Redis has lost data and the owner is lost too.
- Unless Redis was started again or lost something, there is no new epoch.
- In the end each room has one owner, also the rooms that nobody asked for.
- A node that leaves keeps no room, or serves as before; then its clients are told, and it stops.
- A command with a key is carried out once, whichever node is asked.
- Rooms that come and go: see `tests.engine.redis.lobby`.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from random import Random
from typing import Any, cast

from msgspec import msgpack
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.redis import lobby
from tests.engine.redis.fakeredis import FakeRedis
from tests.rooms import model
from tests.rooms import test_recovery_model as recovery
from tests.rooms.backend import Backend
from tests.rooms.model import Step, repeatable, schedules
from tests.sortedclock import SortedClock
from txroom import CloseCode, ReadyState, RoomApplication, SendStatus
from txroom.core.message import Prepared
from txroom.engine.redis.engine import RedisEngine
from txroom.engine.redis.keys import Keys
from txroom.engine.redis.stored import RoomForm
from txroom.protocol import payload
from txroom.rooms.contract.ports import HandoverFailed
from txroom.rooms.contract.records import Entry
from txroom.rooms.hooks import HookTimeout

#: What happens; a kind that is named twice happens twice as often.
KINDS = (
    "say say say say tell shout flash order order repeat wait wait wait second second connect connect drop "
    "again late die suspend goOn goOn stop depart depart isolate join long "
    "cut cut hang wake restart restart flush refuse jump packets "
) + lobby.KINDS
#: What happens to nodes, and all after which not everything may be as usual.
OF_NODES = ("die", "suspend", "goOn", "stop", "depart", "isolate")
FAULTS = frozenset((*OF_NODES, "cut", "hang", "wake", "restart", "flush", "refuse", "jump", "packets"))
ERRORS = ("OOM no memory", "MISCONF disk full", "NOSCRIPT none", "READONLY replica", "BUSY script")
KEYS = Keys()
INFINITY = float("inf")


class ModelRoom(recovery.ModelRoom):
    """Keeps all messages, and members that are away."""

    recoveryLimit = 0
    recoverySize = 0
    resumeSeconds = 3600


#: What each node registers. To register it anew for each takes as long as half a minute of a cluster.
REGISTERED = RoomApplication()
REGISTERED.register("model", ModelRoom)
lobby.register(REGISTERED)


class ModelNode:
    """A process with an edge and rooms, on a clock that stands still while it is suspended."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = SortedClock()
        self.clock.rightNow = world.clock.seconds()
        self.app = RoomApplication()
        self.app._registrations = REGISTERED._registrations
        world.nodeOf[self.app] = self
        self.clients: list[Any] = []
        self.engine = RedisEngine("redis://fake", connect=self.connect)
        rooms = self.engine.rooms("/rooms", self.app)
        self.app.begin(rooms, self.clock)
        self.rooms = rooms
        self.isSuspended = False
        self.isStopping = self.isLeaving = False
        #: What clients sent while it was suspended.
        self.held: list[tuple[NodeSocket, tuple[Any, ...]]] = []
        self.failures: list[Exception] = []
        self.engine.start(self.clock, self.failures.append).addErrback(self.failed)

    def connect(self, clock: Any) -> Any:
        client = self.world.server.connect()
        self.clients.append(client)
        return client

    def failed(self, failure: Any) -> None:
        """It could not start, so another process is started."""
        self.world.replace(self)

    def end(self) -> None:
        """The process is gone."""
        for client in self.clients:
            client.resume()
            client.stop()

    def advance(self, now: float) -> None:
        """Let its timers run, unless it is suspended."""
        if not self.isSuspended:
            self.clock.advance(max(0.0, now - self.clock.seconds()))

    def suspend(self) -> None:
        self.isSuspended = True
        self.world.findClocks()
        for client in self.clients:
            client.pause()

    def goOn(self) -> None:
        """Go on: first comes what has arrived, then the timers run."""
        if not self.isSuspended:
            return
        self.isSuspended = False
        self.world.findClocks()
        self.clock.rightNow = self.world.now
        for client in self.clients:
            client.resume()
        held, self.held = self.held, []
        for socket, frame in held:
            socket.arrived(frame)
        self.clock.advance(0)


class NodeSocket(model.Socket):
    """A connection to one of the nodes."""

    world: Any
    isOver = False
    #: The code with which the server closes it, and the codes of the notices that come before that.
    closedWith = 0
    byes: tuple[int, ...] = ()

    @property
    def node(self) -> ModelNode:
        """The node."""
        node: ModelNode = self.world.nodeOf[self.app]
        return node

    def write(self, *frame: Any) -> None:
        if self.node.isSuspended:
            self.node.held.append((self, frame))
        else:
            super().write(*frame)

    def arrived(self, frame: tuple[Any, ...]) -> None:
        """A frame, or the end of the connection, has reached the node."""
        if frame:
            super().write(*frame)
        else:
            super().lost()

    def lost(self, code: int = 1006) -> None:
        self.isOver = True
        if self.node.isSuspended:
            self.node.held.append((self, ()))
        else:
            super().lost(code)

    def sendFrame(self, prepared: Prepared) -> SendStatus:
        frame = msgpack.decode(prepared.payload)
        if frame[0] == "bye":
            self.byes += (frame[1],)
        else:
            self.received(frame)
        return SendStatus.SENT

    def close(self, code: int, reason: str = "") -> None:
        self.closedWith = code
        self.node.clock.callLater(0, self.lost, code)


class Visit(NodeSocket, recovery.Visit):
    """A connection of a client."""


class ModelGuest(lobby.Guest, NodeSocket):
    """A client that asks for a room that is created for it."""

    def __init__(self, world: Any, lobby: Any, node: ModelNode, name: str, options: dict[str, Any]) -> None:
        super().__init__(world, f"guest{next(world.attempts)}", node.app)
        self.lobby = lobby
        self.write("join", 1, name, options)


class ModelClient(recovery.ModelClient):
    """A client, and what it was promised."""

    world: Any

    def __init__(self, world: Any, name: str) -> None:
        #: What it said that the room logs, by the member and the number.
        self.said: dict[tuple[str, int], str] = {}
        #: The epoch in which each of these was acknowledged.
        self.promised: dict[str, str] = {}
        #: Calls that are answered, but not acknowledged.
        self.answered: set[int] = set()
        super().__init__(world, name)

    def newVisit(self, id: str) -> Visit:
        return Visit(self, id)

    def refused(self, code: str) -> None:
        if code in ("unauthorized", "forbidden"):
            self.world.check(self.world.mayLose, f"{self.name} is no member any more: {code}")
            self.forget()

    def forget(self) -> None:
        super().forget()
        self.answered.clear()

    def say(self, kind: str) -> None:
        before = self.n
        super().say(kind)
        if self.n > before:
            self.said[self.member, self.n] = f"{self.name}{self.member}-{self.n}"

    def submit(self, frame: tuple[Any, ...]) -> None:
        if self.visit is not None and not self.visit.isOver:
            super().submit(frame)

    def promise(self, n: int) -> None:
        """The room says that it has handled what the client said."""
        value = self.said.get((self.member, n))
        if value is not None:
            self.promised.setdefault(value, self.epoch)

    def acknowledged(self, n: int) -> None:
        for each in range(self.acked + 1, n + 1):
            self.promise(each)
        super().acknowledged(n)
        for each in [each for each in self.answered if each <= n]:
            self.answered.discard(each)
            self.held.pop(each, None)

    def gotOf(self, visit: Any, kind: str, *parts: Any) -> None:
        if kind == "msg" and parts[1] is not None:
            self.world.delivered(self.epoch, parts[1], parts[3])
        n = visit.asked.get(parts[0]) if kind == "reply" else None
        frame = self.held.get(n) if n is not None else None
        super().gotOf(visit, kind, *parts)
        if n is not None and frame is not None:
            self.promise(n)
            if n > self.acked:  # it is kept until then, so that no number is missing if it is sent again
                self.held[n] = frame
                self.answered.add(n)

    def joined(self, joined: dict[str, Any]) -> None:
        check, world = self.world.check, self.world
        if self.member and self.member != joined["member"]:
            check(False, f"{self.name} has become another member")
        isNew = joined["epoch"] != self.epoch
        if self.epoch and isNew:
            check(world.mayBeNew, "there is a new epoch for no reason")
        self.formerToken, self.token = self.token, joined["token"]
        self.member = joined["member"]
        if joined["recovered"]:
            check(joined["epoch"] == self.epoch, "recovered another epoch")
            check(joined["offset"] == self.offset, "recovered at another offset")
        else:
            self.offset = self.since = joined["offset"]
            self.received = []
            # What it is shown of the past has nothing that was for single members.
            self.shownUntil = world.newest
        self.epoch = joined["epoch"]
        handled = joined["handled"]
        if isNew:  # what was handled before may be missing: that is told by it
            self.said = {key: value for key, value in self.said.items() if key[1] > handled}
        check(handled >= self.acked or world.mayBeNew, f"handled {handled} of {self.acked}")
        if handled < self.acked:  # that was lost, and is told by the new epoch
            self.restart(handled, joined)
        self.acknowledged(handled)
        self.sayAgain()

    def restart(self, handled: int, joined: dict[str, Any]) -> None:
        """The room doesn't know what it had handled: begin after what it knows, as a good client does."""
        self.held = {}
        self.acked = handled
        self.n = max(handled, joined.get("accepted") or 0)


class World:
    """Three nodes, a Redis and some clients."""

    isLagging = True

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = SortedClock()
        self.server = FakeRedis(self.clock, self.random, 0.004)
        self.attempts = count(1)
        #: All nodes that there ever were, by their applications.
        self.nodeOf: dict[RoomApplication, ModelNode] = {}
        self.sockets: list[Any] = []
        self.violations: list[str] = []
        #: What was delivered, by epoch and offset.
        self.messages: dict[tuple[str, int], str] = {}
        #: Whether Redis has lost data, was started again, and a node or its lease was lost.
        self.hasLostData = self.hasRestarted = self.hasLostNode = False
        #: Whether the lease of a node has lapsed, perhaps because Redis could not be reached.
        self.hasLapsed = False
        self.faultsOfPackets = 0
        #: The number of faults so far, without deaths of nodes, and since when all is well.
        self.faults = 0
        self.calmSince = INFINITY
        self.server.deliveries = self.deliveries
        self.server.again = lambda: self.random.choice((0.05, 0.1, 0.3, 1.0, 3.0))
        #: Since when Redis has answered without a break; `INFINITY` while it doesn't.
        self.wellSince = 0.0
        #: Since when it has been away, with breaks that may be too short to reach it.
        self.awaySince = INFINITY
        self.nodes = [ModelNode(self) for _ in range(3)]
        #: The clocks that run: Redis's, and those of the nodes that are not suspended.
        self.clocks: list[SortedClock] = []
        self.findClocks()
        self.advance(0.5)
        self.rooms = [self.create() for _ in range(3)]
        self.room = self.rooms[0]
        self.clients = [ModelClient(self, name) for name in "abcd"]
        self.lobby = lobby.Lobby(self)
        self.backend = Backend(self)

    def create(self) -> str:
        made: list[str] = []
        self.random.choice(self.nodes).rooms.create("model", {}).addCallback(made.append)
        self.advance(0.2)
        return made[0]

    # -- for sockets and clients

    @property
    def app(self) -> RoomApplication:
        """The application of any node."""
        return self.random.choice(self.nodes).app

    @property
    def apps(self) -> list[RoomApplication]:
        """The applications of all nodes."""
        return [node.app for node in self.nodes if not node.isStopping] or [self.nodes[0].app]

    @property
    def running(self) -> list[ModelNode]:
        """The nodes that serve clients."""
        nodes = self.nodes
        return [
            each
            for each in nodes
            if not (each.isSuspended or each.isStopping or each.isLeaving or each.engine.node is None)
        ]

    @property
    def now(self) -> float:
        return self.clock.rightNow

    def newGuest(self, lobby: lobby.Lobby, node: ModelNode, name: str, options: dict[str, Any]) -> ModelGuest:
        """A client asks a node for a room."""
        return ModelGuest(self, lobby, node, name, options)

    @property
    def newest(self) -> int:
        """The offset of the newest message in the log."""
        return int(self.server.fields(KEYS.room(self.room).fields).get(b"off", b"0"))

    @property
    def mayLose(self) -> bool:
        """Whether members may be lost: both Redis and their owner have lost them."""
        return self.hasLostData and (self.hasLostNode or self.hasLapsed)

    @property
    def mayForget(self) -> bool:
        """Whether a room may have lost what it has committed."""
        return self.hasLostData

    @property
    def mayBeNew(self) -> bool:
        """Whether there may be a new epoch: data is lost, or Redis was started again and an owner is lost."""
        return self.hasLostData or (self.hasRestarted and self.hasLostNode)

    def check(self, isTrue: bool, text: str) -> None:
        """It is a violation if not."""
        if not isTrue:
            self.violations.append(text)

    def delivered(self, epoch: str, offset: int, text: str) -> None:
        """A client got a message."""
        known = self.messages.setdefault((epoch, offset), text)
        self.check(known == text, f"{offset} is {known} and {text}")

    def deliveries(self, channel: bytes, data: bytes) -> tuple[float, ...]:
        """How a message arrives. Nodes must bear anything with packets, but only with packets."""
        if self.faultsOfPackets > 0 and b":to:" in channel:
            self.faultsOfPackets -= 1
            return self.random.choice(((), (), (0.0, 0.01), (0.3,), (0.0,)))
        return (0.0,)

    # -- time

    def advance(self, seconds: float) -> None:
        """Let time pass, from one delayed call to the next."""
        end = self.clock.rightNow + seconds
        while True:
            first, due = self.clock, end
            for clock in self.clocks:
                calls = clock.calls
                if calls and calls[0].time < due:
                    first, due = clock, calls[0].time
            now = max(due, self.clock.rightNow)
            for clock in self.clocks:
                clock.rightNow = now
            if due >= end:
                break
            first.advance(0)
            if not (self.hasLapsed and self.hasLostNode):
                self.look()
        for clock in self.clocks:
            clock.advance(0)
        self.look()
        if self.calmSince == INFINITY and self.isCalm():
            self.calmSince = self.now

    def isCalm(self) -> bool:
        """Whether nothing is broken."""
        server = self.server
        if (
            not server.isUp
            or server.isHung
            or server._errors
            or self.faultsOfPackets
            or len(self.running) < 3
        ):
            return False
        isUp = all(client.isUp for client in server.clients)
        return isUp and all(node.engine.health() is None for node in self.running)

    def findClocks(self) -> None:
        """A node has come, gone, been suspended, or goes on."""
        self.clocks = [self.clock, *[node.clock for node in self.nodes if not node.isSuspended]]

    def look(self) -> None:
        """Notice when a lease has lapsed although Redis could be reached, and when owners may give up."""
        now = self.now
        if not self.server.isUp or self.server.isHung:
            if self.wellSince < INFINITY and self.awaySince < INFINITY:
                self.hasLostNode = True  # not all nodes may have reached Redis before it was away again
            self.wellSince = INFINITY
            self.awaySince = min(self.awaySince, now)
        elif self.wellSince == INFINITY:
            self.wellSince = now
        elif now - self.wellSince > 5:
            self.awaySince = INFINITY
        if now - self.awaySince > 15:
            self.hasLostNode = True
        running = [node.engine.node for node in self.nodes]
        if now > 1 and any(each is None or each.journals.heldSince == INFINITY for each in running):
            self.hasLapsed = True
            if now - self.wellSince > 5:
                self.hasLostNode = True

    # -- steps

    def do(self, step: Step) -> None:
        """Something happens."""
        kind, which, amount = step
        if kind in FAULTS:
            self.lobby.failing()
            self.faults += kind != "die"
            self.calmSince = INFINITY
        self.doStep(kind, which, amount)
        self.lobby.look()

    def doStep(self, kind: str, which: int, amount: int) -> None:
        client = self.clients[which % len(self.clients)]
        node = self.nodes[which % 3]
        if kind in ("say", "tell", "shout", "flash"):
            for _ in range(1 + amount % 3):
                client.say(kind)
        elif kind in ("connect", "drop"):
            getattr(client, kind)()
        elif kind == "again":
            client.sayAgain()
        elif kind == "late":
            client.comeLate(amount)
        elif kind == "join":
            self.gather()
        elif kind in ("order", "repeat"):
            if self.running:
                getattr(self.backend, kind)(self.running[amount % len(self.running)].rooms)
        elif kind in ("wait", "second", "long"):
            self.advance(amount / {"wait": 1000, "second": 20, "long": 3}[kind])
        elif kind in OF_NODES:
            getattr(self, kind)(node, amount)
        elif kind in lobby.KINDS.split():
            getattr(self.lobby, kind)(which, amount)
        else:
            getattr(self, kind)(which, amount)

    def gather(self) -> None:
        """All clients that are not in the room connect."""
        for client in self.clients:
            if not client.isJoined:
                client.connect()
        self.advance(0.1)

    def die(self, node: ModelNode, amount: int) -> None:
        """kill -9; another process is started."""
        self.hasLostNode = True
        self.replace(node)

    def replace(self, node: ModelNode) -> None:
        """A process has ended, and another one is started."""
        if node not in self.nodes:
            return
        self.nodes[self.nodes.index(node)] = new = ModelNode(self)
        for socket in self.sockets:
            if socket.node is node:
                socket.isOver = True  # before the end, of which the process can't tell anybody
        node.end()
        node.isSuspended = False
        self.findClocks()
        assert new is not None

    def suspend(self, node: ModelNode, amount: int) -> None:
        self.hasLostNode = True
        node.suspend()

    def goOn(self, node: ModelNode, amount: int) -> None:
        for each in self.nodes:
            each.goOn()

    def stop(self, node: ModelNode, amount: int) -> None:
        """A planned stop."""
        if node.isStopping or node.isSuspended or node.engine.node is None:
            return
        self.hasLostNode = True  # so that nobody verifies its rooms if Redis is started again meanwhile
        node.isStopping = True
        node.engine.handOver().addBoth(lambda result: self.replace(node))

    def depart(self, node: ModelNode, amount: int) -> None:
        """A node leaves, as when a server is reloaded, or drained; others may leave too."""
        others = [
            cast(Any, each.engine.node).id
            for each in self.nodes
            if not (each is node or each.isSuspended or each.isStopping or each.engine.node is None)
        ]
        if not others or node not in self.running:
            return
        self.hasLostNode = True  # see `stop`
        node.isLeaving = True
        left = node.engine.leave(others[: 1 + amount % 2])
        left.addCallbacks(lambda _: self.departed(node), lambda failure: self.stays(node, failure))

    def departed(self, node: ModelNode) -> None:
        """A node has no rooms any more: it says goodbye to its clients, and stops."""
        if node not in self.nodes or node.isStopping:
            return
        here = cast(Any, node.engine.node).here
        staying = [owned.host.id for owned in here if owned.host.life.isRunning]
        self.check(not staying, f"a node that has left still has {staying}")
        sockets = [
            each
            for each in self.sockets
            if each.node is node and each.readyState is ReadyState.OPEN and not each.session.isMute
        ]
        for socket in sockets:
            socket.session.sayGoodbye(CloseCode.SHUTTING_DOWN, 0.0)
        node.clock.callLater(0.1, self.stopDeparted, node, sockets)

    def stopDeparted(self, node: ModelNode, sockets: list[NodeSocket]) -> None:
        """The clients of a node that has left have been told."""
        for socket in sockets:
            told = socket.byes, socket.closedWith
            isTold = told == ((4100,), 4100) or (socket.isOver and not socket.closedWith)
            self.check(isTold, f"a client of a node that has left is told {told}")
        self.stop(node, 0)

    def stays(self, node: ModelNode, failure: Any) -> None:
        """A node can't hand a room over, so it serves as before."""
        node.isLeaving = False
        isExpected = failure.check(HandoverFailed) is not None or node.isStopping
        self.check(isExpected, f"a node could not leave: {failure!r}")

    def isolate(self, node: ModelNode, amount: int) -> None:
        """The connections of a node to Redis are cut; some of its commands are run before that."""
        for client in node.clients:
            client.cut(amount % 4)

    def cut(self, which: int, amount: int) -> None:
        self.server.cut(amount % 3)

    def hang(self, which: int, amount: int) -> None:
        self.server.hang()

    def wake(self, which: int, amount: int) -> None:
        self.server.wake()

    def restart(self, which: int, amount: int) -> None:
        """Redis is killed and started again, perhaps without its newest data."""
        self.server.wake()
        self.server.down()
        forgotten = (0, 0, 1, 2, 5, 9)[amount % 6]
        self.server.store.rollBack(forgotten)
        self.hasRestarted = True
        self.hasLostData = self.hasLostData or forgotten > 0
        self.advance((0.0, 0.0, 1.0, 4.0, 15.0)[which % 5])
        self.server.up()

    def flush(self, which: int, amount: int) -> None:
        self.hasLostData = True
        self.server.store.flush()

    def refuse(self, which: int, amount: int) -> None:
        """Redis refuses some commands."""
        names = ("append", "append", "check", "claim", "renew", "found", "handover", "")
        self.server.fail(ERRORS[which % 5], names[amount % 8], 1 + amount % 4)

    def jump(self, which: int, amount: int) -> None:
        """Redis's clock jumps."""
        self.hasLostNode = True
        self.server.store.ahead += (3600, -3600, 20, -20)[which % 4]

    def packets(self, which: int, amount: int) -> None:
        self.faultsOfPackets = amount

    # -- the end

    def heal(self) -> None:
        """No more harm is done: all clients come back, and what they hold gets through."""
        self.faultsOfPackets = 0
        self.server.wake()
        self.server.heal()
        for node in self.nodes:
            node.goOn()
        # Most worlds end when all is well, since it takes long to look on for longer.
        self.advance(self.random.choice((2.0, 2.0, 2.0, 30.0)))
        for _ in range(34):
            self.gather()
            if self.running:
                self.backend.repeat(self.random.choice(self.running).rooms)
            self.advance(2.0)
            if self.isWell():
                break

    def isWell(self) -> bool:
        """Whether there is nothing to wait for."""
        before = len(self.violations)
        self.judge()
        isWell = len(self.violations) == before
        del self.violations[before:]
        return isWell

    def judge(self) -> None:
        """Check the owners of the rooms, and what each client got."""
        self.lobby.judge()
        self.check(len(self.running) == 3, "a node has yet to leave or to start")
        hosts = Counter(owned.host.id for node in self.nodes for owned in cast(Any, node.engine.node).here)
        for room in self.rooms:
            exists = bool(self.server.fields(KEYS.room(room).fields))
            self.check(exists or self.mayLose, f"the room {room} is lost")
            # Its owner may have founded it again, and died before its listing was written again. Then it is
            # found only if a client asks for it.
            isUnlisted = room != self.room and self.mayLose and not hosts[room]
            self.check(hosts[room] == exists or isUnlisted, f"the room {room} has {hosts[room]} owners")
        fields = self.server.fields(KEYS.room(self.room).fields)
        if not fields:
            return
        log, epoch = self.stored(fields)
        self.backend.judge(log)
        for client in self.clients:
            self.check(client.isJoined, f"{client.name} is not in")
            self.check(not client.held, f"{client.name} still holds {sorted(client.held)}")
            self.check(client.epoch == epoch or not client.isJoined, f"{client.name} has another epoch")
            self.judgeClient(client, log, epoch)
        said = Counter(payload.decode(entry.data) for entry in log)
        twice = [value for value, number in said.items() if number > 1]
        self.check(not twice or self.mayLose, f"said twice: {twice}")

    def stored(self, fields: dict[bytes, bytes]) -> tuple[list[Entry], str]:
        """The log as the next owner would load it, and its epoch."""
        items = self.server.store.execute("XRANGE", KEYS.room(self.room).log, "-", "+")
        loaded = RoomForm().load(fields, items, 0.0, 0.0)
        return list(loaded.entries), fields[b"epoch"].decode()

    def judgeClient(self, client: ModelClient, log: list[Entry], epoch: str) -> None:
        inLog = {payload.decode(entry.data) for entry in log}
        for value, promised in client.promised.items():
            self.check(value in inLog or promised != epoch, f"{value} was acknowledged, and is lost")
        if client.epoch != epoch:
            return
        expected = [
            (entry.offset, payload.decode(entry.data))
            for entry in log
            if entry.offset > client.since and entry.isFor(client.member)
        ]
        alone = {entry.offset for entry in log if entry.to is not None and entry.offset <= client.shownUntil}
        missing = [each for each in expected if each not in client.received and each[0] not in alone]
        self.check(not missing, f"{client.name} since {client.since} misses {missing}")
        wrong = [each for each in client.received if each not in expected]
        self.check(not wrong, f"{client.name} got {wrong}, which is not in the log")


class ClusterModelTests(SynchronousTestCase):
    """Random schedules, and some that have failed."""

    @schedules(KINDS, 10, 50)
    def test_cluster(self, seed: int, steps: list[Step]) -> None:
        """Everything at once."""
        self.check(seed, steps)

    def test_unreadListings(self) -> None:
        """A node was just started, and Redis refuses to tell it the listings."""
        for milliseconds in (14, 15, 16):
            meet, die, refuse = Step("meet", 234, 27), Step("die", 44, 15), Step("refuse", 202, 15)
            with repeatable(3):
                self.check(3, [meet, die, Step("wait", 0, milliseconds), refuse])

    def test_earlierOwner(self) -> None:
        """
        A client has resumed at the next owner of its room, and connects to the node of the earlier one when
        that is no longer suspended, and does not know yet that it has lost the room.
        """
        schedule = (
            "hang 65 12, shout 46 38, connect 20 6, suspend 125 14, stop 249 23, wake 188 6, meet 200 24, "
            "long 178 38, suspend 7 28, connect 8 13, goOn 168 10"
        )
        self.checkSchedule(1227, schedule)

    def test_missedEnd(self) -> None:
        """
        A node is reading the listings when its connections are cut, and a room ends before the node hears
        of changes again. It had heard of the room before that.
        """
        schedule = (
            "meet 212 38, shout 217 5, stop 127 25, tell 180 34, isolate 41 8, second 33 34, cut 137 4, "
            "connect 29 8, wait 73 38, wait 175 28, wake 159 7, wait 241 16, end 229 18"
        )
        self.checkSchedule(9148969, schedule)

    def test_deadMaker(self) -> None:
        """A process dies while rooms are created there, after Redis has lost everything."""
        schedule = "flash 192 13, flush 31 39, wait 223 6, long 118 22, meet 189 17, die 54 3, long 147 13"
        self.checkSchedule(1467190, schedule)

    def checkSchedule(self, seed: int, schedule: str) -> None:
        """Run a schedule in which each step is named."""
        steps = [each.split() for each in schedule.split(", ")]
        with repeatable(seed):
            self.check(seed, [Step(kind, int(which), int(amount)) for kind, which, amount in steps])

    def check(self, seed: int, steps: list[Step]) -> None:
        """Run a schedule."""
        world = World(seed)
        world.gather()
        for step in steps:
            world.do(step)
        world.heal()
        world.judge()
        world.lobby.finish()
        self.flushLoggedErrors(HookTimeout)
        self.assertEqual(world.violations, [])
