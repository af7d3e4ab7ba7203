"""How fast two workers of one lane are beside one process with two lanes, on the same cores: each worker has a core of
its own, as each lane of the one process has. Rounds alternate, and the median of them counts.

python -m scripts.load.bus --redis redis://127.0.0.1:6379/0
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from face_server.engine.lanes import usable_cores
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
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
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
            core = usable_cores()[number]
            worker = WorkerProcess(options.redis, folder / f"worker{number}.log", core=core).start()
            stack.callback(worker.kill)
        servers = {
            "alone": stack.enter_context(serving(folder / "alone", lanes=2)),
            "bus": stack.enter_context(serving(folder / "bus", redis_url=options.redis)),
        }
        for interface in ("detect", "identify"):
            rounds = []
            for _ in range(options.rounds):
                speed = {}
                for name, server in servers.items():
                    steps, seconds = [(CLIENTS, None)], options.seconds
                    found = sweep(server.url, "baidu", interface, target, pictures, steps, seconds, 0.5, processes=1)
                    speed[name] = found[0].qps
                rounds.append(speed["bus"] / speed["alone"])
            each = " ".join(f"{share:.2f}" for share in sorted(rounds))
            print(f"{interface}: bus {statistics.median(rounds):.2f} of one process ({each})")


if __name__ == "__main__":
    main()
