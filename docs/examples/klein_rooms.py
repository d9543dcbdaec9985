"""A Klein application and rooms on one port."""

import json
from collections import Counter

from klein import Klein
from twisted.web.resource import Resource

from txroom import Room, RoomError, Server, message


class Poll(Room):
    """Members vote; the first member to join is in the chair."""

    autoDispose = False

    def onCreate(self, options):
        self.votes = Counter()
        self.setMetadata({"question": options.get("question", "")})
        self.clock.callLater(3600, self.disconnect, "the poll is over")

    @message("vote")
    def vote(self, client, choice: str):
        if "choice" in client.data:
            raise RoomError("voted", "one vote each")
        client.data["choice"] = choice
        self.votes[choice] += 1
        self.broadcast("votes", dict(self.votes))

    async def close(self):
        """Ask the chair whether to close the poll, and close it."""
        if self.clients:
            chair = self.clients[0]
            if not await chair.call("close?", timeout=5):
                raise RoomError("declined", "the chair wants more votes")
        await self.disconnect("the poll is over")


class Web:
    """The HTTP side: views are methods, and may be coroutines."""

    app = Klein()

    def __init__(self, rooms):
        self.rooms = rooms

    @app.route("/")
    def home(self, request):
        return "<h1>Polls</h1>"

    @app.route("/polls", methods=["POST"])
    async def create(self, request):
        question = request.args[b"question"][0].decode()
        room = await self.rooms.createRoom("poll", {"question": question})
        return answer(request, {"id": room}, 201)

    @app.route("/polls")
    async def polls(self, request):
        found = await self.rooms.query("poll")
        polls = [
            {"id": each.room, "members": each.clients, **each.metadata}
            for each in found
        ]
        return answer(request, polls)

    @app.route("/polls/<id>")
    def results(self, request, id):
        return answer(request, self.poll(id).votes)

    @app.route("/polls/<id>/close", methods=["POST"])
    async def close(self, request, id):
        poll = self.poll(id)
        await poll.close()
        return answer(request, poll.votes)

    def poll(self, id):
        """The room of that id, which runs in this process."""
        if id not in self.rooms.rooms:
            raise RoomError("noSuchRoom", "there is no such poll")
        return self.rooms.rooms[id]

    @app.handle_errors(RoomError)
    def refused(self, request, failure):
        error = failure.value
        status = {"noSuchRoom": 404, "declined": 409, "timeout": 504}.get(
            error.code, 503
        )
        return answer(
            request, {"error": error.code, "message": error.message}, status
        )


def answer(request, data, status=200):
    request.setResponseCode(status)
    request.setHeader("Content-Type", "application/json")
    return json.dumps(data)


class Everything(Resource):
    """Hands every path to one resource."""

    def __init__(self, resource):
        super().__init__()
        self.resource = resource

    def getChild(self, name, request):
        request.postpath.insert(0, request.prepath.pop())
        return self.resource

    def render(self, request):
        return self.resource.render(request)


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("poll", Poll, clientsMayCreate=False)
    server.addClientScript()
    server.addPage("/", Everything(Web(server.rooms).app.resource()))
    return server
