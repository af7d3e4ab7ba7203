"""Into every run of the tests: watches the wire, fails a test whose answers break the contract, and at the end of a
whole run (`--conformance`) fails when something documented was proven by nothing, and writes what proves what."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.contract import Contract, Interface
from tests.conformance.ledger import Ledger
from tests.conformance.report import Report
from tests.conformance.wire import watching

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "build" / "conformance.md"
LEDGER = pytest.StashKey[Ledger]()
WATCH = pytest.StashKey[ExitStack]()
OUTPUT = "conformance"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance", action="store_true", help="fail when something of spec.json is proven by nothing")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "other_contract(why): its server is told to answer otherwise than documented")
    folder = Path(os.environ.get("FACE_SHARED", ROOT.parent / "shared"))
    file = folder / "spec" / "spec.json"
    if file.is_file():
        config.stash[LEDGER] = Ledger(Contract(file))
        config.stash[WATCH] = ExitStack()
        config.stash[WATCH].enter_context(watching(config.stash[LEDGER]))


def pytest_unconfigure(config: pytest.Config) -> None:
    if WATCH in config.stash:
        config.stash[WATCH].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    try:
        outcome = yield
    finally:
        broken = item.config.stash[LEDGER].take_faults() if LEDGER in item.config.stash else []
    if broken and item.get_closest_marker("other_contract") is None:
        raise AssertionError("answers that break the contract:\n" + "\n".join(broken))
    return outcome


class Proves:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def contract(self) -> Contract:
        return self._ledger.contract

    def written(self, dialect: str) -> dict[str, Any]:
        return dict(self.contract.dialects[dialect].written)

    @contextmanager
    def example(self, dialect: str, name: str) -> Iterator[Interface]:
        """Within it the example request of the interface is sent, and something documented must come back."""
        (interface,) = (one for one in self.contract.dialects[dialect].interfaces if one.name == name)
        before, faults = self._ledger.answers, len(self._ledger.faults)
        yield interface
        assert self._ledger.answers > before, "nothing was sent"
        assert len(self._ledger.faults) == faults, self._ledger.faults[faults:]
        self._ledger.example(interface)


@pytest.fixture(scope="session")
def proves(request: pytest.FixtureRequest) -> Proves:
    if LEDGER not in request.config.stash:
        pytest.skip("needs spec/spec.json of the folder of test material (FACE_SHARED, default ../shared)")
    return Proves(request.config.stash[LEDGER])


# At the end, and from the workers of a parallel run to their controller


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if LEDGER not in config.stash:
        return
    output: dict[str, str] | None = getattr(config, "workeroutput", None)
    if output is not None:
        output[OUTPUT] = config.stash[LEDGER].dump()
    elif config.getoption("--conformance"):
        report = Report(config.stash[LEDGER])
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(report.text())
        if report.wanting and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


class Workers:
    """Known to a controller only."""

    def pytest_testnodedown(self, node: Any) -> None:
        dumped = getattr(node, "workeroutput", {}).get(OUTPUT)
        if dumped:
            node.config.stash[LEDGER].merge(dumped)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.pluginmanager.hasplugin("dsession"):
        session.config.pluginmanager.register(Workers())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    say: Callable[[str], None] = terminalreporter.write_line
    if LEDGER in config.stash and config.getoption("--conformance"):
        report = Report(config.stash[LEDGER])
        terminalreporter.section("conformance")
        for line in (*report.coverage(), *report.wanting, *report.outgrown):
            say(line)
