"""Which engine searches large galleries, and why that one: ONNX graphs on the card, Faiss on the card, or two stages on
the processor. Small galleries are scanned on the processor whatever is chosen."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from face_server.engine import driver as nvidia
from face_server.engine.driver import Driver
from face_server.engine.fatbinary import Code, of_path, unserved
from face_server.index.codes import CodesForLarge
from face_server.index.shortlist import Place, Shortlists, prove

log = logging.getLogger(__name__)

Engine = Literal["graph", "faiss", "cpu"]
Wanted = Literal["auto", "graph", "faiss", "cpu"]


@dataclass(frozen=True, slots=True)
class Choice:
    shortlists: Shortlists
    engine: Engine
    why: str


class Unfit(RuntimeError):
    """An engine cannot be used here; the words say why."""


def choose(wanted: Wanted, device: str, dimensions: int, megabytes: int) -> Choice:
    """`auto`: on a card graphs, Faiss where they cannot, the processor where neither can. Who asks for one of them gets
    that one or an error."""
    from face_server.index.card import CardForLarge

    if wanted == "cpu" or (wanted == "auto" and not device.startswith("cuda")):
        words = {"cpu": "no card is used", "workers": "the cards are those of the workers"}
        why = "FACE_GALLERY_ENGINE says so" if wanted == "cpu" else words.get(device, device)
        return Choice(CodesForLarge(), "cpu", why)
    engines: tuple[Engine, ...] = ("graph", "faiss") if wanted == "auto" else (wanted,)
    reasons = []
    for engine in engines:
        try:
            place = _proven(engine, device, dimensions, megabytes)
        except Exception as error:  # those of onnxruntime and Faiss have no common class
            reasons.append(f"{engine}: {str(error).strip() or type(error).__name__}")
            if not isinstance(error, Unfit):
                log.exception("%s cannot search on %s", engine, device)
        else:
            return Choice(CardForLarge(place), engine, "; ".join([f"found the known answers on {device}", *reasons]))
    if wanted != "auto":
        raise ValueError(f"FACE_GALLERY_ENGINE is {wanted}, which cannot be used: {reasons[0]}")
    return Choice(CodesForLarge(), "cpu", "; ".join(reasons))


def _proven(engine: Engine, device: str, dimensions: int, megabytes: int) -> Place:
    if not device.startswith("cuda"):
        raise Unfit(f"the server works on {device}, not on a card")
    number = int(device.partition(":")[2] or 0)
    place = _graphs(device, dimensions, megabytes) if engine == "graph" else _faiss(number, dimensions, megabytes)
    prove(place.shortlist(0), dimensions)
    return place


def _graphs(device: str, dimensions: int, megabytes: int) -> Place:
    from face_server.index.card import Device

    return Device(device, dimensions, megabytes)


def _faiss(number: int, dimensions: int, megabytes: int) -> Place:
    import faiss

    from face_server.index.appended import Place, on_card

    reason = unfit(faiss, nvidia.driver(), number)
    if reason:
        raise Unfit(reason)
    return Place(on_card(number, dimensions), dimensions, megabytes)


def unfit(faiss: ModuleType, driver: Driver | None, number: int) -> str:
    """Why the installed Faiss cannot search on this card; empty when it can."""
    if not hasattr(faiss, "StandardGpuResources"):
        return "the installed Faiss is the one for processors"
    if driver is None or number >= len(driver.cards):
        return f"no driver shows a card {number}"
    card = driver.cards[number]
    codes = {name: found for folder in _folders(faiss) for name, found in of_path(folder).items()}
    if not codes or unserved(codes, card.capability):
        return f"Faiss {faiss.__version__} has {_told(codes.values())}, {card.name} is sm_{card.capability}"
    return ""


def _folders(faiss: ModuleType) -> list[Path]:
    """A wheel has its libraries in a folder beside the package."""
    package = Path(faiss.__file__ or "").parent
    return [package, *package.parent.glob("faiss*.libs")]


def _told(codes: Iterable[set[Code]]) -> str:
    every = sorted({code for found in codes for code in found})
    return f"code for {' '.join(map(str, every))}" if every else "no code for cards"
