"""What `follow` gives: changes as they come, for loops and for coroutines."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._native import Follower

# Seconds that a thread looks for news on behalf of a coroutine, which may be cancelled meanwhile.
_SLICE = 0.2


class Changes(Iterator["dict[str, Any]"], AsyncIterator["dict[str, Any]"]):
    """Changes of runs: loop over it with `for` or `async for`."""

    def __init__(self, follower: Follower, timeout: float):
        self._follower = follower
        self._timeout = timeout
        self._found: deque[dict[str, Any]] = deque()
        # A look that was begun for a coroutine that went away: what it finds belongs to the next one.
        self._look: asyncio.Future | None = None

    def __iter__(self) -> Changes:
        return self

    def __next__(self) -> dict[str, Any]:
        if not self._found:
            found = self._follower.next(self._timeout)
            if found is None:
                raise StopIteration
            self._found.extend(found)
        return self._found.popleft()

    def __aiter__(self) -> Changes:
        return self

    async def __anext__(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        while not self._found:
            if self._look is None:
                left = max(end - loop.time(), 0)
                self._look = asyncio.ensure_future(asyncio.to_thread(self._follower.next, min(left, _SLICE)))
            found = await asyncio.shield(self._look)
            self._look = None
            if found is not None:
                self._found.extend(found)
            elif loop.time() >= end:
                raise StopAsyncIteration
        return self._found.popleft()
