"""Snapshots of galleries are sealed with the key of their app, whose number is in their head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from face_server.store.sealing import OVERHEAD, NotSealed, Sealer

AT_ONCE = 64 << 20  # bytes: a gallery can be larger than what may be sealed as one piece


class GallerySeals:
    def __init__(self, sealer: Sealer | None = None) -> None:
        self._sealer = sealer or Sealer()

    def seal(self, group_id: int, head: dict[str, Any], body: Sequence[bytes]) -> Sequence[bytes]:
        """Puts the app into the head. What is sealed belongs to this group and this head."""
        if not self._sealer.active:
            return body
        app_id = self._sealer.homes.get(group_id)
        seal = None if app_id is None else self._sealer.known(app_id)
        if seal is None:
            raise NotSealed("nobody knows the gallery's app any more")
        head["app"] = app_id
        place = _place(group_id, head)
        return [
            seal.seal(bytes(part), f"{place} {number}") for number, part in enumerate(_parts(b"".join(body), AT_ONCE))
        ]

    def open(self, group_id: int, head: dict[str, Any], body: memoryview) -> memoryview:
        if self._sealer.active != ("app" in head):
            raise NotSealed("a snapshot from before the library was sealed, or after")
        if not self._sealer.active:
            return body
        seal = self._sealer.known(int(head["app"]))
        if seal is None:
            raise NotSealed("of an app without a key")
        self._sealer.homes[group_id] = int(head["app"])
        place = _place(group_id, head)
        parts = enumerate(_parts(body, AT_ONCE + OVERHEAD))
        return memoryview(b"".join(seal.open(bytes(part), f"{place} {number}") for number, part in parts))


def _parts(body: bytes | memoryview, size: int) -> Iterator[bytes | memoryview]:
    return (body[start : start + size] for start in range(0, len(body), size))


def _place(group_id: int, head: dict[str, Any]) -> str:
    """With all that is in the head, except for what is written into it afterwards."""
    told = sorted((name, value) for name, value in head.items() if name != "crc32")
    return f"gallery {group_id} {told}"
