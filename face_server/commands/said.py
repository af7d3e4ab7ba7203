"""How commands print, and how they end when they cannot do what they are told: in one line, without a stack."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import NoReturn

import typer

REFUSED = 2  # the exit status of a server that does not start


def fail(text: str, status: int = 1) -> NoReturn:
    print(f"face-server: {text}", file=sys.stderr)
    raise typer.Exit(status)


def words(error: Exception) -> str:
    """Of wrong settings a clause for each, without the value, which may have a password in it."""
    if hasattr(error, "errors"):
        return "; ".join(str(each["msg"]) for each in error.errors())
    return str(error)


def refuse_to_start(error: Exception) -> NoReturn:
    text = str(error)
    if hasattr(error, "errors"):
        text = "; ".join(f"FACE_{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors())
    fail(text, REFUSED)


def print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def clock(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "minutes") if seconds else "-"
