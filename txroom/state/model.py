"""`State`: classes that declare fields by annotations, and track their changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .fields import ABSENT, MAX_FIELDS, Field, fieldOf, isClassVar, resolved, slotOf
from .generated import Generated
from .node import PREFIX, Node, attributeCopy
from .properties import propertyOf, starterOf
from .types import Quantized

if TYPE_CHECKING:
    from typing import Self

#: Where the names of annotations are looked up until a class is resolved.
_Scope = tuple[Mapping[str, Any], Mapping[str, Any]]


def _isForgotten(name: str, value: Any) -> bool:
    """Whether a value in the body of a class was meant as a field or its default."""
    return name[0] != "_" and not callable(value) and not hasattr(type(value), "__get__")


def _areAny(bases: tuple[type, ...], name: str) -> bool:
    return any(hasattr(base, name) for base in bases)


def _mainBase(name: str, bases: tuple[type, ...]) -> StateType:
    """
    The base that has the fields and attributes of all others.

    @raise TypeError: two bases have some that the other one has not. Indexes of fields would not be the same
        in a base and the class, and Python has no room for the slots of both.
    """
    states = [base for base in bases if isinstance(base, StateType)]
    main = max(states, key=lambda base: len(base._txLayers))
    for base in states:
        if base._txLayers != main._txLayers[: len(base._txLayers)]:
            raise TypeError(
                f"{name}: both {main.__name__} and {base.__name__} have fields or attributes of their own: "
                "a class can have only one such base; others may have methods"
            )
    return main


class StateType(type):
    """The class of `State` classes: it makes properties of their annotations."""

    #: The base whose fields come first; None: it is `State` itself.
    _txBase: StateType | None
    #: The classes that have fields or attributes of their own, which the class has in this order.
    _txLayers: tuple[StateType, ...]
    #: All fields, those of the bases first; known when `_txResolve` has been called.
    _txFields: tuple[Field, ...]
    #: Those of them that hold nodes.
    _txNodeFields: tuple[Field, ...]
    #: Gives the fields of a new instance their first values.
    _txStart: Callable[[Any], None]
    #: The functions that encodings have generated for instances.
    _txGenerated: Generated
    _txAll: int
    _txNames: frozenset[str]
    _txIsResolved: bool
    #: The names of the own fields with their annotations and defaults, and new defaults of inherited fields.
    _txOwn: dict[str, tuple[Any, Any]]
    _txDefaults: dict[str, Any]
    #: The own attributes of the server with their defaults, and new defaults of inherited ones.
    _txHidden: dict[str, Any]
    #: The defaults of all attributes of the server that have one.
    _txAttributes: tuple[tuple[str, Any], ...]
    _txScope: _Scope | None

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> StateType:
        if not any(isinstance(base, StateType) for base in bases):
            return super().__new__(mcs, name, bases, namespace)
        annotations: dict[str, Any] = namespace.get("__annotations__", {})
        for each in (*namespace, *annotations):
            if each.startswith(PREFIX):
                raise TypeError(f"{name}.{each}: names that begin with {PREFIX} are those of txroom")
        main = _mainBase(name, bases)
        inherited = {key for base in bases for key in getattr(base, f"{PREFIX}Names", ())}
        own: dict[str, tuple[Any, Any]] = {}
        hidden: dict[str, Any] = {}
        for key, annotation in annotations.items():
            if isClassVar(annotation):
                continue
            if key.startswith("_"):
                hidden[key] = namespace.pop(key, ABSENT)
            else:
                own[key] = annotation, namespace.pop(key, ABSENT)
        attributes = {key for layer in main._txLayers for key in layer._txHidden}
        for key in attributes & namespace.keys():
            if not hasattr(type(namespace[key]), "__get__"):
                hidden[key] = namespace.pop(key)
        defaults = {key: namespace.pop(key) for key in inherited & namespace.keys()}
        if twice := inherited & own.keys():
            raise TypeError(
                f"{name}.{min(twice)}: a base class has that field; to change its default, assign it"
            )
        for key, value in namespace.items():
            if _isForgotten(key, value) and key not in annotations and not _areAny(bases, key):
                raise TypeError(
                    f"{name}.{key}={value!r}: annotate it: a field as `{key}: int`, another as ClassVar"
                )
        given = namespace.get("__slots__", ())
        given = (given,) if isinstance(given, str) else tuple(given)
        slots = namespace["__slots__"] = (*given, *map(slotOf, own), *(hidden.keys() - attributes))
        cls = super().__new__(mcs, name, bases, namespace)
        cls._txBase, cls._txLayers = main, (*main._txLayers, cls) if slots else main._txLayers
        cls._txOwn, cls._txDefaults, cls._txHidden = own, defaults, hidden
        cls._txAttributes = cls._attributes()
        cls._txNames = frozenset(inherited | own.keys())
        cls._txIsResolved = False
        frame = inspect.currentframe()
        caller = None if frame is None else frame.f_back
        cls._txScope = ({}, {}) if caller is None else (caller.f_globals, caller.f_locals)
        try:
            cls._txResolve()
        except NameError:
            pass  # an annotation names a class that comes later: the first instance resolves it
        return cls

    def _txResolve(cls) -> None:
        """Make the fields of the annotations, and the properties; raise what is wrong with them."""
        if cls.__dict__.get("_txIsResolved", True):
            return
        assert cls._txBase is not None
        cls._txBase._txResolve()
        fields = [cls._inherited(field) for field in cls._txBase._txFields]
        assert cls._txScope is not None
        globals, locals = cls._txScope
        for name, (annotation, default) in cls._txOwn.items():
            it = resolved(annotation, globals, {**locals, cls.__name__: cls})
            fields.append(fieldOf(name, len(fields), it, default, f"{cls.__name__}.{name}"))
        if len(fields) > MAX_FIELDS:
            raise TypeError(f"{cls.__name__}: more than {MAX_FIELDS} fields; nest some of them")
        for position, field in enumerate(field for field in fields if isinstance(field.type, Quantized)):
            field.quantizedAt = position
        cls._txFields = tuple(fields)
        cls._txAll = sum(field.bit for field in fields if field.isShared)
        cls._txNodeFields = tuple(field for field in fields if not field.isValue)
        cls._txStart = staticmethod(starterOf(fields))
        cls._txGenerated = Generated()
        for field in fields:
            if field.name in cls._txOwn:
                setattr(cls, field.name, propertyOf(field))
        cls._txIsResolved, cls._txScope = True, None

    def _attributes(cls) -> tuple[tuple[str, Any], ...]:
        """The attributes of the server that have a default: that of the first class which gives them one."""
        found: dict[str, Any] = {}
        for each in cls.__mro__:
            for name, default in vars(each).get(f"{PREFIX}Hidden", {}).items():
                if default is not ABSENT:
                    found.setdefault(name, default)
        return tuple(found.items())

    def _inherited(cls, field: Field) -> Field:
        """A field of a base, with the default of the first class that gives it one."""
        for each in cls.__mro__:
            defaults: dict[str, Any] = vars(each).get(f"{PREFIX}Defaults", {})
            if field.name in defaults:
                return cls._withDefault(field, defaults[field.name])
        return field

    def _withDefault(cls, field: Field, default: Any) -> Field:
        """An inherited field with a default of this class."""
        optional = Field(
            field.name,
            field.index,
            field.type,
            field.isOptional,
            field.isPrivate,
            default,
            f"{cls.__name__}.{field.name}",
        )
        if field.isValue and not (default is None and field.isOptional):
            optional.default = field.type.check(default, optional.where)  # type: ignore[union-attr]
        return optional


class State(Node, metaclass=StateType):
    """
    The base of classes whose instances clients see::

        class Player(State):
            name: str = ""
            x: Float32 = 0.0


        class Game(State):
            players: Map[Player]

    Each annotation is a field: `bool`, `int`, `float`, `str`, the sized types of this module, `Quantized`,
    ``Optional`` of them, another `State` class, ``Map[...]`` or ``List[...]``. A field without a default has
    zero, an empty text, an empty collection, an instance of its own, or None if it is ``Optional``. An
    annotation whose name begins with an underscore is an attribute that clients don't see; others can't be
    set. Assignment raises `TypeError` or `ValueError` if a field can't have a value: another type, what is
    out of range, NaN and infinities, text that UTF-8 can't carry, an instance that has a place in a state
    already.

    Like Colyseus's ``Schema``. An instance can be used without a room, too. `copy.copy` and `copy.deepcopy`
    make an independent one, with all that is below it.

    @param values: the values of fields by name.
    """

    __slots__ = ("_txQ",)

    _txIsCollection: ClassVar[bool] = False
    _txBase: ClassVar[StateType | None] = None
    _txLayers: ClassVar[tuple[StateType, ...]] = ()
    _txFields: ClassVar[tuple[Field, ...]] = ()
    _txNodeFields: ClassVar[tuple[Field, ...]] = ()
    _txAll: ClassVar[int] = 0
    _txAttributes: ClassVar[tuple[tuple[str, Any], ...]] = ()
    #: The integers that stand for the values of `Quantized` fields; absent if there are none.
    _txQ: list[int | None]

    def __new__(cls, *arguments: Any, **values: Any) -> Self:
        cls._txResolve()
        self = super().__new__(cls)
        self._txReset()
        self._txHome = self._txKey = None
        cls._txStart(self)
        for name, default in cls._txAttributes:
            setattr(self, name, attributeCopy(default))
        return self

    def __init__(self, **values: Any) -> None:
        names = type(self)._txNames
        for name, value in values.items():
            if name not in names:
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
            setattr(self, name, value)

    def _txCopy(self, made: list[tuple[Node, Node]]) -> Self:
        copy = self._txBare(made)
        for field in self._txFields:
            value = getattr(self, field.slot)
            if value is not None and not field.isValue:
                value = value._txCopy(made)
                value._txHome, value._txKey = copy, field.index
            setattr(copy, field.slot, value)
        if hasattr(self, "_txQ"):
            copy._txQ = self._txQ.copy()
        return copy

    def _txChildren(self) -> Iterator[tuple[Node, bool]]:
        for field in self._txNodeFields:
            node = getattr(self, field.slot)
            if node is not None:
                yield node, field.isOwn

    def __repr__(self) -> str:
        values = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in self._txFields)
        return f"{type(self).__name__}({values})"
