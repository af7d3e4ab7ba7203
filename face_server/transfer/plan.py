"""What an import has to do, whatever the source was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONGEST_NAME = 128


class SourceError(Exception):
    """The source as a whole cannot be read."""


@dataclass(frozen=True, slots=True)
class Item:
    """One face to be brought."""

    group: str
    user: str
    file: Path | None  # None: only its template may be there
    info: str | None = None  # None leaves what is stored
    token: str = ""  # what it was called where it comes from; empty: it gets its name here
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    group: str
    user: str
    file: str
    code: str
    reason: str


@dataclass(slots=True)
class Plan:
    groups: list[str] = field(default_factory=list)  # to be there afterwards, also without a user
    items: list[Item] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, group: str, user: str, file: object, code: str, reason: str) -> None:
        self.refused.append(Refusal(group, user, str(file), code, reason))

    def add(self, item: Item) -> None:
        for what, name in (("group", item.group), ("user", item.user)):
            if not name or len(name.encode()) > LONGEST_NAME or not name.isprintable():
                reason = f"the {what}'s name must have 1 to {LONGEST_NAME} bytes and no control characters"
                self.refuse(item.group, item.user, item.file or "", "bad_name", reason)
                return
        self.items.append(item)
