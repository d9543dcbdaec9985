"""Rooms and a Django site in one process, on one port."""

import os

import newsroom
from django.core.wsgi import get_wsgi_application
from twisted.web.resource import Resource
from twisted.web.wsgi import WSGIResource

from txroom import Server


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


def makeServer():
    from twisted.internet import reactor

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
    server = Server()
    newsroom.rooms = server.addApplication(newsroom.Newsroom())
    server.register("news", newsroom.News)
    reactor.suggestThreadPoolSize(20)
    site = WSGIResource(reactor, reactor.getThreadPool(), get_wsgi_application())
    server.addPage("/", Everything(site))
    server.addClientScript()
    return server
