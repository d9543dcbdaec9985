"""
Declared state: classes whose instances track their changes, and the encodings that send them.

A room's state is a tree of `State` objects, `Map` and `List`. `StateTree` numbers the objects and collects
what has changed; an encoding turns the changes into bytes that are the same for all clients.
"""

from .collections import List, Map
from .fields import private
from .model import State
from .native import NativeEncoding
from .reader import NativeReader
from .tree import StateTree
from .types import (
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Quantized,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
)
from .views import View

__all__ = [
    "Float32",
    "Float64",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "List",
    "Map",
    "NativeEncoding",
    "NativeReader",
    "Quantized",
    "State",
    "StateTree",
    "Uint8",
    "Uint16",
    "Uint32",
    "Uint64",
    "View",
    "private",
]
