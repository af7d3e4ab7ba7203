"""What the detector of the pack takes for a face in the training scenes although no teacher does, looked for once.

python -m scripts.training.detect_mistakes    # before a further training: its synthesis shows these places more often
"""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from scripts.training import detect_labels, packtoml, runs
from scripts.training.corpus import Corpus
from scripts.training.detect_labels import iou
from scripts.training.teachers import Floats

FILE = "mistakes.json"
LEAST = 0.3  # score
NEAR = 0.1  # overlap with anything a teacher held possible
SIZES = ([320], [640], [1024])


def load(folder: Path) -> list[tuple[str, Floats]]:
    """Scene and box of every mistake; none where nobody looked."""
    path = folder / FILE
    entries: list[list[Any]] = json.loads(path.read_text()) if path.exists() else []
    return [(name, np.array(box, np.float32)) for name, box in entries]


def make(work: Path, corpus: Corpus, pack: Path, log: logging.Logger) -> None:
    from scripts.training.eval_detect import CROWD, finder

    table = packtoml.read(pack)["roles"]["detect"]
    looks = [finder(table["adapter"], pack / table["file"], threshold=LEAST, sizes=sizes) for sizes in SIZES]
    mistakes = []
    for name, entry in detect_labels.load(work).items():
        if entry["part"] != "train":
            continue
        known = [face["box"] for face in entry["faces"]] + entry["doubtful"] + entry["decoys"]
        pixels = corpus.scene(name)
        for look in looks:
            for box in look.find(pixels, CROWD).boxes:
                if not known or iou(box, np.array(known, np.float32)).max() < NEAR:
                    known.append(box.tolist())
                    mistakes.append((name, [round(float(v), 1) for v in box]))
    (work / FILE).write_text(json.dumps(mistakes))
    log.info("%d mistakes in %d scenes", len(mistakes), len({name for name, _ in mistakes}))


def main() -> None:
    parser = runs.arguments(__doc__ or "", "detect")
    parser.add_argument("--pack", type=Path, default=packtoml.PACK)
    args = parser.parse_args()
    log = runs.start(args)
    make(args.work, Corpus(args.corpus), args.pack, log)


if __name__ == "__main__":
    main()
