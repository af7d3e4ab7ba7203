"""spec.json as objects: what every interface takes, what it may answer, and which request is meant for which."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.conformance.fields import Row, rows_of


@dataclass(frozen=True)
class Envelope:
    """Where a dialect puts its code and its text."""

    code: str
    text: str
    success: int = 0


ENVELOPES = {
    "baidu_v3": Envelope("error_code", "error_msg"),
    "cloudwalk": Envelope("result", "info"),
    "facebox": Envelope("code", "msg"),
    "sid": Envelope("result", "info"),
    "enn": Envelope("code", "message", 200),
}
_BLANK = re.compile(r"\\\[(?:\\\.)*\\\]|<\w+>")  # `param[]`, `[...]`, `<name>`: something is filled in
_VERB = "查询人脸错误,"  # printed for one interface; the others say what they did


def _text_pattern(message: str) -> re.Pattern[str]:
    pattern = _BLANK.sub(lambda blank: r"\[.*\]" if "[" in blank[0] else ".*", re.escape(message))
    return re.compile(pattern.replace(_VERB, "..人脸错误,"))


@dataclass(frozen=True)
class Interface:
    dialect: str
    written: Mapping[str, Any]  # as it stands in the file

    @property
    def name(self) -> str:
        return str(self.written["name"])

    @property
    def path(self) -> str:
        return str(self.written["path"])

    @property
    def codes(self) -> list[int]:
        return [code for code in self.written["error_codes"] if code != ENVELOPES[self.dialect].success]

    @cached_property
    def rows(self) -> list[Row]:
        return rows_of(self.written["response"])

    @cached_property
    def methods(self) -> set[str]:
        return {self.written["method"], *(self.written.get("methods_also") or ())}

    @cached_property
    def _paths(self) -> list[re.Pattern[str]]:
        spellings = (self.path, *self.written["aliases"])
        return [re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))) for path in spellings]

    @cached_property
    def words(self) -> list[str]:
        """Of a path that two interfaces share, the word of `type` that says which one is meant."""
        return [word for p in self.written["params"] if p["name"] == "type" for word in p["enum"] or ()]

    def answers(self, method: str, path: str) -> bool:
        return method in self.methods and any(spelling.fullmatch(path) for spelling in self._paths)


class Dialect:
    def __init__(self, name: str, written: Mapping[str, Any]) -> None:
        self.name, self.written, self.envelope = name, written, ENVELOPES[name]
        self.interfaces = [Interface(name, endpoint) for endpoint in written["endpoints"]]
        listed = [*written["errors"], *written.get("extension_errors", ())]
        self.texts = {entry["code"]: _text_pattern(entry["message"]) for entry in listed}
        # Codes of the gateway in front of the interfaces, named in a sentence: `401 when ..., 503 overload`.
        found = {int(number) for number in re.findall(r"\b[45]\d\d\b", written["http_status"])}
        self.statuses = sorted(found) if self.envelope.success else []

    def code_of(self, answer: Mapping[str, Any]) -> int | None:
        code = answer.get(self.envelope.code)
        if isinstance(code, str) and code.isdigit():
            return int(code)
        return code if type(code) is int else None


class Contract:
    def __init__(self, file: Path) -> None:
        written = json.loads(file.read_text())
        self.dialects = {name: Dialect(name, part) for name, part in written.items() if name in ENVELOPES}
        assert len(self.dialects) == len(written) == len(ENVELOPES)

    @property
    def interfaces(self) -> Iterable[Interface]:
        return (one for dialect in self.dialects.values() for one in dialect.interfaces)

    def meant(self, method: str, path: str, sent: bytes) -> list[Interface]:
        """`sent`: query and body, to tell apart what shares a path. Without its word a request may be for any of it."""
        found = [one for one in self.interfaces if one.answers(method, path)]
        literal = min((one.path.count("{") for one in found), default=0)
        found = [one for one in found if one.path.count("{") == literal]
        return [one for one in found if any(word.encode() in sent for word in one.words)] or found
