"""A client of rooms, for tests."""

import json
from urllib.parse import urlencode


class Player:
    """Joins a room by its path; `options` go into the query."""

    def __init__(self, harness, room, /, headers=(), **options):
        self.harness = harness
        self.client = harness.connect(f"/rooms/{room}?{urlencode(options)}", headers=headers)

    @property
    def frames(self):
        """All that the server has sent."""
        return [json.loads(text) for text in self.client.received]

    def of(self, kind):
        """The frames of a kind, without their first element."""
        return [frame[1:] for frame in self.frames if frame[0] == kind]

    @property
    def joined(self):
        """What it was told when it joined: member, token, offset, members, snapshot, ..."""
        return self.of("joined")[-1][2]

    @property
    def messages(self):
        """The type and the data of each message."""
        return [(frame[2], frame[3]) for frame in self.of("msg")]

    @property
    def errors(self):
        """The code of each error."""
        return [frame[2] for frame in self.of("error")]

    def send(self, type, data=None):
        """A message to the room."""
        self.client.send(json.dumps(["send", None, type, data]))

    def call(self, type, data=None):
        """The answer to a call, or the error's code."""
        ref = len(self.frames)
        self.client.send(json.dumps(["call", ref, None, type, data]))
        answers = [frame[1] for frame in self.of("reply") if frame[0] == ref]
        return answers[0] if answers else self.errors[-1]

    def resume(self):
        """A player who takes this one's place, from the offset of the last message."""
        room = self.of("joined")[-1][1]
        offset = max([self.joined["offset"], *(frame[1] or 0 for frame in self.of("msg"))])
        other = object.__new__(type(self))
        other.harness = self.harness
        other.client = self.harness.connect("/rooms")
        epoch, token = self.joined["epoch"], self.joined["token"]
        other.client.send(json.dumps(["resume", 1, room, token, epoch, offset]))
        return other
