"""
The log as JSON: one line for each event, with the connection, the room and the user that it is about.

Secrets are cut out of all texts: queries of URLs, which may have tokens, and what follows words such as
"Bearer" and "password". Nothing that txroom logs has a secret, but what applications log may.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from twisted.logger import FileLogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from ..rooms.hooks import currentOwner
from .logs import FIELDS, TEXT, TRACEBACK
from .redaction import redacted
from .twistedlogger import observersOf, unfiltered

#: The names of fields, by the keys of events.
_FIELDS = {
    "life": "event",
    "connection": "connection",
    "room": "room",
    "name": "name",
    "member": "member",
    "user": "user",
    "reason": "reason",
    "node": "node",
    "peer": "peer",
    "path": "path",
    "status": "status",
    "trace": "trace",
    "worker": "worker",
}
#: The most characters of a text; and how many more are read, so that a secret at its end is recognized.
MOST_TEXT, _MORE = 32 * 1024, 1024


def fieldsOf(event: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what an event is about, as plain data.

    What a hook of a room logs is about that room, also if it doesn't say so: unless the hook has waited for a
    Deferred with callbacks, in which nothing is known of the room.
    """
    fields = {name: _plain(event[key]) for key, name in _FIELDS.items() if event.get(key) is not None}
    fields.update(event.get(FIELDS) or {})
    owner: Any = currentOwner.get()
    if owner is not None and "room" not in fields:
        fields["room"], fields["name"] = owner.id, owner.name
    return fields


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    try:
        text = str(value)
    except Exception:
        text = f"({type(value).__name__} without a text)"
    return _firstOf(text).encode("utf-8", "backslashreplace").decode()


def _firstOf(text: str) -> str:
    """Return the beginning of a text, without secrets."""
    return redacted(text[: MOST_TEXT + _MORE])[:MOST_TEXT]


def _lastOf(text: str) -> str:
    """Return the last lines of a text, without secrets: what is secret in a part of a line is not known."""
    if len(text) <= MOST_TEXT:
        return redacted(text)
    end = text.find("\n", len(text) - MOST_TEXT - 1, -1)
    return _firstOf(text[(text.rfind("\n", 0, -1) if end < 0 else end) + 1 :])


def asJSON(event: LogEvent) -> str:
    """Return the line of an event, with its end; empty if it has no text."""
    text = event.get(TEXT)
    if text is None:
        text = formatEvent(event)
    failure = event.get("log_failure")
    traceback = failure.getTraceback() if isinstance(failure, Failure) else event.get(TRACEBACK)
    if not text and not traceback:
        return ""
    level = event.get("log_level") or LogLevel.info
    record: dict[str, Any] = {
        "time": datetime.fromtimestamp(event.get("log_time") or 0.0, UTC).isoformat(timespec="microseconds"),
        "level": level.name,
        "logger": str(event.get("log_namespace") or "-"),
        "message": _firstOf(text),
        **fieldsOf(event),
    }
    if traceback:
        record["traceback"] = _lastOf(traceback)
    return json.dumps(record) + "\n"


def logAsJSON() -> None:
    """Let all observers that write the log to files or to the standard output write JSON."""
    for observer in map(unfiltered, observersOf(globalLogPublisher)):
        if isinstance(observer, FileLogObserver):
            observer.formatEvent = asJSON
