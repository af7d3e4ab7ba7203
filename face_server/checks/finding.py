"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    NOTE = "note"  # works, and an operator should know
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    state: State
    said: str
    do: str = ""  # what mends it


def ok(what: str, said: str) -> Finding:
    return Finding(what, State.OK, said)


def note(what: str, said: str, do: str = "") -> Finding:
    return Finding(what, State.NOTE, said, do)


def wrong(what: str, said: str, do: str) -> Finding:
    return Finding(what, State.WRONG, said, do)
