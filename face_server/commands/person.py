"""Who runs a command, as the audit log calls them."""

from __future__ import annotations

import getpass
import os

_LONGEST = 64  # characters in the audit log


def who() -> str:
    """A container may run as a number that has no name."""
    try:
        return getpass.getuser()[:_LONGEST]
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
