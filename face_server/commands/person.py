"""Who runs a command, as the audit log calls them."""

from __future__ import annotations

import os
import pwd

_LONGEST = 64  # characters in the audit log


def who() -> str:
    """As the system knows them: variables of the environment can be set by anybody, so they say nothing, but that of
    `sudo` does when it is root who has it."""
    own, behind = os.getuid(), os.environ.get("SUDO_USER", "")
    name = _name(own)
    return (f"{behind} as {name}" if own == 0 and behind not in ("", name) else name)[:_LONGEST]


def _name(uid: int) -> str:
    """A container may run as a number that has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
