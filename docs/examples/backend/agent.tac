import os

from agent import Agent
from twisted.application.service import Application
from twisted.internet import reactor

url = os.environ.get("DESK", "ws://localhost:8080/rooms")
application = Application("agent")
Agent(url, "change me", reactor).setServiceParent(application)
