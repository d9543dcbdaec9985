"""What passes from one owner of a room to the next."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.rooms.case import NotingRoom, Player, RoomTestCase, hostOf, onBothEngines
from txroom import History
from txroom.rooms.contract.records import Checkpoint, Loaded
from txroom.rooms.owner.tokens import digest


@onBothEngines
class EverythingTests(RoomTestCase):
    """The whole state of a room, and the room that is founded again with it."""

    def state(self) -> Loaded:
        """The state of the room, as it is after a journal has had it."""
        loaded = hostOf(self.room()).everything()
        return msgspec.msgpack.decode(msgspec.msgpack.encode(loaded), type=Loaded)

    def test_members(self) -> None:
        """The members, what was handled for them, and the answers that they may ask for again."""
        self.rooms(presence=True)
        ada, bob = self.joined(team="red"), self.joined()
        ada.send("say", 1, 1)
        ada.call("say", 2, 2)
        ada.send("say", 3, 3)
        bob.client.drop()
        self.settle()
        room = self.room()
        room.client(ada.joined["member"]).enter("red")
        room.client(bob.joined["member"]).meta = {"name": "bob"}
        state = self.state()
        first, second = state.members
        self.assertEqual((first.groups, second.meta), (("red",), {"name": "bob"}))
        self.assertEqual((first.options, first.tokens), ({"team": "red"}, (digest(ada.joined["token"]),)))
        self.assertEqual(max(each.n for each in state.handled), 3)
        self.assertEqual([each.reply is not None for each in state.handled if each.n == 2], [True])
        self.assertEqual({each.member for each in state.handled}, {first.member})

    def test_room(self) -> None:
        """The listing, the reserved seats and the expelled with their times, and the room's own data."""
        self.rooms(autoDispose=False)
        ada = self.joined(topic="x")
        seat = self.result(self.app.reserveSeat(ada.room, None, 60.0))
        self.result(self.app.reserveSeat(ada.room, None, 10.0))
        room, host = self.room(), hostOf(self.room())
        room.lock()
        room.clients[0].kick()
        host._parts.takeover.restore(Loaded(checkpoint=Checkpoint(2, b"saved")))
        self.advance(20)
        state = self.state()
        self.assertEqual(state.listing, room._host.listing)
        listing = room._host.listing
        self.assertEqual((listing.isLocked, listing.options), (True, {"topic": "x"}))
        (reserved,) = state.reserved
        self.assertEqual(reserved.seat, digest(seat))
        self.assertTrue(38.0 < reserved.seconds <= 40.0)
        (removed,) = state.removed
        self.assertEqual(removed.member, ada.joined["member"])
        self.assertEqual(removed.tokens, (digest(ada.joined["token"]),))
        self.assertTrue(38.0 < removed.seconds <= 40.0)
        self.assertEqual((state.members, state.checkpoint), ((), Checkpoint(2, b"saved")))

    def test_joining(self) -> None:
        """A client that is joining is no member yet, but its seat is still reserved."""
        self.rooms(Slow, autoDispose=False)
        host = self.joined()
        seat = self.result(self.app.reserveSeat(host.room, None, 60.0))
        self.player().write("joinById", 1, host.room, {"seat": seat, "wait": True})
        state = self.state()
        self.assertEqual([each.member for each in state.members], [host.joined["member"]])
        self.assertEqual([each.seat for each in state.reserved], [digest(seat)])

    def test_ended(self) -> None:
        """A room that has ended has nothing."""
        self.rooms()
        self.joined()
        host = hostOf(self.room())
        self.result(host.dispose())
        self.settle()
        host.refounded("another")
        self.assertEqual(host.everything(), Loaded())

    def founded(self) -> tuple[Player, Player]:
        """A room that is founded again; a member of it, and the same member when it has resumed."""
        ada = self.joined()
        ada.send("say", 1, 1)
        ada.send("tell", 2, 2)
        self.settle()
        ada.take()
        hostOf(self.room()).refounded("another")
        self.settle()
        self.assertEqual(ada.endings, [4101])
        again = self.player()
        again.resume(ada)
        return ada, again

    def test_refounded(self) -> None:
        """Its clients are told and resume, the members stay, and the log goes on in another epoch."""
        self.rooms(History20)
        ada, again = self.founded()
        joined = again.joined
        self.assertEqual((joined["member"], joined["epoch"]), (ada.joined["member"], "another"))
        self.assertEqual((joined["recovered"], joined["handled"]), (False, 2))
        self.assertEqual(again.said(), [1])
        again.room = ada.room
        again.send("say", 3, 3)
        self.assertEqual([frame[2:] for frame in again.take("msg")], [[3, "said", 3]])
        self.assertEqual(self.named("resume"), [False])
        self.assertEqual([entry.offset for entry in self.state().entries], [1, 3])
        # From now on clients can resume as usual.
        self.assertEqual(self.player().resume(again)[3]["recovered"], True)

    def test_refoundedInJoin(self) -> None:
        """A client that is joining meanwhile gets all that is sent meanwhile."""
        self.rooms(Slow, autoDispose=False)
        bob = self.player()
        bob.write("join", 1, "chat", {"wait": True})
        room = self.room()
        room.broadcast("said", "before")
        hostOf(room).refounded("another")
        room.broadcast("said", "after")
        self.advance(5)
        self.assertEqual(bob.frames[0][3]["epoch"], "another")
        self.assertEqual([frame[4] for frame in bob.take("msg")], ["before", "after"])


class History20(NotingRoom):
    """A room with a history."""

    history = History(limit=20, onJoin=20)


class Slow(NotingRoom):
    """A room that takes its time with some clients."""

    def onJoin(self, client: Any, options: Any) -> Any:
        return self.clock.sleep(3) if options else super().onJoin(client, options)
