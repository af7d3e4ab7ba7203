"""CloudWalk: what clients of many kinds send, and what groups and faces do."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from scripts.load.server import ServerProcess
from tests.baidu_client import NOBODY, Baidu, image, jpeg, pixels, png, text, variant
from tests.clients.cloudwalk_client import CloudWalk, CloudWalkError

DETECT = "/face/tool/detect"


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> CloudWalk:
    return CloudWalk(server.url)


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def group(api: CloudWalk) -> Iterator[str]:
    api.create_group("cw")
    yield "cw"
    api.delete_group("cw")


def refusal(call: Callable[[], Any]) -> int:
    """The code that a call is refused with."""
    with pytest.raises(CloudWalkError) as caught:
        call()
    return caught.value.result


def scaled(picture: bytes, share: float) -> np.ndarray[Any, Any]:
    seen = Image.open(io.BytesIO(picture)).convert("RGB")
    return np.asarray(seen.resize((round(seen.width * share), round(seen.height * share))))[..., ::-1]


def beside(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Two pictures on one grey canvas."""
    canvas = np.full((max(len(one), len(other)), one.shape[1] + other.shape[1], 3), 127, np.uint8)
    canvas[: len(one), : one.shape[1]] = one
    canvas[: len(other), one.shape[1] :] = other
    return canvas


def turned(picture: bytes, quarters: int) -> bytes:
    return png(np.ascontiguousarray(np.rot90(pixels(picture), quarters)))


@pytest.fixture(scope="module")
def portrait(astronaut: bytes) -> bytes:
    """The one face of the picture alone, so that no second one disturbs."""
    return png(np.ascontiguousarray(pixels(astronaut)[0:260, 80:360]))


# Ways of sending


def test_every_transport_says_the_same(http: httpx.Client, api: CloudWalk, portrait: bytes) -> None:
    faces = api.detect(portrait)
    assert len(faces) == 1
    plain = text(portrait)
    assert "+" in plain
    form = {"content-type": "application/x-www-form-urlencoded"}
    broken = "\r\n".join(plain[i : i + 76] for i in range(0, len(plain), 76))
    requests: dict[str, dict[str, Any]] = {
        "form": {"data": {"img": plain}},
        "form, + as it is": {"content": f"img={plain}".encode(), "headers": form},
        "form without a type": {"content": f"img={plain}".encode()},
        "data: head": {"data": {"img": "data:image/png;base64," + plain}},
        "line breaks": {"data": {"img": broken}},
        "json": {"json": {"img": plain, "mode": False}},
        "json as a form": {"content": b'{"img":"' + plain.encode() + b'"}', "headers": form},
        "multipart text": {"files": {"img": (None, plain)}},
        "multipart file": {"files": {"img": ("face.png", portrait, "image/png")}},
        "parameters in the query": {"data": {"img": plain}, "params": {"mode": "FALSE", "app_id": "x"}},
        "credentials in headers": {"data": {"img": plain}, "headers": {"app_id": "a", "app_secret": "b"}},
        "url and img": {"data": {"img": plain, "url": "http://192.0.2.1/x.jpg"}},
    }
    for name, request in requests.items():
        answer = http.post(DETECT, **request).json()
        assert answer == {"result": 0, "info": "成功", "faces": faces}, name


def test_a_picture_by_url_is_fetched_or_4102(http: httpx.Client) -> None:
    """Fetching is off, which is the default: nothing can be fetched."""
    sent = {"url": "http://192.0.2.1/x.jpg"}
    for answer in (http.get(DETECT, params=sent), http.post(DETECT, data=sent)):
        assert answer.json() == {"result": 4102, "info": "服务访问错误"}
    assert http.get(DETECT).json()["result"] == 4097


def encoded(picture: np.ndarray[Any, Any], kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture[..., ::-1])).save(buffer, kind)
    return buffer.getvalue()


def test_pictures_that_are_refused(api: CloudWalk, portrait: bytes) -> None:
    seen = pixels(portrait)
    cases = {
        "gif": (encoded(seen, "GIF"), 8497),
        "webp": (encoded(seen, "WEBP"), 8497),
        "tiff": (encoded(seen, "TIFF"), 8497),
        "cut off": (jpeg(seen)[:2000], 8497),
        "text": (b"hello world", 8497),
        "23 wide": (png(seen[:100, :23]), 8499),
        "23 high": (png(seen[:23, :100]), 8499),
        "6001 long": (png(np.zeros((30, 6001, 3), np.uint8)), 8498),
        "6001 high": (png(np.zeros((6001, 30, 3), np.uint8)), 8498),
        "4001 both": (png(np.zeros((4001, 4001, 3), np.uint8)), 8498),
        "nobody": (NOBODY, 8464),
        "24 x 24": (png(np.zeros((24, 24, 3), np.uint8)), 8464),
    }
    for name, (picture, code) in cases.items():
        for path, names in ((DETECT, ("img",)), ("/face/tool/compare", ("imgA", "imgB"))):
            sent = dict.fromkeys(names, text(picture))
            assert refusal(partial(api.call, path, **sent)) == code, (name, path)
    assert api.detect(encoded(seen, "BMP")) == api.detect(portrait)


def test_small_faces_are_left_out_and_alone_they_are_8466(api: CloudWalk, portrait: bytes) -> None:
    width = api.detect(portrait)[0]["width"]
    small = scaled(portrait, 24 / width)
    assert (
        refusal(lambda: api.detect(png(np.ascontiguousarray(beside(small, np.full((100, 80, 3), 127, np.uint8))))))
        == 8466
    )
    assert len(api.detect(png(beside(pixels(portrait), small)))) == 1


# Several faces, turned faces


def test_the_largest_face_counts_and_ext1_tells_all(api: CloudWalk, portrait: bytes, group: str) -> None:
    """The same person twice, the mirrored one smaller."""
    both = png(beside(scaled(portrait, 0.6), pixels(portrait)[:, ::-1]))
    faces = api.detect(both)
    assert len(faces) == 2
    assert faces[0]["width"] > faces[1]["width"]
    assert api.similarity(api.feature(both), api.feature(png(np.ascontiguousarray(pixels(portrait)[:, ::-1])))) > 0.9
    answer = api.call("/face/tool/compare/ext1", imgA=text(portrait), imgB=text(both))
    scores = [face["score"] for face in answer["faces"]]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)
    assert answer["score"] == scores[0] > 0.9
    known = api.add_face(group, portrait, tag="她")
    found = api.call("/face/recog/group/identify/ext1", groupId=group, img=text(both))
    assert [face["faceId"] for face in found["faces"]] == [known, known]
    assert {(face["x"], face["y"]) for face in found["faces"]} == {(face["x"], face["y"]) for face in faces}
    assert found["faces"][0]["score"] >= found["faces"][1]["score"]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_pictures(api: CloudWalk, portrait: bytes, group: str, quarters: int) -> None:
    lying = turned(portrait, quarters)
    assert api.compare(lying, portrait) > 0.85
    assert api.compare(portrait, lying) > 0.85
    assert api.call("/face/tool/compare/ext1", imgA=text(lying), imgB=text(portrait))["score"] > 0.85
    assert api.similarity(api.feature(lying), api.feature(portrait)) > 0.85
    known = api.add_face(group, lying)
    assert api.identify(group, portrait)[0]["faceId"] == known
    assert api.identify(group, lying)[0]["score"] > 0.95
    answer = api.call("/face/recog/group/compare", groupId=group, faceId=known, img=text(lying))
    assert answer["score"] > 0.95


def test_faces_are_cut_out_with_a_fifth_to_every_side(api: CloudWalk, astronaut: bytes) -> None:
    for face in api.detect(astronaut, cut_out=True):
        seen = Image.open(io.BytesIO(base64.b64decode(face["img"])))
        assert (seen.format, seen.mode) == ("JPEG", "RGB")
        left, top = max(0, face["x"] - 0.2 * face["width"]), max(0, face["y"] - 0.2 * face["height"])
        right = min(512, face["x"] + 1.2 * face["width"])
        bottom = min(512, face["y"] + 1.2 * face["height"])
        assert seen.size == pytest.approx((right - left, bottom - top), abs=2)


# Features


def test_features_carry_their_model(api: CloudWalk, portrait: bytes) -> None:
    feature = api.feature(portrait)
    assert api.similarity(feature, api.feature(variant(portrait, 1))) == api.compare(portrait, variant(portrait, 1))
    data = base64.b64decode(feature)
    head, numbers = data[:12], np.frombuffer(data[12:], "<f4")
    assert np.linalg.norm(numbers) == pytest.approx(1, abs=1e-4)
    broken: dict[str, tuple[str | bytes, int]] = {
        "no base64": ("###", 8514),
        "another model": (bytes([head[0], *head[1:11], head[11] ^ 1]) + data[12:], 8514),
        "no model": (bytes(12) + data[12:], 8514),
        "no header": (data[12:], 8515),
        "too short": (data[:-4], 8515),
        "too long": (data + bytes(4), 8515),
        "not a number": (head + np.full_like(numbers, np.nan).tobytes(), 8514),
        "huge": (head + np.full_like(numbers, 1e38).tobytes(), 8514),
        "nothing": (head + np.zeros_like(numbers).tobytes(), 8514),
    }
    for name, (wrong, code) in broken.items():
        sent = wrong if isinstance(wrong, str) else base64.b64encode(wrong).decode()
        assert refusal(partial(api.similarity, feature, sent)) == code, name
        assert refusal(partial(api.similarity, sent, feature)) == code, name


# Groups and faces


def test_pages_of_groups(api: CloudWalk, portrait: bytes) -> None:
    before = len(api.groups())
    names = [f"page{number}" for number in range(5)]
    for name in names:
        api.create_group(name, tag=f"标签 {name}" if name != "page2" else "")
    try:
        api.add_face("page1", portrait)
        rows = api.groups(page_size=2)[before:]
        assert [row["groupId"] for row in rows] == names
        assert [row["info"] for row in rows] == [f"标签 {name}" if name != "page2" else "" for name in names]
        assert [row["count"] for row in rows] == [0, 1, 0, 0, 0]
        query = "/face/clustering/group/query"
        beyond = api.call(query, pageNumber=10**6, pageSize=10)
        assert (beyond["total"], beyond["rows"]) == (before + 5, [])
        assert api.call(query, groupId="page1")["rows"] == [{"groupId": "page1", "info": "标签 page1"}]
        assert api.call(query, type="queryByPage", groupId="page1")["total"] == before + 5
        assert refusal(lambda: api.call(query, type="queryByGroupId")) == 4097
        assert refusal(lambda: api.call(query, groupId="page9")) == 12357
        assert refusal(lambda: api.create_group("page1")) == 12360
    finally:
        for name in names:
            api.delete_group(name)


def test_what_is_not_there(api: CloudWalk, portrait: bytes, group: str) -> None:
    face = api.add_face(group, portrait)
    api.create_group("other")
    img = text(portrait)
    try:
        for path in ("clustering/face/delete", "clustering/face/query", "clustering/face/edit", "recog/group/compare"):
            for where, number, code in (("none", face, 12357), ("other", face, 12292), (group, face + 999, 12292)):
                sent = {"groupId": where, "faceId": number, "img": img}
                assert refusal(partial(api.call, f"/face/{path}", **sent)) == code, (path, where)
        assert refusal(lambda: api.identify("other", portrait)) == 12358
        assert refusal(lambda: api.call("/face/recog/group/identify/ext1", groupId="other", img=img)) == 12358
        for path in ("clustering/face/create", "recog/group/identify", "recog/group/identify/ext1"):
            assert refusal(partial(api.call, f"/face/{path}", groupId="组-1", img=img)) == 12357
        assert refusal(lambda: api.delete_group("none")) == 12357
        assert api.tag_of(group, face) == ""
    finally:
        api.delete_group("other")


def test_the_same_picture_twice_is_two_faces(api: CloudWalk, portrait: bytes, group: str) -> None:
    first, second = api.add_face(group, portrait, tag="a"), api.add_face(group, portrait, tag="b")
    assert first != second
    found = api.identify(group, portrait, most=1000)
    assert [(face["faceId"], face["tag"]) for face in found] == [(first, "a"), (second, "b")]
    api.delete_face(group, first)
    assert [face["faceId"] for face in api.identify(group, portrait, most=5)] == [second]


def test_many_clients_with_one_picture(api: CloudWalk, portrait: bytes, group: str) -> None:
    with ThreadPoolExecutor(6) as clients:
        faces = list(clients.map(lambda number: api.add_face(group, portrait, tag=str(number)), range(6)))
        assert len(set(faces)) == 6
        known = {face["faceId"]: face["tag"] for face in api.identify(group, portrait, most=100)}
        assert known == {face: str(number) for number, face in enumerate(faces)}
        list(clients.map(lambda face: api.edit_face(group, face, img=text(portrait)), faces[:3]))
        list(clients.map(lambda face: api.delete_face(group, face), faces[3:]))
    assert {face["faceId"] for face in api.identify(group, portrait, most=100)} == set(faces[:3])


def test_an_edit_changes_what_it_names(api: CloudWalk, portrait: bytes, group: str, astronaut: bytes) -> None:
    face = api.add_face(group, portrait, tag="old")
    before = api.identify(group, portrait)[0]["score"]
    api.edit_face(group, face, tag="new")
    assert api.identify(group, portrait)[0] == {"faceId": face, "score": before, "tag": "new"}
    other = variant(astronaut, 1)  # the mirrored picture: near, but another template
    api.edit_face(group, face, img=text(other))
    changed = api.identify(group, other)[0]
    assert changed["faceId"] == face
    assert changed["tag"] == "new"
    assert changed["score"] > api.identify(group, portrait)[0]["score"]
    for refused, code in ((NOBODY, 8464), (b"x", 8497)):
        assert refusal(partial(api.edit_face, group, face, img=text(refused), tag="never")) == code
    assert api.identify(group, other)[0] == changed
    assert api.call("/face/clustering/group/query", groupId=group, faceCount="true")["rows"][0]["count"] == 1
    api.edit_face(group, face, tag="")
    assert api.tag_of(group, face) == ""
    assert refusal(lambda: api.edit_face(group, face)) == 4097


def test_an_edit_survives_a_restart(portrait: bytes, astronaut: bytes, tmp_path: Any) -> None:
    server = ServerProcess(tmp_path).start()
    api = CloudWalk(server.url)
    api.create_group("g", tag="t")
    face = api.add_face("g", portrait, tag="x")
    other = variant(astronaut, 1)
    api.edit_face("g", face, img=text(other))
    before = api.identify("g", other, most=5)
    server.kill()
    server.start()
    try:
        api = CloudWalk(server.url)
        assert api.identify("g", other, most=5) == before
        assert api.groups() == [{"groupId": "g", "info": "t", "count": 1}]
    finally:
        server.stop()


def test_other_dialects_see_the_same_faces(api: CloudWalk, server: ServerProcess, portrait: bytes, group: str) -> None:
    """A face is a user called by its number, its tag is the user's info; the app is the default one."""
    baidu = Baidu(server.url, app="default")
    face = api.add_face(group, portrait, tag="她")
    found = baidu("face/identify", **image(portrait), group_id_list=group).result["user_list"][0]
    assert (found["user_id"], found["user_info"]) == (str(face), "她")
    enrolled = variant(portrait, 1)
    place = {"group_id": group, "user_id": "someone", "user_info": "info"}
    assert baidu("face/add", **image(enrolled), **place).code == 0
    best = api.identify(group, enrolled)[0]
    assert best["tag"] == "info"
    assert api.tag_of(group, best["faceId"]) == "info"
    assert baidu("user/delete", group_id=group, user_id=str(face)).code == 0
    assert refusal(lambda: api.tag_of(group, face)) == 12292
    assert Baidu(server.url, app="elsewhere")("group/list").result["group_id_list"] == []


def test_a_number_that_is_somebodys_name_already(
    api: CloudWalk, server: ServerProcess, portrait: bytes, group: str
) -> None:
    baidu = Baidu(server.url, app="default")
    next_number = api.add_face(group, portrait) + 2
    assert baidu("face/add", **image(variant(portrait, 1)), group_id=group, user_id=str(next_number)).code == 0
    assert api.add_face(group, variant(portrait, 2), tag="mine") == next_number
    assert api.tag_of(group, next_number) == "mine"
