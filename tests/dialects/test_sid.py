"""The SID dialect at the wire, with a picture that is there on every machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from scripts.load.server import ServerProcess, serving
from tests.clients.sid_client import Sid, SidError, text


@pytest.fixture
def api(server: ServerProcess, request: pytest.FixtureRequest) -> Sid:
    return Sid(server.url, request.node.name, "12345")


def code(api: Sid, path: str, **fields: object) -> int:
    with pytest.raises(SidError) as refused:
        api.call(path, **fields)
    return int(refused.value.result)


def test_a_user_lives_and_goes(api: Sid, astronaut: bytes) -> None:
    api.add("7", astronaut, "xyb01")
    assert code(api, "/face/add", userId=7, groupId="xyb01", img=text(astronaut)) == 20010015
    (found,) = api.search(astronaut, 2)
    assert (found["groupId"], found["userId"], found["score"] > 0.99) == ("xyb01", "7", True)
    stored = api.get("7")
    assert (stored["groupId"], stored["userId"]) == ("xyb01", "7")
    assert stored["qualityScore"] == ",".join(api.feature(astronaut)[1])
    api.update("7", astronaut)
    api.remove("7")
    with pytest.raises(SidError, match="查询人脸错误,错误信息\\[record not found\\]"):
        api.get("7")
    assert api.search(astronaut, 2) == []


def test_two_users_may_have_the_same_photo(api: Sid, astronaut: bytes) -> None:
    for user in ("one", "other"):
        api.add(user, astronaut)
        assert code(api, "/face/add", userId=user, img=text(astronaut)) == 20010015
        api.update(user, astronaut)
    assert {found["userId"] for found in api.search(astronaut, 5)} == {"one", "other"}


def test_quality_scores_have_their_slots(api: Sid, astronaut: bytes) -> None:
    _, scores = api.feature(astronaut)
    assert len(scores) == 31
    assert scores[30] == hashlib.md5(astronaut).hexdigest()
    assert {scores[slot] for slot in (8, 12, 15, 26, 27, 28, 29)} == {"0.0000"}
    assert scores[11] == "2.0000"
    assert float(scores[4]) > 0.5
    # The overall score is made of what was measured: how sharp, how much of it covered; all of the face is there.
    assert float(scores[0]) == pytest.approx(float(scores[4]) * (1 - float(scores[3])), abs=2e-4)
    assert float(scores[21]) > 50


def test_a_feature_stands_for_its_picture(api: Sid, astronaut: bytes) -> None:
    feature, _ = api.feature(astronaut)
    answer = api.call("/staticdb/search/compare", imageA=text(astronaut), featureB=feature)
    assert answer["score"] > 0.99
    assert code(api, "/staticdb/search/compare", featureA=feature, featureB="AAAA") == 20010013


def test_the_strict_setting_refuses_an_attack(astronaut: bytes, photos: Path, tmp_path: Path) -> None:
    attack = text((photos / "spoof_screen_2.jpg").read_bytes())
    with serving(tmp_path, sid_strict_liveness=True) as server:
        strict = Sid(server.url, "strict", "12345")
        assert strict.is_live((photos / "live_T1.jpg").read_bytes())
        with pytest.raises(SidError, match="活体检测未通过") as refused:
            strict.call("/liveness/action", param=attack)
        assert refused.value.result == 20010014


def test_liveness_prints_its_verdict(api: Sid, astronaut: bytes) -> None:
    answer = api.call("/liveness/action", param=text(astronaut))
    assert answer["extInfo"] in (1, 2)
    assert answer["info"].endswith(f"攻击类型:{answer['extInfo']}")


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        ("/staticdb/search/compare", {"imgA": "AAAA"}, 20010001),
        ("/staticdb/search/compare", {"imgA": "AAAA", "imgB": "AAAA"}, 20010012),
        ("/staticdb/search/multiple", {"img": "AAAA", "topN": 0}, 20010001),
        ("/staticdb/search/multiple", {"img": "AAAA", "topN": "2", "groupId": "nowhere"}, 20010010),
        ("/staticdb/search/multiple", {"img": "AAAA", "topN": 2}, 20010012),
        ("/face/remove", {"userId": "nobody"}, 20010009),
        ("/face/updatefeature", {"userId": "nobody", "groupId": "nowhere", "img": "AAAA"}, 20010009),
        ("/face/add", {"userId": "x" * 129, "img": "AAAA"}, 20010001),
        ("/face/get", {"userId": "nobody", "app_secret": None}, 20010002),
        ("/liveness/action", {"param": "!"}, 20010012),
    ],
)
def test_codes(api: Sid, path: str, fields: dict[str, object], expected: int) -> None:
    assert code(api, path, **fields) == expected
