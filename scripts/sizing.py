"""What a face takes of memory and disk and a request of CPU, measured on a real server: the figures of
`face-server size`.

    python -m scripts.sizing
    python -m scripts.sizing --pack open --models-dir data/models

CPU seconds of the server process are counted, not wall time, so that what else runs disturbs little.
"""

from __future__ import annotations

import argparse
import tempfile
import urllib.request
from pathlib import Path

from face_server.commands.size import Measured
from face_server.vision.offline import analyzer
from face_server.vision.packs import Pack, find_pack
from scripts.load import dialects, gallery, photos
from scripts.load.server import ServerProcess, serving

FEW, MANY = 10_000, 110_000
TARGET = dialects.Target(gallery.APP, gallery.GROUP)


def ask(server: ServerProcess, call: dialects.Call) -> None:
    request = urllib.request.Request(server.url + call.path, call.body, {"Content-Type": call.content_type})
    urllib.request.urlopen(request, timeout=120).read()


def library(
    pack: Pack, options: argparse.Namespace, faces: int, pictures: list[bytes]
) -> tuple[float, float, dict[str, float]]:
    """MB of memory after searches, bytes of the database for a face, CPU seconds of a request by interface."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gallery.fill(folder / "faces.db", faces, analyzer(pack, ("detect", "embed")).dimensions, pack.embedding_id)
        disk = (folder / "faces.db").stat().st_size / faces
        speaks = dialects.DIALECTS["baidu"]
        spent: dict[str, float] = {}
        with serving(folder, pack=options.pack, models_dir=options.models_dir, deadline_ms=120_000) as server:
            for _ in range(3):
                for picture in pictures:
                    ask(server, speaks.identify(TARGET, picture))
            memory = server.pss_mb()
            for interface, make in (("identify", speaks.identify), ("detect", speaks.detect)):
                before = server.cpu_seconds()
                for number in range(options.requests):
                    ask(server, make(TARGET, pictures[number % len(pictures)]))
                spent[interface] = (server.cpu_seconds() - before) / options.requests
        return memory, disk, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", default="builtin")
    parser.add_argument("--models-dir", type=Path, default=Path("data/models"))
    parser.add_argument("--requests", type=int, default=200)
    options = parser.parse_args()
    pack = find_pack(options.pack, options.models_dir)
    pictures = photos.of_size("640x480")
    few, many = (library(pack, options, faces, pictures) for faces in (FEW, MANY))
    face_bytes = (many[0] - few[0]) * 2**20 / (MANY - FEW)
    measured = Measured(
        base_mb=round(few[0] - FEW * face_bytes / 2**20),
        face_bytes=round(face_bytes),
        disk_bytes=round(many[1]),
        identify_ms=round(1000 * few[2]["identify"], 1),
        detect_ms=round(1000 * few[2]["detect"], 1),
    )
    print(measured)
    print(f"identify with {MANY:,} faces: {1000 * many[2]['identify']:.1f} ms")


if __name__ == "__main__":
    main()
