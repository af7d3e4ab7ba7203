"""The fields of an answer: where they are, of which type, and in which range."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MISSING = object()
TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "int64": (int,),
    "double": (int, float),
    "float": (int, float),
    "string": (str,),
    "bool": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}
ALWAYS = ("success", "per hit", "per face")  # conditions that hold wherever the field has a place
_RANGE = re.compile(r"\[?(-?[\d.]*\d)(?:\.\.|,)(-?[\d.]*\d)\]?")


@dataclass(frozen=True)
class Row:
    path: str
    type: str
    always: bool
    range: str | None = None
    enum: tuple[Any, ...] = ()
    aliases: tuple[str, ...] = ()

    def fault(self, value: Any) -> str | None:
        of_type = isinstance(value, TYPES[self.type]) and (self.type == "bool" or not isinstance(value, bool))
        if not of_type:
            return f"{self.path} is {value!r:.60}, not of type {self.type}"
        if self.range and not in_range(value, self.range):
            return f"{self.path} is {value!r:.60}, beyond {self.range}"
        if self.enum and value not in self.enum:
            return f"{self.path} is {value!r:.60}, none of {self.enum}"
        return None


def rows_of(written: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows = [
        Row(
            row["path"],
            row["type"],
            row["required"] or row.get("when") in ALWAYS,
            row.get("range"),
            tuple(row.get("enum") or ()),
            tuple(row.get("aliases") or ()),
        )
        for row in written
    ]
    for row in written:
        if pattern := row.get("same_as"):
            inner = [one for one in rows if one.path.startswith(pattern + ".")]
            rows += [
                Row(row["path"] + one.path.removeprefix(pattern), one.type, one.always, one.range) for one in inner
            ]
    return rows


def in_range(value: float, described: str) -> bool:
    """`0..1`, `[-90,90]`, `0 or 1`, `0..1 or -1`."""
    for part in described.split(" or "):
        bounds = _RANGE.fullmatch(part)
        low, high = bounds.groups() if bounds else (part, part)
        if float(low) <= value <= float(high):
            return True
    return False


def found_at(value: Any, path: str) -> Iterator[Any]:
    """The values at a path like `result.face_list[].angle.yaw`; MISSING where there is a place for one and no value."""
    name, _, rest = path.partition(".")
    inner = value.get(name.removesuffix("[]"), MISSING) if isinstance(value, dict) else MISSING
    if inner is MISSING or not rest:
        yield inner
    elif name.endswith("[]"):
        for item in inner if isinstance(inner, list) else ():
            yield from found_at(item, rest)
    elif inner is not None:
        yield from found_at(inner, rest)


def paths(value: Any, path: str = "") -> Iterator[str]:
    """The places of all values that have nothing below them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for item in value:
            yield from paths(item, f"{path}[]")
    else:
        yield path


def undocumented(answer: Any, rows: Sequence[Row]) -> set[str]:
    known = {row.path for row in rows}
    for row in rows:
        head = row.path.rpartition(".")[0]
        known |= {f"{head}.{alias}" if head else alias for alias in row.aliases}
    parents = {path for path in known if any(other.startswith(path + ".") for other in known)}
    extra = {path for path in paths(answer) if path.removesuffix("[]") not in known}
    # Below the alias of an object lies what lies below the object.
    aliases = known - {row.path for row in rows} - parents
    return {path for path in extra if path.rpartition(".")[0] not in aliases}


def check(answer: Any, rows: Sequence[Row]) -> tuple[set[str], list[str]]:
    """The documented fields that are there and right, and what is wrong."""
    proven, faults = set(), []
    for row in rows:
        for value in found_at(answer, row.path):
            if value is MISSING:
                if row.always:
                    faults.append(f"{row.path} is missing")
            elif fault := row.fault(value):
                faults.append(fault)
            else:
                proven.add(row.path)
    return proven, faults + [f"{path} is not documented" for path in sorted(undocumented(answer, rows))]
