"""
The engine that keeps rooms in Redis, for several servers that serve the same rooms. It needs the package
hiredis: ``pip install 'txroom[redis]'``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import RedisEngine

__all__ = ["RedisEngine"]


def __getattr__(name: str) -> Any:
    """Import the engine when it is first used: the parent of workers only needs the client of Redis."""
    if name == "RedisEngine":
        from .engine import RedisEngine

        return RedisEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
