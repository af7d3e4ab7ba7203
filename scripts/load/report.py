"""The sweep as a table for people, JSON for programs, and an SVG of throughput and latency over clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from xml.sax.saxutils import escape

from scripts.load.client import Outcome


@dataclass(frozen=True)
class Row:
    clients: int
    rate: float | None
    qps: float
    p50: float
    p90: float
    p99: float
    errors: dict[str, int]

    @classmethod
    def of(cls, clients: int, rate: float | None, outcome: Outcome) -> Row:
        p50, p90, p99 = (round(outcome.percentile(share), 2) for share in (0.5, 0.9, 0.99))
        return cls(clients, rate, round(outcome.qps, 2), p50, p90, p99, outcome.errors)


HEADER = f"{'clients':>7} {'rate':>7} {'QPS':>8} {'p50 ms':>8} {'p90 ms':>8} {'p99 ms':>8}  errors"


def line(row: Row) -> str:
    errors = ", ".join(f"{code}: {count}" for code, count in sorted(row.errors.items())) or "none"
    rate = f"{row.rate:g}" if row.rate else "-"
    return f"{row.clients:>7} {rate:>7} {row.qps:>8.1f} {row.p50:>8.1f} {row.p90:>8.1f} {row.p99:>8.1f}  {errors}"


def as_json(rows: Sequence[Row], **about: object) -> dict[str, object]:
    return {**about, "rows": [asdict(row) for row in rows]}


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 70, 70, 50, 50


def _line(points: Sequence[tuple[float, float]], colour: str, dash: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>{dots}'


def svg(rows: Sequence[Row], title: str) -> str:
    """Throughput on the left axis, latencies on the right one, one column for each step of the sweep."""
    top_qps = max((row.qps for row in rows), default=0) * 1.1 or 1.0
    times = [value for row in rows for value in (row.p50, row.p99) if value == value]
    top_ms = max(times, default=0) * 1.1 or 1.0
    step = (WIDTH - LEFT - RIGHT) / max(1, len(rows) - 1)
    floor = HEIGHT - BOTTOM

    def place(values: Sequence[float], top: float) -> list[tuple[float, float]]:
        return [
            (LEFT + index * step, floor - (floor - TOP) * value / top)
            for index, value in enumerate(values)
            if value == value
        ]

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="12"',
        'font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{WIDTH / 2}" y="24" text-anchor="middle" font-size="15">{escape(title)}</text>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = floor - (floor - TOP) * share / 1.1
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{top_qps / 1.1 * share:.0f}</text>')
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{y + 4:.1f}">{top_ms / 1.1 * share:.0f}</text>')
    for index, row in enumerate(rows):
        label = f"{row.rate:g}/s" if row.rate else str(row.clients)
        parts.append(f'<text x="{LEFT + index * step:.1f}" y="{floor + 20}" text-anchor="middle">{label}</text>')
    series = (
        ("answers a second", "#1769aa", place([row.qps for row in rows], top_qps), ""),
        ("p50 ms", "#2e7d32", place([row.p50 for row in rows], top_ms), "6 3"),
        ("p99 ms", "#c62828", place([row.p99 for row in rows], top_ms), "2 3"),
    )
    for index, (name, colour, points, dash) in enumerate(series):
        parts.append(_line(points, colour, dash))
        parts.append(f'<text x="{LEFT + index * 150}" y="{HEIGHT - 10}" fill="{colour}">{name}</text>')
    axis = "requests a second" if rows and rows[0].rate else "clients"
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{axis}</text></svg>')
    return "\n".join(parts)
