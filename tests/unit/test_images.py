"""Decoding: every format to the same pixels, limits before decoding, only PictureError out of hostile bytes."""

import csv
import io
import json
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from face_server.errors import BadPicture, PictureError, PictureTooLarge
from face_server.vision.images import decode

MANY = 24_000_000
WIDTH, HEIGHT = 96, 64


def scene(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Smooth, coloured, and different in every corner: red grows to the right, green downwards, blue top left."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.stack([40 + 180 * x, 40 + 180 * y, 220 - 90 * (x + y)], axis=2).astype(np.uint8)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def colour() -> Image.Image:
    return Image.fromarray(scene())


def with_alpha() -> Image.Image:
    """Transparent on the right half: there the white behind it must show, whatever colour lies under it."""
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, WIDTH // 2 :] = 0
    return Image.fromarray(np.dstack([scene(), alpha]))


FORMATS: dict[str, tuple[Callable[[], bytes], float]] = {
    "jpeg": (lambda: encoded(colour(), "JPEG", quality=95), 4),
    "progressive jpeg": (lambda: encoded(colour(), "JPEG", quality=95, progressive=True), 4),
    "cmyk jpeg": (lambda: encoded(colour().convert("CMYK"), "JPEG", quality=95), 8),
    "png": (lambda: encoded(colour(), "PNG"), 0),
    "bmp": (lambda: encoded(colour(), "BMP"), 0),
    "lossless webp": (lambda: encoded(colour(), "WEBP", lossless=True), 0),
    "webp": (lambda: encoded(colour(), "WEBP", quality=95), 8),
    "gif": (lambda: encoded(colour(), "GIF"), 24),
    "tiff": (lambda: encoded(colour(), "TIFF"), 0),
    "tiff lzw": (lambda: encoded(colour(), "TIFF", compression="tiff_lzw"), 0),
    "palette png": (lambda: encoded(colour().quantize(256), "PNG"), 24),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_rgb(kind: str) -> None:
    make, tolerance = FORMATS[kind]
    picture = decode(make(), MANY)
    assert picture.pixels.shape == (HEIGHT, WIDTH, 3)
    assert picture.pixels.dtype == np.uint8
    assert (picture.width, picture.height, picture.scale) == (WIDTH, HEIGHT, 1.0)
    assert np.abs(picture.pixels.astype(int) - scene()).max() <= tolerance


GREY = scene()[:, :, 0]


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.fromarray(GREY), "PNG"),
        encoded(Image.fromarray(GREY), "JPEG", quality=98),
        encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"),
        encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"),
        encoded(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"),
        encoded(Image.fromarray(np.dstack([GREY, np.full_like(GREY, 255)]), mode=None), "PNG"),
    ],
    ids=["8 bit", "jpeg", "16 bit png", "16 bit tiff", "float tiff", "grey with alpha"],
)
def test_grey_of_any_depth(data: bytes) -> None:
    pixels = decode(data, MANY).pixels.astype(int)
    assert np.abs(pixels - GREY[:, :, None].astype(int)).max() <= 3


def test_sixteen_bit_colour() -> None:
    done, data = cv2.imencode(".png", scene()[:, :, ::-1].astype(np.uint16) * 257)
    assert done
    assert np.abs(decode(data.tobytes(), MANY).pixels.astype(int) - scene()).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
def test_transparency_lies_over_white(kind: str) -> None:
    pixels = decode(encoded(with_alpha(), kind, **({"lossless": True} if kind == "WEBP" else {})), MANY).pixels
    assert (pixels[:, WIDTH // 2 :] >= 250).all()
    assert pixels[:, : WIDTH // 2].mean() < 200


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(kind: str) -> None:
    black = Image.new("RGB", (WIDTH, HEIGHT))
    data = encoded(colour(), kind, save_all=True, append_images=[black, black], duration=50)
    assert np.abs(decode(data, MANY).pixels.astype(int) - scene()).mean() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    """Stored as a camera would that was held so: shown, it must be the scene again."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transposes, the inverse of what viewers do
    stored = colour() if orientation == 1 else colour().transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    picture = decode(data, MANY)
    assert (picture.width, picture.height) == (WIDTH, HEIGHT)
    assert np.abs(picture.pixels.astype(int) - scene()).mean() < 4


def test_broken_exif_is_ignored() -> None:
    data = encoded(colour(), "JPEG", quality=95, exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff" + bytes(9))
    assert decode(data, MANY).width == WIDTH


@pytest.mark.parametrize(
    ("length", "enough", "factor"), [(1599, 800, 1), (1600, 800, 2), (3200, 800, 4), (6400, 800, 8), (6400, None, 1)]
)
def test_large_jpegs_are_decoded_smaller(length: int, enough: int | None, factor: int) -> None:
    data = encoded(Image.fromarray(scene(length, 40)), "JPEG", quality=90)
    picture = decode(data, MANY, enough)
    assert (picture.width, picture.height) == (length, 40)
    assert picture.pixels.shape[1] == -(-length // factor)
    assert picture.scale == pytest.approx(1 / factor, rel=0.01)
    assert np.abs(picture.pixels[10 // factor, -1].astype(int) - scene(length, 40)[10, -1]).max() < 16


# Limits and hostile files


def png_header(width: int, height: int) -> bytes:
    def chunk(body: bytes) -> bytes:
        return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR" + size) + chunk(b"IDAT" + zlib.compress(bytes(1000)))


def declared(data: bytes, width: int, height: int) -> bytes:
    """A JPEG that claims another size."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@pytest.mark.parametrize(
    "data",
    [
        png_header(60_000, 60_000),
        declared(encoded(colour(), "JPEG"), 65_000, 65_000),
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + encoded(colour(), "GIF")[10:],
        b"BM" + struct.pack("<IHHIIiiHHII", 0, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0) + bytes(40),
        encoded(Image.new("1", (9000, 9000)), "TIFF", compression="group4"),
        encoded(Image.new("P", (8000, 8000)), "PNG"),
        png_header(1, 20_000_000),
    ],
    ids=["png", "jpeg", "gif", "bmp", "tiff", "flat png", "one pixel wide"],
)
def test_bombs_are_refused_by_their_header(data: bytes) -> None:
    with pytest.raises(PictureTooLarge):
        decode(data, MANY)


def test_the_limit_is_on_pixels_in_either_orientation() -> None:
    tall, wide = (encoded(Image.new("L", size), "PNG") for size in ((40, 100), (100, 40)))
    for data in (tall, wide):
        assert decode(data, 4000).pixels.shape[2] == 3
        with pytest.raises(PictureTooLarge):
            decode(data, 3999)


def test_progressive_bomb() -> None:
    data = encoded(colour(), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    scans = data[first:-2]
    with pytest.raises(BadPicture, match="scans"):
        decode(data[:first] + scans * 40 + b"\xff\xd9", MANY)


@pytest.mark.parametrize("kind", FORMATS)
def test_half_a_file_is_bad(kind: str) -> None:
    data = FORMATS[kind][0]()
    with pytest.raises(BadPicture):
        decode(data[: len(data) // 2], MANY)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\xff\xd8\xff", b"not a picture at all", b"<svg xmlns='x'/>", bytes(5000)]
)
def test_no_picture(data: bytes) -> None:
    with pytest.raises(BadPicture, match=r"\w"):
        decode(data, MANY)


@given(
    st.binary(max_size=400), st.sampled_from([b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\x00"])
)
@settings(max_examples=200, deadline=None)
def test_noise_behind_a_magic_number(noise: bytes, magic: bytes) -> None:
    with pytest.raises(PictureError):
        decode(magic + noise, MANY)


def mutations(seed: int, count: int) -> list[bytes]:
    """Real files with bytes flipped, cut out, repeated and cut off."""
    rng = random.Random(seed)
    originals = [make() for make, _ in FORMATS.values()] + [encoded(with_alpha(), kind) for kind in ("PNG", "WEBP")]
    made = []
    for _ in range(count):
        data = bytearray(rng.choice(originals))
        for _ in range(rng.choice((1, 1, 2, 8))):
            at, length = rng.randrange(len(data)), rng.choice((1, 2, 4, 64))
            kind = rng.randrange(4)
            if kind == 0:
                data[at : at + length] = rng.randbytes(length)
            elif kind == 1:
                del data[at : at + length]
            elif kind == 2:
                data[at:at] = data[at : at + length] * rng.choice((1, 50))
            else:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
            if not data:
                data = bytearray(b"\0")
        made.append(bytes(data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.2 else data))
    return made


FUZZ = """
import json, sys, time
sys.path.insert(0, {root!r})
from tests.unit.test_images import mutations
from face_server.vision.images import decode
from face_server.errors import PictureError
outcomes = {{}}
for number, data in enumerate(mutations({seed}, {count})):
    begun = time.perf_counter()
    try:
        pixels = decode(data, 24_000_000, 1600).pixels
        assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.flags.c_contiguous
        outcome = "decoded"
    except PictureError as error:
        assert str(error)
        outcome = type(error).__name__
    spent = time.perf_counter() - begun
    assert spent < 5, (number, spent)
    outcomes[outcome] = outcomes.get(outcome, 0) + 1
print(json.dumps(outcomes))
"""


def test_mutated_files_never_crash_hang_or_raise_anything_else() -> None:
    """In its own process: a crash of a C library must be a failed test, and its words on stderr are looked at."""
    root = str(Path(__file__).parents[2])
    code = FUZZ.format(root=root, seed=7, count=3000)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False, cwd=root
    )
    assert run.returncode == 0, run.stderr[-2000:]
    # libjpeg and libtiff say a line about a damaged file, straight to the file descriptor; Python says nothing.
    assert "UserWarning" not in run.stderr
    outcomes = json.loads(run.stdout)
    assert outcomes["decoded"] > 100
    assert outcomes["BadPicture"] > 500


# Real files


def test_photos_decode_as_their_list_says(photos: Path) -> None:
    with (photos / "photos.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        data = (photos / row["file"]).read_bytes()
        if row["file"].startswith("broken"):
            with pytest.raises(BadPicture):
                decode(data, MANY)
            continue
        picture = decode(data, MANY)
        stored = (int(row["width"]), int(row["height"]))
        turned = row["exif_orientation"] in ("5", "6", "7", "8")
        assert (picture.width, picture.height) == (stored[::-1] if turned else stored), row["file"]


def test_sixteen_bit_photo_is_no_white_square(photos: Path) -> None:
    pixels = decode((photos / "fmt_16bit.png").read_bytes(), MANY).pixels
    assert 60 < pixels.mean() < 110
