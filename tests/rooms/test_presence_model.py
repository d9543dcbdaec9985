"""
A model of presence: members join, leave, lose their connections, come back, change their metas and are
kicked at any time of a window, and owners are lost. What must hold:

- No client is told of a member that it knows already, of a meta that it knows already, or of a member that
  has left and that it does not know.
- The number of members is right in each frame, also if the client doesn't know all of them.
- Some time after the last change all clients know the same members, and these are the room's. In a room with
  more members than `presenceLimit` they have asked for the others by then.
- Nothing of presence comes before `joined`, and at most one frame comes in each window.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms import model
from tests.rooms.model import Step, schedules
from txroom import Client, Room, RoomError, message
from txroom.core.codes import ReadyState
from txroom.rooms.hooks import HookTimeout

#: By member: the user, and the meta.
Roster = dict[str, tuple[str, Any]]


def rosterOf(users: list[dict[str, Any]]) -> Roster:
    """The members in a list of users."""
    return {meta["member"]: (user["user"], meta) for user in users for meta in user["metas"]}


def sizeOf(users: list[dict[str, Any]]) -> int:
    """How many metas are in a list of users."""
    return sum(len(user["metas"]) for user in users)


class PartyRoom(Room):
    """Does what it is told."""

    presence = True
    autoDispose = False
    resumeSeconds = 0.5

    async def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
        return {"id": options["user"]} if options["user"] else True

    def onJoin(self, client: Client, options: Any) -> Any:
        client.meta = {"at": 0}
        if not options["slow"]:
            return None
        joined: Deferred[None] = Deferred()
        self.clock.callLater(0.05, joined.callback, None)
        return joined

    def onDrop(self, client: Client) -> None:
        client.meta = {**client.meta, "away": True}

    def onResume(self, client: Client, recovered: bool) -> None:
        client.meta = {"at": client.meta["at"]}

    @message("meta")
    def setMeta(self, client: Client, data: int) -> None:
        client.meta = {"at": data}


class Visit(model.Socket):
    """One connection of a client."""

    def __init__(self, client: ModelClient, id: str) -> None:
        super().__init__(client.world, id)
        self.client = client
        self.isOver = False

    def received(self, frame: list[Any]) -> None:
        if not self.isOver:
            self.client.got(*frame)

    def lost(self, code: int = 1006) -> None:
        self.isOver = True
        super().lost(code)


class ModelClient:
    """A client that follows presence, as the protocol says, and finds each frame that says too much."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.visits = 0
        self.visit: Visit | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew, as another member."""
        self.isJoined = False
        self.token = self.member = self.epoch = ""
        self.offset = self.count = 0
        self.known: Roster = {}
        #: After which place members may be that aren't known; `None`: there are none.
        self.after: int | None = None
        #: When the last frame came, and whether it has asked for more of them.
        self.toldAt: float | None = None
        self.isAsking = False

    def connect(self, user: str, isSlow: bool) -> None:
        """A new connection, while the old one may be there still."""
        if self.visit is not None:
            self.visit.isOver = True
            if not self.token:
                self.visit.lost()
        self.isJoined = False
        self.visits += 1
        self.visit = Visit(self, f"{self.name}:{self.visits}")
        if self.token:
            attempt = next(self.world.attempts)
            self.visit.write("resume", 0, self.world.room, self.token, self.epoch, self.offset, attempt)
        else:
            self.visit.write("joinById", 0, self.world.room, {"user": user, "slow": isSlow})

    def write(self, *frame: Any) -> None:
        if self.isJoined and self.visit is not None:
            self.visit.write(*frame)

    def fetch(self) -> None:
        """Ask for members that aren't known."""
        if self.after is not None and len(self.known) < self.count:
            self.isAsking = True
            self.write("members", 3, self.world.room, self.after)

    def lost(self, code: int) -> None:
        if self.visit is not None:
            self.visit.lost(code)
        self.isJoined = False
        if code == 1000:
            self.forget()

    # -- what comes

    def got(self, kind: str, *parts: Any) -> None:
        check = self.world.check
        if kind == "joined":
            self.joined(parts[2])
        elif kind == "error" and parts[0] == 0:
            self.isJoined = False
            if parts[2] in ("unauthorized", "forbidden", "roomGone"):
                self.forget()
        elif kind == "left":
            self.isJoined = False
            if parts[1] < 4100:
                self.forget()
        elif kind == "presence":
            check(self.isJoined, "presence before joined")
            self.told(*parts[1:])
        elif kind == "reply" and parts[0] == 3:
            self.fetched(parts[1])
        if kind in ("joined", "reply", "error"):
            self.isAsking = False

    def joined(self, joined: dict[str, Any]) -> None:
        check = self.world.check
        shown = rosterOf(joined["members"])
        count = joined.get("memberCount", len(shown))
        check(len(shown) == sizeOf(joined["members"]), "a member is shown twice")
        check(joined["member"] in shown, "it isn't shown itself")
        if self.isJoined:  # it has joined again
            check(count == self.count, f"{count} after {self.count}")
            both = shown.keys() & self.known.keys()
            check(all(shown[id] == self.known[id] for id in both), "it was not told of a change")
            if self.after is None:
                check(shown.keys() <= self.known.keys(), "it was not told of a member")
            return  # as clients of ours do
        self.isJoined = True
        self.toldAt = None
        self.token, self.member = joined["token"], joined["member"]
        self.epoch, self.offset = joined["epoch"], joined["offset"]
        self.known, self.count, self.after = shown, count, joined.get("membersAfter")
        limit = self.world.limit
        check((self.after is None) is (not limit or count <= limit), f"{len(shown)} of {count} are shown")
        check(not limit or len(shown) <= limit + 1, f"{len(shown)} are shown at once")
        self.look()

    def look(self) -> None:
        """Whether the number of members is right."""
        check, count = self.world.check, self.count
        isRight = len(self.known) == count if self.after is None else len(self.known) <= count
        check(isRight, f"{len(self.known)} of {count} are known")
        host = self.world.hosts().get(self.world.room)
        if host is not None and not self.world.isLagging:
            check(count == len(host.room.clients), f"{count} of {len(host.room.clients)} are told")

    def told(self, joined: list[Any], left: list[Any], count: int, after: int | None = None) -> None:
        check, known = self.world.check, self.known
        if self.after is None:
            self.after = after
        come, gone = rosterOf(joined), rosterOf(left)
        check((len(come), len(gone)) == (sizeOf(joined), sizeOf(left)), "a member is told of twice")
        check(bool(come or gone) or count != self.count, "nothing is told")
        for id, was in gone.items():
            check(known[id] == was if id in known else self.after is not None, f"{was} of {known} left")
        for id, now in come.items():
            check(gone[id] != now if id in gone else id not in known, f"{now} was known")
        self.count = count
        come = {id: now for id, now in come.items() if id not in gone or id in known}
        for id in gone:
            known.pop(id, None)
        known.update(come)
        self.look()
        at = self.world.clock.seconds()
        if self.isAsking or self.world.isLagging:
            return
        if self.toldAt is not None:
            check(at - self.toldAt > self.world.window - 1e-6, "told twice in a window")
        self.toldAt = at

    def fetched(self, page: dict[str, Any]) -> None:
        check = self.world.check
        shown = rosterOf(page["members"])
        check(len(shown) == sizeOf(page["members"]) <= self.world.limit, "a wrong page")
        check(page["memberCount"] == self.count, "a wrong count")
        both = shown.keys() & self.known.keys()
        check(all(shown[id] == self.known[id] for id in both), "it was not told of a change")
        self.known.update(shown)
        self.after = page["membersAfter"]
        self.look()


class World(model.World):
    """An edge with its clients, and a room somewhere."""

    def __init__(self, seed: int, isLagging: bool) -> None:
        random = Random(seed)
        self.window = random.choice((0.1, 0.1, 0.0))
        self.limit = random.choice((0, 2, 4, 50))
        kind = type("Party", (PartyRoom,), {"presenceSeconds": self.window, "presenceLimit": self.limit})
        super().__init__(seed, isLagging, kind)
        self.clients = [ModelClient(self, name) for name in "abcdefg"]
        self.room = self.madeRoom()

    def do(self, step: Step) -> None:
        kind, which, amount = step
        client = self.clients[which % len(self.clients)]
        if kind == "wait":
            self.advance(amount / 200)
        elif kind == "connect":
            client.connect(("", "", "u", "v")[amount % 4], amount % 5 == 0)
        elif kind == "again" and not self.isLagging:  # it would be another member for the next owner
            client.isAsking = True
            client.write("joinById", 2, self.room, {"user": "", "slow": False})
        elif kind == "meta":
            client.write("send", self.room, "meta", amount % 3)
        elif kind == "leave":
            client.write("leave", 1, self.room)
        elif kind == "fetch":
            client.fetch()
        elif kind in ("drop", "go"):
            client.lost(1006 if kind == "drop" else 1000)
        elif kind == "kick":
            self.kick(amount)
        elif kind == "lose":
            self.lose(self.room, bool(amount % 2), amount % 5 > 0)
        elif kind == "edge":
            self.loseEdge(which)
            for each in self.clients:
                isOpen = each.visit is not None and each.visit.readyState is ReadyState.OPEN
                each.isJoined = each.isJoined and isOpen
        elif kind == "refound":
            self.refound(self.room)
        elif kind == "handOver":
            self.handOver(self.room)

    def kick(self, which: int) -> None:
        host = self.hosts().get(self.room)
        clients = host.room.clients if host is not None else []
        if clients:
            clients[which % len(clients)].kick()

    def settle(self) -> None:
        """Nothing happens any more; then those who don't know all members ask for them."""
        self.advance(2.0)
        self.judge(isAll=False)
        for _ in range(12):
            for client in self.clients:
                client.fetch()
            self.advance(1.0)
        self.judge(isAll=True)

    def judge(self, isAll: bool) -> None:
        """What all clients know is true, and is it all."""
        host = self.hosts().get(self.room)
        if host is None:
            return
        expected = rosterOf(host.room.members)
        for client in self.clients:
            if client.isJoined:
                known = client.known
                told = f"{client.name} sees {known}, not {expected}"
                self.check(known == expected if isAll else known.items() <= expected.items(), told)
                self.check(client.member in known, f"{client.name} doesn't see itself")


KINDS = (
    "connect connect connect connect wait wait wait meta meta meta leave drop drop go kick again fetch lose "
    "edge refound handOver"
)


class PresenceModelTests(SynchronousTestCase):
    """Random schedules."""

    def check(self, seed: int, steps: list[Step], isLagging: bool) -> None:
        world = World(seed, isLagging)
        for step in steps:
            world.do(step)
        world.settle()
        world.hangUp(60.0)
        self.flushLoggedErrors(HookTimeout, RoomError)
        self.assertEqual(world.violations, [])

    @schedules(KINDS, 20, 60)
    def test_memory(self, seed: int, steps: list[Step]) -> None:
        """Everything at once."""
        self.check(seed, steps, False)

    @schedules(KINDS, 20, 60)
    def test_lagging(self, seed: int, steps: list[Step]) -> None:
        """Journals that lag, owners that are lost."""
        self.check(seed, steps, True)
