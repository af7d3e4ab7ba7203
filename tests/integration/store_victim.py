"""Enrolls many faces at once, says which are done, and expects to be killed. Arguments: folder, how many,
and the address of the database unless it is in the folder."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from face_server.errors import FaceExists
from face_server.store.blobs import Blobs
from tests.small_library import APP, MODEL, face, library


async def main(folder: Path, count: int, *url: str) -> None:
    blobs = Blobs(folder / "pictures")
    async with library(folder, *url) as lib:

        async def add(number: int) -> None:
            new = replace(face(number), picture=await blobs.save(b"picture of %d" % number))
            try:
                done = await lib.store.enroll(APP, f"g{number % 3}", f"u{number // 2}", new, MODEL, info=f"is {number}")
            except FaceExists:  # written by an earlier run that did not live to say so
                await blobs.remove([new.picture])
            else:
                await lib.registry.applied(done.write)
            print(number, flush=True)

        await asyncio.gather(*(add(number) for number in range(count)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
