"""A server's library without the server: says for every number it is told whether its face is found. Arguments:
folder, address of the database."""

import asyncio
import sys
from pathlib import Path

from tests.small_library import library


async def main(folder: Path, url: str) -> None:
    async with library(folder, url) as lib:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await lib.found(int(line)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
