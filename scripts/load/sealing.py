"""What sealing costs: imports of the same pictures with a key file and without, turn by turn.

python -m scripts.load.sealing --pictures 200

On a machine that others use too the CPU time is the steadier number.
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
from pathlib import Path
from statistics import median

from scripts.load import photos
from scripts.load.importing import make, measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--size", choices=sorted(photos.SIZES), default="640x480")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store", choices=("face", "picture", "none"), default="face")
    parser.add_argument("--pack", default="builtin")
    parser.add_argument("--models-dir", type=Path, default=Path("data/models"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        source, key = Path(place, "source"), Path(place, "key")
        key.write_bytes(secrets.token_bytes(32))
        make(source, options.pictures, options.size, options.pack, options.models_dir)
        common = {"store_pictures": options.store, "pack": options.pack, "models_dir": options.models_dir.resolve()}
        runs: dict[str, list[dict[str, float]]] = {"plain": [], "sealed": []}
        for number in range(options.rounds):
            for kind, of_kind in runs.items():
                settings = common | {"data_dir": Path(place, f"{kind}{number}")}
                settings |= {"key_file": key} if kind == "sealed" else {}
                of_kind.append(measured(["face_server", "import", str(source), "--json"], **settings))
    print(table(runs, options.pictures))


def table(runs: dict[str, list[dict[str, float]]], pictures: int) -> str:
    """The middle of the rounds."""
    rows = {kind: {key: median(run[key] for run in of) for key in ("seconds", "cpu")} for kind, of in runs.items()}
    lines = ["| | pictures a second | CPU ms a picture | CPU time of plain |", "|---|---|---|---|"]
    for kind, row in rows.items():
        speed, cpu = pictures / row["seconds"], 1000 * row["cpu"] / pictures
        lines.append(f"| {kind} | {speed:.1f} | {cpu:.2f} | {row['cpu'] / rows['plain']['cpu']:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
