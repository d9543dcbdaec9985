"""
The command line of a load test.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from twisted.python import usage
from twisted.python.usage import UsageError

from ..client.transport import absolute
from ..process.loading import loadAttribute, refuseAbbreviations
from ..protocol.limits import MAX_NAME
from .plan import MARK, NUMBER, Plan


class Options(usage.Options):
    """
    The options of `python -m txroom.loadtest`. A wrong one raises `UsageError` with a message of one line.
    """

    synopsis = "Usage: python -m txroom.loadtest URL --room NAME [options]\n       ... URL --plain [options]"
    longdesc = (
        "Connects many clients to a server, which join a room or use plain WebSockets, and measures the "
        "latencies of their messages. URL is the URL of the rooms, such as ws://localhost:8080/rooms; its "
        f"scheme may also be wss, http or https. In --options and --data, {NUMBER} is replaced by the number "
        f"of the client, from 0. In --data, {MARK} is replaced by a mark. When the server sends a message "
        "back, its client recognizes it by the mark, and the time until then is measured. The exit status is "
        "0, or 1 if there was any error, or 2 for a wrong option."
    )

    def __init__(self) -> None:
        super().__init__()
        #: The given options by their names in `Plan`.
        self._given: dict[str, Any] = {}
        self["plain"] = False
        self["json"] = None
        self["quiet"] = False

    # -- the clients

    def opt_clients(self, value: str) -> None:
        """The number of clients. [default: 10]"""
        if not re.fullmatch("[0-9]{1,6}", value) or not int(value):
            raise UsageError(f"--clients {value}: must be a whole number, 1 or more")
        self._given["clients"] = int(value)

    def opt_ramp(self, value: str) -> None:
        """The time over which the clients start. [seconds, default: 1]"""
        self._given["ramp"] = _number("ramp", value)

    def opt_duration(self, value: str) -> None:
        """The time from the end of the ramp to the end of the load test. [seconds, default: 30]"""
        self._given["duration"] = _number("duration", value)

    # -- the connections

    def opt_room(self, value: str) -> None:
        """The name of the rooms that the clients join; a new one is created if none has a free seat."""
        self._given["room"] = value

    def opt_options(self, value: str) -> None:
        """The options with which the clients join, as JSON: '{"name": "ada {n}"}'"""
        if not isinstance(_decoded(value), dict):
            raise UsageError(f'--options {value}: must be a JSON object, such as \'{{"name": "ada"}}\'')
        self._given["options"] = value

    def opt_plain(self) -> None:
        """Use plain WebSockets without rooms, to a server that sends the messages back."""
        self["plain"] = True

    def opt_header(self, value: str) -> None:
        """An additional header of the upgrade request, "Name: value". May be given several times."""
        name, colon, text = value.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not text.isprintable():
            raise UsageError(f'--header {value}: must be a header of the form "Name: value"')
        self._given.setdefault("headers", {})[name] = text.strip()

    def opt_endpoint(self, value: str) -> None:
        """Connect to this Twisted endpoint instead of what the URL says: unix:/run/chat.sock, for example."""
        from twisted.internet import reactor
        from twisted.internet.endpoints import clientFromString

        try:
            clientFromString(reactor, value)
        except Exception as error:
            raise UsageError(f"--endpoint {value}: {error}") from None
        self._given["endpoint"] = value

    # -- the messages

    def opt_type(self, value: str) -> None:
        """The type of the messages that the clients send to the room; without it they send nothing."""
        if not 0 < len(value) <= MAX_NAME:
            raise UsageError(f"--type {value}: must be a string of 1 to {MAX_NAME} characters")
        self._given["type"] = value

    def opt_data(self, value: str) -> None:
        """The data of the messages as JSON, such as '"hello"'; with --plain the text itself."""
        self._given["data"] = value

    def opt_call(self) -> None:
        """Send the messages as calls, and measure the time until the reply."""
        self._given["isCall"] = True

    def opt_rate(self, value: str) -> None:
        """How many messages each client sends. [per second, default: 1]"""
        self._given["rate"] = _number("rate", value, isZeroAllowed=False)

    def opt_scenario(self, value: str) -> None:
        """
        What each client does instead: module:function, an async function that is called with client, room
        and clock.
        """
        scenario = loadAttribute("--scenario", value)
        if not callable(scenario):
            raise UsageError(f"--scenario {value}: must be the name of a function, module:function")
        self._given["scenario"] = scenario

    # -- output

    def opt_json(self, value: str) -> None:
        """Write the figures to this file as JSON; "-" prints them instead of the text."""
        self["json"] = value

    def opt_quiet(self) -> None:
        """Do not print a line every second."""
        self["quiet"] = True

    def opt_version(self) -> None:
        """Display the version of txroom and exit."""
        print(f"txroom {version('txroom')}")
        raise SystemExit(0)

    # -- parsing

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        words = list(sys.argv[1:] if options is None else options)
        words = [*self._optionsFirst(words)]
        refuseAbbreviations(self, words)
        super().parseOptions(words)

    def _optionsFirst(self, words: list[str]) -> list[str]:
        """Put the URL last, since it may be anywhere, and getopt would take it for the end of the options."""
        takers = {f"--{name.removesuffix('=')}" for name in self.longOpt if name.endswith("=")}
        first: list[str] = []
        rest: list[str] = []
        waiting = iter(words)
        for word in waiting:
            if word == "--":
                rest += waiting
            elif not word.startswith("-") or word == "-":
                rest.append(word)
            else:
                first.append(word)
                if word in takers:
                    first += [each for each in (next(waiting, None),) if each is not None]
        return [*first, *(["--"] if rest else []), *rest]

    def parseArgs(self, *urls: str) -> None:
        if len(urls) != 1:
            given = f", but there are {len(urls)}: {' '.join(urls)}" if urls else ""
            raise UsageError(f"give one URL{given}")
        try:
            self._given["url"] = absolute(urls[0], path="/")
        except ValueError:
            raise UsageError(
                f"{urls[0]}: must be a URL such as ws://host:port/path, with ws, wss, http or https"
            ) from None

    def postOptions(self) -> None:
        given = self._given
        if self["plain"] == ("room" in given):
            raise UsageError("give either --room or --plain")
        if not self["plain"]:
            given["url"] = absolute(given["url"])
        if self["plain"]:
            self._refuse("--plain", ("options", "type", "call", "scenario"))
            return
        if "scenario" in given:
            self._refuse("--scenario", ("type", "data", "call", "rate"))
        if "type" not in given:
            for needy in ("data", "call"):
                if self._has(needy):
                    raise UsageError(f"--{needy} needs --type")
        elif "data" in given and _decoded(given["data"]) is _NO_JSON:
            raise UsageError(f"--data {given['data']}: must be JSON; for a string write '\"hello\"'")

    def _refuse(self, option: str, others: tuple[str, ...]) -> None:
        for other in others:
            if self._has(other):
                raise UsageError(f"{option} and --{other} can't be combined")

    def _has(self, option: str) -> bool:
        """Return whether an option was given."""
        return {"call": "isCall"}.get(option, option) in self._given

    @property
    def plan(self) -> Plan:
        """What to do, from the given options."""
        return Plan(**self._given)


_NO_JSON = object()


def _decoded(text: str) -> Any:
    """Return the value of a JSON text after its placeholders were replaced, or `_NO_JSON`."""
    try:
        return msgspec.json.decode(text.replace(NUMBER, "0").replace(MARK, "0"))
    except msgspec.DecodeError:
        return _NO_JSON


def _number(option: str, text: str, isZeroAllowed: bool = True) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not (isZeroAllowed or float(text)):
        allowed = "0 or more" if isZeroAllowed else "more than 0"
        raise UsageError(f"--{option} {text}: must be a number, {allowed}")
    return float(text)
