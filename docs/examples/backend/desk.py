"""A room in which customers ask questions and a service answers them."""

from hmac import compare_digest

from txroom import CallError, Room, RoomError, Server, message

AGENT_TOKEN = "change me"


class Desk(Room):
    def onAuth(self, client, options, handshake):
        isAgent = compare_digest(str(options.get("auth", "")), AGENT_TOKEN)
        return {"isAgent": isAgent}

    @message("ask")
    async def ask(self, client, question: str):
        """Ask the agent, and return its answer to the customer."""
        for agent in self.clients:
            if agent.user["isAgent"] and agent.isConnected:
                try:
                    return await agent.call("answer", question, timeout=5)
                except CallError as error:  # the agent answered with an error
                    raise RoomError("noAnswer", error.message) from error
        raise RoomError("closed", "no agent is at the desk")

    @message("announce")
    def announce(self, client, text: str):
        if not client.user["isAgent"]:
            raise RoomError("forbidden", "only the agent announces")
        self.broadcast("announced", text)


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("desk", Desk)
    return server
