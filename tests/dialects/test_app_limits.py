"""Gates and scores of one app beside those of others: in every dialect, on every path, on every server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.load.server import ServerProcess, serving
from tests.admin_client import Console, furnish
from tests.baidu_client import Baidu, image, pixels, png, text, variant
from tests.clients.cloudwalk_client import CloudWalk
from tests.clients.enn_client import Enn, EnnError
from tests.clients.facebox_client import FaceBox, picture
from tests.clients.sid_client import Sid
from tests.dialects.test_cloudwalk import refusal
from tests.portraits import portrait_of
from tests.postgres import Postgres

DARK, NOT_LIVE, NOBODY = 223115, 223120, 222207
STRICT = {"normal.illumination": 200, "high.illumination": 200, "low.liveness": 0.2}  # a usual photo has 164
SECONDS_TO_FOLLOW = 30
CONTRACT = {"low.blur": 0.8, "normal.blur": 0.6, "high.blur": 0.2, "normal.liveness": 0.3, "threshold.search": None}


@pytest.fixture(scope="module")
def serves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("limits")
    furnish(folder, accounts=True)
    with serving(folder, cloudwalk_checks="quality", deadline_ms=30_000) as running:
        yield running


@pytest.fixture
def admin(serves: ServerProcess) -> Iterator[Console]:
    with Console(serves.url) as client:
        client.sign_in("admin")
        yield client


@pytest.fixture(scope="module")
def flat(astronaut: bytes) -> bytes:
    """Half alive: LOW takes it, NORMAL does not."""
    return png((pixels(astronaut) * 0.3 + 100).astype(np.uint8))


def put(admin: Console, app: str, own: dict[str, float], status: int = 200) -> Any:
    return admin.ask("PUT", "/gates", status, params={"app": app}, json={"own": own})


def values(answer: Any) -> dict[str, float | None]:
    return {one["name"]: one["value"] for one in answer["limits"]}


def own(answer: Any) -> dict[str, float | None]:
    return {one["name"]: one["value"] for one in answer["limits"] if one["own"]}


def app_of(server: ServerProcess, name: str) -> Baidu:
    api = Baidu(server.url, name)
    assert api("group/add", group_id="g").code in (0, 223101)
    return api


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS_TO_FOLLOW
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def every_path(api: Baidu, photo: dict[str, str], control: dict[str, str]) -> dict[str, int]:
    one = {**photo, **control}
    place, groups = {"group_id": "g", "user_id": "u"}, {"group_id_list": "g"}
    return {
        "add": api("face/add", None, **one, **place).code,
        "update": api("face/update", None, **one, **place, action_type="REPLACE").code,
        "identify": api("face/identify", None, **one, **groups).code,
        "midentify": api("face/midentify", None, **one, **groups).code,
        "match": api("face/match", [photo, one]).code,
    }


def seen(api: Baidu, astronaut: bytes) -> int:
    """A question that changes nothing: DARK, or NOBODY."""
    return api("face/identify", **image(astronaut), quality_control="NORMAL", group_id_list="g").code


def test_one_app_refuses_what_another_takes(
    serves: ServerProcess, admin: Console, astronaut: bytes, flat: bytes
) -> None:
    strict, other = app_of(serves, "strict"), app_of(serves, "other")
    put(admin, "strict", STRICT)
    for control, photo, code in (
        ({"quality_control": "NORMAL"}, image(astronaut), DARK),
        ({"liveness_control": "LOW"}, image(flat), NOT_LIVE),
    ):
        refused = dict.fromkeys(("add", "update", "identify", "match"), code)
        # Where many faces are searched for those that fail are left out.
        assert every_path(strict, photo, control) == refused | {"midentify": NOBODY}
        assert set(every_path(other, photo, control).values()) == {0}
    detect = {**image(flat), "liveness_control": "LOW"}
    assert (strict("face/detect", **detect).code, other("face/detect", **detect).code) == (NOT_LIVE, 0)
    assert strict("face/liveness", None, **image(flat)).result["thresholds"]["frr_1e-4"] == 0.2
    assert other("face/liveness", None, **image(flat)).result["thresholds"]["frr_1e-4"] == 0.05

    adding = {"app": "strict", "group": "g", "user": "v", "quality": "NORMAL"}
    assert admin.ask("POST", "/faces", 422, params=adding, content=astronaut)["error"]["code"] == "quality"

    admin.ask("DELETE", "/gates", params={"app": "strict"})
    assert set(every_path(strict, image(astronaut), {"quality_control": "NORMAL"}).values()) == {0}
    assert set(every_path(strict, image(flat), {"liveness_control": "LOW"}).values()) == {0}


def test_the_other_dialects_ask_their_app_too(
    serves: ServerProcess, admin: Console, astronaut: bytes, flat: bytes
) -> None:
    sid = Sid(serves.url, "sid_app", "any")
    app_of(serves, "sid_app")
    assert not sid.is_live(flat)
    put(admin, "sid_app", {"normal.liveness": 0.05})
    assert sid.is_live(flat)

    cloudwalk = CloudWalk(serves.url)
    cloudwalk.create_group("walk")
    put(admin, "default", STRICT)
    create = {"groupId": "walk", "img": text(astronaut)}
    assert refusal(lambda: cloudwalk.call("/face/clustering/face/create", **create)) == 8481
    admin.ask("DELETE", "/gates", params={"app": "default"})
    cloudwalk.add_face("walk", astronaut)


def test_the_score_where_a_request_names_none(serves: ServerProcess, admin: Console, astronaut: bytes) -> None:
    astronaut = portrait_of(astronaut)
    alike = variant(astronaut, 1)  # no score of 100
    api = app_of(serves, "scores")
    assert api("face/add", **image(astronaut), group_id="g", user_id="u").code == 0
    searches = [
        (path, threshold) for path in ("face/identify", "face/midentify") for threshold in ({}, {"match_threshold": 50})
    ]

    def found() -> list[int]:
        return [api(path, **image(alike), group_id_list="g", **named).code for path, named in searches]

    assert found() == [0, 0, 0, 0]
    put(admin, "scores", {"threshold.search": 100, "threshold.compare": 100})
    assert found() == [NOBODY, 0, NOBODY, 0]

    enn, box = Enn(serves.url, "enn_app"), FaceBox(serves.url)
    enn.register("u", astronaut)
    box.call("POST", "/faceGroups", {"groupId": "named", "groupName": "named", "groupScore": 50})
    box.call("POST", "/faceGroups", {"groupId": "usual", "groupName": "usual"})
    face = box.register(astronaut)["faceToken"]
    box.call("POST", f"/faceGroups/binding/{face}", {"faceGroupList": ["named", "usual"]})

    def boxed(group: str) -> tuple[int, bool]:
        (score,) = [
            one["groupScore"] for one in box.call("GET", "/faceGroups")["faceGroupList"] if one["groupId"] == group
        ]
        top = box.call("POST", "/face/search", {"image": picture(alike), "group": [group]})["top1"]
        return score, bool(top)

    assert (boxed("named"), boxed("usual")) == ((50, True), (80, True))
    assert enn.recognise(alike)[0] == "u"
    compared = {"image": astronaut, "image_1": alike}
    assert enn.call("face_compare", compared)["result"] is True
    for app in ("enn_app", "default"):
        put(admin, app, {"threshold.search": 100, "threshold.compare": 100})
    assert (boxed("named"), boxed("usual")) == ((50, True), (100, False))
    with pytest.raises(EnnError):
        enn.recognise(alike)
    assert enn.call("face_compare", compared)["result"] is True
    assert enn.call("face_compare", compared, app_id="enn_app")["result"] is False
    assert enn.call("face_compare", {"image": alike}, app_id="enn_app", user_id="u")["result"] is False
    admin.ask("DELETE", "/gates", params={"app": "default"})


@pytest.mark.parametrize(
    ("wrong", "blamed"),
    [
        ({"normal.sharpness": 0.5}, "normal.sharpness"),
        ({"low.blur": 1.01}, "low.blur"),
        ({"low.illumination": -1}, "low.illumination"),
        ({"high.completeness": 0.5}, "high.completeness"),
        ({"threshold.search": 101}, "threshold.search"),
        ({"low.blur": "0.5"}, "own.low.blur"),
        ({"low.blur": True}, "own.low.blur"),
        ({"low.blur": None}, "own.low.blur"),
        ({"normal.blur": 0.1}, "normal.blur"),  # then HIGH would let pass what NORMAL does not
        ({"high.liveness": 0.2}, "high.liveness"),
    ],
    ids=str,
)
def test_what_is_refused(serves: ServerProcess, admin: Console, wrong: dict[str, Any], blamed: str) -> None:
    app_of(serves, "refuses")
    put(admin, "refuses", {"low.blur": 0.7})
    assert put(admin, "refuses", wrong, 400)["error"]["parameter"] == blamed
    job = {"kind": "gates", "app": "refuses", "own": wrong}
    assert admin.ask("POST", "/jobs", 400, json=job)["error"]["parameter"] == blamed
    assert own(admin.ask("GET", "/gates", params={"app": "refuses"})) == {"low.blur": 0.7}


def test_who_may_change_them_and_what_is_written_down(serves: ServerProcess, admin: Console) -> None:
    app_of(serves, "guarded")
    for name in ("viewer", "operator"):
        with Console(serves.url) as client:
            client.sign_in(name)
            put(client, "guarded", {"low.blur": 0.7}, 403)
            client.ask("DELETE", "/gates", 403, params={"app": "guarded"})
            assert CONTRACT.items() <= values(client.ask("GET", "/gates", params={"app": "guarded"})).items()
    assert own(put(admin, "guarded", {"low.blur": 0.7})) == {"low.blur": 0.7}
    (entry, *_) = admin.ask("GET", "/audit", params={"action": "set_gates"})["items"]
    assert (entry["name"], entry["outcome"], entry["target"]["app"]) == ("admin", "ok", "guarded")
    assert "low.blur" in entry["target"]["own"]
    put(admin, "nowhere", {}, 404)
    admin.ask("GET", "/gates", 404, params={"app": "nowhere"})


def test_what_a_change_would_have_done(serves: ServerProcess, admin: Console, astronaut: bytes, flat: bytes) -> None:
    api = app_of(serves, "replayed")
    for number, photo in enumerate((astronaut, flat)):  # in two groups: the whole app is looked through
        assert api("face/add", **image(photo), group_id=f"g{number}", user_id="u").code == 0
    job = {"kind": "gates", "app": "replayed", "own": STRICT}
    done = admin.ended(admin.ask("POST", "/jobs", 202, json=job)["id"])
    assert (done["state"], done["done"], done["total"]) == ("done", 2, 2)
    table = admin.ask("GET", f"/jobs/{done['id']}/result")
    rows = {tuple(row[:2]): dict(zip(table["columns"], row, strict=True)) for row in table["items"]}
    for name, now, then in ((("quality", "NORMAL"), 0, 2), (("quality", "LOW"), 0, 0), (("liveness", "LOW"), 0, 1)):
        assert (rows[name]["refused"], rows[name]["refused_then"], rows[name]["judged"]) == (now, then, 2), name
    assert own(admin.ask("GET", "/gates", params={"app": "replayed"})) == {}


def command(server: ServerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
    line = [sys.executable, "-m", "face_server", "apps", "gates", *words, "--data-dir", str(server.data_dir)]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)


def test_the_command_beside_a_server_and_a_restart(serves: ServerProcess, astronaut: bytes) -> None:
    api = app_of(serves, "told")
    sets = [word for name, value in STRICT.items() for word in ("--set", f"{name}={value}")]
    done = command(serves, "told", *sets, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["own"] == STRICT
    until(lambda: seen(api, astronaut) == DARK)
    serves.stop()
    serves.start(timeout=300)
    assert seen(api, astronaut) == DARK

    wrong = command(serves, "told", "--set", "normal.sharpness=1")
    assert wrong.returncode == 1
    assert "normal.sharpness" in wrong.stderr
    back = command(serves, "told", "--set", "normal.illumination=contract", "--json")
    assert own_of(back) == {name: value for name, value in STRICT.items() if name != "normal.illumination"}
    until(lambda: seen(api, astronaut) == NOBODY)
    assert own_of(command(serves, "told", "--reset", "--json")) == {}
    assert "contract" in command(serves, "told").stdout


def own_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["own"]


def test_two_servers_on_one_postgres(tmp_path: Path, postgres: Postgres, astronaut: bytes) -> None:
    settings = {"database_url": postgres.new_database()}
    with serving(tmp_path / "near", **settings) as near, serving(tmp_path / "far", **settings) as far:
        here, there = app_of(near, "both"), app_of(far, "both")
        with Console(near.url) as console:
            console.headers["X-CSRF-Token"] = "open"
            put(console, "both", STRICT)
            assert seen(here, astronaut) == DARK
            until(lambda: seen(there, astronaut) == DARK)
            console.ask("DELETE", "/gates", params={"app": "both"})
            assert seen(here, astronaut) == NOBODY
            until(lambda: seen(there, astronaut) == NOBODY)
