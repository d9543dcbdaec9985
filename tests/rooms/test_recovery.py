"""Losing connections, and coming back."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.rooms.case import NotingRoom, Player, RoomTestCase, hostOf, onBothEngines, onRedisToo
from txroom import Accept, Client, History, RoomApplication, RoomError, message
from txroom.rooms.contract.records import Checkpoint


@onBothEngines
class ResumeTests(RoomTestCase):
    """A client that comes back has missed nothing, or is told that it has."""

    def test_missed(self) -> None:
        """Exactly what it missed, in order, once: broadcasts and what was for it alone."""
        self.rooms()
        ada, bob = self.joined(), self.joined()
        ada.send("say", 1)
        ada.client.drop()
        self.settle()
        bob.send("say", 2)
        bob.send("tell", "not for ada")
        self.room(bob).client(ada.joined["member"]).send("told", 3)
        bob.send("say", 4)
        again = self.player()
        answer = again.resume(ada)
        self.assertEqual(answer[3]["recovered"], True)
        self.assertEqual(answer[3]["offset"], 1)
        self.assertEqual(again.said(), [2, 3, 4])
        self.assertEqual(self.named("resume"), [True])
        bob.send("say", 5)
        self.assertEqual(again.said(), [5])

    def test_excluded(self) -> None:
        """What it was excluded from isn't said to it later either."""

        class Chat(NotingRoom):
            @message("say")
            def say(self, client: Client, data: Any) -> None:
                self.broadcast("said", data, exclude=client)

        self.rooms(Chat)
        ada, bob = self.joined(), self.joined()
        ada.client.send(f'["send","{ada.room}","say",1]')
        ada.client.drop()
        bob.send("say", 2)
        again = self.player()
        again.resume(ada)
        self.assertEqual(again.said(), [2])
        self.assertEqual(bob.said(), [1])

    def test_accepted(self) -> None:
        """A client that comes back is told how many of its frames came, if not all are handled."""
        gate = self.waitingRooms("wait")
        ada = self.joined()
        ada.send("say", 1, 1)
        ada.send("wait", None, 2)
        ada.send("say", 3, 3)
        ada.client.drop()
        self.settle()
        again = self.player()
        joined = again.resume(ada)[3]
        self.assertEqual((joined["handled"], joined["accepted"]), (1, 3))
        again.send("say", 4, 4)
        gate.callback(None)
        self.settle()
        self.assertEqual(again.said(), [3, 4])
        self.assertNotIn("accepted", self.player().resume(again)[3])

    def test_row75_offsets(self) -> None:
        """In the log, or not; what isn't gets a snapshot, never a part."""

        class Chat(NotingRoom):
            history = History(limit=2, onJoin=2)
            recoveryLimit = 3

            def snapshot(self, client: Client) -> Any:
                return {"top": self.offset}

        self.rooms(Chat)
        ada, bob = self.joined(), self.joined()
        for number in range(1, 7):
            bob.send("say", number)
        ada.take()
        for offset, expected in (
            (6, []),
            (5, [6]),
            (3, [4, 5, 6]),
            (2, None),
            (0, None),
            (7, None),
            (-1, None),
            (2**64, None),
        ):
            again = self.player()
            answer = again.resume(ada, offset)
            self.assertEqual(answer[0], "joined", (offset, answer))
            self.assertEqual(answer[3]["recovered"], expected is not None, offset)
            if expected is None:
                self.assertEqual(answer[3]["snapshot"], {"top": 6})
                self.assertEqual((answer[3]["offset"], again.said()), (4, [5, 6]))
            else:
                self.assertEqual((answer[3]["offset"], again.said()), (offset, expected))
            ada = again
        again = self.player()
        self.assertEqual(again.resume(ada, 6, epoch="another")[3]["recovered"], False)

    def test_beforeItsTime(self) -> None:
        """What was said before it joined is none of its business, though it is in the log."""
        self.rooms(history=History(limit=10, onJoin=1))
        ada = self.joined()
        for number in range(1, 3):
            ada.send("say", number)
        bob = self.joined()
        self.assertEqual(bob.joined["offset"], 1)
        for number in range(3, 5):
            ada.send("say", number)
        bob.client.drop()
        again = self.player()
        self.assertEqual(again.resume(bob, 0)[3]["recovered"], False)
        self.assertEqual(again.said(), [4])
        third = self.player()
        self.assertEqual(third.resume(again, 1)[3]["recovered"], True)
        self.assertEqual(third.said(), [2, 3, 4])

    def test_row74_tokens(self) -> None:
        """Requests to resume that come late, with older tokens, don't cost the client the one that it has."""
        self.rooms()
        ada = self.joined()
        last = ada
        for _ in range(6):
            last.client.drop()
            again = self.player()
            self.assertEqual(again.resume(last)[0], "joined")
            last = again
        last.client.drop()
        self.assertEqual(self.player().resume(ada)[0], "joined")

    def test_row74_token(self) -> None:
        """Rotated; the old one is valid until the client has said something."""
        self.rooms()
        ada = self.joined()
        ada.client.drop()
        second = self.player()
        second.resume(ada)
        second.client.drop()  # `joined` was lost, say
        third = self.player()
        self.assertEqual(third.resume(ada)[0], "joined")
        third.send("say", 1)
        third.client.drop()
        self.settle()
        self.assertEqual(self.player().resume(ada)[3], "unauthorized")
        self.assertEqual(self.player().resume(second)[3], "unauthorized")
        self.assertEqual(self.player().resume(third)[0], "joined")
        self.assertEqual(self.player().resume(third, token="x.y")[3], "unauthorized")
        self.assertEqual(self.player().resume(third, token="\ud7ff")[3], "unauthorized")

    def test_joinedAgain(self) -> None:
        """A client that asks to join where it is already keeps its token: the answer may get lost."""
        self.rooms()
        ada = self.joined()
        token = ada.joined["token"]
        ada.client.send('["join",8,"chat",{}]')
        ada.send("say", 1)
        self.assertEqual([frame[3]["token"] for frame in ada.take("joined")], [token])
        ada.client.drop()
        again = self.player()
        self.assertEqual(again.resume(ada, token=token)[0], "joined")

    def test_resumedAndJoinedAgain(self) -> None:
        """Nor is that the first frame of a client that has resumed."""
        self.rooms()
        ada = self.joined()
        second = self.player()
        second.resume(ada)
        self.assertEqual(second.join()[3]["token"], second.joined["token"])
        second.client.drop()
        self.assertEqual(self.player().resume(ada)[0], "joined")

    def test_row73_takeover(self) -> None:
        """A new connection takes over from one that is open still."""
        self.rooms()
        ada = self.joined()
        ada.client.stall()
        self.room(ada).broadcast("said", 1)
        again = self.player()
        answer = again.resume(ada, 0)
        self.assertEqual(answer[3]["recovered"], True)
        self.assertEqual(again.said(), [1])
        ada.client.unstall()
        self.settle()
        self.assertEqual(ada.endings, [4005])
        self.advance(40)
        self.assertEqual(len(self.room(again).clients), 1)
        self.assertEqual(self.kinds(), ["create", "join", "resume"])

    def test_tooLate(self) -> None:
        """After `resumeSeconds` it has left."""
        self.rooms(autoDispose=False, presence=True)
        ada, bob = self.joined(), self.joined()
        ada.client.drop()
        self.advance(29)
        self.assertEqual(len(self.room().clients), 2)
        self.assertEqual(bob.take("presence"), [])
        self.advance(2)
        self.assertEqual(len(self.room().clients), 1)
        self.assertEqual([len(frame[3]) for frame in bob.take("presence")], [1])
        self.assertEqual(self.player().resume(ada)[3], "unauthorized")
        self.assertEqual(self.named("leave"), ["dropped"])

    def test_never(self) -> None:
        """With `resumeSeconds` 0 who loses its connection has left."""
        self.rooms(autoDispose=False, resumeSeconds=0)
        ada = self.joined()
        ada.client.drop()
        self.settle()
        self.assertEqual(self.kinds(), ["create", "join", "leave"])
        self.assertEqual(self.named("leave"), ["dropped"])
        self.assertEqual(self.player().resume(ada)[3], "unauthorized")

    def test_refusedMeanwhile(self) -> None:
        """A client that isn't let in keeps nothing in the log."""

        class Chat(NotingRoom):
            def onAuth(self, client: Client, options: Any, handshake: Any) -> bool:
                return not options

        self.rooms(Chat, recoveryLimit=3)
        ada = self.joined()
        self.assertEqual(self.player().join(bad=True)[3], "unauthorized")
        for number in range(4):
            ada.send("say", number)
        self.assertEqual(self.player().resume(ada, 0)[3]["recovered"], False)

    def test_row80_kicked(self) -> None:
        """A kicked client can't resume, and is told not to try anew; that is forgotten later."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        ada.client.drop()
        self.settle()
        self.room().clients[0].kick()
        self.settle()
        self.assertEqual(self.player().resume(ada)[3], "forbidden")
        self.assertEqual(self.player().resume(ada, token=ada.joined["token"] + "x")[3], "unauthorized")
        self.advance(60)
        self.assertEqual(self.player().resume(ada)[3], "unauthorized")

    def test_attempts(self) -> None:
        """An attempt to resume that comes after a later one changes nothing."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        ada.client.drop()
        again = self.player()
        self.assertEqual(again.resume(ada, attempt=12)[0], "joined")
        late = self.player()
        self.assertEqual(late.resume(ada, attempt=11)[3::2], ["unavailable", {"attempt": 12}])
        self.assertEqual(again.endings, [])
        # The one that it was refused for may be repeated, and has no number in other clients.
        for attempt in (12, 0, 12, 13):
            former, again = again, self.player()
            self.assertEqual(again.resume(former, attempt=attempt)[0], "joined")
            self.assertEqual(former.endings, [4005])
        # With a frame the client shows that it has the newest token: a new count begins.
        again.send("say", 1, 1)
        fresh = self.player()
        self.assertEqual(fresh.resume(again, attempt=1)[0], "joined")
        for attempt in (10, 20):
            self.assertEqual(self.player().resume(ada, attempt=attempt)[3], "unauthorized")
        self.assertEqual(fresh.endings, [])

    def test_expelled(self) -> None:
        """Nor who broke the protocol; with any token that it may have."""
        self.rooms(autoDispose=False)
        ada, bob = self.joined(), self.joined()
        ada.client.drop()
        self.settle()
        again = self.player()
        again.resume(ada)
        self.room().client(ada.joined["member"]).kick()
        bob.send("say", "out of order", 7)
        self.assertEqual(self.named("leave"), ["kicked", "misuse"])
        for former in (ada, again, bob):
            self.assertEqual(self.player().resume(former)[3], "forbidden")

    def test_row72_anotherUser(self) -> None:
        """The token is of no use to another user."""

        app = RoomApplication(verifyClient=lambda handshake: Accept(user=handshake.headers.get("x-user")))
        self.rooms(app=app)
        ada = self.player(headers={"X-User": "ada"})
        ada.join()
        self.assertEqual(self.player(headers={"X-User": "eve"}).resume(ada)[3], "forbidden")
        self.assertEqual(self.player().resume(ada)[3], "forbidden")
        self.assertEqual(self.player(headers={"X-User": "ada"}).resume(ada)[0], "joined")
        nobody = self.player()
        nobody.join()
        self.assertEqual(self.player(headers={"X-User": "eve"}).resume(nobody)[3], "forbidden")
        self.assertEqual(self.player().resume(nobody)[0], "joined")

    def test_closedForGood(self) -> None:
        """A socket that is closed with 1000 has left."""
        self.rooms()
        ada = self.joined()
        ada.client.close()
        self.settle()
        self.assertEqual(self.named("leave"), ["left"])

    def test_droppedWhileJoining(self) -> None:
        """It never was a member for anybody; after an onJoin there is an onLeave."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            presence = True

            def onJoin(self, client: Client, options: Any) -> Any:
                self.events.append(("join",))
                return gate if options.get("wait") else None

        self.rooms(Chat)
        ada = self.joined()
        bob = self.player()
        bob.write("join", 1, "chat", {"wait": 1})
        bob.client.drop()
        self.settle()
        gate.callback(None)
        self.settle()
        self.assertEqual(self.kinds(), ["create", "join", "join", "leave"])
        self.assertEqual(ada.take("presence"), [])
        self.assertEqual(len(self.room().clients), 1)

    def leftMeanwhile(self) -> Player:
        """A client that has left and then lost its connection, while a handler is at work for it."""
        self.gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            @message("wait")
            def wait(room, client: Client) -> Any:
                return self.gate

        self.rooms(Chat)
        ada = self.joined()
        ada.send("wait")
        ada.write("leave", 9, ada.room)
        ada.client.drop()
        self.settle()
        return ada

    def test_droppedAndLeft(self) -> None:
        """A client that has left before its turn to be dropped has come wasn't dropped."""
        self.leftMeanwhile()
        self.gate.callback(None)
        self.settle()
        self.assertEqual(self.kinds(), ["create", "join", "leave"])
        self.assertEqual(self.named("leave"), ["left"])

    def test_resumedAndLeft(self) -> None:
        """Nor has it come back, though it is told first that it has."""
        ada = self.leftMeanwhile()
        again = self.player()
        self.assertEqual(again.resume(ada)[0], "joined")
        self.gate.callback(None)
        self.settle()
        self.assertEqual(self.kinds(), ["create", "join", "leave"])
        self.assertEqual([frame[2] for frame in again.take("left")], [1000])

    def test_historyMeanwhile(self) -> None:
        """What is said while a newcomer is let in isn't shown to it twice, and all of it is kept."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            history = History(limit=10, onJoin=10)

            def onJoin(self, client: Client, options: Any) -> Any:
                return gate if options else None

        self.rooms(Chat, recoveryLimit=2)
        ada, bob = self.joined(), self.player()
        ada.send("say", "before")
        bob.write("join", 1, "chat", {"wait": True})
        for number in range(5):
            ada.send("say", number)
        gate.callback(None)
        self.settle()
        self.assertEqual(bob.said(), ["before", 0, 1, 2, 3, 4])

    def test_snapshot(self) -> None:
        """A newcomer gets the snapshot and the history that is meant for it."""

        class Chat(NotingRoom):
            history = History(limit=10, onJoin=2)

            def snapshot(self, client: Client) -> Any:
                return {"clients": len(self.clients)}

        self.rooms(Chat)
        ada = self.joined()
        for number in range(4):
            ada.send("say", number)
        ada.send("tell", "secret")
        bob = self.player()
        answer = bob.join()
        self.assertEqual(answer[3]["offset"], 2)
        self.assertEqual(answer[3]["snapshot"], {"clients": 1})
        self.assertEqual(bob.said(), [2, 3])
        self.assertEqual([past.data for past in self.room().messages], [0, 1, 2, 3])


@onBothEngines
class ExactlyOnceTests(RoomTestCase):
    """Numbered frames are handled once, whatever happens to the connection."""

    def test_ack(self) -> None:
        """Handled frames are acknowledged, together."""
        self.rooms()
        ada = self.joined()
        for n in range(1, 4):
            ada.client.send(f'["send","{ada.room}","say",{n},{n}]')
        self.advance(0.06)
        self.assertEqual(ada.take("ack")[-1], ["ack", ada.room, 3])

    def test_ackEarly(self) -> None:
        """Half a window is acknowledged at once."""
        self.rooms()
        ada = self.joined()
        for n in range(1, 41):
            ada.client.send(f'["send","{ada.room}","say",{n},{n}]')
        self.settle()
        self.advance(0.1)
        self.assertEqual([frame[2] for frame in ada.take("ack")], [32, 40])

    def test_again(self) -> None:
        """What comes again is dropped; calls are answered again."""
        self.rooms()
        ada = self.joined()
        ada.write("send", ada.room, "say", "x", 1)
        first = ada.call("say", "y", 2)
        ada.client.drop()
        again = self.player()
        self.assertEqual(again.resume(ada)[3]["handled"], 2)
        again.write("send", ada.room, "say", "x", 1)
        second = again.call("say", "y", 2)
        self.assertEqual(first[2], second[2])
        again.send("say", "z", 3)
        self.assertEqual(again.said(), ["z"])

    def test_outOfOrder(self) -> None:
        """A gap is a mistake of the client: 4010."""
        self.rooms()
        ada = self.joined()
        ada.send("say", 1, 2)
        self.assertEqual([frame[2] for frame in ada.take("left")], [4010])
        self.assertEqual(ada.client.closeCode, 4010)

    def test_window(self) -> None:
        """More than 64 that are not acknowledged are too many."""

        class Chat(NotingRoom):
            @message("hang")
            def hang(self, client: Client) -> Any:
                return Deferred()

        self.rooms(Chat)
        ada = self.joined()
        for n in range(1, 65):
            ada.client.send(f'["send","{ada.room}","hang",null,{n}]')
        self.settle()
        self.assertEqual(ada.take("left"), [])
        ada.send("hang", None, 65)
        self.assertEqual([frame[2] for frame in ada.take("left")], [4010])
        self.advance(11)
        self.flushLoggedErrors(RoomError)

    def test_windowAfterwards(self) -> None:
        """What `joined` says to be handled counts as acknowledged."""
        gate = self.waitingRooms("hang")
        ada = self.joined()
        for n in range(1, 11):
            ada.client.send(f'["send","{ada.room}","say",{n},{n}]')
        self.harness.advance(0.03)
        ada.client.drop()
        again = self.player()
        self.assertEqual(again.resume(ada)[3]["handled"], 10)
        for n in range(11, 75):
            again.client.send(f'["send","{ada.room}","hang",null,{n}]')
        self.settle()
        self.assertEqual(again.take("left"), [])
        again.send("hang", None, 75)
        self.assertEqual([frame[2] for frame in again.take("left")], [4010])
        gate.callback(None)
        self.settle()

    def test_replyLost(self) -> None:
        """The last 64 replies are kept."""
        self.rooms(recoveryLimit=1000)
        ada = self.joined()
        for n in range(1, 66):
            self.advance(0.1)
            ada.call("say", n, n)
        again = self.player()
        again.resume(ada)
        again.room = ada.room
        self.assertEqual(again.call("say", 1, 1)[3], "replyLost")
        self.assertEqual(again.call("say", 2, 2)[0], "reply")

    def test_pending(self) -> None:
        """A call that is still running answers the connection that is there then."""
        gate = self.waitingRooms("wait")
        ada = self.joined()
        ada.write("call", 50, ada.room, "wait", None, 1)
        ada.client.drop()
        again = self.player()
        self.assertEqual(again.resume(ada)[3]["handled"], 0)
        again.write("call", 60, ada.room, "wait", None, 1)
        gate.callback("done")
        self.settle()
        self.assertEqual(again.take("reply"), [["reply", 60, "done"]])


@onRedisToo
class OwnerTests(RoomTestCase):
    """The room moves when its owner is lost; clients resume and nobody notices much."""

    isLagging = True

    def lose(self, isApplied: bool) -> tuple[Player, Player]:
        """A member whose room's owner is lost right after it had handled a message."""
        self.rooms(presence=True)
        ada = self.joined()
        ada.send("say", 1, 1)
        ada.client.send(f'["send","{ada.room}","say",2,2]')
        # Until the owner has handled it, and not a moment longer.
        while self.room().offset < 2:
            self.harness.advance(0.0005)
        self.engine.loseOwner(ada.room, isApplied)
        self.advance(1)
        self.assertEqual(ada.endings, [4101])
        again = self.player()
        again.resume(ada)
        return ada, again

    def test_applied(self) -> None:
        """The last batch is committed: the client needn't send it again."""
        ada, again = self.lose(True)
        self.assertEqual(ada.said(), [1])
        self.assertEqual((again.joined["recovered"], again.joined["handled"]), (True, 2))
        self.assertEqual(again.said(), [2])
        self.assertEqual(self.named("resume"), [True])
        self.assertTrue(self.room().isRestored)

    def test_notApplied(self) -> None:
        """It isn't: the client sends it again, and it is handled once."""
        ada, again = self.lose(False)
        self.assertEqual(ada.said(), [1])
        self.assertEqual((again.joined["recovered"], again.joined["handled"]), (True, 1))
        again.room = ada.room
        again.send("say", 2, 2)
        self.assertEqual(again.said(), [2])
        self.assertEqual(again.frames[-1][0] in ("ack", "msg"), True)

    def test_neverBack(self) -> None:
        """Nor does a member stay for ever who never came to the new owner."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        self.settle()
        self.engine.loseOwner(ada.room, False)
        self.advance(1)
        bob = self.player()
        self.assertEqual(bob.ask("joinById", ada.room, {})[0], "joined")
        self.advance(29)
        self.assertEqual(len(self.room().clients), 2)
        self.advance(2)
        self.assertEqual(len(self.room().clients), 1)
        self.assertEqual(self.named("leave"), ["dropped"])

    def test_disposed(self) -> None:
        """The old instance is disposed of, once; onLeave is the new one's business."""
        _, again = self.lose(True)
        self.assertEqual(self.kinds().count("dispose"), 1)
        self.assertEqual(self.kinds().count("leave"), 0)
        again.ask("leave", again.room)
        self.advance(3)
        self.assertEqual((self.kinds().count("dispose"), self.kinds().count("leave")), (2, 1))

    def test_room(self) -> None:
        """What the room was made with and has become it still is."""
        self.rooms()
        ada, bob, eve = self.joined(topic="x"), self.joined(), self.joined()
        room = self.room()
        eve.ask("leave", eve.room)
        room.lock()
        room.setPrivate()
        room.setMetadata({"level": 3})
        room.client(ada.joined["member"]).enter("red")
        room.client(bob.joined["member"]).meta = {"name": "bob"}
        self.settle()
        self.engine.loseOwner(ada.room, False)
        self.advance(1)
        self.player().resume(ada)
        moved = self.room()
        self.assertIsNot(moved, room)
        self.assertEqual((moved.isLocked, moved.isPrivate, moved.metadata), (True, True, {"level": 3}))
        self.assertEqual(moved.options, {"topic": "x"})
        (client,) = moved.group("red")
        self.assertEqual((client.id, client.options), (ada.joined["member"], {"topic": "x"}))
        self.assertEqual(moved.members[1]["metas"], [{"name": "bob", "member": bob.joined["member"]}])
        self.assertEqual(len(moved.clients), 2)

    def test_notTheUser(self) -> None:
        """A client that may resume is known to the next owner too, whatever onAuth has made of the user."""

        class Chat(NotingRoom):
            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                return {"id": "player 1"}

        app = RoomApplication(verifyClient=lambda handshake: Accept(user=handshake.headers.get("x-user")))
        self.rooms(Chat, app=app)
        ada = self.player(headers={"X-User": "ada"})
        ada.join()
        self.settle()
        self.engine.loseOwner(ada.room, False)
        self.advance(1)
        self.assertEqual(self.player(headers={"X-User": "eve"}).resume(ada)[3], "forbidden")
        self.assertEqual(self.player().resume(ada)[3], "forbidden")
        self.assertEqual(self.player(headers={"X-User": "ada"}).resume(ada)[0], "joined")

    def test_replies(self) -> None:
        """An answer that got lost with the owner is given by the next one."""
        ada, again = self.lose(True)
        self.assertEqual(again.joined["handled"], 2)
        again.room = ada.room
        first = again.call("say", "x", 3)
        self.settle()
        self.engine.loseOwner(ada.room, False)
        self.advance(1)
        third = self.player()
        self.assertEqual(third.resume(again)[3]["handled"], 3)
        self.assertEqual(third.call("say", "x", 3)[2], first[2])

    def test_beforeItsTime(self) -> None:
        """The next owner too knows when a member has come in."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        ada.send("say", 1)
        bob = self.joined()
        ada.send("say", 2)
        self.settle()
        self.engine.loseOwner(ada.room, False)
        self.advance(1)
        again = self.player()
        self.assertEqual(again.resume(bob, 0)[3]["recovered"], False)
        self.assertEqual(again.said(), [])
        third = self.player()
        self.assertEqual(third.resume(again, 1)[3]["recovered"], True)
        self.assertEqual(third.said(), [2])

    def test_oldToken(self) -> None:
        """A token that was good no more is so for the next owner."""
        self.rooms()
        ada = self.joined()
        ada.client.drop()
        again = self.player()
        again.resume(ada)
        again.room = ada.room
        again.send("say", 1)
        self.engine.loseOwner(ada.room, False)
        self.advance(1)
        self.assertEqual(self.player().resume(ada)[3], "unauthorized")
        self.assertEqual(self.player().resume(again)[0], "joined")

    def test_attemptMoved(self) -> None:
        """The next owner too knows the last attempt."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        ada.client.drop()
        self.player().resume(ada, attempt=12)
        self.engine.loseOwner(ada.room, False)
        self.advance(1)
        self.assertEqual(self.player().resume(ada, attempt=11)[3::2], ["unavailable", {"attempt": 12}])
        self.assertEqual(self.player().resume(ada, attempt=13)[0], "joined")

    def test_kicked(self) -> None:
        """The next owner knows who was kicked, for as long as the earlier one would have."""
        self.rooms(autoDispose=False)
        ada, bob = self.joined(), self.joined()
        self.room().client(ada.joined["member"]).kick()
        bob.send("say", "out of order", 7)
        self.settle()
        for _ in range(2):
            self.engine.loseOwner(ada.room, False)
            self.advance(1)
            for former in (ada, bob):
                self.assertEqual(self.player().resume(former)[3], "forbidden")
        self.advance(61)
        self.assertEqual(self.player().resume(ada)[3], "unauthorized")

    def test_history(self) -> None:
        """The messages of an earlier owner grow old too."""

        class Chat(NotingRoom):
            autoDispose = False
            history = History(seconds=60, onJoin=9)

        self.rooms(Chat)
        ada = self.joined()
        for number in range(3):
            ada.send("say", number)
            self.advance(20)
            self.engine.loseOwner(ada.room, False)
            self.advance(0.1)
            again = self.player()
            again.resume(ada)
            ada = again
        bob = self.player()
        bob.ask("joinById", ada.room, {})
        self.assertEqual(bob.said(), [1, 2])

    def test_checkpoint(self) -> None:
        """The data that the room has saved stays with it."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        hostOf(self.room()).outbox.record(Checkpoint(3, b"saved"))
        self.settle()
        for _ in range(2):
            self.engine.loseOwner(ada.room, False)
            self.advance(1)
            self.assertEqual(self.player().resume(ada)[0], "joined")
        self.assertEqual(self.engine.stored[ada.room].loaded().checkpoint, Checkpoint(3, b"saved"))

    def test_cantBegin(self) -> None:
        """A room that can't begin with its next owner is left to the one after it."""
        faults: list[Exception] = [ValueError("no"), RoomError("no")]

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> None:
                if self.isRestored and faults:
                    raise faults.pop()

        self.rooms(Chat)
        ada = self.joined()
        ada.send("say", 1, 1)
        self.engine.loseOwner(ada.room, True)
        self.advance(1)
        answers = [self.player().resume(ada)]
        while answers[-1][0] != "joined" and len(answers) < 10:
            self.assertEqual(answers[-1][3], "unavailable")
            self.advance(6)  # it is not tried again at once
            answers.append(self.player().resume(ada))
        joined = answers[-1][3]
        self.assertEqual((faults, joined["recovered"], joined["handled"]), ([], True, 1))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_refsOfCalls(self) -> None:
        """A late answer to a call of an earlier owner doesn't meet one of the next."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        room = self.room()
        lost = room.clients[0].call("question")
        self.settle()
        (before,) = ada.take("call")
        self.engine.loseOwner(ada.room, True)
        self.advance(1)
        self.failureResultOf(lost, RoomError)
        again = self.player()
        again.resume(ada)
        asked = self.room().clients[0].call("question")
        self.settle()
        (now,) = again.take("call")
        again.write("reply", ada.room, before[1], "late")
        again.write("reply", ada.room, now[1], "right")
        self.assertEqual(self.result(asked), "right")
        self.assertEqual((before[1], now[1]), ((1 << 32) + 1, (2 << 32) + 1))

    def test_neverCommitted(self) -> None:
        """A Deferred for a commit that will never be fails."""
        self.rooms()
        ada = self.joined()
        self.room().broadcast("said", 1)
        committed = self.room().whenCommitted()
        self.engine.loseOwner(ada.room, False)
        self.advance(1)
        self.failureResultOf(committed, RoomError)
        self.assertEqual(ada.said(), [])

    def test_forgotten(self) -> None:
        """The journal keeps nothing of a client that is gone, though a handler was still running."""
        gate = self.waitingRooms("wait", autoDispose=False)
        ada = self.joined()
        ada.send("say", 1, 1)
        ada.send("wait", None, 2)
        self.room().clients[0].kick()
        self.settle()
        gate.callback(None)
        self.settle()
        stored = self.engine.stored[ada.room]
        self.assertEqual((stored.members, stored.handled), ({}, {}))

    def test_seat(self) -> None:
        """A seat that was reserved still is, for the client with the token, once."""
        self.rooms(maxClients=2, autoDispose=False)
        ada = self.joined()
        seat = self.result(self.app.reserveSeat(ada.room, None, 10.0))
        for _ in range(2):
            self.settle()
            self.engine.loseOwner(ada.room, False)
            self.advance(1)
            self.assertEqual(self.player().ask("joinById", ada.room, {})[3], "full")
        bob = self.player()
        self.assertEqual(bob.ask("joinById", ada.room, {"seat": seat})[0], "joined")
        self.settle()
        self.engine.loseOwner(ada.room, False)
        self.advance(1)
        self.assertEqual(self.player().ask("joinById", ada.room, {"seat": seat})[3], "forbidden")
        self.assertEqual(self.player().resume(bob)[0], "joined")

    def test_seatReserved(self) -> None:
        """Once it is said to be reserved it can't get lost; a room without an owner gets one first."""
        self.rooms(maxClients=1, autoDispose=False)
        room = self.result(self.app.createRoom("chat"))
        for user in ("ada", "bob"):
            asked = self.app.reserveSeat(room, user, 10.0)
            asked.addCallback(lambda seat: (self.engine.loseOwner(room, False), seat)[1])
            seat = self.result(asked)
            self.advance(1)
            self.assertEqual(self.player().ask("joinById", room, {"seat": seat})[3], "forbidden")
            self.assertEqual(self.player().ask("joinById", room, {})[3], "full")
            self.advance(11)
            self.engine.loseOwner(room, False)

    def test_seatUnused(self) -> None:
        """It has all its time again, and is free then, for good."""
        self.rooms(maxClients=1, autoDispose=False)
        room = self.result(self.app.createRoom("chat"))
        self.result(self.app.reserveSeat(room, None, 10.0))
        self.advance(9)
        self.engine.loseOwner(room, False)
        self.advance(1)
        self.assertEqual(self.player().ask("joinById", room, {})[3], "full")
        self.advance(8)
        self.assertEqual(self.player().ask("joinById", room, {})[3], "full")
        self.advance(3)
        self.engine.loseOwner(room, False)
        self.advance(1)
        self.assertEqual(self.player().ask("joinById", room, {})[0], "joined")

    def test_seatNotYetTaken(self) -> None:
        """A client on its way in when the owner was lost comes in at the next one, with the same token."""
        gates: list[Deferred[bool]] = [Deferred()]

        class Chat(NotingRoom):
            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                return gates.pop() if gates else True

        self.rooms(Chat, maxClients=1, autoDispose=False)
        room = self.result(self.app.createRoom("chat"))
        seat = self.result(self.app.reserveSeat(room, None, 10.0))
        ada = self.player()
        ada.write("joinById", 1, room, {"seat": seat})
        self.assertEqual(gates, [])
        self.engine.loseOwner(room, False)
        self.advance(1)
        self.assertEqual([frame[:2] for frame in ada.take()], [["joined", 1]])
        self.assertEqual(len(self.room().clients), 1)
        self.advance(11)
        self.flushLoggedErrors(RoomError)

    def test_timers(self) -> None:
        """No tick of the old instance, though a handler of it runs still; nor a message behind that."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            tickRate = 10.0

            def onTick(self, seconds: float) -> None:
                self.events.append(("tick",))

            @message("wait")
            def wait(self, client: Client) -> Any:
                return gate

        self.rooms(Chat)
        ada = self.joined()
        asked = self.room().client(ada.joined["member"]).call("well")
        ada.send("wait")
        ada.send("say", "late")
        self.engine.loseOwner(ada.room, False)
        self.advance(0.05)
        self.failureResultOf(asked, RoomError)
        self.events.clear()
        self.advance(1)
        self.assertEqual(self.events, [])
        gate.callback(None)
        self.advance(1)
        self.assertEqual(self.kinds(), ["dispose"])

    def test_beforeItBegan(self) -> None:
        """The owner is lost while onCreate runs: there is no room, and onDispose undoes onCreate."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            tickRate = 10.0

            def onCreate(self, options: Any) -> Any:
                return gate

            def onTick(self, seconds: float) -> None:
                self.events.append(("tick",))

        self.rooms(Chat)
        ada = self.player()
        ada.write("join", 1, "chat", {})
        self.engine.loseOwner(self.room().id, False)
        self.advance(1)
        self.assertEqual(self.events, [])
        gate.callback(None)
        self.advance(1)
        self.assertEqual(self.kinds(), ["dispose"])
        self.assertEqual([frame[:4] for frame in ada.take()], [["error", 1, None, "unavailable"]])
        self.assertEqual((self.engine.hosts, len(self.app.rooms)), ({}, 0))

    def test_gone(self) -> None:
        """A client that doesn't come back leaves, where the room is now."""
        _, again = self.lose(True)
        bob = self.joined()
        again.client.drop()
        self.advance(31)
        self.assertEqual(self.named("leave"), ["dropped"])
        self.assertEqual([len(frame[3]) for frame in bob.take("presence")], [1])


class FaultTests(RoomTestCase):
    """What owners do about faults of their engine."""

    isLagging = True

    def test_stalled(self) -> None:
        """While nothing is committed, messages wait; then they are handled in order, and nothing is lost."""
        self.rooms()
        ada, bob = self.joined(), self.joined()
        room = self.room()
        self.engine.stall(room.id, 10.0)
        ada.send("say", 1, 1)
        self.advance(2.5)
        for number in (2, 3, 4):
            ada.send("say", number, number)
        bob.send("tell", 5)
        room.broadcast("seen", 1, volatile=True)
        self.settle()
        self.assertEqual((room.offset, ada.said(), bob.said()), (1, [1], [1]))
        self.advance(10)
        self.assertEqual(ada.said(), [1, 2, 3, 4])
        self.assertEqual(sorted(bob.said()), [1, 2, 3, 4, 5])
        self.assertEqual([frame[2] for frame in ada.frames if frame[0] == "ack"][-1], 4)

    def test_lostInStall(self) -> None:
        """If the room is lost instead, the next owner handles the messages that wait."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        room = self.room()
        self.engine.stall(room.id, 60.0)
        ada.send("say", 1, 1)
        self.advance(3)
        ada.send("say", 2, 2)
        self.engine.loseOwner(ada.room, False)
        self.advance(1)
        self.assertEqual((ada.endings, self.kinds()[-1], room.offset), ([4101], "dispose", 1))
        again = self.player()
        self.assertEqual(again.resume(ada)[3]["handled"], 0)
        again.room = ada.room
        for number in (1, 2):
            again.send("say", number, number)
        self.assertEqual(again.said(), [1, 2])
        self.advance(60)

    def test_handedOver(self) -> None:
        """An owner whose process stops commits everything, and then the room is the next owner's."""
        self.rooms()
        ada = self.joined()
        ada.send("say", 1, 1)
        ada.client.send(f'["send","{ada.room}","say",2,2]')
        while self.room().offset < 2:
            self.harness.advance(0.0005)
        self.engine.handOver(ada.room)
        self.advance(1)
        self.assertEqual((ada.said(), ada.endings), ([1, 2], [4101]))
        self.assertEqual((self.kinds()[-1], self.kinds().count("leave")), ("dispose", 0))
        joined = self.player().resume(ada)[3]
        self.assertEqual((joined["recovered"], joined["handled"]), (True, 2))

    def test_refounded(self) -> None:
        """If all that is stored is lost, the owner founds the room again; later owners go on from that."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        ada.send("say", 1, 1)
        before = self.engine.stored[ada.room].epoch
        self.engine.refound(ada.room)
        self.advance(1)
        self.assertEqual(ada.endings, [4101])
        again = self.player()
        joined = again.resume(ada)[3]
        self.assertEqual((joined["recovered"], joined["handled"]), (False, 1))
        self.assertNotEqual(joined["epoch"], before)
        again.room = ada.room
        again.send("say", 2, 2)
        self.engine.loseOwner(ada.room, True)
        self.advance(1)
        joined = self.player().resume(again)[3]
        self.assertEqual((joined["recovered"], joined["handled"]), (True, 2))
        self.assertEqual(joined["epoch"], again.joined["epoch"])

    def test_forgottenEntries(self) -> None:
        """The journal is told which messages nobody needs any more."""

        class Chat(NotingRoom):
            recoveryLimit = 10

        self.rooms(Chat)
        ada = self.joined()
        for number in range(300):
            self.room().broadcast("said", number)
        self.settle()
        stored = self.engine.stored[ada.room]
        self.assertLess(len(stored.log), 120)
        self.assertEqual(stored.log[-1].offset, 300)
        self.engine.loseOwner(ada.room, True)
        self.advance(1)
        self.assertEqual(self.player().resume(ada, 295)[3]["recovered"], True)

    def test_newEpoch(self) -> None:
        """If the records may have lost their tail, the next owner begins a new epoch; clients are told."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        ada.send("say", 1, 1)
        self.engine.loseOwner(ada.room, True)
        self.engine.renewEpoch(ada.room)
        self.advance(1)
        joined = self.player().resume(ada)[3]
        self.assertEqual((joined["recovered"], joined["handled"]), (False, 1))
        self.assertNotEqual(joined["epoch"], ada.joined["epoch"])

    def test_refoundedCheckpoint(self) -> None:
        """The data that the room has saved, and the expelled, are founded again too."""
        self.rooms(autoDispose=False)
        ada, bob = self.joined(), self.joined()
        hostOf(self.room()).outbox.record(Checkpoint(3, b"saved"))
        self.room().client(bob.joined["member"]).kick()
        self.settle()
        self.engine.loseOwner(ada.room, False)
        self.advance(1)
        again = self.player()
        self.assertEqual(again.resume(ada)[0], "joined")
        self.engine.refound(ada.room)
        self.advance(1)
        self.engine.loseOwner(ada.room, True)
        self.advance(1)
        self.assertEqual(self.player().resume(again)[0], "joined")
        self.assertEqual(self.engine.stored[ada.room].loaded().checkpoint, Checkpoint(3, b"saved"))
        self.assertEqual(self.player().resume(bob)[3], "forbidden")
