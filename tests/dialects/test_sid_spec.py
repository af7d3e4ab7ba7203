"""The SID contract as a machine reads it: every required parameter, field and example of spec.json."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from scripts.load.server import ServerProcess
from tests.clients.sid_client import text
from tests.conformance.fields import check, rows_of
from tests.conformance.plugin import Proves

ORDER = ("face_add", "face_get", "face_updatefeature", "multiple", "compare", "liveness", "feature", "face_remove")


@pytest.fixture(scope="module")
def contract(proves: Proves) -> dict[str, Any]:
    return {endpoint["name"]: endpoint for endpoint in proves.written("sid")["endpoints"]}


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
        rows = rows_of(endpoint["response"])
        assert check(answer, rows) == ({row.path for row in rows}, []), name


def test_every_example_is_understood(contract: dict[str, Any], server: ServerProcess, proves: Proves) -> None:
    """Its picture is a text, so what asks for a picture says so; who asks for a user finds none."""
    for endpoint in contract.values():
        _, body = endpoint["example_request"].split("\n\n", 1)
        with proves.example("sid", endpoint["name"]):
            answer = httpx.post(server.url + endpoint["path"], content=body, timeout=60).json()
        users = ("face_get", "face_remove", "face_updatefeature")
        assert answer["result"] == (20010009 if endpoint["name"] in users else 20010012), endpoint["name"]


def test_the_documentation_page_knows_every_parameter(contract: dict[str, Any], server: ServerProcess) -> None:
    described = httpx.get(server.url + "/openapi.json", timeout=60).json()["paths"]
    for endpoint in contract.values():
        schema = described[endpoint["path"]]["post"]["requestBody"]["content"]["application/json"]["schema"]
        # groupId of feature has no meaning and is ignored.
        names = {param["name"] for param in endpoint["params"]} - (
            {"groupId"} if endpoint["name"] == "feature" else set()
        )
        assert schema["properties"].keys() == names, endpoint["name"]
        assert set(schema["required"]) == {param["name"] for param in endpoint["params"] if param["required"]}
