"""The table of the model card, from scratch: every role of the pack beside its teacher, on data never trained on.

`python -m scripts.training.evaluate [ROLE ...]`; --card puts the tables into MODEL_CARD.md, between the comments
`<!-- ROLE -->` and `<!-- /ROLE -->`, so that the card says nothing that was not measured. A role's measures live in
`eval_ROLE.py` as `measure(corpus, pack) -> Iterable[Row]`; roles that share a network may share a module by importing.
"""

import argparse
import importlib
import importlib.util
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.training import packtoml
from scripts.training.corpus import Corpus
from scripts.training.teachers import session

HEADING = "| measure | ours | teacher | of |\n|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a role's table; `of` says how many pictures or pairs it was measured on."""

    measure: str
    ours: float | str
    teacher: float | str = ""
    of: str = ""

    @classmethod
    def pair(cls, measure: str, both: Iterable[float | str], of: str = "") -> "Row":
        """Ours and the teacher's from one go."""
        ours, teacher = both
        return cls(measure, ours, teacher, of)

    def __str__(self) -> str:
        return f"| {self.measure} | {_text(self.ours)} | {_text(self.teacher)} | {self.of} |"


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.3f}"


def file_rows(pack: Path, table: dict[str, Any]) -> Iterator[Row]:
    """Size and speed, the same for every role."""
    path = pack / table["file"]
    yield Row("file", f"{table['file']}, {path.stat().st_size / 1e6:.2f} MB")
    network = session(path.resolve())
    feeds = {
        entry.name: np.random.default_rng(1).integers(0, 256, _shape(entry.shape), np.uint8)
        for entry in network.get_inputs()
    }
    times = []
    for _ in range(30):
        began = time.process_time()
        network.run(None, feeds)
        times.append(time.process_time() - began)
    sides = ", ".join("x".join(str(n) for n in feed.shape[1:3]) for feed in feeds.values())
    # The fastest of many: what else the machine does meanwhile only ever adds.
    yield Row(f"ms of one core at {sides}, batch 1", f"{min(times) * 1000:.1f}")


def _shape(shape: list[Any]) -> tuple[int, ...]:
    """Free sizes are measured at 640 x 480."""
    free = (1, 480, 640, 3)
    return tuple(n if isinstance(n, int) else free[i] for i, n in enumerate(shape))


def rows(role: str, corpus: Corpus, pack: Path) -> Iterable[Row]:
    """Everything known about one role."""
    yield from file_rows(pack, packtoml.read(pack)["roles"][role])
    name = f"scripts.training.eval_{role}"
    if importlib.util.find_spec(name) is None:
        yield Row("accuracy", "not measured")
    else:
        yield from importlib.import_module(name).measure(corpus, pack)


def into_card(role: str, lines: list[str], pack: Path) -> None:
    """Replace a role's table in the card; its section must be there already, written by whoever made the model."""
    card = pack / "MODEL_CARD.md"
    with packtoml.locked(pack):
        before, opening, rest = card.read_text().partition(f"<!-- {role} -->\n")
        _, closing, after = rest.partition(f"<!-- /{role} -->")
        if not closing:
            raise SystemExit(f"MODEL_CARD.md has no <!-- {role} --> ... <!-- /{role} --> for the table")
        card.write_text("".join([before, opening, *(line + "\n" for line in lines), closing, after]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roles", nargs="*", help="all roles of the pack when none is named")
    parser.add_argument("--corpus", help="corpus folder (or FACE_CORPUS)")
    parser.add_argument("--pack", type=Path, default=packtoml.PACK)
    parser.add_argument("--card", action="store_true", help="put the tables into MODEL_CARD.md")
    args = parser.parse_args()
    corpus = Corpus(args.corpus)
    for role in args.roles or packtoml.read(args.pack)["roles"]:
        print(f"\n### {role}\n\n{HEADING}", flush=True)
        lines = [HEADING]
        for row in rows(role, corpus, args.pack):
            print(row, flush=True)
            lines.append(str(row))
        if args.card:
            into_card(role, lines, args.pack)


if __name__ == "__main__":
    main()
