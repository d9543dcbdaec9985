"""The rules of the package: which module may import which, and what must not exist."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import txroom

ROOT = Path(__file__).resolve().parents[1]

# The layers, from the highest. A module may import from lower rows only, not from its own row. A package
# stands for its modules, which may import one another without a circle; the longest matching name counts.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"txroom.tap", "txroom.loadtest", "txroom.pytestplugin"}),
    frozenset({"txroom.process"}),
    frozenset({"txroom.demo", "txroom.testing"}),
    frozenset({"txroom"}),  # the public names
    frozenset({"txroom.server"}),
    frozenset({"txroom.admin"}),
    frozenset({"txroom.service", "txroom.client"}),
    frozenset({"txroom.compat", "txroom.engine"}),
    frozenset({"txroom.rooms.application", "txroom.http"}),
    frozenset({"txroom.rooms.edge", "txroom.rooms.owner"}),
    frozenset({"txroom.rooms.registration"}),
    frozenset({"txroom.rooms.api"}),
    frozenset({"txroom.rooms"}),  # what edge, owner and api have in common
    frozenset({"txroom.rooms.contract", "txroom.wire"}),
    frozenset({"txroom.protocol", "txroom.state"}),
    frozenset({"txroom.core"}),
)
RANKS = {name: len(LAYERS) - row for row, names in enumerate(LAYERS) for name in names}

# What a package must not import, not even inside functions.
BARRED: dict[str, tuple[str, ...]] = {
    "txroom.compat": ("autobahn", "txroom.http", "txroom.rooms.api", "txroom.rooms.owner", "txroom.wire"),
    "txroom.core": ("autobahn", "twisted.web"),
    "txroom.engine": ("txroom.rooms.api", "txroom.rooms.application", "txroom.rooms.edge"),
    "txroom.protocol": ("autobahn", "twisted.web"),
    "txroom.rooms": ("autobahn", "twisted.web", "socket", "txroom.wire", "txroom.http"),
    "txroom.rooms.edge": ("txroom.rooms.api", "txroom.rooms.owner", "txroom.rooms.registration"),
    "txroom.rooms.owner": ("txroom.rooms.edge",),
    "txroom.wire": ("autobahn", "twisted.web", "txroom.rooms", "txroom.protocol"),
    "txroom.http": ("txroom.rooms", "txroom.protocol"),
    "txroom.client": ("txroom.rooms",),
    "txroom.loadtest": ("txroom.service", "txroom.rooms", "txroom.wire", "txroom.http"),
}
AUTOBAHN_CLIENTS = frozenset({"txroom.client", "txroom.testing", "txroom.loadtest"})
# The modules that serve protocols of Autobahn's server side.
AUTOBAHN_MOUNT = frozenset(
    {"txroom.http.autobahn", "txroom.http.autobahnprotocol", "txroom.http.autobahnwire"}
)

# The modules that combine the parts of a package, and which modules may import them.
ENTRANCES: dict[str, tuple[str, ...]] = {
    "txroom.http.factory": ("txroom.service", "txroom.testing"),
    "txroom.rooms.owner.host": (
        "txroom.engine",
        "txroom.rooms.application",
        "txroom.rooms.owner.directory",
        "txroom.testing",
    ),
    "txroom.server": ("txroom", "txroom.process", "txroom.demo", "txroom.testing"),
}

MAX_LINES = 450

# The modules that use private names of Twisted, Python or other libraries; test_twisted.py has the names.
# Each is a risk at every release of them. Put further private names of Twisted into the first three modules.
PRIVATE_USERS = frozenset(
    {
        "txroom.core.twistedinternet",
        "txroom.http.twistedweb",
        "txroom.process.twistedlogger",
        # Of Twisted too, but a function in another module would cost too much for each message or read.
        "txroom.process.leanepoll",
        "txroom.wire.sendbuffer",
        # Of Python, zlib and Autobahn.
        "txroom.core.validation",
        "txroom.process.exitstatus",
        "txroom.process.watchdog",
        "txroom.wire.deflate",
        "txroom.wire.masking",
    }
)

# Needs pytest, which users need not have installed.
OPTIONAL = frozenset({"txroom.pytestplugin"})


class Import(NamedTuple):
    """
    One imported name, such as ``txroom.core.codes.CloseCode`` imported by ``txroom.wire.frames`` in line
    12.
    """

    importer: str
    name: str
    line: int
    atLoad: bool
    onlyTypes: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.name}"


def moduleName(path: Path, root: Path = ROOT) -> str:
    """The dotted name of a source file below ``root``."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {moduleName(path): path for path in sorted((ROOT / "txroom").rglob("*.py"))}


def place(name: str) -> str | None:
    """
    The entry of the layer table for a dotted name of txroom.

    ``txroom.wire.frames.encode`` belongs to ``txroom.wire``, a public name to ``txroom`` itself.
    """
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        if (entry := ".".join(parts[:length])) in RANKS:
            return entry
    child = ".".join(parts[:2])
    isModule = any(f"{module}.".startswith(f"{child}.") for module in MODULES)
    return None if isModule and name != "txroom" else "txroom"


def moduleOf(name: str) -> str:
    """The module that defines an imported name of txroom."""
    return name if name in MODULES else name.rpartition(".")[0]


def within(name: str, parents: frozenset[str] | tuple[str, ...]) -> bool:
    """Whether a dotted name is one of ``parents`` or inside of one."""
    return any(f"{name}.".startswith(f"{parent}.") for parent in parents)


def isTypeChecking(test: ast.expr) -> bool:
    return ast.unparse(test).rpartition(".")[2] == "TYPE_CHECKING"


@cache
def treeOf(module: str) -> ast.Module:
    """The parsed source of a module of the package."""
    return ast.parse(MODULES[module].read_text("utf-8"))


def importsOf(tree: ast.Module, module: str, isPackage: bool = False) -> Iterator[Import]:
    """All names that a module imports; relative ones are resolved."""

    def walk(node: ast.AST, atLoad: bool, onlyTypes: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, atLoad, onlyTypes)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                package = module.split(".") + ([""] if isPackage else [])
                base = ".".join(package[: len(package) - node.level])
                origin = f"{base}.{origin}".rstrip(".")
            for alias in node.names:
                name = f"{origin}.{alias.name}"
                yield Import(module, name, node.lineno, atLoad, onlyTypes)
        elif isinstance(node, ast.If) and isTypeChecking(node.test):
            for statement in node.body:
                yield from walk(statement, atLoad, True)
            for statement in node.orelse:
                yield from walk(statement, atLoad, onlyTypes)
        else:
            isFunction = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
                    yield from walk(child, atLoad and not isFunction, onlyTypes)

    yield from walk(tree, True, False)


@cache
def imports() -> tuple[Import, ...]:
    """Every import of the package."""
    return tuple(
        found
        for module, path in MODULES.items()
        for found in importsOf(treeOf(module), module, path.name == "__init__.py")
    )


class ParsingTests(SynchronousTestCase):
    """The parser that the tests below use."""

    def parse(self, source: str, module: str = "txroom.wire.frames") -> list[tuple[str, bool]]:
        return [(found.name, found.atLoad) for found in importsOf(ast.parse(source), module)]

    def test_forms(self) -> None:
        """Plain, absolute and relative imports give the full dotted name."""
        self.assertEqual(
            self.parse("import a.b\nfrom c import d\nfrom . import e\nfrom ..core.codes import F"),
            [
                ("a.b", True),
                ("c.d", True),
                ("txroom.wire.e", True),
                ("txroom.core.codes.F", True),
            ],
        )

    def test_package(self) -> None:
        """One dot in the ``__init__`` of a package means that package."""
        found = importsOf(ast.parse("from .frames import x"), "txroom.wire", isPackage=True)
        self.assertEqual([each.name for each in found], ["txroom.wire.frames.x"])

    def test_places(self) -> None:
        """A class body is executed at load, a function's body is not."""
        source = "class A:\n    import a\n    def f(self):\n        import b\n"
        self.assertEqual(self.parse(source), [("a", True), ("b", False)])

    def test_blocks(self) -> None:
        """Imports are found in every kind of block."""
        source = (
            "try:\n    import a\nexcept A:\n    import b\nelse:\n    import c\nfinally:\n    import d\n"
            "with e:\n    for f in g:\n        import h\n"
            "match i:\n    case 1:\n        import j\n"
            "if k:\n    pass\nelif l:\n    import m\n"
        )
        self.assertEqual([name for name, _ in self.parse(source)], ["a", "b", "c", "d", "h", "j", "m"])

    def test_types(self) -> None:
        """Imports for the type checker only are told apart from those in the ``else`` branch."""
        source = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\n"
        found = importsOf(ast.parse(source), "txroom.wire.frames")
        self.assertEqual([each.onlyTypes for each in found], [True, False])

    def test_place(self) -> None:
        """The modules of a package belong to the row of the package."""
        self.assertEqual(place("txroom.wire.frames.encode"), "txroom.wire")
        self.assertEqual(place("txroom.Server"), "txroom")


class LayerTests(SynchronousTestCase):
    """Imports run downwards only."""

    def test_known(self) -> None:
        """Every module has a row in the table."""
        unknown = [module for module in MODULES if place(module) is None]
        self.assertEqual(unknown, [], "not in LAYERS of tests/test_architecture.py")

    def test_downwards(self) -> None:
        """No module imports from its own row or a higher one, not even inside a function or for types."""
        wrong = []
        for found in imports():
            if not within(found.name, ("txroom",)):
                continue
            importer, imported = place(found.importer), place(found.name)
            if importer is None or imported is None or importer == imported:
                continue
            if RANKS[importer] <= RANKS[imported]:
                wrong.append(str(found))
        self.assertEqual(wrong, [])

    def test_circles(self) -> None:
        """No modules import one another, directly or indirectly, not even for types."""
        graph: dict[str, set[str]] = {module: set() for module in MODULES}
        for found in imports():
            if within(found.name, ("txroom",)) and moduleOf(found.name) != found.importer:
                graph[found.importer].add(moduleOf(found.name))
        graph["txroom"] = set()  # the public names
        circles = [module for module in MODULES if module in reachable(graph, module)]
        self.assertEqual(circles, [])

    def test_entrances(self) -> None:
        """A module that combines the parts of a package is imported only by modules above the package."""
        wrong = [
            str(found)
            for found in imports()
            for module, importers in ENTRANCES.items()
            if moduleOf(found.name) == module and not self.mayEnter(found.importer, importers)
        ]
        self.assertEqual(wrong, [])

    @staticmethod
    def mayEnter(importer: str, importers: tuple[str, ...]) -> bool:
        """Whether one of `importers` is, or contains, the module; "txroom" means only the public names."""
        packages = tuple(each for each in importers if each != "txroom")
        return importer in importers or within(importer, packages)

    def test_picture(self) -> None:
        """The picture in docs/architecture.rst is that of the imports: else run scripts/architecture.py."""
        script = ROOT / "scripts" / "architecture.py"
        if not script.is_file():
            raise SkipTest("the scripts aren't here")
        spec = importlib.util.spec_from_file_location("architecture", script)
        assert spec is not None and spec.loader is not None
        architecture = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(architecture)
        picture = architecture.drawn(*architecture.imported())
        self.assertTrue(picture == architecture.PICTURE.read_text("utf-8"), "run scripts/architecture.py")

    def test_barred(self) -> None:
        """
        `core` does not import Autobahn or twisted.web; `wire` and `http` do not import rooms, nor rooms
        them; the edge and the owner of rooms do not import each other.
        """
        wrong = [
            str(found)
            for found in imports()
            for part, barred in BARRED.items()
            if within(found.importer, (part,)) and within(found.name, barred)
        ]
        self.assertEqual(wrong, [])

    def test_autobahn(self) -> None:
        """Three packages use Autobahn's client side; its server side is used only where it is mounted."""
        wrong = []
        for found in imports():
            if not within(found.name, ("autobahn",)) or found.importer in AUTOBAHN_MOUNT:
                continue
            isClient = within(found.importer, AUTOBAHN_CLIENTS)
            if not isClient or "Server" in found.name:
                wrong.append(str(found))
        self.assertEqual(wrong, [])


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """The modules that ``start`` imports, directly or indirectly."""
    seen: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        each = ahead.pop()
        if each not in seen:
            seen.add(each)
            ahead += graph[each]
    return seen


class LengthTests(SynchronousTestCase):
    """A module has one subject and can be read in one sitting."""

    def test_lines(self) -> None:
        """No module is longer than MAX_LINES."""
        lengths = {module: len(path.read_text("utf-8").splitlines()) for module, path in MODULES.items()}
        tooLong = {module: length for module, length in lengths.items() if length > MAX_LINES}
        self.assertEqual(tooLong, {})


class PrivateNameTests(SynchronousTestCase):
    """Private names of other packages are used in a few modules only."""

    def test_users(self) -> None:
        """A private name that txroom does not define is used only in the modules of PRIVATE_USERS."""
        own = frozenset().union(*(definitions(treeOf(module)) for module in MODULES))
        used = {module for module in MODULES if privateNames(treeOf(module), own)}
        for found in imports():
            isOurs = within(found.name, ("txroom",))
            if not isOurs and any(map(isPrivate, found.name.split("."))):
                used.add(found.importer)
        self.assertEqual(used, PRIVATE_USERS)


def isPrivate(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def definitions(tree: ast.Module) -> frozenset[str]:
    """The private names that a module gives to functions, classes, attributes of instances and variables."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            isOwn = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            names |= {node.attr} if isOwn else set()
    return frozenset(names)


def privateNames(tree: ast.Module, own: frozenset[str]) -> set[str]:
    """The private attributes that a module reads or sets and that the package does not define."""
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in found if isPrivate(name) and name not in own}


class ReactorTests(SynchronousTestCase):
    """Importing txroom does not choose a reactor."""

    def test_source(self) -> None:
        """The global reactor is imported inside functions only."""
        wrong = [
            str(found)
            for found in imports()
            if found.atLoad and not found.onlyTypes and within(found.name, ("twisted.internet.reactor",))
        ]
        self.assertEqual(wrong, [])

    def test_load(self) -> None:
        """Importing every module installs no reactor, not even through a library."""
        script = (
            "import importlib, sys\n"
            "for name in sys.argv[1:]:\n"
            "    importlib.import_module(name)\n"
            "    if 'twisted.internet.reactor' in sys.modules:\n"
            "        sys.exit(name + ' installs the reactor')\n"
        )
        names = [name for name in MODULES if name not in OPTIONAL]
        done = subprocess.run(
            [sys.executable, "-c", script, *names], cwd=ROOT, capture_output=True, text=True
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_parent(self) -> None:
        """The parent of workers does not import what only its workers need, which is much of the memory."""
        loaded = self.loadedBy("txroom.tap", "txroom.process.workers.store")
        needless = ("autobahn", "twisted.web", "txroom.engine.redis.engine", "txroom.protocol", "txroom.wire")
        self.assertEqual([name for name in loaded if within(name, needless)], [])

    def test_worker(self) -> None:
        """A worker does not import what few servers need, since that is much of the time of its start."""
        worker = ("txroom.process.workers.worker", "txroom.process.workers.workerserver")
        loaded = self.loadedBy(*worker, "txroom.engine.redis")
        needless = ("autobahn", "txroom.admin.service", "txroom.client", "txroom.demo", "txroom.testing")
        self.assertEqual([name for name in loaded if within(name, needless)], [])

    def loadedBy(self, *names: str) -> list[str]:
        """The modules that a new process has after it has imported these."""
        script = f"import sys, {', '.join(names)}; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()


class PublicNameTests(SynchronousTestCase):
    """The public names, which are imported when they are first used."""

    def test_stub(self) -> None:
        """Type checkers read the same names from the same modules as the package does."""
        source = (ROOT / "txroom" / "__init__.pyi").read_text("utf-8")
        found = [each.name for each in importsOf(ast.parse(source), "txroom", isPackage=True)]
        public = {name: getattr(txroom, name) for name in txroom.__all__}
        self.assertEqual(sorted(name.rpartition(".")[2] for name in found), sorted(public))
        for name in found:
            module, _, last = name.rpartition(".")
            self.assertIs(getattr(importlib.import_module(module), last), public[last])

    def test_unknown(self) -> None:
        """Another name is an `AttributeError`, and the known ones are listed."""
        self.assertRaises(AttributeError, getattr, txroom, "Sever")
        self.assertLessEqual(set(txroom.__all__), set(dir(txroom)))


class LoggerTests(SynchronousTestCase):
    """A logger of a class has the name of the class, whatever name it was given, since it is a descriptor."""

    def test_namespaces(self) -> None:
        """No logger is given a name that would not appear in the log."""
        wrong = [
            f"{module}:{value.lineno}"
            for module in MODULES
            for owner in ast.walk(treeOf(module))
            if isinstance(owner, ast.ClassDef)
            for statement in owner.body
            if isinstance(statement, ast.Assign)
            and isinstance(value := statement.value, ast.Call)
            and ast.unparse(value.func) == "Logger"
            and (value.args or value.keywords)
        ]
        self.assertEqual(wrong, [])

    def test_fields(self) -> None:
        """No field has a name with another meaning for Twisted's legacy observers."""
        taken = {"format", "isError", "logLevel", "message", "system", "time"}
        wrong = [
            f"{module}:{call.lineno}"
            for module in MODULES
            for call in ast.walk(treeOf(module))
            if isinstance(call, ast.Call)
            and re.search(r"\blog\.\w+$|_log\.\w+$", ast.unparse(call.func))
            and taken & {keyword.arg for keyword in call.keywords}
        ]
        self.assertEqual(wrong, [])


class PluginTests(SynchronousTestCase):
    """The plugin directory adds to Twisted's own and is not a package."""

    def test_noInit(self) -> None:
        """There is no ``__init__.py``: in twisted/ it would hide Twisted, in plugins/ the plugin."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_light(self) -> None:
        """The plugin imports only the declarations, since it runs before the reactor is chosen."""
        source = (ROOT / "twisted/plugins/txroom_plugin.py").read_text("utf-8")
        names = [found.name for found in importsOf(ast.parse(source), "twisted.plugins.txroom_plugin")]
        allowed = ["twisted.application.reactors.Reactor", "twisted.application.service.ServiceMaker"]
        self.assertEqual(names, allowed)
