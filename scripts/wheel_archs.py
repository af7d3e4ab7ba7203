"""Which cards a GPU wheel carries code for, read from the fat binaries in its shared libraries.

    python -m scripts.wheel_archs onnxruntime_gpu-1.26.0-cp311-*.whl --need sm_60
    python -m scripts.wheel_archs .venv/lib/python3.11/site-packages/onnxruntime

Takes a wheel, a folder or one library. A cubin (sm_60) runs on cards of its own major number from its minor number up,
PTX (compute_90) is compiled for any card from its number up. `--need sm_61` fails (1) when no library that has device
code serves such a card; `--need` may be given several times. No CUDA tool is needed.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from face_server.engine.fatbinary import Code, of_path, unserved


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="+")
    parser.add_argument("--need", action="append", default=[], metavar="sm_NN", help="a card that must be served")
    options = parser.parse_args()
    cards = []
    for need in options.need:
        if not re.fullmatch(r"sm_\d{2,3}", need):
            parser.error(f"--need {need}: sm_ and a number is expected, as in sm_61")
        cards.append(int(need[3:]))
    found: dict[str, set[Code]] = {}
    for path in options.path:
        if not path.exists():
            parser.error(f"{path} is not there")
        found |= of_path(path)
    for name, codes in found.items():
        print(f"{name}: {' '.join(map(str, sorted(codes)))}")
    if not found:
        print("no device code found", file=sys.stderr)
        return 1 if cards else 0
    lost = {card: libraries for card in cards if (libraries := unserved(found, card))}
    for card, libraries in lost.items():
        print(f"no code for sm_{card}: {', '.join(libraries)}", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
