"""
From functions to calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..calls import RpcCall
from ..secrets import Role

Functions = Mapping[str, Callable[..., Any]]


def callsOf(group: str, read: Functions, manage: Functions) -> list[RpcCall]:
    """
    Return calls.

    Args:
        group: What their names begin with.
        read: The functions of the calls that everybody may make, by the rest of their names.
        manage: Those of the calls that change something.
    """
    return [
        RpcCall(name=f"{group}.{name}", function=function, role=role)
        for functions, role in ((read, Role.READ), (manage, Role.MANAGE))
        for name, function in functions.items()
    ]
