from klein import Klein

from txroom import Application


class Echo(Application):
    def onMessage(self, connection, message):
        connection.send(message)


class Web:
    app = Klein()

    def __init__(self, server):
        self.server = server
        server.addApplication(Echo(), path="/chat")

    @app.route("/")
    def home(self, request):
        return "<h1>Welcome</h1>"

    @app.route("/chat")
    def chat(self, request):
        return self.server.resource()


def makeRoot(server):
    """Return the resource to serve. (You must also start the server.)"""
    return Web(server).app.resource()
