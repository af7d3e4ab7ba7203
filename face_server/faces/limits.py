"""What each app asks of a face: what its operator has set, and the contract's limits for the rest.

All of it is in memory, see `following`: a request asks nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from face_server.faces.gates import CONTRACT, Limits
from face_server.model import Level
from face_server.store.limits import LimitRows

LEVELS = (Level.LOW, Level.NORMAL, Level.HIGH)
LIVENESS, THRESHOLD = "liveness", "threshold"

Own = Mapping[str, float]  # what was set for an app, by name


class BadLimit(ValueError):
    def __init__(self, name: str, rule: str) -> None:
        super().__init__(f"{name}: {rule}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Range:
    least: float
    most: float
    stricter: int = 0  # 1: the larger the stricter, -1: the smaller


_MEASURES = {
    "occlusion": Range(0, 1, -1),
    "blur": Range(0, 1, -1),
    "illumination": Range(0, 255, 1),
    "completeness": Range(0, 1, 1),
    LIVENESS: Range(0, 1, 1),
}
RANGES: Mapping[str, Range] = {
    **{f"{level.value.lower()}.{name}": found for level in LEVELS for name, found in _MEASURES.items()},
    **{f"{THRESHOLD}.{name}": Range(0, 100) for name in ("search", "compare")},
}


def limits_of(own: Own) -> Limits:
    """The contract's, where nothing else was set. A name of a later version means nothing here."""
    quality, alive = dict(CONTRACT.quality), dict(CONTRACT.liveness)
    for level in LEVELS:
        start = f"{level.value.lower()}."
        mine = {name.removeprefix(start): value for name, value in own.items() if name.startswith(start)}
        alive[level] = mine.pop(LIVENESS, alive[level])
        if "completeness" in mine:
            mine["completeness"] = int(mine["completeness"])
        known: dict[str, Any] = {name: value for name, value in mine.items() if name in _MEASURES}
        quality[level] = replace(quality[level], **known)
    return Limits(quality, alive, own.get(f"{THRESHOLD}.search"), own.get(f"{THRESHOLD}.compare"))


def named(limits: Limits) -> dict[str, float | None]:
    """Every limit by its name. None: the vendor's contract has it, each its own."""
    found: dict[str, float | None] = {}
    for level in LEVELS:
        values = {**asdict(limits.quality[level]), LIVENESS: limits.liveness[level]}
        found |= {f"{level.value.lower()}.{name}": values[name] for name in _MEASURES}
    return found | {f"{THRESHOLD}.search": limits.search, f"{THRESHOLD}.compare": limits.compare}


def checked(own: Own) -> dict[str, float]:
    """Every value within its range, and no level gentler than the one below it."""
    for name, value in own.items():
        if name not in RANGES:
            raise BadLimit(name, f"no limit is called so; there are {', '.join(RANGES)}")
        bounds = RANGES[name]
        if not bounds.least <= value <= bounds.most:
            raise BadLimit(name, f"a number from {bounds.least:g} to {bounds.most:g} is expected")
        if name.endswith(".completeness") and value not in (0, 1):
            raise BadLimit(name, "0 or 1 is expected")
    _must_rise(own)
    return dict(own)


def _must_rise(own: Own) -> None:
    values = named(limits_of(own))
    for name, bounds in _MEASURES.items():
        for below, level in (("low", "normal"), ("normal", "high")):
            gentle, strict = values[f"{below}.{name}"] or 0.0, values[f"{level}.{name}"] or 0.0
            if (strict - gentle) * bounds.stricter < 0:
                # Of the two the one that was set is to blame; of two that were, the upper one.
                blamed = f"{level}.{name}" if f"{level}.{name}" in own else f"{below}.{name}"
                pair = f"{strict:g} and {gentle:g}"
                raise BadLimit(blamed, f"{level.upper()} cannot be gentler than {below.upper()}; they would be {pair}")


class AppLimits:
    def __init__(self, rows: LimitRows) -> None:
        self._rows = rows
        self.version = -1
        self._limits: dict[str, Limits] = {}
        self._reading = asyncio.Lock()  # of two that read at once the slower one would have older news

    def of(self, app: str) -> Limits:
        return self._limits.get(app, CONTRACT)

    async def own(self, app: str) -> Own:
        """What was set for the app."""
        return await self._rows.of(app)

    async def change(self, app: str, change: Callable[[Own], Own]) -> Own:
        """In force here when this returns, on other servers within a second."""
        own = await self._rows.change(app, lambda standing: checked(change(standing)))
        await self.read()
        return own

    async def read(self) -> None:
        async with self._reading:
            self.version, own = await self._rows.all()
            self._limits = {app: limits_of(values) for app, values in own.items()}
