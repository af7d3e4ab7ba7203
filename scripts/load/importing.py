"""How fast an import is, next to the same pictures in bare loops on as many threads.

bare       the models alone, as in `make bench`
pipeline   what a registered face is made of, and nothing around it: the analysis, the cut-out and its file, synced

python -m scripts.load.importing --pictures 400

Both run in processes of their own, one after the other, several rounds. On a machine that others use too the CPU time
a picture is the steadier number.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from face_server.engine.lanes import SWITCH_SECONDS
from face_server.faces.keeping import MARGIN
from face_server.model import Task, Want
from face_server.vision.offline import analyzer
from face_server.vision.packs import find_pack
from scripts.load import photos
from scripts.load.bare import Bare

WARM = 8  # pictures


def make(folder: Path, count: int, size: str, pack: str, models_dir: Path) -> None:
    """So many pictures of real faces, each in another light."""
    bare = Bare(pack, models_dir)
    originals = [picture for picture in photos.of_size(size) if bare.sees(picture)]
    for number in range(count):
        values = photos.decoded(originals[number % len(originals)])
        lit = np.clip(values * (0.85 + 0.3 * number / count) + number % 5, 0, 255).astype(np.uint8)
        file = folder / "group" / f"user{number}" / "picture.jpg"
        file.parent.mkdir(parents=True)
        file.write_bytes(cv2.imencode(".jpg", lit, [cv2.IMWRITE_JPEG_QUALITY, photos.QUALITY])[1].tobytes())


def loop(folder: Path, kind: str, pack: str, models_dir: Path) -> None:
    """In a process of its own: seconds and CPU seconds, as JSON."""
    files = sorted(folder.rglob("*.jpg"))
    bare = Bare(pack, models_dir)
    whole = analyzer(find_pack(pack, models_dir), ("detect", "landmarks", "embed"))
    sys.setswitchinterval(SWITCH_SECONDS)
    with tempfile.TemporaryDirectory() as kept:

        def pipeline(data: bytes) -> None:
            crop = whole.analyze(data, Task(Want.EMBEDDING, portrait=MARGIN)).faces[0].portrait
            assert crop is not None
            with Path(kept, secrets.token_hex(16)).open("xb") as stream:
                stream.write(crop.jpeg)
                stream.flush()
                os.fsync(stream.fileno())

        _time(files, bare.embed if kind == "bare" else pipeline)


def _time(files: list[Path], work: Callable[[bytes], object]) -> None:
    for file in files[:WARM]:
        work(file.read_bytes())
    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        list(threads.map(lambda file: work(file.read_bytes()), files))
    print(json.dumps({"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


def measured(command: list[str], **settings: object) -> dict[str, float]:
    environment = os.environ | {f"FACE_{name.upper()}": str(value) for name, value in settings.items()}
    answer = subprocess.run([sys.executable, "-m", *command], env=environment, capture_output=True, check=False)
    if answer.returncode > 1:  # 1: a few of very many pictures were refused, after they were looked at
        raise RuntimeError(answer.stderr.decode())
    return dict(json.loads(answer.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--size", choices=sorted(photos.SIZES), default="640x480")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", choices=("face", "picture", "none"), nargs="+", default=["face", "none"])
    parser.add_argument("--pack", default="builtin")
    parser.add_argument("--models-dir", type=Path, default=Path("data/models"))
    parser.add_argument("--loop", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop:
        loop(options.folder, options.loop, options.pack, options.models_dir)
        return
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "source")
        make(source, options.pictures, options.size, options.pack, options.models_dir)
        loops = ["scripts.load.importing", "--folder", str(source), "--pack", options.pack]
        loops += ["--models-dir", str(options.models_dir.resolve()), "--loop"]
        runs: dict[str, list[dict[str, float]]] = {}
        for number in range(options.rounds):
            for kind in ("bare", "pipeline"):
                runs.setdefault(f"{kind} loop", []).append(measured([*loops, kind]))
            for store in options.store:
                settings = {"store_pictures": store, "data_dir": Path(place, f"{store}{number}"), "pack": options.pack}
                settings["models_dir"] = options.models_dir.resolve()
                command = ["face_server", "import", str(source), "--json"]
                runs.setdefault(f"import, keeps {store}", []).append(measured(command, **settings))
    print(table(runs, options.pictures))


def table(runs: dict[str, list[dict[str, float]]], pictures: int) -> str:
    """The middle of the rounds."""
    lines = ["| | pictures a second | CPU ms a picture | of bare | of the pipeline | the same, of CPU time |"]
    lines += ["|---|---|---|---|---|---|"]
    rows = {what: {key: median(run[key] for run in of) for key in ("seconds", "cpu")} for what, of in runs.items()}
    bare, pipeline = rows["bare loop"], rows["pipeline loop"]
    for what, row in rows.items():
        of_both = (f"{other['seconds'] / row['seconds']:.2f}" for other in (bare, pipeline))
        ratios = " | ".join([*of_both, f"{pipeline['cpu'] / row['cpu']:.2f}"])
        lines.append(f"| {what} | {pictures / row['seconds']:.0f} | {row['cpu'] / pictures * 1000:.2f} | {ratios} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
