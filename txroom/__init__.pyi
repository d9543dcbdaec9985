# The public names, for type checkers; `__init__.py` imports each when it is first used.

from .admin.guard import Caller as Caller
from .core.application import Application as Application
from .core.application import Refusal as Refusal
from .core.codes import CloseCode as CloseCode
from .core.codes import ErrorCode as ErrorCode
from .core.codes import ReadyState as ReadyState
from .core.codes import SendStatus as SendStatus
from .core.codes import isSendable as isSendable
from .core.connection import Connection as Connection
from .core.handshake import Accept as Accept
from .core.handshake import Deny as Deny
from .core.handshake import Handshake as Handshake
from .core.handshake import UpgradeError as UpgradeError
from .core.headers import Headers as Headers
from .core.headers import MultiDict as MultiDict
from .core.hooks import CONNECTION_HOOKS as CONNECTION_HOOKS
from .core.message import Prepared as Prepared
from .core.options import ServerOptions as ServerOptions
from .core.validation import OptionError as OptionError
from .protocol.errors import CallError as CallError
from .protocol.errors import RoomError as RoomError
from .rooms.api.client import Client as Client
from .rooms.api.clock import RoomClock as RoomClock
from .rooms.api.clock import Timer as Timer
from .rooms.api.handlers import message as message
from .rooms.api.history import History as History
from .rooms.api.history import HistoryEntry as HistoryEntry
from .rooms.api.logger import loggerOf as loggerOf
from .rooms.api.ports import LeaveReason as LeaveReason
from .rooms.api.ports import RoomServices as RoomServices
from .rooms.api.room import Room as Room
from .rooms.application import RoomApplication as RoomApplication
from .rooms.contract.listing import Listing as Listing
from .rooms.contract.ports import HandoverFailed as HandoverFailed
from .rooms.owner.directory import Rooms as Rooms
from .rooms.registration import Registration as Registration
from .server import Server as Server
from .service.connections import Stats as Stats
from .service.health import HealthPage as HealthPage

__all__: list[str]
__version__: str
