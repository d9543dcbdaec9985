"""
Asks: what the server's own code, and operators, ask of a room wherever it runs.

They are passed to `Engine.ask`.

A room carries out a command at once, or not at all, and answers with plain data when that has been committed.
If it can't be reached, the error is `unavailable`, with `mayHaveHappened` in its details: `False` if the room
has not done it, `True` if it may have.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from msgspec import Struct

from ...core.codes import CloseCode, ErrorCode
from ...protocol.errors import RoomError
from .commands import Send

#: The most characters of a key, and the most bytes of a digest; see `Once`.
MAX_KEY, MAX_DIGEST = 255, 64
#: The most messages in an answer to `ReadLog`, their most bytes together, and the most seconds to wait.
READ_ENTRIES, READ_SIZE, READ_SECONDS = 1000, 256 << 10, 4.0
#: The most ids of recipients that are told of a message, and the most bytes of its data.
READ_IDS, READ_DATA = 100, 2 << 20
#: The most seconds that `Room.inspect` may take, and the most bytes of its encoded answer.
INSPECT_SECONDS, INSPECT_SIZE = 2.0, 64 << 10
#: The most bytes of a room's state that are told, as JSON.
SHOWN_STATE = 64 << 10
#: The most calls in an answer to `Examine`, the most members in one to `ShowMembers`, and the most bytes of
#: members.
SHOWN_CALLS, SHOWN_MEMBERS, SHOWN_SIZE = 100, 1000, 512 << 10
#: The code of the error for an answer that has too many bytes for a link between nodes, or for a call.
TOO_LARGE = "tooLarge"


class Inspect(Struct, frozen=True, array_like=True, tag_field="kind", tag="inspect"):
    """
    Describe the room and its members.

    The answer is a mapping: `listing` (the fields of a `Listing`), `epoch`, `offset` (of the log), `members`,
    a list of mappings of `member`, `userId`, `user`, `isConnected`, `groups` and `meta` in the order of the
    members' ids, and `next`, the `after` for the following ones; `None`: there are no more, or none were
    asked for. It has 512 KiB of members at most, or one member.
    """

    #: The most members to describe.
    limit: int = 100
    #: The user whose members are described; `None`: all users.
    userId: str | None = None
    #: The id after which to go on.
    after: str = ""
    #: Whether only `member`, `userId` and `isConnected` are told of members.
    isBrief: bool = False


class Kick(Struct, frozen=True, array_like=True, tag_field="kind", tag="kick"):
    """
    Make members leave: the one with the id, and those of the user. The answer is their number.

    Their handlers that are running are cancelled after two seconds, unless a hook or handler of the room
    itself asks.
    """

    member: str | None = None
    userId: str | None = None
    #: The text of `Left`.
    reason: str = ""


class Lock(Struct, frozen=True, array_like=True, tag_field="kind", tag="lock"):
    """Lock the room, so that no client can join, or unlock it. The answer is `None`."""

    isLocked: bool = True


class SetPrivate(Struct, frozen=True, array_like=True, tag_field="kind", tag="setPrivate"):
    """Hide the room from matchmaking, or show it. The answer is `None`."""

    isPrivate: bool = True


class SetMetadata(Struct, frozen=True, array_like=True, tag_field="kind", tag="setMetadata"):
    """Replace the metadata of the room, as `Room.setMetadata` does. The answer is `None`."""

    metadata: Mapping[str, Any]


class Dispose(Struct, frozen=True, array_like=True, tag_field="kind", tag="dispose"):
    """
    End the room.

    The answer is `None`; it comes when `onDispose` is over, and what is stored of the room is deleted. If a
    hook or handler of the room itself ends it, the answer comes when its members have left, since the room
    can't end before that hook or handler. Otherwise those that are running are cancelled after two seconds.

    If the room's node dies before that, another node takes the room over, and the room goes on without
    members. So if the error says that it may have happened, end it again.
    """

    code: int = CloseCode.ROOM_CLOSED
    reason: str = ""


class SendTo(Struct, frozen=True, array_like=True, tag_field="kind", tag="sendTo"):
    """
    Send a message to members: to all, or to those to whom all of `members`, `userIds` and `groups` apply that
    are given. The answer is its offset, or `None` for a volatile message.

    The answer comes when the message has been committed.
    """

    type: str
    #: The payload.
    data: bytes
    #: The ids of the members; `None`: all.
    members: tuple[str, ...] | None = None
    #: The users whose members get it; `None`: all.
    userIds: tuple[str, ...] | None = None
    isVolatile: bool = False
    #: The groups whose members get it; `None`: all.
    groups: tuple[str, ...] | None = None


class Reserve(Struct, frozen=True, array_like=True, tag_field="kind", tag="reserve"):
    """Reserve a seat. The answer is its token; it comes when the reservation has been committed."""

    #: The only user that may take the seat, as plain data; `None`: any user.
    user: Any = None
    #: For how long; `None`: the room's `seatSeconds`.
    seconds: float | None = None


class ReadLog(Struct, frozen=True, array_like=True, tag_field="kind", tag="readLog"):
    """
    Read the messages that the room keeps for clients that resume, or its history. Only committed ones are
    shown.

    The answer is a mapping: `epoch`, the offsets of the `first` message that is kept and of the `last` one of
    the room, and `entries`, a list of mappings in order: `offset`, `at` (when it was logged, in seconds since
    1970), `type`, `data`, `size` (the bytes of its data), `to` (the ids of its recipients, or `None` for all
    members), `toCount`, `exclude` (the ids of members that don't get it) and `excludeCount`. It has 256 KiB
    of messages at most, or one message. Of more than 100 ids the first are told, with the number of all. Data
    of more than 2 MiB is left out: then it is `None`.

    Messages after `after` are missing if `first` is greater than `after + 1`, and offsets of another epoch
    can't be compared. The history (`Room.history`) has no messages for some members, so that offsets are
    missing in it. An answer with it has `history` too, which is true.
    """

    #: The offset after which to read.
    after: int = 0
    #: The most messages; 1 to 1000.
    limit: int = 100
    #: For how many seconds to wait for a message if there is none; at most 4.
    seconds: float = 0.0
    #: The epoch of `after`. If the room has another one, nothing is waited for.
    epoch: str = ""
    #: Whether to read the history, of which newcomers get the last part. Nothing is waited for then.
    history: bool = False


class Examine(Struct, frozen=True, array_like=True, tag_field="kind", tag="examine"):
    """
    Describe the room for operators, also while it is being created or ends.

    The answer is a mapping: `listing` (the fields of a `Listing`), `node`, `stage` (of its life, such as
    "open"), `epoch` and `offset` (of the log), the numbers of its `members`, and of those that are
    `connected`; `running`, a list of the 100 hooks, handlers and timers that have waited for longest, as
    mappings of `name`, `member`, `seconds` and `waiting` (how many messages of the member wait behind);
    `runningCount`; `waiting`, the number of all messages that wait; `commitSeconds`, for how long nothing has
    been committed although something waits for it; `inspect`, the answer of `Room.inspect`, and
    `inspectError`, its error; `state`, as much of the declared state as has 64 KiB as JSON, or `None`, and
    `isStateCut`, whether there is more of it.
    """

    #: Whether to call `Room.inspect`, and to tell the state.
    isFull: bool = True
    #: Whether to tell the private parts of the state, too.
    withPrivate: bool = False


class ShowMembers(Struct, frozen=True, array_like=True, tag_field="kind", tag="showMembers"):
    """
    Describe some of the members, in the order of their ids.

    The answer is a mapping: `members`, whose elements are those of `Inspect` with `isBusy` (whether a hook or
    handler is running for it) and `waiting` (how many of its messages wait); and `isLast`, whether there are
    no more. It has 512 KiB at most, or one member.
    """

    #: The id after which to go on.
    after: str = ""
    #: The most members; 1 to 1000.
    limit: int = 100


#: The commands that change something.
Change = Kick | Lock | SetPrivate | SetMetadata | Dispose | SendTo | Reserve


class Once(Struct, frozen=True, array_like=True):
    """
    Marks a command that is carried out only once, however often it is asked for; like `Idempotency-Key`.

    The room keeps the answer for a day. A command with the same key gets this answer, also if the room is at
    another node by then. The room keeps at most 10,000 answers and 8 MiB of them, and forgets the oldest
    first. They end with the room: a command that is repeated then gets `noSuchRoom`.

    A command that fails has changed nothing, and may be repeated. If the earlier command with the key was
    another one, the error is `badRequest` with `{"idempotency": "reused"}` in its details. If it has not been
    committed yet, the error is `unavailable` with `{"idempotency": "running"}`.

    Raises:
        ValueError: The key has not 1 to 255 characters, or the digest not 1 to 64 bytes.
    """

    #: Chosen by the caller, who chooses another one for each new command.
    key: str
    #: A digest of the command as the caller knows it, by which another one with the same key is recognised.
    digest: bytes

    def __post_init__(self) -> None:
        if not 1 <= len(self.key) <= MAX_KEY:
            raise ValueError(f"key: must have 1 to {MAX_KEY} characters, not {len(self.key)}")
        if not 1 <= len(self.digest) <= MAX_DIGEST:
            raise ValueError(f"digest: must have 1 to {MAX_DIGEST} bytes, not {len(self.digest)}")


class Keyed(Struct, frozen=True, array_like=True, tag_field="kind", tag="keyed"):
    """
    Carry out a command unless that has been done before. The answer is that of the command.

    A volatile message has left before anything is committed. If the room loses its owner at that moment, it
    may be sent once more.
    """

    once: Once
    command: Change


class LateFrame(Struct, frozen=True, array_like=True):
    """What a member has sent to the room's former owner: a message without a number, or that it leaves."""

    member: str
    #: Whether the data is encoded as JSON; see `Arrival.isJSON`.
    isJSON: bool
    #: `None`: it leaves.
    frame: Send | None = None


class TakeLate(Struct, frozen=True, array_like=True, tag_field="kind", tag="takeLate"):
    """Take what members have sent while the room moved, in that order. The answer is `None`."""

    frames: tuple[LateFrame, ...]


class Created(Struct, frozen=True, array_like=True, tag_field="kind", tag="created"):
    """
    Tell whether the room was created by a request with a key, and this digest; see `Engine.create`.

    The answer is the room's id. If the digest is another one, or while the room is being created, the errors
    are those of `Once`.
    """

    digest: bytes


class TellSeat(Struct, frozen=True, array_like=True, tag_field="kind", tag="tellSeat"):
    """
    Reserve a seat for a client that asks for it before it connects, if `Room.canJoin` lets the client join.

    The answer comes when the reservation has been committed. It is a mapping: `name`, under which the room is
    registered, `member`, the id that the client will have, and `seconds`, for how long the seat is reserved.
    This id is the token of the seat too, so nobody else may know it before the client has joined.
    """

    #: The options with which the client joins.
    options: Mapping[str, Any] = {}
    #: The user of the client, as plain data; only a client of this user may take the seat.
    user: Any = None
    #: Whether the room was created for this client.
    isCreator: bool = False


class CheckResume(Struct, frozen=True, array_like=True, tag_field="kind", tag="checkResume"):
    """
    Ask whether a client may resume with a token, which stays valid.

    The answer is a mapping of `name`, under which the room is registered, and `member`. If the client may
    not, the error is the one that it would get.
    """

    token: str


Command = (
    Inspect | Examine | ShowMembers | ReadLog | Change | Keyed | Created | TakeLate | TellSeat | CheckResume
)


def keyedRoom(key: str) -> str:
    """Return the id of the room that is created by a request with a key; see `Once`."""
    return urlsafe_b64encode(sha256(key.encode()).digest()[:12]).decode()


def ended() -> RoomError:
    """Return the error for a request to create a room that has existed, and has ended."""
    return RoomError(ErrorCode.ROOM_GONE, "the room that was created with this idempotency key has ended")


def reused() -> RoomError:
    """Return the error for a key that belongs to another command."""
    text = "the idempotency key belongs to another request"
    return RoomError(ErrorCode.BAD_REQUEST, text, {"idempotency": "reused"})


def running() -> RoomError:
    """Return the error for a command with the key of one that has not been committed yet."""
    text = "the request with this idempotency key is being carried out"
    return RoomError(ErrorCode.UNAVAILABLE, text, {"idempotency": "running", "mayHaveHappened": True})


class Unanswered(RoomError):
    """A command wasn't answered."""

    def __init__(self, mayHaveHappened: bool) -> None:
        text = "the room didn't answer in time" if mayHaveHappened else "the room can't be reached"
        super().__init__(ErrorCode.UNAVAILABLE, text, {"mayHaveHappened": mayHaveHappened})
        self.mayHaveHappened = mayHaveHappened


def unanswered(mayHaveHappened: bool) -> RoomError:
    """Return the error for a command that wasn't answered."""
    return Unanswered(mayHaveHappened)
