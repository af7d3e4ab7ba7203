"""What the tests have seen of the contract, each with the test that saw it; and what they saw that breaks it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from tests.conformance.contract import Contract, Dialect, Interface
from tests.conformance.excuses import allowed
from tests.conformance.fields import check

ANSWERED, EXAMPLE = "answered", "example"
Key = tuple[str, str, str]  # dialect, interface, what


def field(path: str) -> str:
    return f"field {path}"


def code(number: int) -> str:
    return f"code {number}"


def running() -> str:
    """The test that runs now. What a fixture sees belongs to the file: which test asks for it first is chance."""
    test, _, phase = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")
    return test.partition("::")[0] if phase == "(setup)" else test.partition("[")[0]


class Ledger:
    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.proofs: dict[Key, set[str]] = {}
        self.faults: list[str] = []
        self.answers = 0

    def saw(self, method: str, path: str, sent: bytes, status: int, content: bytes) -> None:
        """An answer that came over the wire."""
        test = running()
        interfaces = self.contract.meant(method, path, sent) if test else []
        if not interfaces:
            return
        self.answers += 1
        dialect = self.contract.dialects[interfaces[0].dialect]
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        number = dialect.code_of(answer) if isinstance(answer, dict) else None
        if number is None:
            if status not in (404, 405):
                self._broken(interfaces[0], f"status {status} and no code", test)
            return
        for interface in [one for one in interfaces if number in one.codes] or interfaces:
            self._answer(dialect, interface, number, answer, test)

    def _answer(self, dialect: Dialect, interface: Interface, number: int, answer: Any, test: str) -> None:
        if number == dialect.envelope.success:
            self._success(interface, answer, test)
        elif number in dialect.statuses:
            self._proven(interface, code(number), test)
        else:
            self._failure(dialect, interface, number, answer, test)

    def _success(self, interface: Interface, answer: Any, test: str) -> None:
        proven, faults = check(answer, interface.rows)
        self._proven(interface, ANSWERED, test)
        for path in proven:
            self._proven(interface, field(path), test)
        for fault in faults:
            self._broken(interface, fault, test)

    def _failure(self, dialect: Dialect, interface: Interface, number: int, answer: Any, test: str) -> None:
        if number not in interface.codes and number not in allowed(interface):
            return self._broken(interface, f"code {number} is not documented", test)
        text = answer.get(dialect.envelope.text)
        pattern = dialect.texts.get(number)
        if not isinstance(text, str) or (pattern and not pattern.fullmatch(text)):
            return self._broken(interface, f"{number} says {text!r}", test)
        return self._proven(interface, code(number), test)

    def example(self, interface: Interface) -> None:
        self._proven(interface, EXAMPLE, running())

    def _proven(self, interface: Interface, what: str, test: str) -> None:
        self.proofs.setdefault((interface.dialect, interface.name, what), set()).add(test)

    def _broken(self, interface: Interface, what: str, test: str) -> None:
        self.faults.append(f"{interface.dialect} {interface.name}: {what} (in {test})")

    def take_faults(self) -> list[str]:
        taken, self.faults = sorted(set(self.faults)), []
        return taken

    # From one process to another

    def dump(self) -> str:
        rows = [[*key, sorted(tests)] for key, tests in self.proofs.items()]
        return json.dumps(rows)

    def merge(self, dumped: str) -> None:
        for dialect, interface, what, tests in json.loads(dumped):
            self.proofs.setdefault((dialect, interface, what), set()).update(tests)

    def tests(self, interface: Interface, what: str) -> Iterable[str]:
        return sorted(self.proofs.get((interface.dialect, interface.name, what), ()))
