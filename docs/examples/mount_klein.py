from klein import Klein

from txroom import Application


class Web:
    app = Klein()

    def __init__(self, server):
        self.server = server
        server.addApplication(Application(onMessage=lambda c, message: c.send(message)), path="/chat")

    @app.route("/")
    def home(self, request):
        return "<h1>Welcome</h1>"

    @app.route("/chat")
    def chat(self, request):
        return self.server.resource()


def makeRoot(server):
    """The resource to serve; the server's service has to be started as well."""
    return Web(server).app.resource()
