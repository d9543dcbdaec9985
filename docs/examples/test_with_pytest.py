from txroom import Application


class Echo(Application):
    def onMessage(self, connection, message):
        connection.send(message)


def test_echo(txroomHarness):
    client = txroomHarness(Echo()).connect("/")
    client.send("text")
    client.send(b"binary")
    assert client.received == ["text", b"binary"]


def test_tooLong(txroomHarness):
    client = txroomHarness(Echo(), maxPayload=10).connect("/")
    client.send("eleven bytes")
    assert client.closeCode == 1009
