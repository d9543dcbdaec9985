"""The state of one room: numbers for its objects, versions, and what has changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from .changes import Changes, ListChange, MapChange, Part, change
from .collections import Collection, CollectionType
from .model import State
from .node import Node, Watch, pathOf
from .saving import Restoring, fixedOf, nodeAt, plainOf, stepsTo
from .views import Hidden, View, existence, existing, hiddenOf, isUnit, unit, unitsBelow

#: How deep objects and collections can be nested below the root. Encodings and checkpoints recurse.
MAX_DEPTH = 64
#: How many numbers of objects that are gone are kept for clients that were away.
MAX_GONE = 4000
#: The first number for the objects of a tree that is loaded is so far above the next one that was saved,
#: because there may have been more objects after that. No number is used again. There is always a next one:
#: the formats have room for all that JavaScript has exactly, up to 2⁵³, and a room with a million new objects
#: a second, or a new owner each second, takes 270 years to get there.
ID_MARGIN = 1 << 20
#: How many values that can't be encoded are remembered, so that each is reported once.
MAX_FAILURES = 1000


class StateTree:
    """
    The state of one room, on its owner.

    Clients have a version of it. Each `commit` that finds changes makes the next version; an `Encoding`
    writes the changes, or all of it. It must not be used by several threads.

    @param root: the object that everything else is in.
    @param onError: called with an exception when a value can't be encoded; its text has the class and field.
        Clients keep the value that was sent last; it is tried again when it changes.
    @param firstId: the number of the first object besides the root, which is 0.
    @param ids: numbers of objects that have one already, by the names of the fields that lead to them.
    @raise ValueError: the root has a place already, or something is nested more than 64 deep.
    """

    def __init__(
        self,
        root: State,
        onError: Callable[[Exception], None],
        firstId: int = 1,
        ids: Mapping[str, int] | None = None,
    ) -> None:
        if not isinstance(root, State):
            raise TypeError(f"a state must be an instance of a State class, not {root!r}")
        if root._txHome is not None:
            raise ValueError(f"the {type(root).__name__} is, or is in, another state")
        self.root = root
        self.onError = onError
        #: 0 at first; each commit that finds changes adds 1.
        self.version = 0
        #: The version before which no changes are known.
        self.start = 0
        #: What a client may have at least for `Encoding.since`, if it has to know what is gone.
        self.floor = 0
        #: The classes and collections that it can have, from the root on; their places are their numbers.
        self.types: dict[type[State] | CollectionType, int] = {}
        #: All objects by their numbers, which count from 0, that of the root.
        self.nodes: dict[int, Node] = {}
        self.nextId = 0
        self._firstId = firstId
        #: The numbers that objects have already, by the identities of the objects, until they are attached.
        self._ids = {id(node): ids[path] for path, node in fixedOf(root) if path in ids} if ids else {}
        #: The numbers that clients may know from an earlier owner of the room; see `load`.
        self.inherited = frozenset(self._ids.values())
        #: The numbers of what everybody saw and is gone, with the versions.
        self.gone: deque[tuple[int, list[int]]] = deque()
        self._goneCount = 0
        self.views: dict[str, View] = {}
        #: The views that have something waiting for the next commit.
        self.touched: dict[View, None] = {}
        #: What has changed since the last commit. Objects have its method, so it is always the same list.
        self._dirty: list[Any] = []
        #: The versions in which objects last had a value that could not be encoded.
        self._failures: dict[tuple[int, str], int] = {}
        self._register(type(root))
        self.admit(root, None)
        root._txHome = self
        self._clear()
        self.attach(root, None)
        self._take(0)
        self._clear()

    def _clear(self) -> None:
        """Forget what has changed since the last commit."""
        self._dirty.clear()
        self._made: list[Node] = []
        self._removed: list[int] = []
        self._privateRemoved: list[tuple[tuple[View, ...], list[int]]] = []
        self._hidden: dict[View, list[Hidden]] = {}

    # -- saving

    def save(self) -> dict[str, Any]:
        """
        Return the whole state as plain data, changes included that are not committed, private parts too, what
        each view sees, the numbers of what is in no collection, and the next number.

        Attributes that clients don't see are not in it.
        """
        views = {key: [stepsTo(node) for node in view.wanted()] for key, view in self.views.items()}
        ids = {path: node._txId for path, node in fixedOf(self.root)}
        root = plainOf(self.root, type(self.root))
        return {"root": root, "views": views, "ids": ids, "nextId": self.nextId}

    @classmethod
    def load(
        cls,
        root: type[State],
        data: dict[str, Any],
        onError: Callable[[Exception], None],
        firstId: int = 1,
    ) -> StateTree:
        """
        Make a tree of what `save` has returned. Its versions begin anew. What is in collections gets numbers
        that nothing had before. All other objects keep theirs, so that listeners of Colyseus's clients stay
        with them.

        What the classes can't have any more is left out and reported; see `Restoring`.

        @param root: the class of the root.
        @param firstId: the least of the new numbers.
        @raise TypeError, ValueError, LookupError: it isn't the data of a state.
        """
        restoring = Restoring(onError)
        firstId = max(firstId, data.get("nextId", 0) + ID_MARGIN)  # txroom has not always saved the number
        tree = cls(restoring.state(root, data["root"]), onError, firstId, data["ids"])
        for key, places in data["views"].items():
            view = tree.view(key)
            for steps in places:
                if restoring.isShifted and any(isinstance(step, int) for step in steps):
                    continue  # another object may be there now, which the view must not see
                node = nodeAt(tree.root, steps)
                if node is not None and isUnit(node) and view.hasOuter(node):
                    view.add(node)
        tree._takeViews(0)
        return tree

    # -- classes

    def _register(self, type: type[State] | CollectionType) -> None:
        if type in self.types:
            return
        self.types[type] = len(self.types)
        if isinstance(type, CollectionType):
            if type.holdsNodes:
                self._register(type.item)  # type: ignore[arg-type]
            return
        type._txResolve()
        for field in type._txFields:
            if not field.isValue:
                self._register(field.type)  # type: ignore[arg-type]
        for each in type.__subclasses__():
            self._register(each)

    def admit(self, node: Node, home: Node | None) -> None:
        """
        Check that a node can come into `home`; None: it is the root.

        @raise TypeError: clients don't know the class of the node, or of one below it.
        @raise ValueError: it or one below it would be too deep.
        """
        depth = 0
        above: Any = home
        while isinstance(above, Node):
            depth += 1
            above = above._txHome
        waiting = [(node, depth)]
        while waiting:
            each, depth = waiting.pop()
            if isinstance(each, State) and type(each) not in self.types:
                raise TypeError(
                    f"{type(each).__name__} was declared after the state of the room was made; "
                    "declare State classes when modules are imported"
                )
            if depth > MAX_DEPTH:
                raise ValueError(
                    f"{pathOf(node if home is None else home)}: objects and collections can't be nested "
                    f"more than {MAX_DEPTH} deep"
                )
            waiting += [(child, depth + 1) for child, _ in each._txChildren()]

    # -- objects come and go; called by them

    def attach(self, node: Node, watch: Watch) -> None:
        """Number a node and all below it; `watch` are the views that see it."""
        number = self._ids.pop(id(node), None)
        if number is None:
            number = self.nextId
            while number in self.inherited:
                number += 1
            self.nextId = max(number + 1, self._firstId)
        node._txId = number
        self.nodes[node._txId] = node
        node._txTree = self
        node._txWatch = watch
        node._txMask = type(node)._txAll | 1
        node._txMark = self._dirty.append
        self._made.append(node)
        if isinstance(node, Collection):
            node._txBegin()
        for child, isOwn in node._txChildren():
            self.attach(child, {} if isOwn else watch)

    def detach(self, node: Node) -> None:
        """Forget a node, which still has its place, and all below it."""
        for inner in unitsBelow(node):
            self.detach(inner)
        nodes = unit(node)
        ids = [each._txId for each in nodes if each._txBorn >= 0]
        watch = node._txWatch
        if not isUnit(node):
            self._remove(watch, ids)
        elif watch is not None:
            if isinstance(node, Collection) and node._txBorn >= 0:
                ids.remove(node._txId)
                self._remove(existence(node), [node._txId])
            for view in self.touched:
                view.waiting.pop(node._txId, None)
            for view in watch:
                del view.seen[node._txId]
                self._hidden.setdefault(view, []).append(hiddenOf(node, ids))
        for each in nodes:
            del self.nodes[each._txId]
            each._txReset()

    def _remove(self, watch: Watch, ids: list[int]) -> None:
        """Tell those who see them that nodes are gone."""
        if watch is None:
            self._removed += ids
        elif watch and ids:
            self._privateRemoved.append((tuple(watch), ids))

    def failed(self, node: Node, name: str, error: Exception) -> None:
        """
        Report a value that can't be encoded, once until the object changes again.

        @param name: the field, or the key in a collection.
        """
        key = node._txId, name
        if self._failures.get(key) != node._txAt:
            if len(self._failures) > MAX_FAILURES:
                self._failures.clear()
            self._failures[key] = node._txAt
            self.onError(ValueError(f"{type(node).__name__}.{name} at {pathOf(node)} can't be sent: {error}"))

    def sendable(self, state: State, mask: int, encode: Callable[[int], object]) -> int:
        """
        The fields of `mask` that can be encoded; the others are reported.

        @param encode: encodes the fields of a mask.
        """
        for field in state._txFields:
            if mask & field.bit:
                try:
                    encode(field.bit)
                except Exception as error:
                    self.failed(state, field.name, error)
                    mask &= ~field.bit
        return mask

    @property
    def hasFailures(self) -> bool:
        """Whether a value could not be encoded: clients have another one then."""
        return bool(self._failures)

    # -- views

    def view(self, key: str) -> View:
        """The view of a member, which is made when it is asked for first."""
        if key not in self.views:
            self.views[key] = View(self, key)
        return self.views[key]

    def dropView(self, key: str) -> None:
        """Forget the view of a member that is gone."""
        view = self.views.pop(key, None)
        if view is None:
            return
        self.touched.pop(view, None)
        self._hidden.pop(view, None)
        for node, _ in view.seen.values():
            assert node._txWatch is not None
            node._txWatch.pop(view, None)
        view.seen.clear()

    # -- changes

    @property
    def isChanged(self) -> bool:
        """Whether `commit` may find changes."""
        return bool(
            self._dirty or self._made or self._removed or self._privateRemoved or self._hidden or self.touched
        )

    def commit(self) -> Changes | None:
        """
        Make the next version of what has changed since the last commit; None: nothing has.

        If it raises, there is a new version all the same, which clients can only get as a whole.
        """
        if not self.isChanged:
            return None
        try:
            changes = self._take(self.version + 1)
        except BaseException:
            self._startOver()
            raise
        if not (
            changes.shared
            or changes.removed
            or changes.private
            or changes.privateRemoved
            or changes.shown
            or changes.hidden
        ):
            return None
        self.version = changes.version
        self._remember(changes)
        return changes

    def _startOver(self) -> None:
        """Make a version of which nothing is known but the state itself: a commit has failed halfway."""
        self._clear()
        self.version += 1
        self.start = self.floor = self.version
        for node in self.nodes.values():
            if node._txBorn < 0:
                node._txBorn = self.version
            node._txAt = self.version
            node._txMask = 0
            if isinstance(node, Collection):
                node._txBegin()
                change(node, self.version)

    def _take(self, version: int) -> Changes:
        """Take all changes; nothing has changed afterwards."""
        shown = self._takeViews(version)
        changes = Changes(
            version - 1, version, Part(), self._removed, Part(), self._privateRemoved, shown, self._hidden
        )
        dirty, made = self._dirty.copy(), self._made
        self._clear()
        for node in made:
            if node._txTree is self and node._txBorn < 0:
                node._txBorn = node._txAt = version
                node._txMask = 0
                changes.partOf(existence(node)).made.append(node)
                if isinstance(node, Collection):
                    self._takeCollection(node, changes)
                else:
                    changes.partOf(node._txWatch).groupOf(type(node), node._txAll).append(node)  # type: ignore
        self._takeDirty(dirty, changes)
        return changes

    def _takeDirty(self, dirty: list[Any], changes: Changes) -> None:
        """Sort the objects that have changed; hot."""
        version = changes.version
        lastClass: Any = None
        lastMask = 0
        append: Any = None
        for node in dirty:
            mask = node._txMask
            if mask > 0 and node._txTree is self:
                node._txMask = 0
                node._txAt = version
                if mask == lastMask and node.__class__ is lastClass and node._txWatch is None:
                    append(node)
                elif node._txIsCollection:
                    self._takeCollection(node, changes)
                elif node._txWatch is None:
                    lastClass, lastMask = node.__class__, mask
                    append = changes.shared.groupOf(lastClass, mask).append
                    append(node)
                else:
                    changes.private.groupOf(node.__class__, mask).append(node)

    def _takeCollection(self, node: Collection, changes: Changes) -> None:
        part = changes.partOf(node._txWatch)
        found = change(node, changes.version)
        if isinstance(found, MapChange):
            if not (node._txPrivate and node._txHoldsNodes):  # else views have the entries
                part.maps.append(found)
        elif isinstance(found, ListChange):
            part.lists.append(found)

    def _takeViews(self, version: int) -> dict[View, list[Node]]:
        """What views see newly; what they don't see any more is put with what they lost."""
        shown: dict[View, list[Node]] = {}
        for view in self.touched:
            for id, (node, isSeen) in view.waiting.items():
                assert node._txWatch is not None
                if isSeen:
                    view.seen[id] = node, version
                    node._txWatch[view] = None
                    shown.setdefault(view, []).append(node)
                else:
                    del view.seen[id], node._txWatch[view]
                    ids = [each._txId for each in existing(node) if each._txBorn >= 0]
                    self._hidden.setdefault(view, []).append(hiddenOf(node, ids))
            view.waiting.clear()
        self.touched = {}
        return shown

    def _remember(self, changes: Changes) -> None:
        """Keep what is gone, for clients that were away."""
        version = changes.version
        if changes.removed:
            self.gone.append((version, changes.removed))
            self._goneCount += len(changes.removed)
            while self._goneCount > MAX_GONE:
                self.floor, ids = self.gone.popleft()
                self._goneCount -= len(ids)
        for view, hidden in changes.hidden.items():
            for each in hidden:
                view.remember(version, each)
        for views, ids in changes.privateRemoved:
            for view in views:
                view.remember(version, ids)
