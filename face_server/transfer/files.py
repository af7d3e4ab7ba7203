"""Sources that lie on the disk: a folder `group/user/picture`, or a table."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from face_server.transfer.plan import Item, Plan, SourceError

TABLE = "people.csv"  # what an export writes; a folder with it is read by it
_NEEDED = ("group", "user", "file")
_NOT_PICTURES = {"thumbs.db", "desktop.ini"}
_TOKEN = re.compile(r"[0-9a-f]{32}")


def from_path(path: Path, pictures: Path | None = None) -> Plan:
    if path.is_dir():
        return from_table(path / TABLE) if (path / TABLE).is_file() else from_folder(path)
    if path.is_file():
        return from_table(path, pictures)
    raise SourceError(f"{path}: there is no such folder or table")


def from_folder(folder: Path) -> Plan:
    plan = Plan()
    for file in picture_files(folder):
        group, *rest = file.relative_to(folder).parts
        if len(rest) < 2:
            plan.refuse("", "", file, "no_user", "it does not lie in a folder group/user/")
        else:
            plan.add(Item(group, rest[0], file))
    return plan


def picture_files(folder: Path) -> Iterator[Path]:
    """Every file that may be meant as a picture; whether it is one shows when it is decoded."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.name.lower() not in _NOT_PICTURES and path.is_file():
            yield path


def from_table(table: Path, pictures: Path | None = None) -> Plan:
    """CSV with a header: group, user, file, and perhaps info, face_token, meta. Files are relative to the table."""
    plan, folder = Plan(), pictures or table.parent
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream)
            missing = [name for name in _NEEDED if name not in (rows.fieldnames or ())]
            if missing:
                raise SourceError(f"{table}: the header has no column {', '.join(missing)}")
            for row in rows:
                _read_row(plan, row, folder)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{table}: {error}") from error
    return plan


def _read_row(plan: Plan, row: Mapping[str, str | None], folder: Path) -> None:
    group, user, file = ((row[name] or "").strip() for name in _NEEDED)
    token = (row.get("face_token") or "").strip()
    if group and not user and not file:
        plan.groups.append(group)
        return
    try:
        meta = _meta(row.get("meta") or "")
    except ValueError as error:
        plan.refuse(group, user, file, "bad_row", f"the column meta is no JSON object: {error}")
        return
    item = Item(group, user, folder / file if file else None, row.get("info"), kept_token(token), meta)
    if not file and not token:
        plan.refuse(group, user, "", "no_picture", "the row names neither a picture nor a face")
    else:
        plan.add(item)


def _meta(text: str) -> dict[str, Any]:
    found = json.loads(text) if text else {}
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def kept_token(token: str) -> str:
    """Tokens of the form that this server makes stay as they are, so that clients may go on using them."""
    return token if _TOKEN.fullmatch(token) else ""
