"""The rooms, and the functions that the views call."""

from importlib import import_module

from twisted.internet.threads import deferToThread

from txroom import Accept, Room, RoomApplication, RoomError, message

#: Set when the server is made.
rooms = None


def publish(title):
    rooms.broadcastToRooms("news", "published", title)


def countReaders():
    return sum(len(room.clients) for room in rooms.rooms.named("news"))


async def invite(reader):
    room = await rooms.createRoom("news")
    return room, await rooms.reserveSeat(room, reader, seconds=60)


class Newsroom(RoomApplication):
    async def verifyClient(self, handshake):
        """Visitors who have logged in at the site are users of the rooms."""
        user = await deferToThread(userOf, handshake.cookies.get("sessionid"))
        return Accept(user=user) if user else True


class News(Room):
    @message("whoami")
    def whoami(self, client):
        return client.user

    @message("archive")
    async def archive(self, client, word: str):
        """A query with Django's ORM blocks, so it runs in a thread."""
        found = await deferToThread(findArticles, word)
        if not found:
            raise RoomError("nothing", f"no news about {word}")
        return found


def userOf(key):
    """Return a session's user. This may query a database, so it needs a thread."""
    from django.conf import settings
    from django.db import connection

    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    try:
        return session.get("user")
    finally:
        connection.close()


def findArticles(word):
    """Runs in a thread: it may block, but must not use rooms, clients or timers."""
    from django.db import connection

    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 'all about ' || %s", [word])
            return [title for (title,) in cursor.fetchall()]
    finally:
        connection.close()
