"""Who asks, and what each role may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

NAME = r"^[A-Za-z0-9_.@-]{1,64}$"  # of a person


class Role(IntEnum):
    """Each may do what those before it may."""

    VIEWER = 1  # looks at everything, changes nothing
    OPERATOR = 2  # changes the library
    ADMIN = 3  # gives out keys, says what apps ask of a face

    @property
    def word(self) -> str:
        return self.name.lower()

    @staticmethod
    def of(word: str) -> Role:
        return Role[word.upper()]


@dataclass(frozen=True, slots=True)
class Who:
    name: str  # empty: nobody signs in to this server
    role: Role
    source: str  # the address the request came from
    expires: float | None = None
