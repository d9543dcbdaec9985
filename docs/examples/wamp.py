"""
A small WAMP router beside rooms. The clients of the rooms get the events that a
back end publishes.
"""

from itertools import count

from autobahn.twisted.websocket import WampWebSocketServerFactory
from autobahn.wamp import message as wamp
from autobahn.wamp.protocol import BaseSession
from autobahn.wamp.role import RoleBrokerFeatures, RoleDealerFeatures

from txroom import Room, Server


class Router:
    """The subscribers of each topic, and the registered procedures."""

    def __init__(self, onPublish):
        self.onPublish = onPublish
        self.ids = count(1)
        self.subscribers = {}  # topic -> session -> id of the subscription
        self.procedures = {}  # name -> (session, id of the registration)
        self.calls = {}  # id of an invocation -> (session, request)

    def __call__(self):
        return RouterSession(self)

    def forget(self, session):
        for subscribers in self.subscribers.values():
            subscribers.pop(session, None)
        self.procedures = {
            name: each
            for name, each in self.procedures.items()
            if each[0] is not session
        }


class RouterSession(BaseSession):
    """The router's side of one WAMP session."""

    def __init__(self, router):
        super().__init__()
        self.router = router

    def onOpen(self, transport):
        """Wait for the first message of the client."""

    def onMessage(self, received):
        handler = getattr(self, "on" + type(received).__name__, None)
        if handler is None:
            self.transport.abort()
        else:
            handler(received)

    def onClose(self, wasClean):
        self.router.forget(self)

    def onHello(self, hello):
        roles = {"broker": RoleBrokerFeatures(), "dealer": RoleDealerFeatures()}
        self._session_id = next(self.router.ids)
        self.transport.send(
            wamp.Welcome(self._session_id, roles, realm=hello.realm)
        )

    def onGoodbye(self, goodbye):
        self.transport.send(wamp.Goodbye())

    def onSubscribe(self, asked):
        subscription = next(self.router.ids)
        self.router.subscribers.setdefault(asked.topic, {})[self] = subscription
        self.transport.send(wamp.Subscribed(asked.request, subscription))

    def onPublish(self, published):
        publication = next(self.router.ids)
        subscribers = self.router.subscribers.get(published.topic, {})
        for session, subscription in subscribers.items():
            if session is not self:
                event = wamp.Event(
                    subscription,
                    publication,
                    args=published.args,
                    kwargs=published.kwargs,
                )
                session.transport.send(event)
        if published.acknowledge:
            self.transport.send(wamp.Published(published.request, publication))
        self.router.onPublish(published.topic, published.args or [])

    def onRegister(self, asked):
        registration = next(self.router.ids)
        self.router.procedures[asked.procedure] = (self, registration)
        self.transport.send(wamp.Registered(asked.request, registration))

    def onCall(self, call):
        if call.procedure not in self.router.procedures:
            error = "wamp.error.no_such_procedure"
            self.transport.send(
                wamp.Error(wamp.Call.MESSAGE_TYPE, call.request, error)
            )
            return
        session, registration = self.router.procedures[call.procedure]
        invocation = next(self.router.ids)
        self.router.calls[invocation] = (self, call.request)
        session.transport.send(
            wamp.Invocation(
                invocation, registration, args=call.args, kwargs=call.kwargs
            )
        )

    def onYield(self, answer):
        session, request = self.router.calls.pop(answer.request)
        session.transport.send(
            wamp.Result(request, args=answer.args, kwargs=answer.kwargs)
        )


class News(Room):
    """Its clients get what is published to the topic "news"."""


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("news", News)

    def published(topic, args):
        if topic == "news":
            server.rooms.broadcastToRooms("news", "headline", args[0])

    server.addFactory("/wamp", WampWebSocketServerFactory(Router(published)))
    return server
