"""
The session of a client of Colyseus: one connection, in one room.

A client asks for a seat by HTTP (see `matchmaking`), and then opens a connection for it. Until it has
confirmed `JOIN_ROOM`, its listeners are not there, so what the room sends is held here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ...core.codes import CloseCode, ErrorCode, ReadyState
from ...core.connection import Connection
from ...core.misuse import MisuseCounter
from ...protocol.closecodes import ResumeFallback, fallbackAfter, shortened
from ...protocol.errors import BadFrame, RoomError
from ...protocol.joinoptions import AUTH, SEAT
from ...rooms.contract.arrivals import SOME_VERSION, Refused
from ...rooms.contract.commands import Call, CallFailed, CallReply, Leave, Send, WantState
from ...rooms.contract.items import (
    Error,
    Item,
    Joined,
    Replay,
    RoomCall,
    StateFull,
    StateItem,
    StatePatches,
)
from ...rooms.contract.ports import Link
from ...rooms.edge.arriving import joinOf, resumeOf
from ...rooms.edge.attachment import Attachment
from ...rooms.edge.services import EdgeServices
from ...rooms.edge.session import RoomSession
from ...rooms.meters import RESUME
from .codes import CONSENTED, EXPIRED, FAILED_TO_RECONNECT, MAY_TRY_RECONNECT, Kind
from .dialect import DIALECT, PONG, ColyseusDialect

#: The most items that are held for a client, and the most bytes of their data, without what it missed before
#: it joined and the first state. If there are more, nothing of the state is held any more: the client gets it
#: when it is ready. If there are still more, the connection is closed, and the client may reconnect.
MAX_HELD, HELD_SIZE = 1000, 1 << 20
#: The seconds after which the connection of a client is closed that only measures the latency.
PROBE_SECONDS = 5.0
#: The payload of the ping that follows the state for a client that comes back.
STATE_SENT = b"state"
#: How `Attachment.asked` names a client that takes the seat that it was told of.
TOLD = "told"

TOKEN_EXPIRED = "the reconnection token is invalid or has expired"
SEAT_EXPIRED = "the reserved seat has expired, or was taken"

#: See `Join.stateFormat`.
STATE_FORMAT = "schema"
#: The ref of a request to leave, and of an answer that no call has.
_UNASKED = -1


class ColyseusSession(RoomSession):
    """
    A client in a room.

    Args:
        services: The objects that all sessions use.
        connection: The client's connection.
    """

    dialect: ColyseusDialect

    def __init__(self, services: EdgeServices, connection: Connection) -> None:
        super().__init__(services, connection, DIALECT)
        self._misuse = MisuseCounter()
        #: Whether the client comes back to its membership.
        self._isReturning = False
        #: Whether it could not come back now, and may try again.
        self._mayReturn = False
        self._hasJoined = False
        #: What the room has sent before the client has confirmed `JOIN_ROOM`; `None`: it has confirmed it.
        self._held: list[Item] | None = []
        self._heldSize = 0
        #: Whether too much was held, so that the client gets the state when it has confirmed `JOIN_ROOM`.
        self._wantsState = False
        #: The version of the state that the client has received when it answers the ping `STATE_SENT`.
        self._sentVersion = -1

    # -- joining

    @property
    def hasSeat(self) -> bool:
        """Whether the client has a seat in the room, or waits for the answer."""
        return self._byPath is not None

    def enter(self, room: str, seat: str, token: str | None, auth: str | None) -> Deferred[None]:
        """
        Take the seat that the client was told of, or come back.

        The connection is closed if the client is refused, and when the membership ends.

        Args:
            room: The room's id.
            seat: The token of the seat.
            token: The token with which the client comes back; `None`: it takes the seat.
            auth: What the client's `auth.token` was; `None`: nothing.

        Returns:
            A Deferred that fires when the room has answered.
        """
        self._isReturning = token is not None
        how = TOLD if token is None else RESUME
        keepsState = "skipHandshake" in self.connection.handshake.query  # of a version that it doesn't tell
        version = SOME_VERSION if token is not None and keepsState else None
        attachment = self._byPath = Attachment(self, None, how, room, STATE_FORMAT, version)
        try:
            if token is not None:  # a client with a seat was counted when it asked for it
                address = self.connection.handshake.peerNetwork
                self.services.arrivals.take(address, self.services.clock.seconds())
        except RoomError as error:
            return self._refuseJoin(attachment, error)
        if token is not None:
            arrivalOf: Any = partial(resumeOf, self, attachment, room, token, "", -1, 0)
        else:
            options = {SEAT: seat} if auth is None else {SEAT: seat, AUTH: auth}
            arrivalOf = partial(joinOf, self, attachment, room, options)
        return self._run(self._attach(attachment, arrivalOf), None)

    def _settle(self, attachment: Attachment, result: Link | Refused) -> None:
        if isinstance(result, Refused) and result.code in _GONE:
            result = Refused(EXPIRED, TOKEN_EXPIRED if self._isReturning else SEAT_EXPIRED)
        super()._settle(attachment, result)

    # -- what the client sends

    def received(self, message: str | bytes) -> None:
        """Handle a message of the client. Called for every message."""
        if self.isMute:
            return
        try:
            command = self.dialect.decode(message)
        except BadFrame as error:
            self._refuse(error)
            return
        if type(command) is Send:
            self.submit(None, None, command)
        elif type(command) is Call:
            if self._byPath is not None:
                self._byPath.called(command.ref)
            self.submit(None, command.ref, command)
        elif command is Kind.PING:
            self.connection.sendFrame(PONG)
        elif command is Kind.JOIN_ROOM:
            self._confirmed()
        else:
            self._leave()

    def _refuse(self, error: BadFrame) -> None:
        """Answer a message that is not a valid frame, and count the mistake."""
        self.say(Error(error.ref, None, error.code, error.message, error.details))
        if self._misuse.add(self.services.clock.seconds()):
            self.close(CloseCode.MISUSE, "too many bad frames")

    def _confirmed(self) -> None:
        """The client has its new token, and its listeners: send what was held."""
        held, self._held = self._held, None
        if held is None or not self._hasJoined:
            self._held = held
            return
        if self._isReturning:
            self.submit(None, None, CallReply(_UNASKED, b""))  # any frame tells the room that the token came
        for item in held:
            self.say(item, item.isVolatile)
        if self._byPath is not None:
            if self._wantsState:
                self._byPath.submit(WantState(self._byPath.stateAsked[1]))
            elif self._isReturning and self._byPath.states is not None:
                self._sentVersion = self._byPath.states.version
                if self._sentVersion >= 0:
                    self.connection.ping(STATE_SENT)

    def ponged(self, payload: bytes) -> None:
        """The client has answered a ping. If that is `STATE_SENT`, tell the room that it has the state."""
        if payload == STATE_SENT and self._byPath is not None and self._sentVersion >= 0:
            self._byPath.submit(WantState(self._sentVersion, isReceived=True))
            self._sentVersion = -1

    def _leave(self) -> None:
        if self._byPath is not None:
            self._byPath.isLeaving = True
        self.submit(None, None, Leave(_UNASKED))

    # -- what the room sends

    def say(self, item: Item, isVolatile: bool = False) -> None:
        """Send an item, or hold it until the client has confirmed `JOIN_ROOM`. Called for every message."""
        if self._held is None and type(item) is not RoomCall:
            super().say(item, isVolatile)
        elif not self.isMute:
            self._sayEarly(item, isVolatile)

    def _sayEarly(self, item: Item, isVolatile: bool) -> None:
        """Send what the client can take before it has confirmed `JOIN_ROOM`, and hold the rest."""
        kind = type(item)
        if kind is RoomCall:
            self.services.clock.callLater(0, self._cannotAnswer, item)  # not in the middle of a state change
        elif kind is Joined:
            self._sayJoined(item)
        elif not self._hasJoined and kind is Error:
            self._sayRefusal(item)
        elif self._held is not None and not isVolatile:
            self._hold(item, self._held)

    def _sayJoined(self, item: Any) -> None:
        if not self._hasJoined:
            self._hasJoined = True
            skipsHandshake = "skipHandshake" in self.connection.handshake.query
            self.connection.sendFrame(self.dialect.joined(item, skipsHandshake))

    def _sayRefusal(self, error: Any) -> None:
        """Tell the client that it could not join. One that may try again to come back does so by itself."""
        self._mayReturn = self._isReturning and fallbackAfter(error.code) is ResumeFallback.RETRY
        if not self._mayReturn:
            super().say(error)

    def _hold(self, item: Item, held: list[Item]) -> None:
        if self._wantsState and isinstance(item, StateItem):
            return
        if type(item) is StatePatches and self._byPath is not None:  # it has the views of other clients, too
            link = self._byPath.id
            item = replace(item, own={link: item.own.get(link, b"")})
        held.append(item)
        self._heldSize += _sizeOf(item)
        if not _isTooMuch(held, self._heldSize):
            return
        self._wantsState = self._wantsState or any(isinstance(each, StateItem) for each in held)
        held[:] = [each for each in held if not isinstance(each, StateItem)]
        self._heldSize = sum(map(_sizeOf, held))
        if _isTooMuch(held, self._heldSize):
            held.clear()
            self.close(CloseCode.SLOW_CONSUMER, "JOIN_ROOM was not confirmed")

    def _cannotAnswer(self, call: Any) -> None:
        text = "clients of Colyseus answer no calls"
        if not self.isGone:
            self.submit(None, None, CallFailed(call.ref, ErrorCode.BAD_REQUEST, text))

    # -- the end

    def _closed(self, code: int, reason: str) -> None:
        self._part()
        if self.connection.readyState is ReadyState.OPEN:
            if self._mayReturn or self._hasJoined or not self._isReturning:
                code = MAY_TRY_RECONNECT if self._mayReturn else self.dialect.closeCode(code)
            else:
                code = FAILED_TO_RECONNECT
            self.connection.close(code, shortened(reason))

    def disconnected(self, code: int) -> None:
        """Give up the room: the connection has ended. Only a client that closes it with 4000 leaves."""
        if code == CONSENTED:
            code = CloseCode.NORMAL
        elif code == CloseCode.NORMAL:
            code = CloseCode.GOING_AWAY
        super().disconnected(code)


class ProbeSession(RoomSession):
    """A client that only measures the latency, like Colyseus's `getLatency`."""

    def __init__(self, services: EdgeServices, connection: Connection) -> None:
        super().__init__(services, connection, DIALECT)
        over = partial(self.close, CloseCode.NORMAL, "")
        self._timer: IDelayedCall = services.clock.callLater(PROBE_SECONDS, over)

    def received(self, message: str | bytes) -> None:
        """Answer a message."""
        if not self.isMute:
            self.connection.sendFrame(PONG)

    def disconnected(self, code: int) -> None:
        """Stop: the connection has ended."""
        if self._timer.active():
            self._timer.cancel()
        super().disconnected(code)


#: The errors of a seat or a token that is not valid, when the client asks for it.
_GONE = frozenset({ErrorCode.FORBIDDEN, ErrorCode.NO_SUCH_ROOM, ErrorCode.ROOM_GONE, ErrorCode.UNAUTHORIZED})


def _isTooMuch(held: list[Item], size: int) -> bool:
    return len(held) > MAX_HELD or size > HELD_SIZE


def _sizeOf(item: Item) -> int:
    """Return the bytes of an item's data, for `HELD_SIZE`."""
    if type(item) is Replay or type(item) is StateFull:  # each comes once, and has a bound of its own
        return 0
    size = len(getattr(item, "data", b""))
    return size + sum(map(len, item.own.values())) if type(item) is StatePatches else size
