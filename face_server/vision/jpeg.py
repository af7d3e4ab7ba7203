"""What the head of a JPEG says. Nearly every picture is one, and Pillow takes ten times as long to tell."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_START, _APP1, _SCAN = b"\xff\xd8\xff", 0xE1, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_BARE = frozenset(range(0xD0, 0xD8)) | {0x01}  # markers without a length
_EXIF = b"Exif\0\0"
_ORIENTATION, _SHORT = 0x0112, 3
_MOST_TAGS = 200


@dataclass(frozen=True, slots=True)
class Head:
    width: int
    height: int
    progressive: bool
    orientation: int  # as EXIF counts: 1 is upright


def head(data: bytes) -> Head | None:
    """None for what is no JPEG, or an unusual one: a slower reader decides."""
    if not data.startswith(_START):
        return None
    try:
        return _walk(data)
    except (struct.error, IndexError):
        return None


def _walk(data: bytes) -> Head | None:
    at, frame, exif = 2, None, None
    while True:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _SCAN:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in _FRAMES:
            if frame is not None:
                return None
            frame = (marker, *struct.unpack_from(">BHHB", data, at + 4))
        elif marker == _APP1 and exif is None and data[at + 4 : at + 10] == _EXIF:
            exif = data[at + 10 : at + 2 + length]
        at += 2 + length
    if frame is None:
        return None
    marker, bits, height, width, colours = frame
    if bits != 8 or colours not in (1, 3) or not width or not height:
        return None
    return Head(width, height, marker in _PROGRESSIVE, _orientation(exif) if exif else 1)


def _orientation(exif: bytes) -> int:
    """A damaged block does not make the picture bad."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (tags,) = struct.unpack_from(order + "H", exif, start)
        for index in range(min(tags, _MOST_TAGS)):
            tag, kind, count, value = struct.unpack_from(order + "HHIH", exif, start + 2 + 12 * index)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and count == 1 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
