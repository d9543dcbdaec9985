from pathlib import Path

from twisted.web.static import Data

from chat import ChatRoom
from txroom import Server


def makeServer(clock=None):
    """The rooms at /rooms, a page at /, and the page's client at /txroom.js."""
    server = Server(clock=clock)
    server.register("chat", ChatRoom, maxClients=50, maxRooms=100).filterBy("topic")
    page = Path(__file__).with_name("room.html").read_bytes()
    server.addPage("/", Data(page, "text/html; charset=utf-8"))
    server.addClientScript()
    server.addHealthPage()
    return server
