"""Two-stage galleries against exact ones: recall and time of one search, on templates that look like those of people.

    python scripts/galleries.py --faces 200000 --dimensions 512

Every identity has two faces, a fresh third one is searched. Templates are drawn as embedders give them: directions of
unequal weight, faces of one person at a cosine of about 0.55, those of two persons at about 0. Hard searches are those
whose own person is at a cosine below 0.45."""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from face_server.index.codes import CodesForLarge
from face_server.index.gallery import LocalGallery

Vectors = NDArray[np.float32]


def unit(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def people(faces: int, dimensions: int, searches: int) -> tuple[Vectors, Vectors]:
    """Faces in pairs of one identity, and the searches for the first identities."""
    rng = np.random.default_rng(7)
    weights = np.exp(-np.arange(dimensions) / (0.7 * dimensions)).astype(np.float32)

    def drawn(count: int) -> Vectors:
        return unit(rng.standard_normal((count, dimensions), dtype=np.float32) * weights)

    centres = drawn(faces // 2)
    gallery = np.repeat(centres, 2, axis=0)
    for start in range(0, len(gallery), 8192):
        part = gallery[start : start + 8192]
        part[:] = unit(part + rng.normal(0.9, 0.15, (len(part), 1)).astype(np.float32) * drawn(len(part)))
    asked = unit(centres[:searches] + rng.normal(0.9, 0.15, (searches, 1)).astype(np.float32) * drawn(searches))
    return gallery.astype(np.float16).astype(np.float32), asked


def gallery_of(rows: Vectors, large: int) -> LocalGallery:
    ids = np.arange(len(rows))
    return LocalGallery(1, 0, rows.copy(), ids, ids // 2, CodesForLarge(large))


def timed(gallery: LocalGallery, asked: Vectors) -> tuple[list[int], list[float]]:
    """The face that was found by each search, and how many milliseconds it took."""
    found, times = [], []
    for query in asked:
        begun = time.perf_counter()
        (hits,) = gallery.search(query[None], 1)
        times.append((time.perf_counter() - begun) * 1000)
        found.append(hits[0].face_id)
    return found, times


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--faces", type=int, default=200_000)
    options.add_argument("--dimensions", type=int, default=512)
    options.add_argument("--searches", type=int, default=500)
    chosen = options.parse_args()
    rows, asked = people(chosen.faces, chosen.dimensions, chosen.searches)
    own = np.stack([rows[: 2 * len(asked) : 2], rows[1 : 2 * len(asked) : 2]])
    likeness = np.einsum("nkd,kd->nk", own, asked).max(axis=0)
    exact, slow = timed(gallery_of(rows, chosen.faces + 1), asked)
    two_stages = gallery_of(rows, 1)
    begun = time.process_time()
    two_stages.tidy(lambda: False)
    built = time.process_time() - begun
    found, quick = timed(two_stages, asked)
    same = np.array(found) == np.array(exact)
    hard = likeness < 0.45
    print(f"{chosen.faces} faces x {chosen.dimensions}, {len(asked)} searches, one thread")
    print(f"codes made in {built:.1f} s of CPU")
    print(f"mates: mean cosine {likeness.mean():.2f}, 5 % below {np.quantile(likeness, 0.05):.2f}")
    print(f"recall@1 against exact {same.mean():.4f}; of the {hard.sum()} hard ones {same[hard].mean():.4f}")
    for name, times in (("exact", slow), ("two stages", quick)):
        print(f"{name:>10}: median {np.median(times):.2f} ms, 90 % within {np.quantile(times, 0.9):.2f} ms")
    print(f"memory: {two_stages.memory / chosen.faces:.0f} bytes a face")


if __name__ == "__main__":
    main()
