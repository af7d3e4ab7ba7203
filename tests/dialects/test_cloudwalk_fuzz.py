"""CloudWalk: whatever arrives is answered with status 200 and a code that the interface may give, never with 4112."""

from __future__ import annotations

import json
import string
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.load.server import ServerProcess
from tests.baidu_client import NOBODY, text
from tests.dialects.test_cloudwalk_spec import Api

SYSTEM_ERROR = 4112
QUICKLY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

WORDS = st.sampled_from(
    [
        "",
        "true",
        "FALSE",
        "1",
        "0",
        "-1",
        "queryByPage",
        "queryByGroupId",
        "fuzz",
        "nul\0",
        "组",
        "9" * 30,
        text(NOBODY),
    ]
)
VALUES = st.one_of(
    WORDS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=200),
    st.lists(WORDS, max_size=3),
    st.dictionaries(st.text(max_size=5), WORDS, max_size=2),
)


@pytest.fixture(scope="module")
def paths(spec: Path) -> dict[str, tuple[list[str], set[int]]]:
    """The parameters and the codes of every path."""
    contract: dict[str, Any] = json.loads((spec / "spec.json").read_text())["cloudwalk"]
    known: defaultdict[str, tuple[list[str], set[int]]] = defaultdict(lambda: ([], {0}))
    for endpoint in contract["endpoints"]:
        names, codes = known[endpoint["path"]]
        names += [param["name"] for param in endpoint["params"]]
        codes |= set(endpoint["error_codes"])
    return dict(known)


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=60)


def drawn(data: st.DataObject, paths: dict[str, tuple[list[str], set[int]]]) -> tuple[str, dict[str, Any], set[int]]:
    path = data.draw(st.sampled_from(sorted(paths)))
    names, codes = paths[path]
    fields = data.draw(st.dictionaries(st.sampled_from([*names, "unknown"]), VALUES, max_size=6))
    if path.endswith("group/create"):
        fields["groupId"] = data.draw(st.sampled_from(["_", "fuzz", ""]))  # not a group for every example
    # The model that the installed pack may lack.
    return path, fields, codes | ({4100} if path.endswith("removeWater") else set())


@QUICKLY
@given(data=st.data())
def test_any_values(data: st.DataObject, http: httpx.Client, paths: dict[str, tuple[list[str], set[int]]]) -> None:
    path, fields, codes = drawn(data, paths)
    kind = data.draw(st.sampled_from(["json", "form", "multipart", "query"]))
    plain = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    match kind:
        case "json":
            response = http.post(path, json=fields)
        case "form":
            content = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in plain.items())
            response = http.post(path, content=content.encode())
        case "multipart":
            response = http.post(path, files={name: (None, value.encode()) for name, value in plain.items()} or None)
        case _:
            response = http.get(path, params={name: value[:500] for name, value in plain.items()})
    code = Api.checked(response)["result"]
    assert code in codes - {SYSTEM_ERROR}, (path, fields, code)


@QUICKLY
@given(data=st.data())
def test_any_bytes(data: st.DataObject, http: httpx.Client, paths: dict[str, tuple[list[str], set[int]]]) -> None:
    path = data.draw(st.sampled_from(sorted(paths)))
    body = data.draw(
        st.one_of(
            st.binary(max_size=300),
            st.text(alphabet=string.printable, max_size=300).map(str.encode),
            st.sampled_from(
                [b"{", b"[]", b"[{}]", b"null", b'{"img":', b'{"img":"\xff"}', b"=", b"&", b"img", b"\xef\xbb\xbf{}"]
            ),
        )
    )
    label = data.draw(
        st.sampled_from(
            ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=x", "text/plain"]
        )
    )
    answer = Api.checked(http.post(path, content=body, headers={"content-type": label}))
    assert answer["result"] in {0, 4097, 4101} | paths[path][1] - {SYSTEM_ERROR}
