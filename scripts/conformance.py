"""Runs the tests of the dialects and writes docs/conformance.md: what of the contracts is proven, and by which test.

python -m scripts.conformance [more arguments for pytest]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WRITTEN, KEPT = ROOT / "build" / "conformance.md", ROOT / "docs" / "conformance.md"
TESTS = ["tests/conformance", "tests/dialects"]


def main(more: list[str]) -> int:
    WRITTEN.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "--conformance", *TESTS, *more]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status == 0:
        if not WRITTEN.is_file():
            sys.exit("spec.json was not found (FACE_SHARED, default ../shared): nothing was held against it")
        shutil.copyfile(WRITTEN, KEPT)
        print(f"written: {KEPT.relative_to(ROOT)}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
