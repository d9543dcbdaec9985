"""
The engine that keeps rooms in Redis, for several servers that serve the same rooms. It needs the package
hiredis: ``pip install 'txroom[redis]'``.
"""

from .engine import RedisEngine

__all__ = ["RedisEngine"]
