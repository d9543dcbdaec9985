"""The Python client and a server, over sockets: every frame, lost connections, a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint

from tests.functional.rooms import Ledger, Roll, makeServer
from tests.functional.support import LOCAL, SOON, Net, reactor, sleep, until
from txroom import RoomError, Server
from txroom.client import JSON_PROTOCOL, MSGPACK_PROTOCOL, Client, Loss


def endpointOf(server: Server) -> TCP4ClientEndpoint:
    """The endpoint that a server listens on."""
    return TCP4ClientEndpoint(reactor(), "127.0.0.1", server.address().port)


class Clients:
    """The clients of one test."""

    def __init__(self) -> None:
        self.made: list[Client] = []
        self.errors: list[Any] = []

    def of(self, server: Server, **options: Any) -> Client:
        """A client for a server, with an endpoint or with the URL."""
        url = f"ws://127.0.0.1:{server.address().port}/rooms"
        client = Client(url, reactor=reactor(), **{"auth": "open sesame", "minDelay": 0.02, **options})
        client.on("error", self.errors.append)
        self.made.append(client)
        return client

    async def close(self) -> None:
        """Close all clients."""
        for client in self.made:
            await client.close()


@pytest_twisted.async_yield_fixture
async def clients(net: Net) -> AsyncIterator[Clients]:
    clients = Clients()
    yield clients
    await clients.close()


async def refusal(deferred: Deferred[Any]) -> tuple[str, Any]:
    """The code and the details of the error with which a Deferred fails."""
    with pytest.raises(RoomError) as caught:
        await deferred
    return caught.value.code, caught.value.details


@pytest.mark.parametrize("protocol", [JSON_PROTOCOL, MSGPACK_PROTOCOL])
async def test_tour(net: Net, clients: Clients, protocol: str) -> None:
    """Every kind of frame is sent in both directions."""
    server = await net.start(makeServer())
    ada = clients.of(server, protocol=protocol)
    room = await ada.joinOrCreate("parlour", {"name": "ada"})
    welcome: list[Any] = []
    said: list[Any] = []
    typing: list[Any] = []
    room.on("welcome", lambda name, offset: welcome.append(name))
    room.on("said", lambda data, offset: said.append((data["text"], offset)))
    room.on("typing", lambda data, offset: typing.append((data, offset)))
    assert (room.name, room.status, room.snapshot) == ("parlour", "joined", {"said": 0})
    sent = room.send("say", "schön & 🦦")
    await sent
    assert sent.isHandled
    assert await room.call("roll", {"sides": 6}) == 6
    assert await room.call("roll", Roll(8)) == 8
    assert (welcome, said) == (["ada"], [("schön & 🦦", 2)])

    assert await refusal(room.call("roll", {"sides": "six"})) == ("invalidData", {"field": "sides"})
    assert await refusal(room.call("nonsense")) == ("unknownType", {"field": "type"})
    assert await refusal(room.call("fail")) == ("internal", None)
    assert await refusal(room.call("refuse")) == ("notNow", {"field": "time"})
    room.send("refuse")
    await until(lambda: clients.errors)
    assert [error.code for error in clients.errors] == ["notNow"]
    assert len(net.flush(ZeroDivisionError)) == 1

    async def double(n: int) -> int:
        await sleep(0.01)
        return n * 2

    room.handle("double", double)
    assert await room.call("ask", 21) == 42
    room.handle("double", lambda n: n * 3)
    assert await room.call("ask", 7) == 21
    room.send("typing", True, volatile=True)
    await until(lambda: typing)
    assert typing == [(True, None)]
    await room.send("say", "again")

    changes: list[Any] = []
    room.onPresence(lambda members, joined, left: changes.append((len(members), len(joined), len(left))))
    bob = clients.of(server)
    guest = await bob.join("parlour", {"name": "bob"})
    assert sorted(member.metas[0]["name"] for member in guest.members) == ["ada", "bob"]
    heard: list[Any] = []
    guest.on("said", lambda data, offset: heard.append(offset))
    await until(lambda: changes and heard)
    assert (changes, heard) == ([(2, 1, 0)], [3])
    assert len(room.members) == 2
    (listing,) = await bob.rooms("parlour", {})
    assert (listing["room"], listing["clients"]) == (room.id, 2)
    assert 0 < await bob.ping() < SOON
    await guest.leave()
    assert guest.status == "left"
    await until(lambda: len(changes) == 2)
    assert changes[-1] == (1, 0, 1)
    other = await bob.create("parlour", {"name": "bob"})
    assert other.id != room.id
    same = await bob.joinById(room.id, {"name": "bob"})
    assert same.id == room.id
    assert len(bob.joined) == 2

    endings: list[Any] = []
    same.on("left", lambda code, reason: endings.append((code, reason)))
    same.send("kick")
    await until(lambda: endings)
    assert endings == [(4003, "enough")]
    assert (await refusal(bob.joinById("nowhere")))[0] == "noSuchRoom"
    assert (await refusal(bob.joinOrCreate("unregistered")))[0] == "noSuchRoom"
    stranger = clients.of(server, auth=lambda: "wrong")
    assert (await refusal(stranger.joinOrCreate("parlour", {"name": "eve"})))[0] == "unauthorized"


async def test_bytes(net: Net, clients: Clients) -> None:
    """Bytes can be sent in MessagePack, but not in JSON."""
    server = await net.start(makeServer())
    room = await clients.of(server, protocol=MSGPACK_PROTOCOL).joinOrCreate("vault", {"name": "ada"})
    said: list[Any] = []
    room.on("said", lambda data, offset: said.append(data["text"]))
    await room.send("say", b"\x00\xff")
    assert said == [b"\x00\xff"]
    client = clients.of(server)
    assert (await refusal(client.joinOrCreate("vault", {"name": "bob"})))[0] == "badRequest"
    room = await client.joinOrCreate("parlour", {"name": "bob"})
    with pytest.raises(RoomError, match="bytes"):
        room.send("say", b"\x00")


@pytest.mark.parametrize("protocol", [JSON_PROTOCOL, MSGPACK_PROTOCOL])
async def test_cuts(net: Net, clients: Clients, protocol: str) -> None:
    """While TCP connections are cut all the time, no message is lost or doubled in either direction."""
    ledgers: list[Ledger] = []
    server = await net.start(makeServer(ledgers=ledgers))
    random, people, messages = Random(protocol), 6, 100
    seen: list[list[Any]] = [[] for _ in range(people)]
    answers: list[Any] = []
    counts = {"recovered": 0, "lost": 0}
    rooms = []

    def note(who: int, i: int, answer: int) -> None:
        answers.append((who, i, answer))

    def count(name: str, *args: object) -> None:
        counts[name] += 1

    for who in range(people):
        client = clients.of(server, protocol=protocol)
        room = await client.joinOrCreate("ledger", {"who": who})
        room.on("added", lambda data, offset, who=who: seen[who].append((offset, *data)))
        for name in counts:
            room.on(name, partial(count, name))
        rooms.append(room)
    (ledger,) = ledgers
    for i in range(1, messages + 1):
        for who, room in enumerate(rooms):
            if i % 3:
                room.send("add", i)
            else:
                room.call("add", i).addCallback(partial(note, who, i))
            if random.random() < 0.1:
                connection = random.choice(server.connections) if server.connections else None
                if connection is not None:
                    connection.terminate()
        await sleep(0.005)
    total = people * messages
    await until(lambda: all(len(each) >= total for each in seen) and len(answers) >= people * (messages // 3))
    for who in range(people):
        assert [i for by, i in ledger.handled if by == who] == list(range(1, messages + 1))
    expected = [(offset, *entry) for offset, entry in enumerate(ledger.handled, 1)]
    for each in seen:
        assert each == expected
    assert sorted(answers) == [(who, i, i * 2) for who in range(people) for i in range(3, messages + 1, 3)]
    assert counts["recovered"] > 0
    assert counts["lost"] == 0
    assert await gatherResults([room.leave() for room in rooms])


async def test_forgotten(net: Net, clients: Clients) -> None:
    """A client that was away for too long joins again and is told so; its queued messages are sent."""
    server = await net.start(makeServer())
    client = clients.of(server)
    room = await client.joinOrCreate("fleeting", {"name": "ada"})
    keeper = await clients.of(server).joinById(room.id, {"name": "bob"})
    member = room.member
    losses: list[Loss] = []
    said: list[Any] = []
    room.on("lost", losses.append)
    room.on("said", lambda data, offset: said.append(data["text"]))
    await room.send("say", "first")
    client.reconnect(0.5)
    room.send("say", "for later")
    await keeper.send("say", "meanwhile")
    await until(lambda: len(said) == 3)
    assert room.member != member
    assert [(loss.snapshot, loss.unconfirmed) for loss in losses] == [({"said": 2}, [])]
    assert said == ["first", "meanwhile", "for later"]


async def test_restart(net: Net, clients: Clients) -> None:
    """When the server stops, the client waits as long as it was asked to, and joins the next server."""
    server = await net.start(makeServer())
    client = clients.of(server)
    room = await client.joinOrCreate("parlour", {"name": "ada"})
    byes: list[Any] = []
    retries: list[Any] = []
    member = room.member
    client.on("bye", lambda code, retryAfter: byes.append((code, retryAfter)))
    client.on("reconnecting", lambda code, reason, attempt, delay: retries.append((code, delay)))
    where = LOCAL.replace("tcp:0", f"tcp:{server.address().port}")
    await server.stopService()
    await net.start(makeServer(), where)
    assert await room.call("roll", {"sides": 2}) == 2
    assert byes == [(4100, 1.0)]
    assert retries[0][0] == 4100
    assert retries[0][1] >= 1
    assert room.member != member


async def test_refused(net: Net, clients: Clients) -> None:
    """The client does not try again after an upgrade was refused with a final status."""
    server = await net.start(makeServer())
    url = f"ws://127.0.0.1:{server.address().port}/nowhere"
    client = Client(url, reactor=reactor())
    clients.made.append(client)
    assert await refusal(client.joinOrCreate("chat")) == ("noSuchRoom", {"status": 404})
    assert client.state == "idle"


async def test_endpoint(net: Net, clients: Clients) -> None:
    """
    The client connects to the endpoint and not to the URL; if no server is there, requests fail after their
    timeout.
    """
    server = await net.start(makeServer())
    client = Client(
        "http://rooms.localhost", endpoint=endpointOf(server), reactor=reactor(), auth="open sesame"
    )
    clients.made.append(client)
    assert client.url == "ws://rooms.localhost/rooms"
    room = await client.joinOrCreate("parlour", {"name": "ada"})
    assert room.status == "joined"
    nobody = Client("ws://127.0.0.1:1", reactor=reactor(), requestTimeout=0.3)
    clients.made.append(nobody)
    assert (await refusal(nobody.joinOrCreate("parlour")))[0] == "unavailable"


async def test_moved(net: Net, clients: Clients) -> None:
    """When the room has moved, the client resumes on the same connection, and no message is refused."""
    server = await net.start(makeServer())
    client = clients.of(server)
    room = await client.joinOrCreate("parlour", {"name": "ada"})
    said: list[str] = []
    events: list[str] = []
    room.on("said", lambda data, offset: said.append(data["text"]))
    room.on("recovered", lambda: events.append("recovered"))
    room.on("lost", lambda loss: events.append("lost"))
    (connection,) = server.connections
    for isKept, event in ((True, "recovered"), (False, "lost")):
        waiting: list[Any] = [room.send("move", isKept).whenHandled()]
        waiting += [room.send("say", text).whenHandled() for text in "abcd"]
        waiting.append(room.call("roll", {"sides": 6}))
        await gatherResults(waiting)
        await until(lambda event=event: event in events and room.status == "joined")  # type: ignore[misc]
    await room.send("say", "e")
    assert sorted(set(said)) == ["a", "b", "c", "d", "e"]
    assert events == ["recovered", "lost"]
    assert list(server.connections) == [connection]
    assert clients.errors == []
