"""Library, jobs and figures as the pages of the console use them."""

import base64
import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image, ImageEnhance

from scripts.load.server import ServerProcess, serving
from tests.admin_client import CROWD, Console, furnish


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("furnished")
    furnish(folder, accounts=False)
    with serving(folder) as running:
        yield running


@pytest.fixture
def console(furnished: ServerProcess) -> Iterator[Console]:
    with Console(furnished.url) as client:
        yield client


@pytest.mark.parametrize("limit", [1, 50, 130, 200])
def test_pages_of_users_show_each_once_and_in_order(console: Console, limit: int) -> None:
    if limit == 1:
        pages = list(console.pages("/users", app="default", group="mixed", limit=1))
        assert [[row["user"] for row in page] for page in pages] == [["anna"], ["bert"]]
        return
    pages = list(console.pages("/users", app="default", group="crowd", limit=limit))
    assert all(len(page) == limit for page in pages[:-1])
    assert [row["user"] for page in pages for row in page] == [f"u{n:04}" for n in range(CROWD)]


def test_a_page_goes_on_where_it_ended_whatever_was_added_meanwhile(console: Console, astronaut: bytes) -> None:
    first = console.ask("GET", "/users", params={"app": "default", "group": "crowd", "limit": 200})
    where = {"app": "default", "group": "crowd", "user": "aaa_new"}
    console.ask("POST", "/faces", 201, params=where, content=astronaut)
    more = {"app": "default", "group": "crowd", "limit": 200, "cursor": first["next"]}
    rest = [row["user"] for row in console.ask("GET", "/users", params=more)["items"]]
    assert rest == [f"u{n:04}" for n in range(200, CROWD)] + ["aaa_new"]


@pytest.mark.parametrize(
    ("prefix", "found"), [("u00", 100), ("u0001", 1), ("u02", 60), ("x", 0), ("%", 0), ("_", 0), ("U00", 0)]
)
def test_users_by_the_beginning_of_their_id(console: Console, prefix: str, found: int) -> None:
    names = [
        row["user"]
        for page in console.pages("/users", app="default", group="crowd", prefix=prefix, limit=30)
        for row in page
    ]
    assert names == sorted(names)
    assert len(names) == len(set(names)) == found


@pytest.mark.parametrize("cursor", ["x", "é", "", "%%%", "bm90IGEgbnVtYmVy"])
def test_a_foreign_cursor_is_refused(console: Console, cursor: str) -> None:
    answer = console.get("/users", params={"app": "default", "group": "crowd", "cursor": cursor})
    assert (answer.status_code, answer.json()["error"]["parameter"]) == (400, "cursor")


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", "/groups", {"params": {"app": "a\0"}}),
        ("GET", "/groups", {"params": {"app": "default", "prefix": "\0"}}),
        ("GET", "/audit", {"params": {"name": "\0"}}),
        ("DELETE", "/keys", {"params": {"key": "\0"}}),
        ("POST", "/groups", {"json": {"app": "a\0", "group": "g"}}),
        ("PATCH", "/users", {"json": {"app": "default", "group": "mixed", "user": "anna", "info": "\0"}}),
    ],
)
def test_a_text_that_postgres_cannot_keep_is_refused(
    console: Console, method: str, path: str, more: dict[str, Any]
) -> None:
    assert console.ask(method, path, 400, **more)["error"]["code"] == "bad_parameter"


@pytest.mark.parametrize("number", [-1, 2**63, 10**400])
def test_numbers_no_row_can_have_are_refused(console: Console, number: int) -> None:
    cursor = base64.urlsafe_b64encode(str(number).encode()).decode()
    for path in ("/audit", "/jobs"):
        console.ask("GET", path, 400, params={"cursor": cursor})
    for method, path in (("GET", "/jobs/{}"), ("GET", "/jobs/{}/result"), ("POST", "/jobs/{}/cancel")):
        console.ask(method, path.format(number), 400)
    for method, path in (("GET", "/faces/{}/picture"), ("DELETE", "/faces/{}")):
        console.ask(method, path.format(number), 400, params={"app": "default"})


def test_groups_and_apps(console: Console) -> None:
    assert [row["app"] for row in console.ask("GET", "/apps")["items"]] == ["default"]
    groups = [row for page in console.pages("/groups", app="default", limit=1) for row in page]
    assert [(row["group"], row["users"]) for row in groups[1:2]] == [("mixed", 2)]
    assert groups[1]["faces"] == 5
    assert [row["group"] for row in console.ask("GET", "/groups?app=default&prefix=mi")["items"]] == ["mixed"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/groups?app=nobody", "app_missing"),
        ("/users?app=default&group=none", "group_missing"),
        ("/user?app=default&group=mixed&user=none", "user_missing"),
        ("/faces?app=default&group=mixed&user=none", "user_missing"),
        ("/faces/999999/picture?app=default", "face_missing"),
        ("/faces/1/picture?app=default", "picture_missing"),
        ("/jobs/999999", "job_missing"),
        ("/jobs/999999/result", "job_missing"),
        ("/server/stories/1", "log_missing"),
    ],
)
def test_what_is_not_there(console: Console, path: str, code: str) -> None:
    answer = console.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)


def test_a_face_from_picture_to_picture(console: Console, astronaut: bytes) -> None:
    where = {"app": "default", "group": "flown", "user": "eileen"}
    face = console.ask("POST", "/faces", 201, params=where | {"info": "pilot"}, content=astronaut)
    console.ask("POST", "/faces", 409, params=where, content=astronaut)
    assert console.ask("GET", "/faces", params=where)["items"] == [face]
    user = console.ask("GET", "/user", params=where)
    assert (user["info"], user["faces"], user["face_id"]) == ("pilot", 1, face["face_id"])
    picture = console.get(f"/faces/{face['face_id']}/picture", params={"app": "default"})
    assert (picture.headers["content-type"], picture.content[:3]) == ("image/jpeg", b"\xff\xd8\xff")
    assert console.ask("GET", "/faces/1/picture", 404, params={"app": "another"})
    assert console.ask("GET", "/faces/1/picture", 204, params={"app": "default", "quiet": True}) is None  # none is kept

    console.ask("PATCH", "/users", json=where | {"info": "commander"})
    console.ask("POST", "/groups", 201, json={"app": "default", "group": "landed"})
    copy = {"app": "default", "user": "eileen", "source": "flown", "target": "landed"}
    assert console.ask("POST", "/users/copy", json=copy)["info"] == "commander"
    console.ask("POST", "/users/copy", 409, json=copy)
    assert console.ask("GET", "/user", params=where)["groups"] == ["flown", "landed"]
    found = console.ask("POST", "/search?app=default&group=flown&group=landed", content=astronaut)
    matches = found["faces"][0]["candidates"]
    assert {(m["group"], m["info"]) for m in matches} == {("flown", "commander"), ("landed", "commander")}


@pytest.mark.parametrize(
    ("content", "params", "status", "code"),
    [
        (b"", {}, 400, "bad_parameter"),
        (b"no picture", {}, 400, "bad_picture"),
        (b"no picture", {"mode": "sometimes"}, 400, "bad_parameter"),
        (b"x" * (25 << 20), {}, 413, "body_too_large"),
    ],
)
def test_a_face_that_cannot_be_added(
    console: Console, content: bytes, params: dict[str, str], status: int, code: str
) -> None:
    where = {"app": "default", "group": "mixed", "user": "x"} | params
    answer = console.post("/faces", params=where, content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "shown", "what"),
    [
        ("/users?app=default&group=mixed&user=bert", "/users?app=default&group=mixed", {"user": "bert"}),
        ("/groups?app=default&group=mixed", "/groups?app=default", {"group": "mixed"}),
    ],
)
def test_a_deletion_is_taken_back(console: Console, path: str, shown: str, what: dict[str, str]) -> None:
    def row() -> dict[str, str]:
        return next(row for row in console.ask("GET", shown)["items"] if what.items() <= row.items())

    job = console.ask("DELETE", path, 202)
    assert job["state"] == "waiting"
    assert 9 < job["starts"] - job["created"] < 11
    assert row()["deletion"] == job["id"]
    assert console.ask("DELETE", path, 409)["error"]["code"] == "deleting"
    bert = {"app": "default", "group": "mixed", "user": "bert"}
    for method, path_, more in (
        ("POST", "/faces", {"params": bert, "content": b"picture"}),
        ("PATCH", "/users", {"json": bert | {"info": "x"}}),
        ("POST", "/users/copy", {"json": {"app": "default", "user": "bert", "source": "crowd", "target": "mixed"}}),
    ):
        assert console.ask(method, path_, 409, **more)["error"]["code"] == "deleting"
    assert console.ask("POST", f"/jobs/{job['id']}/cancel")["state"] == "cancelled"
    assert row()["deletion"] is None
    assert console.ask("POST", f"/jobs/{job['id']}/cancel", 409)["error"]["code"] == "job_over"


def test_after_a_restart_deletions_go_on_and_the_rest_is_interrupted(console: Console) -> None:
    assert console.ended("1")["state"] == "done"
    console.ask("GET", "/user?app=default&group=unfinished&user=goes", 404)
    console.ask("GET", "/user?app=default&group=unfinished&user=stays")
    assert console.ask("GET", "/jobs/2")["state"] == "interrupted"


def test_the_same_person_twice(console: Console) -> None:
    new = {"kind": "duplicates", "app": "default", "group": "mixed", "score": 95}
    job = console.ended(console.ask("POST", "/jobs", 202, json=new)["id"])
    assert (job["state"], job["done"], job["total"], job["rows"]) == ("done", 5, 5, 2)
    table = console.ask("GET", f"/jobs/{job['id']}/result")
    pairs = [dict(zip(table["columns"], row, strict=True)) for row in table["items"]]
    assert {(pair["user"], pair["other_user"]) for pair in pairs} == {("anna", "bert")}
    assert all(95 <= pair["score"] <= 100 for pair in pairs)
    pages = list(console.pages(f"/jobs/{job['id']}/result", limit=1))
    assert [row for page in pages for row in page] == table["items"]


def test_a_face_with_the_wrong_person(console: Console) -> None:
    new = {"kind": "doubtful", "app": "default", "group": "mixed"}
    job = console.ended(console.ask("POST", "/jobs", 202, json=new)["id"])
    table = console.ask("GET", f"/jobs/{job['id']}/result")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["items"]]
    bad = [row for row in rows if row["user"] == "bert"]
    assert len(bad) == 1
    assert bad[0]["other_user"] == "anna"
    assert bad[0]["own_score"] < bad[0]["other_score"]


def test_what_the_gates_would_have_refused(console: Console, astronaut: bytes) -> None:
    """The same as looking at each picture says; the same face is in a light, a dim and a very dim picture."""
    where = {"app": "default", "group": "replayed"}
    picture = Image.open(io.BytesIO(astronaut)).convert("RGB").crop((100, 0, 380, 300))
    expected: Counter[tuple[str, str]] = Counter()
    for light in (1.0, 0.4, 0.12):
        data = io.BytesIO()
        ImageEnhance.Brightness(picture).enhance(light).save(data, "PNG")
        console.ask("POST", "/faces", 201, params=where | {"user": f"at {light}"}, content=data.getvalue())
        for gate, levels in console.ask("POST", "/look", content=data.getvalue())["faces"][0]["gates"].items():
            expected.update((gate, level) for level, failure in levels.items() if failure)
    job = console.ended(console.ask("POST", "/jobs", 202, json={"kind": "gates"} | where)["id"])
    assert (job["state"], job["done"], job["total"]) == ("done", 3, 3)
    table = console.ask("GET", f"/jobs/{job['id']}/result")
    assert table["columns"] == ["gate", "level", "refused", "judged", "not_judged"]
    names = [(gate, level) for gate in ("quality", "liveness") for level in ("LOW", "NORMAL", "HIGH")]
    assert table["items"] == [[*name, expected[name], 3, 0] for name in names]
    assert 0 < expected["quality", "NORMAL"] < expected["quality", "HIGH"] <= 3


def test_faces_without_a_picture_are_not_judged(console: Console) -> None:
    new = {"kind": "gates", "app": "default", "group": "mixed"}
    job = console.ended(console.ask("POST", "/jobs", 202, json=new)["id"])
    rows = console.ask("GET", f"/jobs/{job['id']}/result")["items"]
    assert {(refused, judged, left) for _, _, refused, judged, left in rows} == {(0, 0, 5)}


def test_what_another_score_would_have_done(console: Console) -> None:
    """Of anna's two faces and bert's three one is a picture of anna: it misses bert, and finds anna with the two."""
    new = {"kind": "gates", "app": "default", "group": "mixed"}
    for score, missed, mistaken in ((100, 5, 0), (90, 1, 3), (0, 0, 5)):
        job = console.ended(console.ask("POST", "/jobs", 202, json=new | {"own": {"threshold.search": score}})["id"])
        table = console.ask("GET", f"/jobs/{job['id']}/result")
        rows = [dict(zip(table["columns"], row, strict=True)) for row in table["items"]]
        found = {row["level"]: row for row in rows if row["gate"] == "search"}
        assert (found["missed"]["refused_then"], found["mistaken"]["refused_then"]) == (missed, mistaken), score
        assert (found["missed"]["refused"], found["missed"]["judged"], found["missed"]["not_judged"]) == (1, 5, 0)


@pytest.mark.parametrize("change", [{"score": 59}, {"score": 101}, {"kind": "delete_group"}, {"group": ""}])
def test_a_job_that_makes_no_sense(console: Console, change: dict[str, object]) -> None:
    new = {"kind": "duplicates", "app": "default", "group": "mixed"} | change
    assert console.ask("POST", "/jobs", 400, json=new)["error"]["parameter"] == next(iter(change))


def test_a_job_for_a_group_that_is_not_there_fails_and_says_so(console: Console) -> None:
    new = {"kind": "duplicates", "app": "default", "group": "none"}
    job = console.ended(console.ask("POST", "/jobs", 202, json=new)["id"])
    assert (job["state"], job["error"]) == ("failed", "There is no such group.")


def test_jobs_are_listed_newest_first(console: Console) -> None:
    ids = [int(row["id"]) for page in console.pages("/jobs", limit=2) for row in page]
    assert ids == sorted(ids, reverse=True)
    assert ids[-2:] == [2, 1]
    assert {row["state"] for row in console.ask("GET", "/jobs?state=interrupted")["items"]} == {"interrupted"}


def test_figures_and_the_story_of_a_request(console: Console, furnished: ServerProcess, astronaut: bytes) -> None:
    looked = console.ask("POST", "/look", content=astronaut)
    baidu = httpx.post(f"{furnished.url}/face-api/v3/face/detect?appid=default", json={"image": "", "image_type": "x"})
    failed = baidu.json()
    figures = console.ask("GET", "/server")
    assert figures["ready"]
    assert figures["lanes"]["alive"] == figures["lanes"]["count"] > 0
    assert any(row["code"] == str(failed["error_code"]) for row in figures["requests"])
    look = next(row for row in figures["latency"] if row["interface"] == "look")
    assert look["count"] >= 1
    assert 0 < look["p50"] <= look["p95"] <= look["p99"]
    assert {"decode", "detect"} <= {row["stage"] for row in figures["stages"]}
    assert figures["disk"]["database_bytes"] > 0
    assert {row["model"] for row in figures["batches"]} >= {"detect"}

    story = console.ask("GET", f"/server/stories/{looked['log_id']}")
    assert (story["dialect"], story["interface"], story["failed"]) == ("admin", "look", False)
    assert story["stages"].keys() == looked["stages"].keys()
    errors = console.ask("GET", "/server/errors")["items"]
    assert any(row["log_id"] == failed["log_id"] and row["dialect"] == "baidu" for row in errors)
    assert [row["log_id"] for row in errors] == sorted((row["log_id"] for row in errors), reverse=True)


def test_loaded_galleries_are_among_the_figures(console: Console, astronaut: bytes) -> None:
    console.ask("POST", "/search?app=default&group=crowd", content=astronaut)
    gallery = next(row for row in console.ask("GET", "/server")["galleries"] if row["group"] == "crowd")
    assert gallery["app"] == "default"
    assert gallery["faces"] >= CROWD
    assert gallery["bytes"] > CROWD * 128 * 4


def test_settings_are_shown(console: Console) -> None:
    rows = {row["name"]: row for row in console.ask("GET", "/settings")["items"]}
    assert rows["max_face_num"]["value"] == rows["max_face_num"]["default"]
    assert rows["max_face_num"]["variable"] == "FACE_MAX_FACE_NUM"
    assert rows["port"]["value"] != rows["port"]["default"]
