"""
A member, as its owner keeps it; the room sees it as a `Client`.

The states of a member, and what leads from each to the next. A member begins SEATED, or DROPPED if an earlier
owner of the room has left it:

=======  ===================================================================================================
state    what leads on
=======  ===================================================================================================
SEATED   `onAuth` and `onJoin` succeed: JOINED; LEAVING if it was to leave while `onJoin` ran, for which
         `onLeave` is due. One of them fails, or it was to leave while `onAuth` ran: GONE.
JOINED   The connection is lost: DROPPED. The client closes it: PARTING. It leaves or is kicked: LEAVING.
DROPPED  It resumes: JOINED. `resumeSeconds` are over, or it is kicked: LEAVING.
PARTING  What it sent before is handled, or it is kicked: LEAVING.
LEAVING  `onLeave` is over: GONE.
=======  ===================================================================================================

From each of the three before it, LEAVING also follows when the room ends; when the room is lost, too, but
then `onLeave` isn't called, since the member is another owner's. A room that can't be made has no members:
those that an earlier owner has left to it are GONE here.
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
from ..api.ports import LeaveReason
from ..api.room import Client
from ..contract.arrivals import Arrival
from ..contract.items import Error, Reply, RoomCall
from ..contract.ports import Outlet
from ..contract.records import Handled, MemberRecord
from .mailbox import Mailbox
from .outbox import Audience
from .tokens import digest, resumeToken

#: Bytes that the data of the replies kept for a member may have together; the newest is kept, however large.
REPLIES_SIZE = 256 << 10
#: The most earlier resume tokens that stay valid, since the client may not have got any later one. Late
#: requests to resume, on connections that were lost meanwhile, take a token each; the models need five.
MAX_UNCONFIRMED = 8

_NO_GROUPS: frozenset[str] = frozenset()


class State(IntEnum):
    """Where a member is in its life; see the module."""

    #: Has a seat; onAuth and onJoin are running.
    SEATED = 0
    JOINED = 1
    #: Has lost its connection, and may resume.
    DROPPED = 2
    #: Has closed its connection for good; what it sent before is being handled.
    PARTING = 3
    #: Is no member any more; onLeave is running.
    LEAVING = 4
    GONE = 5


# For what is hot: an enumeration's member costs a look-up of its own.
JOINED, PARTING, LEAVING = State.JOINED, State.PARTING, State.LEAVING


class PendingLeave(NamedTuple):
    """How a member that is joining is to leave, once `onAuth` or `onJoin` is over."""

    code: int
    reason: LeaveReason
    text: str


class Member:
    """
    One member of a room.

    The link changes with each connection, the rest stays. What the room runs for it waits in `mailbox`.
    """

    __slots__ = (
        "_options",
        "accepted",
        "acked",
        "announced",
        "arrivalId",
        "calls",
        "client",
        "early",
        "expiry",
        "groups",
        "handled",
        "id",
        "isJSON",
        "link",
        "mailbox",
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
        "token",
        "tokens",
        "untold",
        "user",
        "userId",
        "waitingSize",
    )

    def __init__(self, id: str, user: Any, userId: str, options: Mapping[str, Any]) -> None:
        self.id = id
        self.user = user
        self.userId = userId
        #: The id of the user that came, whatever onAuth made of it; who resumes must be the same.
        self.arrivalId = userId
        self.options = options
        self.state = State.SEATED
        self.client: Client = None  # type: ignore[assignment]  # set by whoever makes a member, at once
        self.mailbox = Mailbox()

        # The connection.
        self.link = ""
        self.session = ""
        self.outlet: Outlet | None = None
        self.isJSON = True
        #: The join requests that `joined` answers.
        self.refs: list[int | None] = []
        #: Set if it is to leave as soon as the hook that admits it is over.
        self.pendingLeave: PendingLeave | None = None
        #: What `onAuth` or `onJoin` has returned, while that is awaited.
        self.runningHook: object = None
        #: Its reservation, while it is joining.
        self.seat: bytes | None = None
        self.expiry: IDelayedCall | None = None
        #: What the room is still to be told: whether it was away, and whether it got all that it missed.
        self.untold: tuple[bool, bool] | None = None

        # What it is sent.
        #: The log's offset when it joined. Of earlier messages it gets only those that newcomers are shown.
        self.offset = 0
        #: Records that must be committed for its `joined` to have left.
        self.announced = 0
        #: The calls of its room that wait until it has joined.
        self.pending: list[RoomCall] = []
        #: What it is sent before `onAuth` lets it in, which is logged then: types and payloads.
        self.early: list[tuple[str, bytes]] | None = None
        self.calls: dict[int, Deferred[Any]] = {}
        self.groups = _NO_GROUPS
        self.meta: Mapping[str, Any] = {}

        # What it sends.
        #: The resume token that it was given last, and the digests of those that are valid.
        self.token = ""
        self.tokens: list[bytes] = []
        self.accepted = 0
        self.handled = 0
        self.acked = 0
        self.replies: dict[int, Reply | Error] = {}
        self.repliesSize = 0
        #: What it may be sent again: bytes, for all its connections together.
        self.replays: TokenBucket | None = None
        #: Bytes of the frames that wait in the mailbox.
        self.waitingSize = 0
        #: For calls that came again, on another connection, before they were answered, by their numbers: the
        #: ref by which the client knows the call now, and the link for which that ref is valid. Each
        #: connection has refs of its own.
        self.returnRefs: dict[int, tuple[int, str]] = {}
        self.misuse = MisuseCounter()
        #: How many messages it may send, if its room limits them, and since when it has sent too many.
        self.messages: TokenBucket | None = None
        self.slowedSince: float | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """
        What it joined with.

        They are kept encoded, so that they take no more memory than the client has sent bytes: a member
        stays for `resumeSeconds` after its connection.
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
        """Whether it is no member any more."""
        return self.state >= State.LEAVING

    @property
    def isPresent(self) -> bool:
        """Whether it counts as being in the room: joined, and connected, to resume or about to leave."""
        return JOINED <= self.state <= PARTING

    @property
    def audience(self) -> Audience:
        """This member alone; empty while it has no connection."""
        return ((self.outlet, (self.link,)),) if self.outlet is not None else ()

    def attach(self, outlet: Outlet, arrival: Arrival) -> None:
        """Reach it by this connection from now on."""
        self.outlet = outlet
        self.link = arrival.link
        self.session = arrival.session
        self.isJSON = arrival.isJSON

    def detach(self) -> None:
        """It has no connection any more."""
        self.outlet = None
        self.link = self.session = ""

    def leaveLater(self, code: int, reason: LeaveReason, text: str = "") -> None:
        """Make it leave once the hook that admits it is over; only the first call counts."""
        if self.pendingLeave is None:
            self.pendingLeave = PendingLeave(code, reason, text)

    def cancelExpiry(self) -> None:
        """Don't end its membership after `resumeSeconds`: it is back, or gone."""
        expiry, self.expiry = self.expiry, None
        if expiry is not None and expiry.active():
            expiry.cancel()

    def regroup(self, group: str, isIn: bool) -> None:
        """It becomes one of a group, or is none any more."""
        if isIn:
            self.groups |= {group}
        else:
            self.groups -= {group}

    # -- tokens

    def issueToken(self, used: str | None = None) -> None:
        """
        A new resume token, for the link that it has now; the one that was `used` stays valid, and the newest
        of the others that nobody has confirmed, until `confirmToken`.

        They are several, since requests to resume overtake one another: the answer to any of them may be the
        one that the client gets.
        """
        self.token = resumeToken(self.id)
        known = [] if used is None else [digest(used)]
        unconfirmed = [token for token in self.tokens if token not in known]
        self.tokens = [digest(self.token), *known, *unconfirmed][: MAX_UNCONFIRMED + 1]

    def accepts(self, token: str) -> bool:
        """Whether it may resume with that token."""
        given = digest(token)
        return any(compare_digest(given, known) for known in self.tokens)

    def confirmToken(self) -> None:
        """The client has said something by the link that it has now, so it has that one's token."""
        del self.tokens[1:]

    # -- the journal

    def record(self) -> MemberRecord:
        """What must survive the owner."""
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
        )

    @classmethod
    def restored(cls, record: MemberRecord) -> Member:
        """A member from the journal of an earlier owner; it is to resume."""
        member = cls(record.member, record.user, record.userId, MappingProxyType(dict(record.options)))
        member.arrivalId = record.arrivalId
        member.offset = record.offset
        member.state = State.DROPPED
        member.tokens = list(record.tokens)
        member.groups = frozenset(record.groups)
        member.meta = record.meta or {}
        return member

    def forget(self) -> None:
        """Break the reference cycle with its client, which users may still hold."""
        self.cancelExpiry()
        self.detach()
        del self.client

    def restore(self, handled: Handled) -> None:
        """One of its frames was handled by an earlier owner."""
        self.accepted = self.handled = self.acked = max(self.handled, handled.n)
        if handled.reply is not None:
            self.keepReply(handled.n, handled.reply)

    def keepReply(self, n: int, reply: Reply | Error) -> None:
        """Remember what the client's call `n` was answered."""
        replies = self.replies
        replies[n] = reply
        self.repliesSize += sizeOf(reply)
        while len(replies) > WINDOW or (self.repliesSize > REPLIES_SIZE and len(replies) > 1):
            self.repliesSize -= sizeOf(replies.pop(next(iter(replies))))


def copied(reply: Reply | Error, ref: int | None) -> Reply | Error:
    """The same answer to that ref, which is to be framed anew."""
    if isinstance(reply, Reply):
        return Reply(reply.ref if ref is None else ref, reply.data)
    return Error(ref, reply.room, reply.code, reply.message, reply.details)


def sizeOf(reply: Reply | Error) -> int:
    """Bytes of the content of an answer, without the overhead of its objects."""
    if isinstance(reply, Reply):
        return len(reply.data)
    return len(reply.message) + len(payload.encode(reply.details))
