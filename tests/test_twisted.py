"""The private names of Twisted that txroom uses: if a release of Twisted removes one, a test fails here."""

from __future__ import annotations

import ast
import io
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet import endpoints, epollreactor, tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import FileLogObserver, FilteringLogObserver, globalLogBeginner, globalLogPublisher
from twisted.protocols import _sni
from twisted.protocols.haproxy import _info, _v1parser, _v2parser, _wrapper
from twisted.protocols.tls import BufferingTLSTransport
from twisted.python.logfile import LogFile
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http

from txroom.testing import MemoryReactor

PACKAGE = Path(__file__).resolve().parents[1] / "txroom"
#: The modules that use private names of Twisted.
MODULES = {
    # One module for each part of Twisted; other modules use these.
    "core/twistedinternet.py",
    "http/twistedweb.py",  # `core` doesn't know twisted.web
    "process/twistedlogger.py",
    # This code runs for every message or read, where a call of another module would cost too much.
    "wire/sendbuffer.py",
    "process/leanepoll.py",
}
#: Private names of Python and of other libraries.
OTHERS = frozenset({"_Decompress", "_current_frames", "_exit", "_getframe", "ffi", "lib"})
REACTOR: Any = MemoryReactor()


def holders(logFile: LogFile) -> Iterator[tuple[Any, str]]:
    """Each object with private names, and the names that txroom uses."""
    factory: Any = Factory.forProtocol(Protocol)
    factory._clock = REACTOR
    proxied = endpoints.serverFromString(REACTOR, "haproxy:tcp:8080")
    yield tcp, "_reservedFD"
    yield tcp.Port, "_logger"
    yield unix.Port, "_fromListeningDescriptor _preexistingSocket _shouldShutdown"
    yield FileDescriptor(REACTOR), "_tempDataLen _writeDisconnected _writeDisconnecting"
    yield BufferingTLSTransport(factory, Protocol()), "_aggregator"
    yield endpoints, "_SystemdParser _WrapperServerEndpoint _parse"
    yield endpoints._SystemdParser, "_sddaemon"
    yield proxied, "_wrappedEndpoint _wrapperFactory"
    yield endpoints.TCP6ServerEndpoint(REACTOR, 0), "_backlog _interface _port"
    yield endpoints.SSL4ServerEndpoint(REACTOR, 0, None), "_backlog _interface _port _sslContextFactory"
    yield endpoints.UNIXServerEndpoint(REACTOR, "socket"), "_address _wantPID"
    yield endpoints.AdoptedStreamServerEndpoint(REACTOR, 0, socket.AF_INET), "_used"
    yield _sni, "TLSServerEndpoint"
    yield _wrapper, "HAProxyProtocolWrapper HAProxyWrappingFactory"
    yield _wrapper.HAProxyProtocolWrapper(factory, Protocol()), "_proxyInfo"
    yield _info, "ProxyInfo"
    yield _v1parser, "V1Parser"
    yield _v2parser, "V2Parser"
    yield epollreactor.EPollReactor, "_disconnectSelectable _doReadOrWrite"
    yield http.HTTPChannel(), "_dataBuffer _respondToBadRequestAndDisconnect"
    yield http.HTTPFactory(reactor=REACTOR), "_logDateTime _logDateTimeCall _updateLogDateTime"
    yield globalLogPublisher, "_observers"
    yield globalLogBeginner, "_initialBuffer"
    yield globalLogBeginner._initialBuffer, "_buffer"
    yield FilteringLogObserver(globalLogPublisher, []), "_observer"
    yield FileLogObserver(io.StringIO(), str), "_outFile"
    yield logFile, "_file"
    yield Deferred(), "_canceller"


#: These exist only with a reactor or a TLS connection; the tests of `leanepoll` and `sendbuffer` check them.
UNSEEN = frozenset({"_appSendBuffer", "_poller"})


class PrivateTests(SynchronousTestCase):
    """Private names that txroom does not define."""

    def logFile(self) -> LogFile:
        file: LogFile = LogFile.fromFullPath(self.mktemp())
        self.addCleanup(file.close)
        return file

    def test_there(self) -> None:
        """Twisted has all of them."""
        file = self.logFile()
        missing = [
            f"{holder}: {name}"
            for holder, names in holders(file)
            for name in names.split()
            if not hasattr(holder, name)
        ]
        self.assertEqual(missing, [])

    def test_named(self) -> None:
        """txroom uses no others than those named here."""
        used: set[str] = set().union(*usedNames().values())
        self.assertEqual(used - self.named() - OTHERS, set())

    def test_modules(self) -> None:
        """They are used in these modules and no others."""
        named = self.named()
        self.assertEqual({module for module, names in usedNames().items() if names & named}, MODULES)

    def named(self) -> set[str]:
        """All names that txroom is known to use."""
        file = self.logFile()
        return {name for _, names in holders(file) for name in names.split()} | UNSEEN


def usedNames() -> dict[str, set[str]]:
    """The private names that each module uses and that the package does not define."""
    used: dict[str, set[str]] = {}
    own: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        names = used.setdefault(path.relative_to(PACKAGE).as_posix(), set())
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names.update(_usedBy(node))
            own.update(_definedBy(node))
    return {module: names - own for module, names in used.items()}


def _usedBy(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and _isPrivate(node.attr):
        yield node.attr
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        isWithin = any(map(_isPrivate, node.module.split(".")))
        yield from (alias.name for alias in node.names if isWithin or _isPrivate(alias.name))


def _definedBy(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield from [node.attr] if ast.unparse(node.value) in ("self", "cls") else []


def _isPrivate(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
