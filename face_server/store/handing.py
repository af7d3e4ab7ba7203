"""From the event loop into a thread, with little in between."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

BETWEEN = 16  # chunks
END = b""
FULL = 0.002  # seconds until it is looked again whether there is room

T = TypeVar("T")


async def through_a_thread(
    send: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]], build: Callable[[Iterable[bytes]], T]
) -> T:
    """What `build` makes, in a thread, of the chunks that `send` sends on the event loop."""
    chunks: queue.Queue[bytes] = queue.Queue(BETWEEN)
    building = asyncio.ensure_future(asyncio.to_thread(build, iter(chunks.get, END)))

    async def take(chunk: bytes) -> None:
        while chunks.full() and not building.done():  # noqa: ASYNC110 - a queue of threads has no event for it
            await asyncio.sleep(FULL)
        if not building.done():
            chunks.put_nowait(bytes(chunk))

    try:
        await send(take)
    except BaseException:
        await asyncio.shield(asyncio.ensure_future(take(END)))  # or its thread would wait for ever
        await asyncio.gather(building, return_exceptions=True)
        raise
    await take(END)
    return await building
