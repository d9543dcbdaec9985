from twisted.web.resource import Resource
from twisted.web.wsgi import WSGIResource

from txroom import Application, Server


class Echo(Application):
    def onMessage(self, connection, message):
        connection.send(message)


def hello(environ, start_response):
    """Your WSGI application, for instance of Flask or Django."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"WSGI was asked for " + environ["PATH_INFO"].encode()]


class Everything(Resource):
    """Passes every path to one resource."""

    def __init__(self, resource):
        super().__init__()
        self.resource = resource

    def getChild(self, name, request):
        request.postpath.insert(0, request.prepath.pop())
        return self.resource

    def render(self, request):
        return self.resource.render(request)


def makeServer(reactor, threadpool=None):
    server = Server(clock=reactor)
    server.addApplication(Echo(), path="/chat")
    wsgi = WSGIResource(reactor, threadpool or reactor.getThreadPool(), hello)
    server.addPage("/", Everything(wsgi))
    return server
