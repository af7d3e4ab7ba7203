"""Writes docs/pictures, and docs/api where spec.json is there."""

from __future__ import annotations

import json
import os
from pathlib import Path

from scripts.guide.api import pages
from scripts.guide.pictures import ROOT, pictures


def main() -> None:
    _write(ROOT / "docs/pictures", pictures())
    spec = Path(os.environ.get("FACE_SHARED", ROOT.parent / "shared")) / "spec/spec.json"
    if spec.is_file():
        _write(ROOT / "docs/api", pages(json.loads(spec.read_text())))
    else:
        print(f"{spec} is absent: docs/api stays as it is")


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
