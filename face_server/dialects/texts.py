"""Long texts as they stand in a body, and the base64 in them: decoded once, fast when clean, leniently when not."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote_to_bytes

import msgspec
import pybase64
from msgspec import Raw

LONG = 4096  # bytes; a longer text of a body is kept as it is: only a picture or a video is so long
_SPOKEN = bytes.maketrans(b"-_ ", b"+/+")  # URL-safe alphabet; a form turns + into a space
_BREAKS = b"\r\n\t"
_HEAD = 128  # a data: head is shorter


class NotBase64(ValueError):
    pass


class Text(Protocol):
    """A text of the body that is worth not copying."""

    def __len__(self) -> int: ...

    def view(self) -> bytes | memoryview:
        """What is base64 already when the client is a tidy one."""
        ...

    def plain(self) -> bytes:
        """The text, all escapes undone."""
        ...


@dataclass(frozen=True, slots=True)
class JsonText:
    raw: Raw

    def __len__(self) -> int:
        return len(memoryview(self.raw)) - 2

    def view(self) -> memoryview:
        return memoryview(self.raw)[1:-1]

    def plain(self) -> bytes:
        try:
            return msgspec.json.decode(self.raw, type=str).encode()
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise NotBase64(str(error)) from None


@dataclass(frozen=True, slots=True)
class FormText:
    raw: bytes

    def __len__(self) -> int:
        return len(self.raw) - 2 * self.raw.count(b"%")

    def view(self) -> bytes:
        return self.raw.replace(b"%2B", b"+").replace(b"%2F", b"/").replace(b"%3D", b"=")

    def plain(self) -> bytes:
        return unquote_to_bytes(self.raw.replace(b"+", b" "))


@dataclass(frozen=True, slots=True)
class LongText:
    """A text part of a multipart body."""

    raw: bytes

    def __len__(self) -> int:
        return len(self.raw)

    def view(self) -> bytes:
        return self.raw

    def plain(self) -> bytes:
        return self.raw


@dataclass(frozen=True, slots=True)
class Upload:
    """A file part: bytes that are no base64."""

    data: bytes
    filename: str


def decode_base64(text: str | Text) -> bytes:
    if isinstance(text, str):
        return _decode_leniently(text.encode("utf-8", "replace"))
    view = text.view()
    if bytes(view[:5]) == b"data:":
        comma = bytes(view[:_HEAD]).find(b",")
        view = view[comma + 1 :]
    try:
        return pybase64.b64decode(view, validate=True) or _refuse()
    except (binascii.Error, ValueError):
        return _decode_leniently(text.plain())


def _decode_leniently(text: bytes) -> bytes:
    """Line breaks, spaces for +, missing padding, the URL-safe alphabet, percent escapes left in place."""
    text = text.strip()
    if text[:5].lower() == b"data:":
        text = text[text.find(b",", 0, _HEAD) + 1 :].strip()
    if b"%" in text:
        text = unquote_to_bytes(text)
    text = text.translate(_SPOKEN, _BREAKS).rstrip(b"=")
    try:
        return pybase64.b64decode(text + b"=" * (-len(text) % 4), validate=True) or _refuse()
    except (binascii.Error, ValueError) as error:
        raise NotBase64(str(error)) from None


def _refuse() -> bytes:
    raise NotBase64("no data")
