"""
The metrics of one server, read from its counters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version

from ..core.codes import CloseCode
from ..service.meters import Meters
from ..service.reactorlag import ReactorLag
from .families import Family, Sample, counter, counters, gauge, gauges, histogram, histograms

_CODES = frozenset(CloseCode)
_IN, _OUT = "in", "out"


def serverFamilies(meters: Meters, lag: ReactorLag, isDraining: bool, node: str) -> list[Family]:
    """
    Return the metrics of a server.

    Args:
        meters: Its counters.
        lag: How late its reactor is.
        isDraining: Whether it is stopping.
        node: The id of its node.
    """
    info = Sample("txroom_info", {"version": version("txroom"), "node": node}, 1)
    return [
        Family("txroom_info", "gauge", "The version of txroom, and the node of the process.", [info]),
        gauge("txroom_draining", "Whether the server is stopping.", int(isDraining)),
        *_connections(meters),
        *_messages(meters),
        *_rooms(meters),
        histogram("txroom_reactor_lag_seconds", "How late the reactor makes delayed calls.", lag.times),
        *_engine(meters),
    ]


def _connections(meters: Meters) -> list[Family]:
    return [
        gauge("txroom_connections", "Open WebSocket connections.", meters.connections),
        counters("txroom_upgrades", "Upgrades to WebSockets by result.", "result", meters.upgrades),
        counters("txroom_closes", "Closed connections by close code.", "code", closesByCode(meters.closes)),
        histogram("txroom_ping_seconds", "Round trips of the heartbeat's pings.", meters.pingTimes),
    ]


def closesByCode(closes: Mapping[int, int]) -> dict[str, int]:
    """
    Return the numbers of closes by their codes, with one label for all of the 3xxx and one for all of the
    4xxx that txroom doesn't know: clients may send thousands of them.
    """
    counts: Counter[str] = Counter()
    for code, count in closes.items():
        counts[str(int(code)) if code in _CODES else f"{code // 1000}xxx"] += count
    return dict(counts)


def _messages(meters: Meters) -> list[Family]:
    messages = {_IN: meters.messagesReceived, _OUT: meters.messagesSent}
    sizes = {_IN: meters.bytesReceived, _OUT: meters.bytesSent}
    return [
        counters("txroom_messages", "Messages of WebSockets by direction.", "direction", messages),
        counters("txroom_message_bytes", "Bytes of these messages before compression.", "direction", sizes),
        counter(
            "txroom_messages_dropped",
            "Messages that were not sent because their client read too slowly.",
            meters.messagesDropped,
        ),
        counter(
            "txroom_slow_consumers",
            "Clients of rooms whose connection was closed because they read too slowly.",
            meters.slowConsumers,
        ),
        histogram("txroom_write_frames", "Frames that left in one write to a connection.", meters.writes),
    ]


def _rooms(meters: Meters) -> list[Family]:
    return [
        gauges("txroom_rooms", "Rooms by registered name.", "room", meters.rooms),
        gauges("txroom_members", "Members of rooms, connected or not.", "room", meters.members),
        counters("txroom_joins", "Joins by result.", "result", meters.joins),
        counters("txroom_resumes", "Resumes by result.", "result", meters.resumes),
        counters("txroom_room_events", "Events in the lives of rooms and members.", "event", meters.lives),
        counter(
            "txroom_recovered_messages",
            "Messages that were sent again to clients that resumed.",
            meters.messagesRecovered,
        ),
        counter("txroom_recovered_bytes", "Bytes of the data of these messages.", meters.bytesRecovered),
        histograms(
            "txroom_handler_seconds",
            "How long the handlers of messages took until their result was there.",
            ("room", "type"),
            meters.handlerTimes,
        ),
        histogram("txroom_broadcast_recipients", "Clients that a broadcast was sent to.", meters.recipients),
    ]


def _engine(meters: Meters) -> list[Family]:
    engine = meters.engine
    families = [
        counter(
            "txroom_notifications_queued",
            "Notifications that were added to the queues of users.",
            engine.noticesQueued,
        ),
        counter(
            "txroom_notifications_dropped",
            "Notifications that were dropped from queues because there were too many.",
            engine.noticesDropped,
        ),
    ]
    if engine.commitTimes is not None:
        text = "How long it took until Redis had confirmed what a room has written in a turn."
        families.append(histogram("txroom_engine_commit_seconds", text, engine.commitTimes))
    if engine.isUp is not None:
        families.append(gauge("txroom_redis_up", "Whether Redis can be reached.", int(engine.isUp)))
    return families
