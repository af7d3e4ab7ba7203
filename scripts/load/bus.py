"""How fast two workers of one lane are beside one process with two lanes, on the same cores.

python -m scripts.load.bus --redis redis://127.0.0.1:6379/0
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

from face_server.vision.packs import find_pack
from scripts.load import dialects, gallery, photos
from scripts.load.bare import Bare
from scripts.load.server import serving
from scripts.load.worker import WorkerProcess
from scripts.qps import sweep

FACES, CLIENTS = 10_000, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    bare, models = Bare("builtin", Path("data/models")), Path("data/models")
    pictures = [picture for picture in photos.of_size("640x480") if bare.sees(picture)]
    target = dialects.Target(gallery.APP, gallery.GROUP)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("alone", "bus"):
            (folder / name).mkdir()
            rows = (FACES, bare.rows.shape[1], find_pack("builtin", models).embedding_id)
            gallery.fill(folder / name / "faces.db", *rows)
        for number in range(2):
            worker = WorkerProcess(options.redis, folder / f"worker{number}.log").start()
            stack.callback(worker.kill)
        servers = {
            "alone": stack.enter_context(serving(folder / "alone", lanes=2)),
            "bus": stack.enter_context(serving(folder / "bus", redis_url=options.redis)),
        }
        for interface in ("detect", "identify"):
            speed = dict.fromkeys(servers, 0.0)
            for _ in range(options.rounds):
                for name, server in servers.items():
                    steps, seconds = [(CLIENTS, None)], options.seconds
                    found = sweep(server.url, "baidu", interface, target, pictures, steps, seconds, 1, processes=1)
                    speed[name] += found[0].qps / options.rounds
            print(f"{interface}: bus {speed['bus'] / speed['alone']:.2f} of one process")


if __name__ == "__main__":
    main()
