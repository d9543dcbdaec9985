from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from txroom import Application, UpgradeError


class Watch(Resource):
    """Serves WebSockets at /watch/<name>, with one application for all names."""

    def __init__(self, server):
        super().__init__()
        self.sockets = server
        self.application = Application()
        self.watchers = {}

    def getChild(self, name, request):
        return self

    def render_GET(self, request):
        name = request.prepath[-1].decode()
        upgraded = self.sockets.handleUpgrade(request, self.application)
        upgraded.addCallbacks(self.upgraded, self.refused, callbackArgs=[name])
        return NOT_DONE_YET

    def upgraded(self, connection, name):
        watchers = self.watchers.setdefault(name, [])
        watchers.append(connection)
        connection.onDisconnect = lambda *args: watchers.remove(connection)

    def refused(self, failure: Failure):
        failure.trap(UpgradeError)  # the client has already been answered
