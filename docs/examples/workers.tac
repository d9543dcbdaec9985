from twisted.application.service import Application

from txroom.process import Workers

application = Application("chat")
workers = Workers("chat:makeServer", redis="redis://localhost")
workers.listen("tcp:8080")
workers.fork(4)
workers.setServiceParent(application)
