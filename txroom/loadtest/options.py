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
    The options of `python -m txroom.loadtest`; a wrong one raises `UsageError` with one line.
    """

    synopsis = "Usage: python -m txroom.loadtest URL --room NAME [options]\n       ... URL --plain [options]"
    longdesc = (
        "Loads a server with clients that join a room, or with plain WebSockets, and says how it bears it. "
        "URL is where the rooms are: ws://localhost:8080/rooms, or with wss, http, https. "
        f"In --options and --data {NUMBER} is replaced by the number of the client, from 0. In --data {MARK} "
        "is replaced by a mark by which a client knows its own message when the server sends it to all; then "
        "the time until it came back is measured. "
        "The exit status is 0, 1 if anything went wrong, or 2 for a wrong option."
    )

    def __init__(self) -> None:
        super().__init__()
        #: What was given, by the names in `Plan`.
        self._given: dict[str, Any] = {}
        self["plain"] = False
        self["json"] = None
        self["quiet"] = False

    # -- who

    def opt_clients(self, value: str) -> None:
        """How many clients. [default: 10]"""
        if not re.fullmatch("[0-9]{1,6}", value) or not int(value):
            raise UsageError(f"--clients {value}: must be a whole number, 1 or more")
        self._given["clients"] = int(value)

    def opt_ramp(self, value: str) -> None:
        """The time over which they come in. [seconds, default: 1]"""
        self._given["ramp"] = _number("ramp", value)

    def opt_duration(self, value: str) -> None:
        """The time they stay when all have come. [seconds, default: 30]"""
        self._given["duration"] = _number("duration", value)

    # -- where

    def opt_room(self, value: str) -> None:
        """The name of the rooms they join, or create if there is none with a seat."""
        self._given["room"] = value

    def opt_options(self, value: str) -> None:
        """The options with which they join, as JSON: '{"name": "ada {n}"}'"""
        if not isinstance(_decoded(value), dict):
            raise UsageError(f"--options {value}: must be a JSON object")
        self._given["options"] = value

    def opt_plain(self) -> None:
        """No rooms: a plain WebSocket, whose messages are sent back by the server."""
        self["plain"] = True

    def opt_header(self, value: str) -> None:
        """A header of the upgrade, "Name: value". May be given several times."""
        name, colon, text = value.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not text.isprintable():
            raise UsageError(f"--header {value}: must be Name: value")
        self._given.setdefault("headers", {})[name] = text.strip()

    def opt_endpoint(self, value: str) -> None:
        """Connect to this endpoint of Twisted, say unix:/run/chat.sock, and not to what the URL says."""
        from twisted.internet import reactor
        from twisted.internet.endpoints import clientFromString

        try:
            clientFromString(reactor, value)
        except Exception as error:
            raise UsageError(f"--endpoint {value}: {error}") from None
        self._given["endpoint"] = value

    # -- what

    def opt_type(self, value: str) -> None:
        """The type of the messages they send to the room; without it they listen only."""
        if not 0 < len(value) <= MAX_NAME:
            raise UsageError(f"--type {value}: must be a text of 1 to {MAX_NAME} characters")
        self._given["type"] = value

    def opt_data(self, value: str) -> None:
        """The data of the messages: JSON, '"hello"' for one; with --plain the text itself."""
        self._given["data"] = value

    def opt_call(self) -> None:
        """The messages are calls, and the time until the reply is measured."""
        self._given["isCall"] = True

    def opt_rate(self, value: str) -> None:
        """The messages of each client. [per second, default: 1]"""
        self._given["rate"] = _number("rate", value, isZeroAllowed=False)

    def opt_scenario(self, value: str) -> None:
        """What they do in place of that: module:function, an async function of client, room and clock."""
        scenario = loadAttribute("--scenario", value)
        if not callable(scenario):
            raise UsageError(f"--scenario {value}: must be a function")
        self._given["scenario"] = scenario

    # -- output

    def opt_json(self, value: str) -> None:
        """Write the figures to this file as JSON; "-" is the standard output, in place of the summary."""
        self["json"] = value

    def opt_quiet(self) -> None:
        """No line every second."""
        self["quiet"] = True

    def opt_version(self) -> None:
        """Display the version of txroom and exit."""
        print(f"txroom {version('txroom')}")
        raise SystemExit(0)

    # -- all together

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        words = list(sys.argv[1:] if options is None else options)
        words = [*self._optionsFirst(words)]
        refuseAbbreviations(self, words)
        super().parseOptions(words)

    def _optionsFirst(self, words: list[str]) -> list[str]:
        """The URL may stand anywhere, which getopt would take for the end of the options."""
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
            given = f", not {len(urls)}: {' '.join(urls)}" if urls else ""
            raise UsageError(f"there must be one URL{given}")
        try:
            self._given["url"] = absolute(urls[0], path="/")
        except ValueError:
            raise UsageError(f"{urls[0]}: must be a URL, ws://host:port/path, or wss, http, https") from None

    def postOptions(self) -> None:
        given = self._given
        if self["plain"] == ("room" in given):
            raise UsageError("there must be either --room or --plain")
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
            raise UsageError(f"--data {given['data']}: must be JSON; a text is '\"hello\"'")

    def _refuse(self, option: str, others: tuple[str, ...]) -> None:
        for other in others:
            if self._has(other):
                raise UsageError(f"{option} doesn't go with --{other}")

    def _has(self, option: str) -> bool:
        """Whether it was given; `Plan` has one under another name."""
        return {"call": "isCall"}.get(option, option) in self._given

    @property
    def plan(self) -> Plan:
        """What is to be done."""
        return Plan(**self._given)


_NO_JSON = object()


def _decoded(text: str) -> Any:
    """A JSON value as it is with its placeholders replaced, or `_NO_JSON`."""
    try:
        return msgspec.json.decode(text.replace(NUMBER, "0").replace(MARK, "0"))
    except msgspec.DecodeError:
        return _NO_JSON


def _number(option: str, text: str, isZeroAllowed: bool = True) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not (isZeroAllowed or float(text)):
        allowed = "0 or more" if isZeroAllowed else "more than 0"
        raise UsageError(f"--{option} {text}: must be a number, {allowed}")
    return float(text)
