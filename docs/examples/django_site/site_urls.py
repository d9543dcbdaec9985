"""Views of the site, which run in threads of the reactor's pool."""

import newsroom
from django.http import JsonResponse
from django.urls import path
from twisted.internet import reactor
from twisted.internet.threads import blockingCallFromThread

from txroom import RoomError


def login(request):
    """Stands for the login of your site."""
    request.session["user"] = request.POST["user"]
    return JsonResponse({"user": request.session["user"]})


def publish(request):
    """Tell a room something, without waiting for it."""
    reactor.callFromThread(newsroom.publish, request.POST["title"])
    return JsonResponse({"published": True})


def readers(request):
    """Ask the rooms, and wait for the answer."""
    return JsonResponse(
        {"readers": blockingCallFromThread(reactor, newsroom.countReaders)}
    )


def invite(request):
    """Ask for something that takes time. If it fails, the view gets the error."""
    try:
        room, seat = blockingCallFromThread(
            reactor, newsroom.invite, request.POST["reader"]
        )
    except RoomError as error:
        return JsonResponse({"error": error.code}, status=503)
    return JsonResponse({"room": room, "seat": seat}, status=201)


urlpatterns = [
    path("login", login),
    path("publish", publish),
    path("readers", readers),
    path("invite", invite),
]
