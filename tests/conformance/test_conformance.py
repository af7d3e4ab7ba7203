"""The checker itself: what it calls right, what it calls wrong, and that it finds what nothing proves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.contract import Contract, Interface
from tests.conformance.fields import check, in_range, rows_of
from tests.conformance.ledger import ANSWERED, Ledger
from tests.conformance.plugin import Proves
from tests.conformance.report import Report

ROWS = rows_of(
    [
        {"path": "faces", "type": "array", "required": True},
        {"path": "faces[].score", "type": "double", "required": True, "range": "0..1 or -1"},
        {"path": "faces[].age", "type": "int", "required": False, "when": "asked for"},
        {"path": "faces[].sex", "type": "string", "required": False, "when": "asked for", "enum": ["m", "f"]},
    ]
)
ALL = {"faces", "faces[].score", "faces[].age", "faces[].sex"}


@pytest.mark.parametrize(
    ("answer", "proven", "faults"),
    [
        ({"faces": [{"score": 0.5, "age": 3, "sex": "m"}]}, ALL, []),
        ({"faces": [{"score": -1}]}, {"faces", "faces[].score"}, []),
        ({"faces": []}, {"faces"}, []),
        ({}, set(), ["faces is missing", "faces[].score is missing"]),
        ({"faces": {}}, set(), ["faces is {}, not of type array"]),
        ({"faces": [{"score": 1}, {}]}, {"faces", "faces[].score"}, ["faces[].score is missing"]),
        ({"faces": [{"score": True}]}, {"faces"}, ["faces[].score is True, not of type double"]),
        ({"faces": [{"score": 1.5}]}, {"faces"}, ["faces[].score is 1.5, beyond 0..1 or -1"]),
        ({"faces": [{"score": 1, "sex": "x"}]}, {"faces", "faces[].score"}, ["faces[].sex is 'x', none of ('m', 'f')"]),
        ({"faces": [{"score": 1, "more": 1}]}, {"faces", "faces[].score"}, ["faces[].more is not documented"]),
    ],
)
def test_fields_of_an_answer(answer: Any, proven: set[str], faults: list[str]) -> None:
    assert check(answer, ROWS) == (proven, faults)


@pytest.mark.parametrize(
    ("described", "good", "bad"),
    [("0..1", (0, 1), (-0.1, 1.1)), ("[-90,90]", (-90, 90), (91,)), ("0 or 1", (0, 1), (0.5,)), ("1..10", (1,), (0,))],
)
def test_ranges(described: str, good: tuple[float, ...], bad: tuple[float, ...]) -> None:
    assert all(in_range(value, described) for value in good)
    assert not any(in_range(value, described) for value in bad)


@pytest.fixture(scope="module")
def contract(proves: Proves) -> Contract:
    return proves.contract


def test_every_example_answer_is_documented(contract: Contract) -> None:
    for interface in contract.interfaces:
        assert check(interface.written["example_response"], interface.rows)[1] == [], interface.name


def test_every_interface_is_told_from_the_others(contract: Contract) -> None:
    def meant(interface: Interface) -> list[Interface]:
        head, _, body = interface.written["example_request"].partition("\n\n")
        if not body and "http://{host}:8300" in head:  # printed as a command
            return contract.meant("POST", interface.path, b"")
        method, url = head.splitlines()[0].split(" ", 1)
        path, _, query = url.removeprefix("http://{server}").partition("?")
        return contract.meant(method, path, query.encode() + body.encode())

    for interface in contract.interfaces:
        assert meant(interface) == [interface], interface.name
    shared = contract.meant("POST", "/face/clustering/group/query", b"type=unknown")
    assert [one.name for one in shared] == ["group_query_by_page", "group_query_by_group_id"]
    assert contract.meant("DELETE", "/face/tool/detect", b"") == []


def test_answers_that_break_the_contract_are_noticed(contract: Contract) -> None:
    ledger = Ledger(contract)
    compare = next(one for one in contract.dialects["sid"].interfaces if one.name == "compare")

    def faults(answer: Any, status: int = 200) -> list[str]:
        ledger.saw("POST", compare.path, b"", status, json.dumps(answer).encode())
        return [fault.split(": ", 1)[1].rpartition(" (in")[0] for fault in ledger.take_faults()]

    assert faults({"result": 0, "info": "success", "score": 0.5}) == []
    assert faults({"result": 20010011, "info": "未检测到人脸"}) == []
    assert faults({"result": 20010011, "info": "no face"}) == ["20010011 says 'no face'"]
    assert faults({"result": 20010015, "info": "人脸已存在"}) == ["code 20010015 is not documented"]
    assert faults({"detail": "Internal Server Error"}, 500) == ["status 500 and no code"]
    assert faults({"detail": "Method Not Allowed"}, 405) == []
    assert faults({"result": 0, "info": "success"}) == ["score is missing"]


def test_what_nothing_proves_is_named(contract: Contract) -> None:
    ledger = Ledger(contract)
    answer = {"result": 0, "info": "success", "score": 0.5}
    ledger.saw("POST", "/staticdb/search/compare", b"", 200, json.dumps(answer).encode())
    report = Report(ledger)
    wanting = set(report.wanting)
    assert "sid compare: nothing proves code 20010011" in wanting
    assert "sid compare: nothing proves example" in wanting
    assert f"sid multiple: nothing proves {ANSWERED}" in wanting
    assert "sid compare: nothing proves field score" not in wanting
    assert f"enn face_check: nothing proves {ANSWERED}" in wanting
    assert "baidu_v3 face_detect: nothing proves code 222915" not in wanting  # which is excused
    assert "test_what_nothing_proves_is_named" in report.text()
