"""The SID contract as a machine reads it: every required parameter, field and example of spec.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.load.server import ServerProcess
from tests.clients.sid_client import text

ORDER = ("face_add", "face_get", "face_updatefeature", "multiple", "compare", "liveness", "feature", "face_remove")
TYPES = {"int": int, "string": str, "array": list, "float": float}


@pytest.fixture(scope="module")
def contract(spec: Path) -> dict[str, Any]:
    endpoints = json.loads((spec / "spec.json").read_text())["sid"]["endpoints"]
    return {endpoint["name"]: endpoint for endpoint in endpoints}


@pytest.mark.parametrize("form", [False, True])
def test_every_field_and_every_required_parameter(
    contract: dict[str, Any], server: ServerProcess, astronaut: bytes, form: bool
) -> None:
    assert set(ORDER) == set(contract)
    picture = text(astronaut)
    good = {"app_id": f"spec{form}", "app_secret": "12345", "groupId": "g", "userId": "u", "topN": 2, "param": picture}
    good |= {"img": picture, "imgA": picture, "imgB": picture}
    for name in ORDER:
        endpoint = contract[name]
        sent = {param["name"]: good[param["name"]] for param in endpoint["params"] if param["name"] in good}

        def post(fields: dict[str, Any], path: str = endpoint["path"]) -> dict[str, Any]:
            body: dict[str, Any] = {"data": fields} if form else {"json": fields}
            response = httpx.post(server.url + path, timeout=60, **body)
            assert response.status_code == 200
            answer: dict[str, Any] = response.json()
            return answer

        for param in endpoint["params"]:
            if param["required"]:
                lacking = post({key: value for key, value in sent.items() if key != param["name"]})
                assert lacking["result"] == (20010002 if param["name"].startswith("app_") else 20010001), param["name"]
        answer = post({**sent, "thresholdScore": "0.5"})
        assert answer["result"] == 0, (name, answer)
        for field in endpoint["response"]:
            place = answer["faces"][0] if "[]" in field["path"] else answer
            assert type(place[field["path"].split(".")[-1]]) is TYPES[field["type"]], field["path"]


def test_every_example_is_understood(contract: dict[str, Any], server: ServerProcess) -> None:
    """Its picture is a text, so what asks for a picture says so; who asks for a user finds none."""
    for endpoint in contract.values():
        _, body = endpoint["example_request"].split("\n\n", 1)
        answer = httpx.post(server.url + endpoint["path"], content=body, timeout=60).json()
        users = ("face_get", "face_remove", "face_updatefeature")
        assert answer["result"] == (20010009 if endpoint["name"] in users else 20010012), endpoint["name"]
