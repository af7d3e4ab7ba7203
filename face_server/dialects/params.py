"""Declarative parameter tables: a name, a rule, and the vendor's code for a value that breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from face_server.dialects.texts import FormText, JsonText, LongText, NotBase64
from face_server.dialects.wire import Fields

Code = int | str
Values = dict[str, Any]
Reader = Callable[[object], Any]

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?")
_LONG = (JsonText, FormText, LongText)


class Refusal(Exception):
    """A request that is answered with one of the vendor's codes before the core hears of it."""

    def __init__(self, code: Code, name: str = "") -> None:
        super().__init__(f"{code} {name}")
        self.code, self.name = code, name


class Wrong(Exception):
    """A value that breaks the rule of its parameter. A code given here goes before the parameter's own."""

    def __init__(self, code: Code | None = None) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Param:
    name: str
    read: Reader
    wrong: Code
    required: bool = False
    default: Any = None
    aliases: Mapping[str, Code] = field(default_factory=dict)  # other names a client may use, and their codes
    blank: bool = False  # an empty text is a value, not an absence
    in_query: bool = False  # looked for in the query first
    settle: Callable[[Values], None] | None = None  # puts this and earlier values together; may raise Wrong


class Table:
    """The parameters of one interface, read in this order; the first that fails is the answer."""

    def __init__(self, params: Sequence[Param], missing: Callable[[str], Refusal]) -> None:
        self.params = tuple(params)
        self.names = tuple(dict.fromkeys(name for param in params for name in (param.name, *param.aliases)))
        self._missing = missing

    def read(self, body: Fields, query: Fields | None = None) -> Values:
        values: Values = {}
        for param in self.params:
            code, value = _find(param, body, query)
            if value is None and param.required:
                raise self._missing(param.name)
            try:
                values[param.name] = param.default if value is None else param.read(value)
                if param.settle:
                    param.settle(values)
            except Wrong as wrong:
                raise Refusal(code if wrong.code is None else wrong.code, param.name) from None
        return values


def _find(param: Param, body: Fields, query: Fields | None) -> tuple[Code, object]:
    """The value of a parameter under whichever of its names it was sent, and the code that goes with that name."""
    for source in (query, body) if query and param.in_query else (body,):
        for name in (param.name, *param.aliases):
            value = source.get(name)
            if value is not None and (value != "" or (param.blank and not param.required)):
                return param.aliases.get(name, param.wrong), value
    return param.wrong, None


def as_text(value: object) -> str:
    if isinstance(value, _LONG):
        try:
            value = value.plain().decode()
        except (NotBase64, UnicodeDecodeError):
            raise Wrong from None
    # Databases refuse the character NUL, and no honest client sends it.
    if not isinstance(value, str) or "\0" in value:
        raise Wrong
    return value


def text(max_bytes: int | None = None) -> Reader:
    def read(value: object) -> str:
        found = as_text(value)
        if max_bytes is not None and len(found.encode()) > max_bytes:
            raise Wrong
        return found

    return read


def matching(pattern: str, refused: frozenset[str] = frozenset(), allowed: frozenset[str] = frozenset()) -> Reader:
    rule = re.compile(pattern)

    def read(value: object) -> str:
        found = as_text(value)
        if found not in allowed and (found in refused or not rule.fullmatch(found)):
            raise Wrong
        return found

    return read


def word(words: Sequence[str], unknown: Code | None = None) -> Reader:
    """One of these words in any case, in the spelling given here."""
    known = {word.upper(): word for word in words}

    def read(value: object) -> str:
        found = known.get(as_text(value).strip().upper())
        if found is None:
            raise Wrong(unknown)
        return found

    return read


def flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    found = {"true": True, "false": False}.get(as_text(value).strip().lower())
    if found is None:
        raise Wrong
    return found


def integer(low: int, high: int) -> Reader:
    def read(value: object) -> int:
        if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Wrong
        return value

    return read


def number(low: float, high: float) -> Reader:
    def read(value: object) -> float:
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise Wrong
        return float(value)

    return read


def listed(item: Reader, most: int, too_many: Code) -> Reader:
    """Comma separated, or an array of texts; a name given twice counts once."""

    def read(value: object) -> list[str]:
        if isinstance(value, list):
            entries = [as_text(entry).strip(" ") for entry in value]
        else:
            entries = [entry.strip(" ") for entry in as_text(value).split(",")]
        found = list(dict.fromkeys(item(entry) for entry in entries))
        if not found:
            raise Wrong
        if len(found) > most:
            raise Wrong(too_many)
        return found

    return read
