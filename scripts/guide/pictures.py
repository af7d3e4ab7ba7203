"""The pictures of the guide, as SVG: drawn from the files they tell about."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
INK, SOFT, LINE, GREEN = "#37474f", "#90a4ae", "#1565c0", "#2e7d32"


def pictures() -> dict[str, str]:
    """File name -> text."""
    return {"scores.svg": scores(), "walk.svg": walk()}


def scores() -> str:
    """From cosine to score, by the calibration of the builtin pack."""
    pack = tomllib.loads((ROOT / "models/builtin/pack.toml").read_text())
    table = pack["roles"]["embed"]["calibration"]
    across = [60 + (cosine + 1) * 250 for cosine in table["cosine"]]
    down = [250 - score * 2.2 for score in table["score"]]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    parts = [_line(60, 250, 560, 250), _line(60, 30, 60, 250), f'<polyline points="{points}" {_stroke(LINE, 3)}/>']
    parts += [_text(60 + (cosine + 1) * 250, 270, f"{cosine:g}", "middle") for cosine in (-1, -0.5, 0, 0.5, 1)]
    parts += [_text(50, 254 - score * 2.2, str(score), "end") for score in (0, 20, 60, 80, 100)]
    parts += [_text(310, 292, "cosine of two templates", "middle"), _text(60, 20, "score", "middle")]
    for rate, cosine in table["far"]:
        x = 60 + (cosine + 1) * 250
        y = 250 - _score_at(table["cosine"], table["score"], cosine) * 2.2
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{GREEN}"/>')
        parts.append(_text(x - 10, y + 4, f"1 stranger in {round(1 / rate):,}", "end"))
    return _svg(600, 300, "From the cosine of two faces to their score", parts)


def walk() -> str:
    """A request on its way."""
    rooms = ("dialect", "FaceService", "vision", "engine", "index", "store")
    words = ("wire in, wire out", "rules, gates", "pixels to faces", "lanes, batches", "neighbours", "rows, pictures")
    places = ((20, 60), (200, 60), (400, 10), (590, 10), (400, 75), (400, 140))
    links = ((0, 1), (1, 2), (2, 3), (1, 4), (1, 5))
    parts = []
    for start, end in links:
        (x, y), (to_x, to_y) = places[start], places[end]
        parts.append(_line(x + 150, y + 25, to_x, to_y + 25))
    for (x, y), room, word in zip(places, rooms, words, strict=True):
        parts.append(f'<rect x="{x}" y="{y}" width="150" height="50" rx="6" fill="#e3f2fd" {_stroke(LINE, 1, False)}/>')
        parts.append(_text(x + 75, y + 22, room, "middle"))
        parts.append(_text(x + 75, y + 40, word, "middle", SOFT))
    return _svg(760, 200, "Who calls whom when a request is answered", parts)


def _score_at(cosines: Sequence[float], scores: Sequence[float], cosine: float) -> float:
    pairs = list(zip(cosines, scores, strict=True))
    for (low, least), (high, most) in pairwise(pairs):
        if low <= cosine <= high:
            return least + (most - least) * (cosine - low) / (high - low)
    return scores[-1]


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    ground = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", ground, *parts, "</svg>", ""])


def _stroke(colour: str, width: int, bare: bool = True) -> str:
    return f'stroke="{colour}" stroke-width="{width}"' + (' fill="none"' if bare else "")


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}" {_stroke(SOFT, 1)}/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
