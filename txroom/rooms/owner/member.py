"""
Members, as the owner keeps them. The room sees a member as a `Client`.

The states of a member, and the events that lead from each to the next. A member begins SEATED, or DROPPED if
it comes from an earlier owner of the room:

=======  ===================================================================================================
state    events
=======  ===================================================================================================
SEATED   `onAuth` and `onJoin` succeed: JOINED, or LEAVING if it was told to leave during `onJoin`, since
         `onLeave` is due then. One of them fails, or it was told to leave during `onAuth`: GONE.
JOINED   The connection is lost: DROPPED. The client closes it: PARTING. It leaves or is kicked: LEAVING.
DROPPED  It resumes: JOINED. `resumeSeconds` are over, or it is kicked: LEAVING.
PARTING  Its earlier frames have been handled, or it is kicked: LEAVING.
LEAVING  `onLeave` is over: GONE.
=======  ===================================================================================================

When the room ends, members that are JOINED, DROPPED or PARTING become LEAVING. They do so too when the room
is lost; then `onLeave` isn't called, since another owner has the member. If the room can't be created,
members of an earlier owner become GONE.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from hmac import compare_digest
from types import MappingProxyType
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ...core.misuse import MisuseCounter
from ...core.tokenbucket import TokenBucket
from ...protocol import payload
from ...protocol.limits import WINDOW
from ..api.client import Client
from ..api.ports import LeaveReason
from ..contract.arrivals import Join, Resume
from ..contract.items import Error, Reply, RoomCall
from ..contract.ports import Outlet
from ..contract.records import Handled, MemberRecord, SeatReserved
from .mailbox import Mailbox
from .outbox import Audience
from .tokens import digest, resumeToken

#: The most bytes of data in the replies that are kept for a member. The newest is kept whatever its size.
REPLIES_SIZE = 256 << 10
#: The most earlier resume tokens that stay valid, since the client may not have received a later one. If a
#: client does not number its attempts, each late request to resume, on a connection that was lost meanwhile,
#: uses one more token; in the model tests five have been needed.
MAX_UNCONFIRMED = 8

_NO_GROUPS: frozenset[str] = frozenset()


class State(IntEnum):
    """The states of a member; see the module."""

    #: It has a seat; `onAuth` and `onJoin` run.
    SEATED = 0
    JOINED = 1
    #: It has lost its connection, and may resume.
    DROPPED = 2
    #: It has closed its connection; its earlier frames are still being handled.
    PARTING = 3
    #: Its membership has ended; `onLeave` runs.
    LEAVING = 4
    GONE = 5


# For hot paths: looking up a member of an enumeration is slow.
JOINED, PARTING, LEAVING = State.JOINED, State.PARTING, State.LEAVING


class PendingLeave(NamedTuple):
    """How a joining member leaves as soon as `onAuth` or `onJoin` is over."""

    code: int
    reason: LeaveReason
    text: str


class Member:
    """
    One member of a room.

    The link changes with each connection; everything else stays. Its jobs run in `mailbox`.
    """

    __slots__ = (
        "_options",
        "accepted",
        "acked",
        "announced",
        "arrivalId",
        "attempt",
        "calls",
        "client",
        "early",
        "expiry",
        "groups",
        "handled",
        "id",
        "isJSON",
        "joinLink",
        "leaveRequest",
        "link",
        "mailbox",
        "mayHaveFormerState",
        "messages",
        "meta",
        "misuse",
        "offset",
        "outlet",
        "pending",
        "pendingLeave",
        "refs",
        "replays",
        "replies",
        "repliesSize",
        "returnRefs",
        "runningHook",
        "seat",
        "session",
        "slowedSince",
        "state",
        "stateFormat",
        "token",
        "tokens",
        "trace",
        "untold",
        "usedSeat",
        "user",
        "userId",
        "waitingSize",
    )

    def __init__(self, id: str, user: Any, userId: str, options: Mapping[str, Any]) -> None:
        self.id = id
        self.user = user
        self.userId = userId
        #: The id of the user before `onAuth`; a client that resumes must have the same.
        self.arrivalId = userId
        self.options = options
        self.state = State.SEATED
        self.client: Client = None  # type: ignore[assignment]  # set at once by the code that makes a member
        self.mailbox = Mailbox()

        # The connection.
        self.link = ""
        self.session = ""
        #: The `traceparent` of the connection with which it has joined.
        self.trace: str | None = None
        #: The link of the request by which it has joined, until it resumes.
        self.joinLink = ""
        self.outlet: Outlet | None = None
        self.isJSON = True
        #: The format in which it gets the state of the room; see `Join.stateFormat`.
        self.stateFormat = ""
        #: Whether its client may still have what an earlier owner has sent of the state.
        self.mayHaveFormerState = False
        #: The refs of the join requests that `joined` answers.
        self.refs: list[int | None] = []
        #: The ref and the link of its request to leave, which waits until its earlier frames are handled.
        self.leaveRequest: tuple[int | None, str] | None = None
        #: Set if it must leave as soon as `onAuth` or `onJoin` is over.
        self.pendingLeave: PendingLeave | None = None
        #: The result of `onAuth` or `onJoin`, while it is awaited.
        self.runningHook: object = None
        #: The reserved seat that it has taken, while it is joining.
        self.seat: SeatReserved | None = None
        #: The reserved seat by which it has joined, should the request come again.
        self.usedSeat: SeatReserved | None = None
        self.expiry: IDelayedCall | None = None
        #: What the hooks have yet to be told: whether it was away, and whether it has recovered.
        self.untold: tuple[bool, bool] | None = None

        # What the room sends to it.
        #: The offset of the log when it joined. Of earlier messages it gets only the history.
        self.offset = 0
        #: The number of records that are committed when its `joined` has been sent.
        self.announced = 0
        #: The room's calls that wait until it has joined.
        self.pending: list[RoomCall] = []
        #: The messages that were sent to it before the end of `onAuth`, which are logged after it: types,
        #: payloads.
        self.early: list[tuple[str, bytes]] | None = None
        self.calls: dict[int, Deferred[Any]] = {}
        self.groups = _NO_GROUPS
        self.meta: Mapping[str, Any] = {}

        # What it sends to the room.
        #: The newest resume token, and the digests of all valid ones.
        self.token = ""
        self.tokens: list[bytes] = []
        #: The greatest number of an attempt by which it has resumed, since a token was confirmed.
        self.attempt = 0
        self.accepted = 0
        self.handled = 0
        self.acked = 0
        self.replies: dict[int, Reply | Error] = {}
        self.repliesSize = 0
        #: The rate limit of missed messages, in bytes, over all its connections.
        self.replays: TokenBucket | None = None
        #: The bytes of the frames that are queued in the mailbox.
        self.waitingSize = 0
        #: For calls that were sent again on another connection before they were answered, by number: the new
        #: ref, and the link on which it is valid. Each connection has refs of its own.
        self.returnRefs: dict[int, tuple[int, str]] = {}
        self.misuse = MisuseCounter()
        #: The room's message rate limit, and since when the member exceeds it.
        self.messages: TokenBucket | None = None
        self.slowedSince: float | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """
        The options with which it joined.

        They are kept encoded, so that they take no more memory than the bytes that the client sent: a member
        stays for `resumeSeconds` after its connection is lost.
        """
        return MappingProxyType(payload.decode(self._options))

    @options.setter
    def options(self, options: Mapping[str, Any]) -> None:
        self._options = payload.encode(dict(options), True)

    @property
    def isConnected(self) -> bool:
        """Whether it has joined and has a connection."""
        return self.state is State.JOINED

    @property
    def hasLeft(self) -> bool:
        """Whether its membership has ended."""
        return self.state >= State.LEAVING

    @property
    def isPresent(self) -> bool:
        """Whether it is in the room: it has joined, and hasn't left, even if it is disconnected."""
        return JOINED <= self.state <= PARTING

    @property
    def audience(self) -> Audience:
        """The audience of this member alone; empty while it has no connection."""
        return ((self.outlet, (self.link,)),) if self.outlet is not None else ()

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> None:
        """Use the connection of a request from now on."""
        self.outlet = outlet
        self.link = arrival.link
        self.session = arrival.session
        self.isJSON = arrival.isJSON
        self.stateFormat = arrival.stateFormat

    def detach(self) -> None:
        """Forget the connection."""
        self.outlet = None
        self.link = self.session = ""

    def leaveLater(self, code: int, reason: LeaveReason, text: str = "") -> None:
        """Make it leave as soon as `onAuth` or `onJoin` is over. Only the first call counts."""
        if self.pendingLeave is None:
            self.pendingLeave = PendingLeave(code, reason, text)

    def isTold(self) -> None:
        """Forget the request by which it has joined, since the client knows that it has."""
        self.joinLink = ""
        self.usedSeat = None

    def cancelExpiry(self) -> None:
        """Cancel the end of its membership after `resumeSeconds`."""
        expiry, self.expiry = self.expiry, None
        if expiry is not None and expiry.active():
            expiry.cancel()

    def regroup(self, group: str, isIn: bool) -> None:
        """Put it into a group, or take it out."""
        if isIn:
            self.groups |= {group}
        else:
            self.groups -= {group}

    # -- tokens

    def issueToken(self, used: str | None = None, mark: str = "") -> None:
        """
        Make a new resume token for the current link; `mark` tells of the state: see `States.mark`.

        Until `confirmToken` the `used` token stays valid, and so do the newest unconfirmed ones. There may be
        several, since requests to resume may overtake one another, and the client may receive the answer to
        any of them.
        """
        self.token = resumeToken(self.id, mark)
        known = [] if used is None else [digest(used)]
        unconfirmed = [token for token in self.tokens if token not in known]
        self.tokens = [digest(self.token), *known, *unconfirmed][: MAX_UNCONFIRMED + 1]

    def accepts(self, token: str) -> bool:
        """Return whether the member may resume with this token."""
        given = digest(token)
        return any(compare_digest(given, known) for known in self.tokens)

    def confirmToken(self) -> None:
        """
        Drop all tokens but the newest. The client has received it, because it has sent a frame on the current
        link.

        Earlier attempts have other tokens, so their numbers are forgotten too.
        """
        del self.tokens[1:]
        self.attempt = 0

    # -- the journal

    def record(self) -> MemberRecord:
        """Return the record that the next owner needs."""
        return MemberRecord(
            self.id,
            self.user,
            self.userId,
            tuple(self.tokens),
            tuple(sorted(self.groups)),
            dict(self.meta),
            dict(self.options),
            self.arrivalId,
            self.offset,
            self.attempt,
            self.joinLink,
            self.usedSeat,
        )

    @classmethod
    def restored(cls, record: MemberRecord) -> Member:
        """Make a member from the record of an earlier owner; it may resume."""
        member = cls(record.member, record.user, record.userId, MappingProxyType(dict(record.options)))
        member.arrivalId = record.arrivalId
        member.offset = record.offset
        member.attempt = record.attempt
        member.joinLink = record.joinLink
        member.usedSeat = record.usedSeat
        member.state = State.DROPPED
        member.mayHaveFormerState = True
        member.tokens = list(record.tokens)
        member.groups = frozenset(record.groups)
        member.meta = record.meta or {}
        return member

    def forget(self) -> None:
        """Break the reference cycle with its `Client`, which users may still hold."""
        self.cancelExpiry()
        self.detach()
        del self.client

    def restore(self, handled: Handled) -> None:
        """Restore the record of a frame that an earlier owner handled."""
        self.accepted = self.handled = self.acked = max(self.handled, handled.n)
        if handled.reply is not None:
            self.keepReply(handled.n, handled.reply)

    def keepReply(self, n: int, reply: Reply | Error) -> None:
        """Keep the answer to the client's call `n`."""
        replies = self.replies
        replies[n] = reply
        self.repliesSize += sizeOf(reply)
        while len(replies) > WINDOW or (self.repliesSize > REPLIES_SIZE and len(replies) > 1):
            self.repliesSize -= sizeOf(replies.pop(next(iter(replies))))


def copied(reply: Reply | Error, ref: int | None) -> Reply | Error:
    """Return a copy of an answer with another ref."""
    if isinstance(reply, Reply):
        return Reply(reply.ref if ref is None else ref, reply.data)
    return Error(ref, reply.room, reply.code, reply.message, reply.details)


def sizeOf(reply: Reply | Error) -> int:
    """Return the bytes of an answer's content, without the overhead of its objects."""
    if isinstance(reply, Reply):
        return len(reply.data)
    return len(reply.message) + len(payload.encode(reply.details))
