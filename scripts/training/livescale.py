"""The scale of liveness: on real faces never trained on, 0.05, 0.3 and 0.9 refuse one in 10,000, 1,000 and 100.

python -m scripts.training.livescale
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from scripts.training import packtoml, runs
from scripts.training.corpus import Corpus, Image
from scripts.training.livefaces import OTHERS, SCALE, SIDE, TIGHT, Faces, box_of, cut
from scripts.training.replays import Box
from scripts.training.teachers import session

HELD = ("valid", "test")
REFUSED = ((1e-4, 0.05), (1e-3, 0.3), (1e-2, 0.9))  # share of real faces below, score there
Floats = NDArray[np.float32]


class Student:
    """The exported graph on pictures with a face box."""

    def __init__(self, pack: Path = packtoml.PACK) -> None:
        self._session = session((pack / "liveness.onnx").resolve())

    def __call__(self, pixels: Image, box: Box) -> float:
        return float(self._session.run(None, {"wide": cut(pixels, box)[None]})[0][0])


def real_faces(corpus: Corpus) -> Iterator[tuple[Image, Box]]:
    """Held-out people as taken: close crops, then every face of the scenes with its surroundings, framed at random."""
    for crop in corpus.select(*TIGHT, *OTHERS, parts=HELD):
        pixels = corpus.pixels(crop)
        if not padded(pixels):
            yield pixels, box_of(crop)
    faces = Faces(corpus, HELD, ())
    for number in range(len(faces.peopled)):
        shown = faces.framed(number, default_rng(number))
        yield shown.pixels, shown.box


def padded(pixels: Image, side: int = 6) -> bool:
    """Whether a corner is flat black or white: cut out at an angle beyond the picture's edge, which no camera does."""
    ends = (slice(0, side), slice(-side, None))
    corners = [pixels[rows, columns].astype(np.int16) for rows in ends for columns in ends]
    return any(np.ptp(corner) <= 12 and (corner.max() <= 14 or corner.min() >= 242) for corner in corners)


def knots(logits: Floats) -> tuple[list[float], list[float]]:
    """Where the log-odds of real faces cross the shares of REFUSED; a straight line of the tail gives what is too rare.

    The scale goes on to 0 and 1 at the same distance beyond, so that the order of faces is never lost.
    """
    places = [float(np.quantile(logits, share)) for share, _ in REFUSED]
    step = max((places[-1] - places[0]) / 2, 1e-3)
    raw = [places[0] - 2 * step, *places, places[-1] + 2 * step]
    # Quantiles of a small tail may coincide; a scale must rise.
    raw = [value + 1e-3 * place for place, value in enumerate(raw)]
    return raw, [0.0, *(score for _, score in REFUSED), 1.0]


def calibrate(corpus: Corpus, pack: Path) -> None:
    """Measure the exported graph and enter it into pack.toml."""
    student = Student(pack)
    logits = np.array([student(pixels, box) for pixels, box in real_faces(corpus)], np.float32)
    raw, score = knots(logits)
    packtoml.set_role(
        "liveness",
        "liveness.onnx",
        "crops_softmax",
        pack=pack,
        inputs=["wide"],
        scales=[SCALE],
        sizes=[SIDE],
        clamp="shrink",
        output="logit",
        calibration={"raw": [round(v, 4) for v in raw], "score": score, "real_faces": len(logits)},
    )


def main() -> None:
    parser = runs.arguments("Set the scale of liveness.", "liveness")
    parser.add_argument("--pack", type=Path, default=packtoml.PACK)
    args = parser.parse_args()
    runs.start(args)
    calibrate(Corpus(args.corpus), args.pack)


if __name__ == "__main__":
    main()
