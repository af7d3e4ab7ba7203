"""Threads that leave the cores to the requests."""

from __future__ import annotations

import os
import sys
import threading


def step_back() -> None:
    """The thread that calls this: on Linux it has a niceness of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
