"""Measure any deployment that speaks one of the five APIs, ours or a vendor's own box beside it.

    python -m scripts.qps --url http://127.0.0.1:8300 --dialect baidu --interface identify \\
        --photos photos/ --app app1 --group staff --clients 1,4,16 --seconds 10 --json out.json --svg out.svg
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from scripts.load import client, dialects, report

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def photos(folder: Path) -> list[bytes]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"no pictures in {folder}")
    return [path.read_bytes() for path in found]


def sweep(
    url: str,
    dialect_name: str,
    interface: str,
    target: dialects.Target,
    pictures: Sequence[bytes],
    steps: Sequence[tuple[int, float | None]],  # clients, requests a second or None
    seconds: float,
    warmup: float,
    headers: Sequence[str] = (),
    timeout: float = 30.0,
    processes: int = 0,
) -> list[report.Row]:
    dialect = dialects.DIALECTS[dialect_name]
    address = urlsplit(url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    prepared = [
        dialects.render(call, f"{host}:{port}", headers)
        for call in dialects.calls(dialect, interface, target, pictures)
    ]
    rows = []
    for clients, rate in steps:
        plan = client.Plan(
            host, port, prepared, dialect.code, dialect.good, clients, seconds, warmup, rate, timeout, processes
        )
        rows.append(report.Row.of(clients, rate, client.run(plan)))
        print(report.line(rows[-1]), flush=True)
    return rows


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8300")
    parser.add_argument("--dialect", choices=sorted(dialects.DIALECTS), default="baidu")
    parser.add_argument("--interface", choices=("detect", "match", "identify"), default="identify")
    parser.add_argument("--photos", type=Path, required=True, help="folder of pictures, sent in turn")
    parser.add_argument("--app", default="bench", help="appid, app_id")
    parser.add_argument("--app-secret", default="")
    parser.add_argument("--group", default="bench", help="group to search")
    parser.add_argument("--header", action="append", default=[], help="further request header, 'Name: value'")
    parser.add_argument("--clients", type=_numbers, default=[1, 4, 16], help="numbers of clients, one step each")
    parser.add_argument("--rate", type=_numbers, help="instead: fixed requests a second, one step each")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warmup", type=float, default=2)
    parser.add_argument("--timeout", type=float, default=30)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--svg", type=Path)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    steps: list[tuple[int, float | None]] = [(int(number), None) for number in options.clients]
    if options.rate:
        # Enough clients that a late answer does not hold the next request back.
        steps = [(max(16, int(rate * 2)), rate) for rate in options.rate]
    print(report.HEADER)
    rows = sweep(
        options.url,
        options.dialect,
        options.interface,
        dialects.Target(options.app, options.group, options.app_secret),
        photos(options.photos),
        steps,
        options.seconds,
        options.warmup,
        options.header,
        options.timeout,
        options.processes,
    )
    about = {"url": options.url, "dialect": options.dialect, "interface": options.interface}
    if options.json:
        options.json.write_text(json.dumps(report.as_json(rows, **about), indent=1))
    if options.svg:
        options.svg.write_text(report.svg(rows, f"{options.dialect} {options.interface}"))


if __name__ == "__main__":
    main()
