"""The mesh remover on faces and meshes left out: decibels, and what it does to the embedding."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.random import default_rng

from scripts.training import align, packtoml
from scripts.training.corpus import Corpus
from scripts.training.dewater import face
from scripts.training.evaluate import Row
from scripts.training.meshes import KINDS, LEFT_OUT, watermarked
from scripts.training.metrics import psnr
from scripts.training.teachers import MobileFaceNet, session

FACES = 200


def measure(corpus: Corpus, pack: Path) -> Iterator[Row]:
    network = session((pack / packtoml.read(pack)["roles"]["dewater"]["file"]).resolve())
    embed = MobileFaceNet()
    crops = corpus.select("fairface", parts=("test",))[:FACES]
    clean = [face(corpus, crop) for crop in crops]
    # The points are known: here the mesh is judged, not the detector under it.
    points = [crop.points * (128 / corpus.pixels(crop).shape[0]) for crop in crops if crop.points is not None]
    target = [embed(align.align(c, p)[None])[0] for c, p in zip(clean, points, strict=True)]
    for name, kinds in (("trained kinds", KINDS), ("kind left out", LEFT_OUT)):
        gains: list[tuple[float, float]] = []
        before: list[float] = []
        after: list[float] = []
        for number, picture in enumerate(clean):
            rng = default_rng((61, number))
            marked = watermarked(picture, kinds[number % len(kinds)], rng)
            cleaned = network.run(None, {"image": marked[None]})[0][0].round().astype(np.uint8)
            gains.append((psnr(picture, marked), psnr(picture, cleaned)))
            for image, likeness in ((marked, before), (cleaned, after)):
                likeness.append(float(embed(align.align(image, points[number])[None])[0] @ target[number]))
        dirty, tidy = np.array(gains).T
        yield Row(f"PSNR of the watermarked face, {name}", float(dirty.mean()), "", f"{len(clean)} faces")
        yield Row(f"PSNR after cleaning, {name}", float(tidy.mean()))
        yield Row(f"gain, {name}", float((tidy - dirty).mean()))
        yield Row(f"cosine to the clean face before, {name}", float(np.mean(before)))
        yield Row(f"cosine to the clean face after, {name}", float(np.mean(after)))
        yield Row(f"cosine risen, {name}", float(np.mean(np.array(after) > np.array(before))))
    same = [psnr(p, network.run(None, {"image": p[None]})[0][0]) for p in clean[:50]]
    yield Row("PSNR of faces that had no mesh", float(np.mean(same)), "", "50 faces")
