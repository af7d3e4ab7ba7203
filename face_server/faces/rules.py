"""What a vendor demands of a picture beyond its being one: formats, sizes, and how small a face may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from face_server.errors import BadPicture, FaceTooSmall, PictureTooLarge, PictureTooSmall
from face_server.model import Face

_BEGINNINGS = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG": "png",
    b"BM": "bmp",
    b"GIF8": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"RIFF": "webp",
}


@dataclass(frozen=True, slots=True)
class PictureRules:
    """The defaults allow all that the server itself can read."""

    formats: frozenset[str] | None = None  # None: any
    largest_file: int | None = None  # bytes
    least: int = 0  # pixels of each side
    longest: int | None = None  # pixels of the longer side, in either orientation
    shorter: int | None = None  # and of the shorter one
    least_face: int = 0  # pixels of each side; smaller faces are left out

    def check_format(self, data: bytes) -> None:
        if self.largest_file is not None and len(data) > self.largest_file:
            raise PictureTooLarge(f"{len(data)} bytes")
        if self.formats is not None and format_of(data) not in self.formats:
            raise BadPicture(f"none of {', '.join(sorted(self.formats))}")

    def check_size(self, width: int, height: int) -> None:
        long, short = max(width, height), min(width, height)
        if short < self.least:
            raise PictureTooSmall(f"{width}x{height}")
        if (self.longest is not None and long > self.longest) or (self.shorter is not None and short > self.shorter):
            raise PictureTooLarge(f"{width}x{height}")

    def large_enough(self, faces: Sequence[Face]) -> tuple[Face, ...]:
        """At least one, unless there was none before."""
        left = tuple(face for face in faces if min(face.box.width, face.box.height) >= self.least_face)
        if faces and not left:
            raise FaceTooSmall(f"all are smaller than {self.least_face} pixels")
        return left


def format_of(data: bytes) -> str:
    """By the first bytes; whether the rest is a picture shows when it is decoded."""
    return next((name for start, name in _BEGINNINGS.items() if data.startswith(start)), "")
