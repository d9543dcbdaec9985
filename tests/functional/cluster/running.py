"""What `Nodes` and `Workers` share: they run in a block of `async with`, and have crowds of clients."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from tests.functional.cluster.witness import Crowd


class Running:
    """
    A cluster that runs in a block of `async with`.

    Subclasses begin with it in `_begin`, and let `_stack` end everything that they have begun.
    """

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    @property
    def urls(self) -> list[str]:
        """The URLs for clients."""
        raise NotImplementedError

    @property
    def logs(self) -> list[str]:
        """What its processes have logged, which is shown if something fails."""
        raise NotImplementedError

    async def _begin(self) -> None:
        """Start everything, and wait until it serves."""
        raise NotImplementedError

    async def crowd(self, **more: Any) -> Crowd:
        """Clients in some rooms, all of whom have heard something; the arguments are those of `Crowd`."""
        crowd = Crowd(self.urls, **more)
        self._stack.push_async_callback(crowd.close)
        await crowd.join()
        crowd.begin()
        await crowd.during(1.0)
        await crowd.heard()
        return crowd

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except BaseException:
            self._show()
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._show()
        await self._stack.aclose()

    def _show(self) -> None:
        for number, log in enumerate(self.logs):
            print(f"-- process {number}\n{log[-6000:]}")
