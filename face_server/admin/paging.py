"""Lists in pages. A cursor says where the next page begins; it is opaque to callers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel

from face_server.admin.failures import Refusal

LIMIT, MOST = 50, 200
_LARGEST_ID = 2**63 - 1  # of a row in a database

T = TypeVar("T")

Cursor = Annotated[str | None, Query(description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=MOST)]
Name = Annotated[str, Query(min_length=1, max_length=128)]
Id = Annotated[int, Path(ge=1, le=_LARGEST_ID)]


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None


def page(items: Sequence[T], limit: int, cursor: Callable[[T], str | int]) -> tuple[Sequence[T], str | None]:
    """Of up to `limit + 1` items those that are shown, and where the next page begins."""
    if len(items) <= limit:
        return items, None
    shown = items[:limit]
    return shown, base64.urlsafe_b64encode(str(cursor(shown[-1])).encode()).decode().rstrip("=")


def text_after(cursor: str | None) -> str:
    if cursor is None:
        return ""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, binascii.Error):
        raise Refusal(400, "bad_parameter", "cursor: not one of ours.", "cursor") from None


def number_after(cursor: str | None) -> int | None:
    text = text_after(cursor)
    if cursor is None:
        return None
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= _LARGEST_ID:
        raise Refusal(400, "bad_parameter", "cursor: not one of ours.", "cursor")
    return number
