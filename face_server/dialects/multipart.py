"""A multipart body, part by part."""

from __future__ import annotations

from typing import Any, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from face_server.dialects.texts import LONG, LongText, Upload


class Broken(ValueError):
    """The body is not what its Content-Type says."""


def parts_of(body: bytes, content_type: str, most: int) -> list[tuple[str, object]]:
    """Name and value of each part: an upload, a text, or a long text as it is."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise Broken("multipart without a boundary")
    parts = _Parts(most)
    try:
        parser = MultipartParser(boundary, cast("Any", parts.callbacks()))
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Broken(str(error)) from None
    if not parts.complete:
        raise Broken("multipart body cut off")
    return parts.found


class _Parts:
    """What the parser tells."""

    def __init__(self, most: int) -> None:
        self.found: list[tuple[str, object]] = []
        self.complete = False
        self._most, self._count = most, 0
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._data: list[bytes] = []

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > self._most:
            raise Broken("too many parts")
        self._header = self._value = self._disposition = b""
        self._data = []

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _part_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode(errors="replace")
        self.found.append((name, _value(b"".join(self._data), options.get(b"filename"))))

    def _end(self) -> None:
        self.complete = True


def _value(data: bytes, filename: bytes | None) -> object:
    if filename is not None:
        return Upload(data, filename.decode(errors="replace"))
    return LongText(data) if len(data) > LONG else data.decode(errors="replace")
