"""Weights -> models/builtin/embed.onnx with its calibration (`python -m scripts.training.embed_export`), and back."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scripts.training import embed_pairs, golden, packtoml, runs
from scripts.training.align import SIZE
from scripts.training.corpus import Corpus
from scripts.training.embed_net import DIMENSIONS, Embedder
from scripts.training.embed_pairs import Pairs
from scripts.training.export import FromPixels, export
from scripts.training.onnx_weights import restore
from scripts.training.smallnets import centred
from scripts.training.teachers import session, unit

FILE = "embed.onnx"
FLIP = False  # the mean with the mirrored face: a little surer for twice the time
# Nobody in these sets was trained on. Impostors are paired within a set: two sets may know the same celebrity.
NAMED = ("lfw", "celeba_wild", "celeba89", "glint24", "rmfd_real")
# The retouched, often squeezed pictures of rmfd_real (50 celebrities) are so alike, to the teacher too, that they alone
# would decide where 80 lies and nobody else would ever reach it. The card says what happens to them instead.
CALIBRATING = NAMED[:-1]
EVERY = 60  # of the training crops give the batch norms of a shipped network their statistics
SCORES = {1e-1: 40.0, 1e-2: 60.0, 1e-3: 70.0, 1e-4: 80.0, 1e-5: 90.0}
Floats = NDArray[np.float32]


class Packed:
    """The embedder as it is shipped: aligned 112x112 faces -> unit vectors."""

    def __init__(self, path: Path, flip: bool) -> None:
        self._session, self._flip = session(path.resolve()), flip

    def __call__(self, faces: NDArray[np.uint8]) -> Floats:
        answers = self._run(faces)
        return unit(answers + self._run(faces[:, :, ::-1])) if self._flip else answers

    def _run(self, faces: NDArray[np.uint8]) -> Floats:
        batches = np.array_split(faces, max(1, len(faces) // 16))
        return unit(np.concatenate([self._session.run(None, {"image": batch})[0] for batch in batches]))


def named_pairs(embedder: Callable[[NDArray[np.uint8]], Floats], corpus: Corpus, source: str) -> Pairs:
    """All pairs within one set of named people."""
    crops = embed_pairs.named(corpus, source)
    return Pairs.of(embedder(embed_pairs.faces(corpus, crops)), [crop.identity for crop in crops])


def thresholds(pairs: Mapping[str, Pairs]) -> dict[float, float]:
    """The cosine for every false accept rate: over the calibrating sets together or in LFW alone, the stricter one."""
    together = Pairs(np.empty(0, np.float32), np.sort(np.concatenate([pairs[s].impostor for s in CALIBRATING])))
    return {far: max(together.threshold(far), pairs["lfw"].threshold(far)) for far in SCORES}


def calibrate(embedder: Packed, corpus: Corpus) -> dict[str, Any]:
    """Cosine -> 0..100, straight between knots. 80 is the cosine that one impostor pair in 10,000 reaches."""
    pairs = {source: named_pairs(embedder, corpus, source) for source in CALIBRATING}
    cosines = {far: round(cosine, 4) for far, cosine in thresholds(pairs).items()}
    return {
        "cosine": [-1.0, *cosines.values(), 1.0],
        "score": [0.0, *SCORES.values(), 100.0],
        "far": [[far, cosine] for far, cosine in cosines.items()],
        "impostor_pairs": sum(len(p.impostor) for p in pairs.values()),
    }


def ship(weights: Path, corpus: Corpus, pack: Path = packtoml.PACK, flip: bool = FLIP) -> dict[str, Any]:
    """Export, calibrate, enter into the manifest, renew the golden answer; the role's new table."""
    state = torch.load(weights, map_location="cpu", weights_only=True)
    model = Embedder()
    model.load_state_dict(state["average"])
    # float16 in the file halves it; rounding weights moves an embedding by less than a thousandth.
    export(FromPixels(model), pack / FILE, (SIZE, SIZE), ["embedding"], half_weights=True, tolerance=1e-2)
    calibration = calibrate(Packed(pack / FILE, flip=flip), corpus)
    packtoml.set_role("embed", FILE, "aligned", pack=pack, dimensions=DIMENSIONS, flip=flip, calibration=calibration)
    if pack == packtoml.PACK:
        golden.write("embed")
    return calibration


def shipped(corpus: Corpus, path: Path = packtoml.PACK / FILE) -> Embedder:
    """The network of an exported file, ready to learn on."""
    crops = corpus.select("fairface", parts=("train",))[::EVERY]
    faces = centred(torch.from_numpy(embed_pairs.faces(corpus, crops)))
    model = Embedder()
    restore(model, path, lambda: model(faces))
    return model


def main() -> None:
    parser = runs.arguments(__doc__ or "", "embed")
    parser.add_argument("--weights", type=Path, required=True, help="a run's checkpoint")
    args: argparse.Namespace = parser.parse_args()
    log = runs.start(args)
    log.info("shipped %s: %s", args.weights.name, ship(args.weights, Corpus(args.corpus)))


if __name__ == "__main__":
    main()
