"""Which interface, field, example and code of the contract is proven by which test, and what is proven by none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from tests.conformance.contract import Dialect, Interface
from tests.conformance.excuses import excuse, superfluous
from tests.conformance.ledger import ANSWERED, EXAMPLE, Ledger, code, field

HEAD = """# Conformance

Written by `make conformance`; do not edit. Every answer that a test got over HTTP was held against `spec.json`: a field
counts as proven when a successful answer had it with the documented type and range, a code when an answer had it with
the documented text, an example when this request was answered as documented. A field, code, text or type that the
contract does not name fails the test that saw it. Of several tests that prove the same, one is named.
`test_failures.py` puts a core that fails behind a dialect, for what no request can bring about at will.

"""


class Report:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def _dialects(self) -> Iterable[Dialect]:
        return self._ledger.contract.dialects.values()

    def _wanted(self, dialect: Dialect, interface: Interface) -> Iterator[str]:
        yield from (ANSWERED, EXAMPLE)
        yield from (field(row.path) for row in interface.rows)
        yield from (code(number) for number in (*interface.codes, *dialect.statuses))

    @cached_property
    def wanting(self) -> list[str]:
        """What makes the run fail."""
        missing = []
        for dialect in self._dialects:
            for interface in dialect.interfaces:
                lacks = [what for what in self._wanted(dialect, interface) if not self._fine(interface, what)]
                missing += [f"{dialect.name} {interface.name}: nothing proves {what}" for what in lacks]
        return missing

    @property
    def outgrown(self) -> list[str]:
        """Excuses that are none any more: worth a line, no failure."""
        return sorted(superfluous(self._ledger.proofs))

    def _fine(self, interface: Interface, what: str) -> bool:
        return bool(self._ledger.tests(interface, what)) or excuse(interface.dialect, interface.name, what) is not None

    # Words

    def coverage(self) -> list[str]:
        return [_row(["dialect", "interfaces", "fields", "examples", "codes"]), _row(["---"] * 5)] + [
            _row([dialect.name, *(self._share(dialect, kind) for kind in (ANSWERED, "field", EXAMPLE, "code"))])
            for dialect in self._dialects
        ]

    def _share(self, dialect: Dialect, kind: str) -> str:
        wanted = [(one, what) for one in dialect.interfaces for what in self._wanted(dialect, one)]
        asked = [(one, what) for one, what in wanted if what.partition(" ")[0] == kind]
        proven = sum(bool(self._ledger.tests(one, what)) for one, what in asked)
        return f"{proven} of {len(asked)}"

    def text(self) -> str:
        parts = [HEAD, "\n".join(self.coverage()), "\n"]
        for dialect in self._dialects:
            parts.append(f"\n## {dialect.name}\n")
            for interface in dialect.interfaces:
                parts += [f"\n### {interface.name}\n\n`{interface.written['method']} {interface.path}`\n\n"]
                parts += [line + "\n" for line in self._table(dialect, interface)]
        return "".join(parts)

    def _table(self, dialect: Dialect, interface: Interface) -> Iterator[str]:
        yield _row(["what", "proven by"])
        yield _row(["---", "---"])
        groups: dict[str, list[str]] = {}
        for what in self._wanted(dialect, interface):
            groups.setdefault(self._by(interface, what), []).append(what)
        for by, whats in groups.items():
            yield _row(["; ".join(_joined(whats)), by])

    def _by(self, interface: Interface, what: str) -> str:
        tests = sorted(self._ledger.tests(interface, what), key=_rank)
        if tests:
            return f"`{tests[0].removeprefix('tests/')}`"
        found = excuse(interface.dialect, interface.name, what)
        return f"nothing: {found.reason}" if found else "**nothing**"


def _rank(test: str) -> tuple[bool, bool, bool, str]:
    """A test that is there to prove something before one that comes across it, or does so by chance."""
    return "_fuzz" in test, "::" not in test, "_spec" not in test, test


def _joined(whats: Sequence[str]) -> Iterator[str]:
    for kind in (ANSWERED, EXAMPLE):
        if kind in whats:
            yield kind
    for kind, plural in (("field", "fields"), ("code", "codes")):
        names = [f"`{what.partition(' ')[2]}`" for what in whats if what.startswith(kind + " ")]
        if names:
            yield f"{plural if len(names) > 1 else kind} {', '.join(names)}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
