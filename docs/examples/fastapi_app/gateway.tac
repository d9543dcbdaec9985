import os

from gateway import api
from twisted.application.service import Application
from twisted.internet import reactor
from uvicorn_service import Uvicorn

application = Application("gateway")
port = int(os.environ.get("GATEWAY_PORT", "8001"))
Uvicorn(reactor, api, host="127.0.0.1", port=port).setServiceParent(application)
