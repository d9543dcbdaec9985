"""Messages cost nothing more with an admin listener, `userId` and clients that ask for notifications."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import txroom
from tests.admin.case import TOKEN, WHERE
from tests.case import HarnessTestCase
from txroom import Accept, Application, Room, message
from txroom import Client as RoomClient
from txroom.rooms.meters import RoomMeters
from txroom.testing import Client, RoomHarness

#: Where txroom is.
HERE = str(Path(txroom.__file__).parent)


class Talk(Room):
    """A room that answers, and tells all members."""

    @message("say")
    def say(self, client: RoomClient, data: Any) -> None:
        self.broadcast("said", data)

    @message("ask")
    def ask(self, client: RoomClient, data: Any) -> Any:
        return data


class CostTests(HarnessTestCase):
    """Which functions of txroom are called for a message; unlike times, that is the same in each run."""

    def begin(self, isFull: bool) -> tuple[RoomHarness, Client, Client]:
        """A server with a room of three; one of its members, and a client that gets its messages back."""
        self.patch(RoomMeters, "startTiming", lambda meters: None)  # metrics have a cost of their own
        harness = self.serve({"talk": Talk})
        server = harness.server
        server.rooms.verifyClient = lambda handshake: Accept(user={"number": 7})
        echo = Application(onMessage=lambda connection, data: connection.send(data))
        server.addApplication(echo, path="/echo")
        if isFull:
            server.userId = lambda user: f"player-{user['number']}"  # type: ignore[method-assign]
            server.addAdmin(WHERE, token=TOKEN)
        members = [harness.connect("/rooms/talk", protocols=["txroom.v1.json"]) for _ in range(3)]
        for each in members:
            if isFull:
                each.send('["notify","d",null,0]')
                harness.flush()
            self.assertEqual(any("notified" in str(got) for got in each.received), isFull)
        return harness, members[0], harness.connect("/echo")

    def called(self, isFull: bool) -> list[Counter[str]]:
        """The functions that are called for an echo, a message to the room and a call of the room."""
        harness, member, echo = self.begin(isFull)
        found: list[Counter[str]] = []

        def note(frame: Any, event: str, value: Any) -> None:
            code = frame.f_code
            # Not those of the tests' clock, which sorts its timers.
            if event == "call" and code.co_filename.startswith(HERE):
                calls[f"{code.co_filename.removeprefix(HERE)}: {code.co_name}"] += 1

        def send(client: Client, text: str) -> None:
            before = len(client.received)
            client.send(text)
            harness.flush()
            self.assertGreater(len(client.received), before)

        for act in (
            lambda: send(echo, "hello"),
            lambda: send(member, '["send",null,"say","hello"]'),
            lambda: send(member, '["call",9,null,"ask","hello"]'),
        ):
            for _ in range(5):  # the first ones fill caches
                act()
            calls: Counter[str] = Counter()
            sys.setprofile(note)
            try:
                act()
            finally:
                sys.setprofile(None)
            found.append(calls)
        return found

    def test_same(self) -> None:
        """An echo, a broadcast and an answer call the same functions as often as without all this."""
        without, full = self.called(False), self.called(True)
        for before, after in zip(without, full, strict=True):
            self.assertGreater(before.total(), 10)
            self.assertEqual(dict(after - before), {})
            self.assertEqual(dict(before - after), {})
