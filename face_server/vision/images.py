"""Bytes to pixels. Every picture becomes upright RGB; everything that is wrong with it becomes a PictureError."""

from __future__ import annotations

import importlib
import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from face_server.errors import BadPicture, PictureTooLarge
from face_server.vision import jpeg

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB

# Named one by one, or the first picture of a server would wait until Pillow has loaded its forty plugins.
_PLUGINS = ("Jpeg", "Png", "Bmp", "WebP", "Gif", "Tiff")
FORMATS = tuple(name.upper() for name in _PLUGINS)
for _name in _PLUGINS:
    importlib.import_module(f"PIL.{_name}ImagePlugin")
MOST_SCANS = 100  # real progressive files have about ten; thousands of scans are a bomb that costs minutes
LONGEST_SIDE = 65_535  # that of JPEG; of millions of rows one pixel wide Pillow needs ten times the memory

# The operator's limit is checked from the header below, so Pillow's own one must not come first.
Image.MAX_IMAGE_PIXELS = None
# Damage in a sender's file is answered to the sender; it is not worth a line on stderr.
warnings.filterwarnings("ignore", module=r"PIL\..*")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# Lanes keep the cores busy; a pool of threads inside each call would only be in their way.
cv2.setNumThreads(1)

# The "grey" constants are the bare factors: those of colour would ask for BGR at the same time.
_REDUCED = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_COLOR_RGB,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_COLOR_RGB,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_COLOR_RGB,
}
_ORIENTATION = 0x0112  # the EXIF tag


@dataclass(frozen=True, slots=True)
class Picture:
    pixels: Pixels  # perhaps smaller than the picture itself
    width: int  # of the upright picture as it was sent
    height: int

    @property
    def scale(self) -> float:
        """Pixels in hand per pixel of the picture."""
        return float(max(self.pixels.shape[:2]) / max(self.width, self.height))


def decode(data: bytes, max_pixels: int, enough: int | None = None) -> Picture:
    """The picture upright; a JPEG twice as long as `enough` or more is decoded at a half, a quarter or an eighth."""
    head = jpeg.head(data)
    if head is not None:
        _check(head.width, head.height, max_pixels)
        return _decode_fast(data, head, _reduction(max(head.width, head.height), enough))
    header = _open(data)
    _check(*header.size, max_pixels)
    if header.format in ("JPEG", "MPO"):
        head = jpeg.Head(*header.size, bool(header.info.get("progressive")), _orientation(header))
        return _decode_fast(data, head, _reduction(max(header.size), enough))
    if header.format == "WEBP" and header.mode == "RGB":
        return _decode_fast(data, jpeg.Head(*header.size, False, _orientation(header)), 1)
    pixels = _decode_any(header)
    return Picture(pixels, pixels.shape[1], pixels.shape[0])


def _check(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PictureTooLarge(f"{width}x{height} is more than {max_pixels} pixels")
    if max(width, height) > LONGEST_SIDE:
        raise PictureTooLarge(f"a side of {max(width, height)} pixels is more than {LONGEST_SIDE}")


def _open(data: bytes) -> Image.Image:
    """Reads the header only: tens of microseconds."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise BadPicture(f"none of {', '.join(FORMATS)}") from None
    except Exception as error:  # Pillow's parsers let any kind of exception out of hostile bytes
        raise BadPicture(f"not a picture: {_short(error)}") from None


def _decode_fast(data: bytes, head: jpeg.Head, reduction: int) -> Picture:
    if head.progressive and data.count(b"\xff\xda") > MOST_SCANS:
        raise BadPicture("too many scans in a progressive JPEG")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise BadPicture(f"cannot be decoded: {_short(error)}") from None
    if pixels is None:
        raise BadPicture("damaged or cut off")
    turned = head.orientation >= 5
    width, height = (head.height, head.width) if turned else (head.width, head.height)
    return Picture(_upright(np.asarray(pixels, np.uint8), head.orientation), width, height)


def _decode_any(header: Image.Image) -> Pixels:
    try:
        header.load()
        return np.asarray(_rgb(ImageOps.exif_transpose(header)))
    except Exception as error:  # as in _open
        raise BadPicture(f"damaged or cut off {header.format}: {_short(error)}") from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Grey of 16 bits, 32 bits or floats: Pillow would clip these to white."""
    numbers = np.nan_to_num(values.astype(np.float32))
    brightest = float(numbers.max(initial=0.0))
    white = 65535.0 if brightest > 255 else 255.0 if brightest > 1 else 1.0
    if values.dtype == np.uint16:
        white = 65535.0
    return np.asarray(np.clip(numbers * (255.0 / white) + 0.5, 0, 255), np.uint8)


def _reduction(long_side: int, enough: int | None) -> int:
    if enough is None:
        return 1
    return max((factor for factor in _REDUCED if long_side >= factor * enough), default=1)


def _orientation(header: Image.Image) -> int:
    try:
        value = header.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block does not make the picture bad
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """What the EXIF orientation asks for; 5..8 exchange width and height."""
    if orientation >= 5:
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else np.asarray(cv2.flip(pixels, flip), np.uint8)


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__
