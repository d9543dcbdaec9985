from txroom import Application, Room, message


class Echo(Application):
    def onMessage(self, connection, message):
        connection.send(message)


class Dice(Room):
    @message("roll")
    def roll(self, client, sides: int):
        self.broadcast("rolled", sides)
        return sides


def test_echo(txroomHarness):
    client = txroomHarness(Echo()).connect("/")
    client.send("text")
    client.send(b"binary")
    assert client.received == ["text", b"binary"]


def test_tooLong(txroomHarness):
    client = txroomHarness(Echo(), maxPayload=10).connect("/")
    client.send("eleven bytes")
    assert client.closeCode == 1009


def test_room(txroomHarness):
    harness = txroomHarness({"dice": Dice})
    ann, bob = harness.client().join("dice"), harness.client().join("dice")
    assert ann.call("roll", 6) == 6
    assert bob.expect("rolled") == 6
