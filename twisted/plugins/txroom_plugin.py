"""The ``txroom`` command of twistd and twist.

Twisted imports every plugin before it chooses a reactor, so this module must not import anything else.
"""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

txroom = ServiceMaker("txroom", "txroom.tap", "A WebSocket room server.", "txroom")
leanepoll = Reactor(
    "leanepoll", "txroom.process.leanepoll", "epoll, with fewer calls for each read (txroom)."
)
