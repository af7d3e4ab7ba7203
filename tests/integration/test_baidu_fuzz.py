"""Ten thousand spoiled requests, and Hypothesis: no failure of our own, no hang, nothing left behind."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from face_server.dialects.baidu.codes import BUSY, MESSAGES
from scripts.load.server import ServerProcess
from tests.baidu_client import NOBODY, Baidu, checked, text

BODIES = 10_000
WORKERS = 4
SLOWEST = 20.0  # seconds for one answer on a machine that does other things as well
APP = "fuzz"
UNEXPECTED = 222302
PICTURE = {"image": "0" * 32, "image_type": "FACE_TOKEN"}
PLACE = {"group_id": "g1", "user_id": "u1"}
CONTROLS = {"quality_control": "LOW", "liveness_control": "NORMAL"}
REQUESTS: list[tuple[str, Any]] = [
    ("v3/face/detect", {**PICTURE, "max_face_num": 2, "face_type": "LIVE", "face_field": "age,parsing,landmark72"}),
    ("v3/face/liveness", [{**PICTURE, "face_field": "age"}, PICTURE]),
    ("v3/face/match", [{**PICTURE, **CONTROLS, "face_type": "IDCARD"}, PICTURE]),
    ("v3/face/identify", {**PICTURE, **CONTROLS, "group_id_list": "g1,g2", "user_id": "u1", "max_user_num": 3}),
    ("v3/face/identify", {**PICTURE, "group_id_list": ["g1"], "match_threshold": 80.5}),
    ("v3/face/midentify", {**PICTURE, **CONTROLS, "group_id_list": "g1", "max_face_num": 3}),
    ("v3/face/add", {**PICTURE, **PLACE, **CONTROLS, "user_info": "资料", "action_type": "REPLACE"}),
    ("v3/face/update", {**PICTURE, **PLACE, "user_info": "abc"}),
    ("v3/face/list", PLACE),
    ("v3/face/delete", {**PLACE, "face_token": "0" * 32}),
    ("v3/user/copy", {"user_id": "u1", "src_group_id": "g1", "dst_group_id": "g2"}),
    ("v3/user/get", {"user_id": "u1", "group_id": "@ALL"}),
    ("v3/user/list", {"group_id": "g1", "start": 0, "length": 10}),
    ("v3/user/delete", PLACE),
    ("v3/group/delete", {"group_id": "g1"}),
    ("v3/group/list", {"start": 0, "length": 1000}),
    ("v3/app/list", {}),
    ("v3/face/sessioncode", {}),
    ("facehub/statapp", {"op_app_id_list": "a,b"}),
    ("facehub/statgroup", {"op_app_id": "a", "group_id_list": "g1"}),
    ("face/liveness", {"video_base64": "AAAAIGZ0eXBpc29t", "session_id": "S1"}),
]
SPLINTERS = [
    *(b"null", b"true", b"-1", b"1e999", b"99999999999999999999", b'""', b"[]", b"{}", b"NaN", b"\\u0000", b"\\ud800"),
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"'", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"&", b"=", b"%", b"+"),
    *(b"@ALL", b"all", b"BASE64", b"URL", b"data:image/png;base64,", b"../../etc/passwd", b"' OR 1=1 --", b"%00"),
    *("图".encode() * 60, b"a" * 5000, b"[" * 2000, b'{"a":' * 500, b"0" * 400),
]
TYPES = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B", "", "x" * 200]


def spoiled_value(rng: random.Random) -> Any:
    values: list[Any] = [
        None,
        True,
        -1,
        0,
        1e308,
        2**63,
        "",
        "a" * 200,
        "\0",
        "\u202e",
        [],
        {},
        [[]],
        {"a": {}},
        "1",
        "@ALL",
        "BASE64",
    ]
    return rng.choice(values)


def spoil_structure(rng: random.Random, body: Any) -> Any:
    """The same request with some values replaced, doubled or taken away."""
    if isinstance(body, list):
        items = [spoil_structure(rng, item) for item in body]
        return rng.choice([items, items * rng.randint(0, 5), items[0], [items], [*items, spoiled_value(rng)]])
    spoiled = dict(body)
    for name in list(spoiled):
        fate = rng.random()
        if fate < 0.06:
            del spoiled[name]
        elif fate < 0.3:
            spoiled[name] = spoiled_value(rng)
    return spoiled


def spoil_bytes(rng: random.Random, body: bytes) -> bytes:
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randint(0, len(body)), rng.randint(0, len(body))))
        body = rng.choice(
            [
                body[:at],
                body[:at] + body[to:],
                body[:to] + body[at:to] + body[to:],
                body[:at] + rng.choice(SPLINTERS) + body[at:],
                body[:at] + rng.choice(SPLINTERS) + body[to:],
                body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :],
            ]
        )
    return body


def as_form(body: Any) -> bytes:
    fields = body[0] if isinstance(body, list) else body
    return "&".join(f"{name}={quote(str(value))}" for name, value in fields.items()).encode()


def as_multipart(body: Any) -> bytes:
    fields = body[0] if isinstance(body, list) else body
    part = '--B\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    return ("".join(part.format(*field) for field in fields.items()) + "--B--\r\n").encode()


def spoiled_request(rng: random.Random) -> tuple[str, bytes, str]:
    path, body = rng.choice(REQUESTS)
    kind = rng.choice(TYPES)
    encode: Callable[[Any], bytes] = rng.choice([_json] * 6 + [as_form, as_multipart])
    if rng.random() < 0.03:
        body = json.loads(json.dumps(body).replace("0" * 32, text(NOBODY)).replace("FACE_TOKEN", "BASE64"))
    if rng.random() < 0.6:
        body = spoil_structure(rng, body)
    if encode is not _json and not (isinstance(body, dict) or (body and isinstance(body[0], dict))):
        encode = _json
    content = encode(body)
    if rng.random() < 0.35:
        content = spoil_bytes(rng, content)
    query = rng.choice([f"?appid={APP}"] * 40 + ["", "?appid=", "?appid=%00", "?appid=a&appid=b", "?=&&", "?%ff=%ff"])
    return rng.choice(["/face-api/", "/face-api/", "/api/face-api/"]) + path + query, content, kind


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def bombard(server: ServerProcess, seed: int, count: int) -> Counter[int]:
    rng = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SLOWEST)
    codes: Counter[int] = Counter()
    for number in range(count):
        path, content, kind = spoiled_request(rng)
        connection.request("POST", path, content, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        told = answer.read()
        where = (seed, number, path, content[:300], kind, told[:300])
        if answer.status == 404:  # the H5 path under a prefix it does not have
            continue
        assert answer.status == 200, where
        said = json.loads(told)
        code = said["error_code"]
        assert code == 0 or code in MESSAGES, where
        assert code != UNEXPECTED, where
        assert "result" in said, where
        codes[code] += 1
    connection.close()
    return codes


def test_ten_thousand_spoiled_requests(server: ServerProcess) -> None:
    api = Baidu(server.url, app=APP)
    for group in ("g1", "g2"):
        api("group/add", group_id=group)
    begun = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        parts = list(pool.map(lambda seed: bombard(server, seed, BODIES // WORKERS), range(WORKERS)))
    codes: Counter[int] = sum(parts, Counter())
    assert codes.total() > BODIES * 0.9
    assert len(codes) > 25, codes  # it reached the rules, not only the parser
    assert sum(codes[code] for code in BUSY.values()) < BODIES * 0.01
    assert time.monotonic() - begun < 180
    assert "unexpected failure" not in server.log.read_text()
    statistics = {"op_app_id": APP, "group_id_list": "g1,g2"}
    for group in ("g1", "g2"):
        api("group/add", group_id=group)  # one of them may have been deleted
    counted = api("/face-api/facehub/statgroup", **statistics).result
    assert all(group["user_num"] == group["face_num"] == 0 for group in counted.values())
    assert not list((server.data_dir / "pictures").rglob("*.tmp"))
    assert api("face/detect", image=text(NOBODY), image_type="BASE64").code == 222202


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    sorted({name for _, body in REQUESTS for name in (body if isinstance(body, dict) else body[0])})
)


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> Baidu:
    return Baidu(server.url, app="hypothesis")


usual = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@usual
@given(request=st.sampled_from(REQUESTS[:17]), changes=st.dictionaries(names, values, max_size=3))
def test_any_value_anywhere(api: Baidu, request: tuple[str, Any], changes: dict[str, Any]) -> None:
    path, body = request
    sent = [{**body[0], **changes}, body[1]] if isinstance(body, list) else {**body, **changes}
    assert api(f"/face-api/{path}?appid={api.app}", sent).code != UNEXPECTED


@usual
@given(request=st.sampled_from(REQUESTS[:17]), content=st.binary(max_size=400), kind=st.sampled_from(TYPES))
def test_any_bytes(api: Baidu, request: tuple[str, Any], content: bytes, kind: str) -> None:
    answer = api.send(f"/face-api/{request[0]}?appid={api.app}", content, kind)
    assert answer.code != UNEXPECTED


@usual
@given(content=values)
def test_any_json(api: Baidu, content: Any) -> None:
    for path in ("group/list", "face/match", "face/identify"):
        assert api.send(f"{path}?appid={api.app}", json.dumps(content).encode()).code != UNEXPECTED


@usual
@given(query=st.text(max_size=60))
def test_any_query(api: Baidu, query: str) -> None:
    response = api.http.post(f"/face-api/v3/group/list?{quote(query, safe='=&%+[]')}", content=b"")
    assert checked(response).code != UNEXPECTED
