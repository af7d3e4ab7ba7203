"""The quick reader of JPEG heads says what Pillow says, or nothing."""

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from face_server.vision import jpeg

ORIENTATION = 0x0112


def encoded(mode: str = "RGB", orientation: int | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x010E] = "a description before it"
        exif[ORIENTATION] = orientation
    Image.new(mode, (123, 45)).save(out, "JPEG", exif=exif, **options)
    return out.getvalue()


@pytest.mark.parametrize("orientation", [None, *range(10)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
def test_size_progression_and_orientation(mode: str, orientation: int | None, progressive: bool) -> None:
    usual = orientation if orientation and orientation <= 8 else 1
    data = encoded(mode, orientation, progressive=progressive)
    assert jpeg.head(data) == jpeg.Head(123, 45, progressive, usual)


def test_byte_orders_of_exif() -> None:
    for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):
        exif = mark + struct.pack(order + "IHHHIHHI", 8, 1, ORIENTATION, 3, 1, 6, 0, 0)
        out = io.BytesIO()
        Image.new("RGB", (9, 9)).save(out, "JPEG", exif=b"Exif\0\0" + exif)
        found = jpeg.head(out.getvalue())
        assert found is not None
        assert found.orientation == 6


def test_a_thumbnail_in_the_head_is_not_the_picture() -> None:
    thumbnail = encoded()
    out = io.BytesIO()
    Image.new("RGB", (300, 200)).save(out, "JPEG", exif=b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0\0\0" + thumbnail)
    assert jpeg.head(out.getvalue()) == jpeg.Head(300, 200, False, 1)


def test_what_is_unusual_is_left_to_pillow() -> None:
    png = io.BytesIO()
    Image.new("RGB", (9, 9)).save(png, "PNG")
    assert jpeg.head(encoded("CMYK")) is None
    assert jpeg.head(png.getvalue()) is None
    assert jpeg.head(b"") is None


def test_real_photos(photos: Path) -> None:
    seen = 0
    for path in photos.glob("*.jpg"):
        data = path.read_bytes()
        found = jpeg.head(data)
        if not data.startswith(b"\xff\xd8"):
            assert found is None
            continue
        with Image.open(io.BytesIO(data)) as image:
            if image.format == "JPEG" and image.mode in ("RGB", "L"):
                turned = image.getexif().get(ORIENTATION, 1)
                assert found == jpeg.Head(*image.size, bool(image.info.get("progressive")), turned), path.name
                seen += 1
    assert seen > 50


@settings(max_examples=500)
@given(st.data())
def test_damage_is_never_an_exception(data: st.DataObject) -> None:
    whole = bytearray(encoded(orientation=6)[:700])
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(3, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = jpeg.head(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert found is None or (found.width > 0 and found.height > 0 and 1 <= found.orientation <= 8)
