"""The ``txroom`` command of twistd and twist.

Twisted imports every plugin before it chooses a reactor: nothing else belongs in here.
"""

from twisted.application.service import ServiceMaker

txroom = ServiceMaker("txroom", "txroom.tap", "A WebSocket room server.", "txroom")
