"""What is written to a connection in one turn of the loop leaves together, in order, and nothing of it is hoarded."""

import asyncio
from typing import Any, cast

from face_server.ops.serving import JOINED_BYTES, JoinedWrites


class Wire:
    """A transport that remembers what left; once its client has gone, it takes nothing, as that of uvloop."""

    def __init__(self) -> None:
        self.left: list[bytes] = []
        self.gone = False

    def write(self, data: bytes) -> None:
        if self.gone:
            raise RuntimeError("the handler is closed")
        self.left.append(data)

    def close(self) -> None:
        self.gone = True


def joined() -> tuple[Wire, JoinedWrites]:
    wire = Wire()
    return wire, JoinedWrites(cast(asyncio.Transport, wire))


async def test_one_turn_leaves_together() -> None:
    wire, writes = joined()
    for part in (b"head", b"body"):
        writes.write(part)
    assert wire.left == []
    await asyncio.sleep(0)
    writes.write(b"next")
    await asyncio.sleep(0)
    assert wire.left == [b"headbody", b"next"]


async def test_what_was_written_leaves_before_the_end() -> None:
    wire, writes = joined()
    writes.write(b"last")
    writes.close()
    assert (wire.left, wire.gone) == ([b"last"], True)


async def test_much_does_not_wait_for_the_end_of_the_turn() -> None:
    wire, writes = joined()
    writes.write(b"head")
    writes.write(b"x" * JOINED_BYTES)
    writes.write(b"tail")
    assert [len(data) for data in wire.left] == [4 + JOINED_BYTES]
    await asyncio.sleep(0)
    assert wire.left[1:] == [b"tail"]


async def test_a_client_that_goes_in_between_is_no_failure() -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    wire, writes = joined()
    writes.write(b"answer")
    wire.close()
    await asyncio.sleep(0)
    assert (wire.left, failures) == ([], [])
