"""How well embeddings tell people apart: every pair of pictures with names, its cosine, and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.training.align import align
from scripts.training.corpus import Corpus, Crop
from scripts.training.teachers import unit

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Cosines of all pairs of the same person and of all pairs of two people, each sorted."""

    genuine: Floats
    impostor: Floats

    @classmethod
    def of(cls, embeddings: Floats, identities: Sequence[str]) -> "Pairs":
        vectors = unit(embeddings)
        cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
        _, codes = np.unique(np.array(identities), return_inverse=True)
        same = (codes[:, None] == codes[None])[np.triu_indices(len(vectors), 1)]
        return cls(np.sort(cosines[same]), np.sort(cosines[~same]))

    def threshold(self, far: float) -> float:
        """The cosine that this share of impostor pairs reaches."""
        return float(self.impostor[-max(1, round(far * len(self.impostor)))])

    def tar(self, far: float) -> float:
        """Share of genuine pairs above the threshold for `far`."""
        return self.above(self.genuine, self.threshold(far))

    def accuracy(self) -> float:
        """Mean of both kinds' hit rates at the best threshold."""
        grid = np.linspace(-0.2, 0.9, 1101)
        hits = 1 - np.searchsorted(self.genuine, grid) / len(self.genuine)
        rejects = np.searchsorted(self.impostor, grid) / len(self.impostor)
        return float(((hits + rejects) / 2).max())

    def auc(self) -> float:
        """Chance that a genuine pair is more alike than an impostor pair."""
        return float((np.searchsorted(self.impostor, self.genuine) / len(self.impostor)).mean())

    @staticmethod
    def above(cosines: Floats, threshold: float) -> float:
        return float(1 - np.searchsorted(cosines, threshold) / len(cosines))


def faces(corpus: Corpus, crops: Sequence[Crop]) -> NDArray[np.uint8]:
    """Aligned 112x112 faces of crops that have points."""
    return np.stack([align(corpus.pixels(crop), crop.points) for crop in crops if crop.points is not None])


def named(corpus: Corpus, *sources: str) -> list[Crop]:
    """Pictures with a believable name: what other networks find doubtful is left out, except in LFW, which is clean."""
    return [
        crop
        for crop in corpus.select(*sources)
        if crop.identity and (crop.source == "lfw" or crop.number("id_sim", 1.0) >= 0.15)
    ]
