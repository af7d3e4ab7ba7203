"""One page for each dialect from spec.json, the contract as a machine reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Spec = Mapping[str, Any]

_ELSEWHERE = r"section \d"
_OUTSIDE_CODE = r"<(?=[^`]*(?:`[^`]*`[^`]*)*$)"
_ASIDE = rf"\s*\([^()]*{_ELSEWHERE}[^()]*\)"

TITLES = {"baidu_v3": "Baidu", "cloudwalk": "CloudWalk", "facebox": "Face box", "sid": "SID", "enn": "ENN"}
INTRO = """Written by `python -m scripts.guide` from the contract; do not edit. `make conformance` proves it against a
running server, [with these results](../conformance.md).
"""


def pages(spec: Spec) -> dict[str, str]:
    """File name -> text."""
    found = {f"{name}.md": _page(TITLES[name], spec[name]) for name in TITLES}
    return found | {"index.md": _index(spec)}


def _index(spec: Spec) -> str:
    lines = ["# Interfaces", "", INTRO]
    lines += ["A server shows what it can do itself at `/docs`, with a form to try each interface.", ""]
    lines += ["| dialect | interfaces | paths begin with | HTTP status |", "| --- | --- | --- | --- |"]
    for name, title in TITLES.items():
        contract = spec[name]
        cells = (
            f"[{title}]({name}.md)",
            len(contract["endpoints"]),
            f"`{contract['base_path'] or '/'}`",
            contract["http_status"],
        )
        lines.append(_row(*cells))
    return "\n".join([*lines, ""])


def _page(title: str, contract: Spec) -> str:
    lines = [f"# {title}: interfaces", "", INTRO, f"HTTP status: {_text(contract['http_status'])}", ""]
    for endpoint in contract["endpoints"]:
        lines += _endpoint(endpoint)
    for key, head in (("errors", "Codes"), ("extension_errors", "More codes")):
        if contract.get(key):
            lines += [f"## {head}", "", *_codes(contract[key]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _endpoint(endpoint: Spec) -> Iterator[str]:
    yield from (f"## {endpoint['name']} {endpoint['title']}", "")
    yield from (f"`{endpoint['method']} {endpoint['path']}`", "")
    if endpoint.get("aliases"):
        yield from ("Also at " + ", ".join(f"`{path}`" for path in endpoint["aliases"]) + ".", "")
    if endpoint["params"]:
        yield from (
            "| parameter | where | type | required | limits | meaning |",
            "| --- | --- | --- | --- | --- | --- |",
        )
        for one in endpoint["params"]:
            where = ", ".join([one["in"], *one.get("also_in", ())])
            required = "yes" if one["required"] else ""
            yield _row(f"`{one['name']}`", where, one["type"], required, _limits(one), one["desc"])
        yield ""
    if endpoint["response"]:
        yield from ("| answer | type | meaning |", "| --- | --- | --- |")
        for one in endpoint["response"]:
            yield _row(f"`{one['path']}`", one["type"], one["desc"])
        yield ""
    yield from _example("http", "Request", endpoint.get("example_request"))
    yield from _example("json", "Answer", endpoint.get("example_response"))


def _example(kind: str, title: str, example: Any) -> Iterator[str]:
    if example is None:
        return
    text = example if isinstance(example, str) else json.dumps(example, ensure_ascii=False, indent=2)
    yield from (f"{title}, an example:", "", f"```{kind}", text.rstrip(), "```", "")


def _limits(one: Spec) -> str:
    told = [f"one of {', '.join(str(word) or '(empty)' for word in one['enum'])}"] if one.get("enum") else []
    told += [f"at most {one['max_len']} characters"] if one.get("max_len") else []
    told += [f"{word} {one[key]}" for key, word in (("min", "from"), ("max", "to")) if one.get(key) is not None]
    told += [f"default {one['default']}"] if one.get("default") not in (None, "") else []
    return "; ".join([*told, one.get("constraint", "")]).strip("; ")


def _codes(errors: Sequence[Spec]) -> Iterator[str]:
    yield from ("| code | text | when |", "| --- | --- | --- |")
    for one in errors:
        yield _row(one["code"], one["message"], one.get("when") or one.get("meaning") or "")


def _row(*cells: object) -> str:
    return "| " + " | ".join(_text(cell) for cell in cells) + " |"


def _text(value: object) -> str:
    """Without the marks of who decided what, and what points to another document or would break a table."""
    text = re.sub(r"\s+", " ", str(value)).replace(" (J)", "").replace("(J)", "")
    text = re.sub(r"of section \d+( of [a-z_]+\.md)?", "below", re.sub(r"\(J[:;,] ", "(", text)).replace(", J)", ")")
    kept = [clause for clause in re.sub(_ASIDE, "", text).split("; ") if not re.search(_ELSEWHERE, clause)]
    return re.sub(_OUTSIDE_CODE, "&lt;", "; ".join(kept).replace("|", "\\|")).strip()
