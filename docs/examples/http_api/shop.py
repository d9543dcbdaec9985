"""Send messages to rooms and notifications to users, with the HTTP API."""

import os
import time
import uuid
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

API = os.environ.get("TXROOM_API", "http://127.0.0.1:9000/api/v1")

session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ['TXROOM_ADMIN_TOKEN']}"
# Send a request again after these statuses, and after a lost connection.
statuses = [429, 502, 503, 504]
again = Retry(
    5, status_forcelist=statuses, allowed_methods=None, backoff_factor=0.2
)
for scheme in ("http://", "https://"):
    session.mount(scheme, HTTPAdapter(max_retries=again))


def post(path: str, body: dict[str, Any]) -> Any:
    """Send a request, perhaps several times. The server carries it out once."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    for wait in (0.2, 0.5, 1, 2, 0):
        answer = session.post(
            f"{API}{path}", json=body, headers=headers, timeout=10
        )
        if not isRunning(answer):
            break
        time.sleep(wait)
    answer.raise_for_status()
    return answer.json()


def isRunning(answer: requests.Response) -> bool:
    """Return whether a request with the same key is still being carried out."""
    field = '"field":"Idempotency-Key"'
    return answer.status_code == 409 and field in answer.text


def publish(room: str, type: str, data: Any) -> Any:
    """Send a message to all members of a room, and return its offset."""
    answer = post(f"/rooms/{quote(room, '')}/publish", {"type": type, "data": data})
    return answer["offset"]


def notify(user: str, type: str, data: Any) -> Any:
    """Notify a user, who may be away. Return whether the user is listening now."""
    answer = post(f"/notify/{quote(user, '')}", {"type": type, "data": data})
    return answer["isListening"]
