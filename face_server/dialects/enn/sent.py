"""What was sent: which parameters are there, how long they may be, what they mean, checked in this order."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from face_server.dialects.enn.codes import EMPTY_IMAGE, INVALID, NO_APP, NO_FACE_ID, NO_USER, NOT_ENOUGH, TOO_LONG
from face_server.dialects.params import Refusal, Values, Wrong, integer, word
from face_server.dialects.texts import FormText, JsonText, LongText, NotBase64, Upload, decode_base64
from face_server.dialects.wire import Fields, Long
from face_server.faces.rules import format_of

LONGEST_ID = 128  # bytes
LARGEST_FACE_ID = 2**53 - 1  # what a double holds exactly
DIRECTIONS = ("0", "1", "2", "3", "4")
MOST_FACES = 100

NAMES = ("image", "image_1", "app_id", "user_id", "face_id", "face_direction", "max_num")
PICTURES = ("image", "image_1")
_MISSING = {"app_id": NO_APP, "user_id": NO_USER, "face_id": NO_FACE_ID, "image": EMPTY_IMAGE}
_IDS = ("app_id", "user_id", "face_id")


class Sent:
    def __init__(self, fields: Fields, names: Sequence[str]) -> None:
        found = {name: _plain(name, fields.get(name)) for name in names}
        if all(value is None for value in found.values()):
            raise Refusal(NOT_ENOUGH)
        self._found = {name: value for name, value in found.items() if value not in (None, "", Upload(b"", ""))}

    def has(self, name: str) -> bool:
        return name in self._found

    def values(self, required: Sequence[str], optional: Sequence[str] = ()) -> Values:
        """Of all these names; None for what is not there and need not be."""
        for name in required:
            if name not in self._found:
                raise Refusal(_MISSING[name], name)
        there = [name for name in (*required, *optional) if name in self._found]
        if any(isinstance(self._found[name], Upload) and not _data(self._found[name]) for name in there):
            raise Refusal(EMPTY_IMAGE)
        for name in there:
            if name in _IDS and _bytes(self._found[name]) > LONGEST_ID:
                raise Refusal(TOO_LONG, name)
        try:
            return {**dict.fromkeys(optional), **{name: _READERS[name](self._found[name]) for name in there}}
        except Wrong:
            raise Refusal(INVALID) from None


def app_of(fields: Fields) -> str:
    """The app_id that was sent, wherever it stands and whether or not the interface looks at it."""
    try:
        return _name(_plain("app_id", fields.get("app_id")))
    except Wrong:  # which no interface takes for an app either
        return ""


def _plain(name: str, value: object) -> object:
    """Clients that send a text as a file part mean the text."""
    return value.data.decode(errors="replace") if isinstance(value, Upload) and name not in PICTURES else value


def _data(value: object) -> bytes:
    """The picture. What is no base64 is no picture either, and refused when pictures are looked at."""
    if isinstance(value, Upload):
        return value.data
    if isinstance(value, LongText) and format_of(value.raw):
        return value.raw  # the bytes as they are, in a part without a file name
    if not isinstance(value, str | JsonText | FormText | LongText):
        raise Wrong
    try:
        return decode_base64(value)
    except NotBase64:
        return b""


def _bytes(value: object) -> int:
    if isinstance(value, Long | JsonText | FormText | LongText):
        return LONGEST_ID + 1
    return len(str(value).encode()) if isinstance(value, str | int | float) else 0


def _name(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or any(unicodedata.category(letter) == "Cc" for letter in value):
        raise Wrong
    return value


def _face_id(value: object) -> int | None:
    """None for a text that cannot be the number of a face: it is as unknown as a number nobody has."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Wrong
    try:
        return int(integer(1, LARGEST_FACE_ID)(value))
    except Wrong:
        return None


def _direction(value: object) -> str:
    known: str = word(DIRECTIONS)(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)
    return known


_READERS: dict[str, Callable[[object], object]] = {
    "image": _data,
    "image_1": _data,
    "app_id": _name,
    "user_id": _name,
    "face_id": _face_id,
    "face_direction": _direction,
    "max_num": integer(1, MOST_FACES),
}
