"""
Draw the packages of txroom and their imports, for the page "Map of the code".

    python scripts/architecture.py           # write docs/_static/architecture.svg
    python scripts/architecture.py --check   # only say whether it would change

The floors are `LAYERS` of tests/test_architecture.py, and an arrow is an import that some module really has.
An arrow is left out where others lead the same way: `service` imports `core`, but also `http`, which imports
`wire`, which imports `core`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "_static" / "architecture.svg"

Graph = Mapping[str, set[str]]


class Box(NamedTuple):
    """What the picture says of a package or module, and in which column, of four."""

    column: float
    purpose: str
    area: str


PROGRAM, SERVER, ROOMS, GROUND = "program", "server", "rooms", "ground"
COLOURS = {PROGRAM: "#fdf0d5", SERVER: "#d9ead3", ROOMS: "#d6e4f5", GROUND: "#ececec"}

BOXES = {
    "txroom.tap": Box(0, "twistd txroom", PROGRAM),
    "txroom.pytestplugin": Box(2, "the fixture for pytest", PROGRAM),
    "txroom.loadtest": Box(3, "load tests", PROGRAM),
    "txroom.process": Box(1, "options, signals, logs", PROGRAM),
    "txroom.demo": Box(1, "served without --app", PROGRAM),
    "txroom.testing": Box(2, "the test kit", PROGRAM),
    "txroom": Box(1, "the public names", GROUND),
    "txroom.server": Box(1, "Server", SERVER),
    "txroom.admin": Box(1, "the HTTP API", SERVER),
    "txroom.service": Box(1, "listeners, the cluster", SERVER),
    "txroom.client": Box(3, "the Python client", PROGRAM),
    "txroom.compat": Box(1, "Colyseus's clients", ROOMS),
    "txroom.engine": Box(2, "joins edge and owner", ROOMS),
    "txroom.http": Box(0, "requests, upgrades", SERVER),
    "txroom.rooms.application": Box(1, "serves rooms", ROOMS),
    "txroom.rooms.edge": Box(1, "sessions of clients", ROOMS),
    "txroom.rooms.owner": Box(2, "runs a room", ROOMS),
    "txroom.rooms.registration": Box(2, "rooms by name", ROOMS),
    "txroom.rooms.api": Box(2, "Room, Client", ROOMS),
    "txroom.rooms": Box(1.5, "hooks, matching", ROOMS),
    "txroom.rooms.contract": Box(1.5, "commands, items, ports", ROOMS),
    "txroom.wire": Box(0, "bytes of a WebSocket", SERVER),
    "txroom.protocol": Box(1.5, "frames, errors, limits", GROUND),
    "txroom.state": Box(2.5, "declared state", GROUND),
    "txroom.core": Box(0.75, "Application, options", GROUND),
}

WIDTH, HEIGHT = 142, 42
STEP, FLOOR = 156, 70
MARGIN = 14

STYLE = (
    "text { font-family: system-ui, sans-serif; text-anchor: middle; fill: #1a1a1a }"
    " .name { font-size: 13px; font-weight: 600 } .purpose { font-size: 11px; fill: #444 }"
    " rect { stroke: #888 } path { fill: none; stroke: #555; stroke-width: 1.3 }"
)


def reachable(graph: Graph, start: str) -> set[str]:
    """What can be reached from a box, by however many arrows."""
    seen: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        each = ahead.pop()
        if each not in seen:
            seen.add(each)
            ahead += graph[each]
    return seen


def reduced(graph: Graph) -> Graph:
    """The graph without the arrows that others make unnecessary."""
    return {
        box: {each for each in below if not any(each in reachable(graph, other) for other in below - {each})}
        for box, below in graph.items()
    }


def imported() -> tuple[list[list[str]], Graph]:
    """The floors from the top, and which package imports which."""
    sys.path.insert(0, str(ROOT))
    from tests import test_architecture as architecture

    floors = [sorted(row) for row in architecture.LAYERS]
    graph: dict[str, set[str]] = {box: set() for row in floors for box in row}
    for found in architecture.imports():
        if architecture.within(found.name, ("txroom",)):
            importer, name = architecture.place(found.importer), architecture.place(found.name)
            if importer is not None and name is not None and importer != name:
                graph[importer].add(name)
    return floors, graph


def drawn(floors: list[list[str]], graph: Graph) -> str:
    """The picture. Raises `KeyError` for a package that is not in `BOXES`."""
    places = {
        box: (MARGIN + WIDTH / 2 + BOXES[box].column * STEP, MARGIN + row * FLOOR)
        for row, boxes in enumerate(floors)
        for box in boxes
    }
    width = 2 * MARGIN + WIDTH + STEP * max(BOXES[box].column for box in places)
    height = 2 * MARGIN + HEIGHT + FLOOR * (len(floors) - 1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
        "<title>The packages of txroom. Each arrow is an import.</title>",
        f"<style>{STYLE}</style>",
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill: #555; stroke: none"/></marker>',
        f'<rect width="{width:g}" height="{height:g}" rx="6" style="fill: #fff; stroke: none"/>',
        *arrows(places, reduced(graph)),
    ]
    for box, (x, y) in places.items():
        left = x - WIDTH / 2
        fill = COLOURS[BOXES[box].area]
        lines += [
            f'<rect x="{left:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="5" style="fill: {fill}"/>',
            f'<text class="name" x="{x:g}" y="{y + 18:g}">{escape(nameOf(box))}</text>',
            f'<text class="purpose" x="{x:g}" y="{y + 34:g}">{escape(BOXES[box].purpose)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def arrows(places: Mapping[str, tuple[float, float]], graph: Graph) -> Iterator[str]:
    """Each arrow, from the lower edge of a box to the upper edge of another."""
    for box in sorted(graph):
        for below in sorted(graph[box]):
            yield f'<path d="{pathOf(places, box, below)}" marker-end="url(#tip)"/>'


def pathOf(places: Mapping[str, tuple[float, float]], box: str, below: str) -> str:
    """
    The way of an arrow: straight down, and from one column to the other between two floors.

    It changes the column above `below`, or, if another box is in the way, under `box`.
    """
    x, y = places[box]
    toX, end = places[below]
    start = y + HEIGHT
    gap = FLOOR - HEIGHT
    between = [atX for atX, atY in places.values() if y < atY < end]
    if any(abs(atX - x) < WIDTH / 2 for atX in between):
        turn, rest = start, f"V{end:g}"
    else:
        turn, rest = end - gap, ""
    half = turn + gap / 2
    curve = f"C{x:g} {half:g} {toX:g} {half:g} {toX:g} {turn + gap:g}"
    return f"M{x:g} {start:g}V{turn:g}{curve}{rest}"


def nameOf(box: str) -> str:
    """A package or module as the folder in which it is."""
    return box.removeprefix("txroom.").replace(".", "/")


def main() -> int:
    picture = drawn(*imported())
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(picture, "utf-8")
    elif PICTURE.read_text("utf-8") != picture:
        print(f"{PICTURE.name} is out of date; run: python scripts/architecture.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
