"""What YuNet says about every cell of a training picture: the detector learns its function, not only where faces are.

Labels alone leave a network unsure: they call a face of a dozen blurred pixels as much a face as a portrait. YuNet's
score for exactly this picture tells how much of a face is to be seen. Labels still decide where they know better.
"""

import numpy as np
from numpy.typing import NDArray

from scripts.training.detect_labels import iou
from scripts.training.detect_picture import Picture
from scripts.training.teachers import Floats, YuNet

SEEN = 0.3  # a cell with less has no box worth learning
CALM = 0.15  # the most that a cell may score where labels see no face
SAME = 0.5  # overlap with a labelled box, whose points are the better ones
Answers = tuple[Floats, Floats, Floats, Floats]


class Echo:
    """YuNet n, corrected by labels. (The s net gives a face to other cells: a mean of both says a half everywhere.)"""

    def __init__(self) -> None:
        self._yunet = YuNet()

    def __call__(self, picture: Picture, kind: NDArray[np.int8]) -> Answers:
        """Per cell what to answer: score, its weight, box, points. `kind` is what labels say (`detect.kinds`)."""
        rows = self._yunet.cells(picture.pixels)
        boxes, score, points = rows[:, :4], rows[:, 4].copy(), rows[:, 5:].copy()
        score[kind == 0] = score[kind == 0].clip(max=CALM)
        # A face that YuNet does not see may be there and hidden, or may be gone: neither is worth insisting on.
        weight = np.where((kind == 1) & (score < SEEN), 0, 1).astype(np.float32)
        seen = np.flatnonzero(score >= SEEN)
        for box, five in zip(picture.boxes, picture.points, strict=True):
            points[seen[iou(box, boxes[seen]) > SAME]] = five.reshape(-1)
        return score, weight, boxes, points
