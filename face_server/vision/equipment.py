"""A pack at work: the adapters of its roles, what they can tell, and which of them a wish needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from face_server.model import Want
from face_server.vision import adapters
from face_server.vision.adapters import Net, Reader
from face_server.vision.adapters.detectors import Detector
from face_server.vision.adapters.embedders import Embedder
from face_server.vision.adapters.landmarks import Landmarker
from face_server.vision.adapters.pictures import Parser, Repainter
from face_server.vision.heads import FROM_EMOTION, FROM_LANDMARKS, HEADS, heads_of

SPECIAL = ("detect", "landmarks", "embed", "parsing", "dewater")  # the other roles read values off faces
# Always there: four points and a coarse pose come from the detector's points, the rest of the quality from pixels.
BASIC = Want.LANDMARKS | Want.POSE | Want.QUALITY


class Role(Protocol):
    """What is read of a pack's role."""

    @property
    def adapter(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run for a wish."""

    heads: frozenset[str]  # what is asked for
    readers: Mapping[str, Reader]  # by role
    given: frozenset[str]  # what those readers will tell
    points: bool  # exact points are needed
    embed: bool
    parse: bool
    quality: bool
    contrast: bool


class Equipment:
    """`models`: the networks of each role, in the order of its files; a file that several roles name is one object."""

    def __init__(self, roles: Mapping[str, Role], models: Mapping[str, Sequence[Net]]) -> None:
        def made(name: str) -> Any:
            role = roles.get(name)
            return role and adapters.make(role.adapter, models[name], role.parameters)

        self.detector: Detector = made("detect")
        self.landmarker: Landmarker | None = made("landmarks")
        self.embedder: Embedder | None = made("embed")
        self.parser: Parser | None = made("parsing")
        self.repainter: Repainter | None = made("dewater")
        self.readers: dict[str, Reader] = {name: made(name) for name in roles if name not in SPECIAL}
        self._plans: dict[Want, Plan] = {}

    @property
    def capabilities(self) -> Want:
        heads = {head for reader in self.readers.values() for head in reader.heads}
        if self.landmarker:
            heads |= FROM_LANDMARKS | {made for made, of in FROM_EMOTION.items() if of in heads}
        flags = BASIC
        for flag, head in HEADS.items():
            flags |= flag if head in heads else Want.NONE
        flags |= Want.EMBEDDING if self.embedder else Want.NONE
        return flags | (Want.PARSING if self.parser else Want.NONE)

    def plan(self, want: Want) -> Plan:
        if want not in self._plans:
            self._plans[want] = self._plan(want)
        return self._plans[want]

    def _plan(self, want: Want) -> Plan:
        heads = heads_of(want)
        offered = {head for reader in self.readers.values() for head in reader.heads}
        left = heads | {of for made, of in FROM_EMOTION.items() if made in heads - offered}
        readers: dict[str, Reader] = {}
        for name, reader in self.readers.items():
            # The first role that offers a head gives it.
            if left & reader.heads:
                readers[name] = reader
                left -= reader.heads
        given = frozenset(head for reader in readers.values() for head in reader.heads)
        embed, parse = bool(self.embedder and want & Want.EMBEDDING), bool(self.parser and want & Want.PARSING)
        points = (
            embed
            or parse
            or bool(want & (Want.LANDMARKS | Want.QUALITY))
            or any(reader.aligned for reader in readers.values())
            or bool((heads - given) & (FROM_LANDMARKS | FROM_EMOTION.keys()))
        )
        return Plan(
            heads=heads,
            readers=readers,
            given=given,
            points=points and self.landmarker is not None,
            embed=embed,
            parse=parse,
            quality=bool(want & Want.QUALITY),
            contrast=bool(want & Want.CONTRAST),
        )
