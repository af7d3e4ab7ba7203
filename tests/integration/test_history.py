"""What comes through the dialects is in the audit log: who, what, when, from where; with the change or not at all."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from face_server.errors import FaceExists, GroupExists, StoreFailed, UserMissing
from face_server.housekeeping import DAY, Memory, forget_work
from face_server.request import RequestContext, current
from face_server.store import history, work
from face_server.store.erasing import ERASED, Erasing, Target
from face_server.store.history import Entry, Which
from face_server.store.pictures import NewPicture
from face_server.store.rows import Mode
from face_server.store.schema import audit, job_rows, jobs
from face_server.store.store import Store
from scripts.load.server import ServerProcess, serving
from tests.admin_client import Console
from tests.baidu_client import Baidu, image, text, variant
from tests.clients.cloudwalk_client import CloudWalk
from tests.clients.enn_client import Enn
from tests.clients.facebox_client import FaceBox
from tests.clients.sid_client import Sid
from tests.dialects.test_access import apps_beside
from tests.portraits import portrait_of
from tests.small_library import APP, MODEL, face, open_store, token

NUMBER = 1763717000123


@pytest.fixture
async def store(place: Path | str) -> AsyncIterator[Store]:
    store = await open_store(place)
    yield store
    await store.close()


@contextmanager
def asked(interface: str = "user/add", caller: str = "the-key") -> Iterator[None]:
    """As in a request of a client."""
    context = RequestContext(NUMBER, time.monotonic() + 60, dialect="baidu", interface=interface)
    context.peer, context.caller = "10.0.0.7", caller
    before = current.set(context)
    try:
        yield
    finally:
        current.reset(before)


async def test_a_name_that_no_app_can_have_has_its_line_too(store: Store) -> None:
    line = await store.audit.add(Entry("ann", "admin", "", "delete_key", {"app": "a" * 200}, "begun", 1))
    await store.audit.ended(line, "bad_parameter")
    (found,) = await store.audit.page(None, 10)
    assert (found.action, found.target, found.outcome) == ("delete_key", {"app": "a" * 128}, "bad_parameter")


async def told(store: Store) -> list[dict[str, str]]:
    """What the lines are about, the oldest first."""
    return [dict(line.target) for line in reversed(await store.audit.page(None, 100))]


async def test_every_change_of_a_client_has_its_line(store: Store) -> None:
    def picture(name: str, number: int) -> NewPicture:
        new = face(number)
        return NewPicture(name, "", "", new.token, "me", "", new.spot, new.template, MODEL, {})

    with asked():
        await store.add_group(APP, "g")
        await store.enroll(APP, "g", "anna", face(1), MODEL)
        await store.enroll(APP, "g", "anna", face(2), MODEL)
        await store.enroll(APP, "g", "anna", face(3), MODEL, mode=Mode.REPLACE)
        await store.add_group(APP, "h")
        await store.copy_user(APP, "anna", "g", "h")
        number = (await store.add_person(APP, "g", face(4), MODEL, "", twice=True)).face_id
        await store.change_face(APP, "g", number, face(5), MODEL, None)
        await store.delete_face_by_id(APP, number)
        await store.delete_face(APP, "h", "anna", token(3))
        await store.delete_user(APP, None, "anna")
        await store.pictures.add(APP, picture("one", 7))
        await store.bindings.bind(APP, token(7), ["g", "h", "nowhere"], MODEL, None)
        await store.bindings.bind(APP, token(7), ["nowhere"], MODEL, None)  # nothing happens
        await store.bindings.unbind(APP, token(7), ["h"])
        await store.pictures.end_face(APP, token(7))
        await store.pictures.remove(APP, "one")
        await store.delete_group(APP, "g")
    g, one, both = {"app": APP, "group": "g"}, {"added": "1"}, {"app": APP, "group": "g,h"}
    anna, person, seen = g | {"user": "anna"}, g | {"face_id": str(number)}, {"app": APP, "picture": "1"}
    assert await told(store) == [
        g,
        anna | one,
        anna | one,
        anna | one | {"removed": "2"},
        {"app": APP, "group": "h"},
        {"app": APP, "user": "anna", "source": "g", "target": "h"} | one,
        person | one,
        person | one,
        {"app": APP, "face_id": str(number), "removed": "1"},
        {"app": APP, "group": "h", "user": "anna", "removed": "1"},
        anna | {"removed": "1"},
        seen,
        both | {"user": "me", "added": "2"},
        {"app": APP, "group": "h", "user": "me", "removed": "1"},
        seen | {"removed": "1"},
        seen,
        g,
    ]
    line = (await store.audit.page(None, 1))[0]
    who = (line.name, line.role, line.source, line.action, line.outcome, line.log_id)
    assert who == ("the-key", "client", "10.0.0.7", "baidu user/add", "ok", NUMBER)
    assert abs(line.time - time.time()) < 60


async def test_what_is_refused_or_read_has_none(store: Store) -> None:
    await store.add_group(APP, "g")
    await store.enroll(APP, "g", "anna", face(1), MODEL)
    with asked():
        for write, error in (
            (store.add_group(APP, "g"), GroupExists),
            (store.enroll(APP, "g", "bert", face(1), MODEL), FaceExists),
            (store.delete_user(APP, "g", "nobody"), UserMissing),
        ):
            with pytest.raises(error):
                await write
        await store.list_users(APP, "g")
    assert await told(store) == []


async def test_a_line_and_its_change_are_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that cannot be written takes the change with it."""
    monkeypatch.setattr("face_server.store.store.NEW_LINE", sa.text("INSERT INTO nowhere VALUES (1)"))
    with asked(), pytest.raises(StoreFailed, match="nowhere"):
        await store.add_group(APP, "g")
    assert APP not in await store.apps()


async def test_lines_are_found_by_app_deed_and_time(store: Store) -> None:
    for number, app in enumerate(("a", "b", "a")):
        with asked(f"deed{number}"):
            await store.add_group(app, f"g{number}")
    lines = await store.audit.page(None, 9)
    middle = lines[1].time
    for which, found in (
        (Which(app="a"), [2, 0]),
        (Which(action="baidu deed1"), [1]),
        (Which(since=middle), [2, 1]),
        (Which(until=middle), [0]),
        (Which(app="a", since=middle), [2]),
        (Which(name="another-key"), []),
    ):
        assert [line.target["group"] for line in await store.audit.page(None, 9, which)] == [f"g{n}" for n in found]
    assert [line.id for line in await store.audit.page(lines[0].id, 1, Which(app="a"))] == [lines[2].id]


async def test_purge_takes_the_names_out_of_all_lines(store: Store, tmp_path: Path) -> None:
    anna, group, other = "annabelle-lee", "family-of-lee", "family-of-poe"
    with asked():
        for place in (group, other):
            await store.add_group(APP, place)
        await store.enroll(APP, group, anna, face(1), MODEL)
        await store.enroll(APP, group, "edgar-poe", face(2), MODEL)
        await store.copy_user(APP, "edgar-poe", group, other)
        await store.delete_user(APP, None, "edgar-poe")
        await store.enroll(APP, group, "edgar-poe", face(2), MODEL)

    async def purged(**target: str) -> str:
        erasing = Erasing(store, tmp_path / "data", Target(APP, **target))
        assert await erasing.collect()
        await erasing.erase()
        await erasing.shared()
        assert not [name for name, (_, hits) in (await erasing.left_in_tables()).items() if hits]
        return str(await told(store))

    left = await purged(group=group, user=anna)
    assert anna not in left
    assert left.count("edgar-poe") == 4
    left = await purged(group=group)
    assert group not in left
    assert {"app": APP, "group": other} in await told(store)
    assert ERASED in left


async def test_what_is_old_goes_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (history, work):
        monkeypatch.setattr(module, "PART", 2)
    for number in range(5):
        await store.audit.add(Entry("me", "admin", "", f"deed{number}", {}, "ok", 0))
        done = await store.jobs.add("find", {}, 0.0, "me")
        await store.jobs.change(done, state=work.RUNNING)
        await store.jobs.finish(done, ["a"], [[1]])
    waiting = await store.jobs.add("find", {}, 0.0, "me")

    async def left() -> tuple[int, int, int]:
        tables = (audit, jobs, job_rows)
        counts = [await store._database.rows(sa.select(sa.func.count().label("n")).select_from(t)) for t in tables]
        lines, all_jobs, rows = (count[0].n for count in counts)
        return lines, all_jobs, rows

    now = time.time()
    for memory, after, kept in (
        (Memory(), 9999, (5, 6, 5)),  # for ever
        (Memory(10, 5), 4, (5, 6, 5)),
        (Memory(10, 5), 6, (5, 1, 0)),
        (Memory(10, 5), 11, (0, 1, 0)),
    ):
        await forget_work(store, memory, now + after * DAY)
        assert await left() == kept
    assert (await store.jobs.get(waiting)) is not None


# At the wire


def lines_of(console: Console, app: str) -> list[dict[str, Any]]:
    (items,) = console.pages("/audit", app=app, limit=100)
    return list(reversed(items))


def test_a_client_is_named_by_its_key(tmp_path: Path, astronaut: bytes) -> None:
    with serving(tmp_path, auth="apps", trusted_proxies='["127.0.0.1"]') as server:
        issued = apps_beside(tmp_path, lambda apps: apps.create("gate"))
        baidu = Baidu(server.url, "gate")
        baidu.http.auth = (issued.key, issued.secret)
        baidu.http.headers["X-Forwarded-For"] = "6.6.6.6, 203.0.113.7"  # the client's own invention, what a proxy added
        until = time.monotonic() + 20
        # Before the server has heard of the key the answer is one of the public cloud's.
        while baidu.http.post("/face-api/v3/group/list?appid=gate").json()["error_code"] and time.monotonic() < until:
            time.sleep(0.1)
        one, other = (image(variant(astronaut, number)) for number in range(2))
        new = baidu("face/add", group_id="g", user_id="u", **one)
        assert baidu("face/add", group_id="g", user_id="other", **one).code == 223105
        baidu("face/update", group_id="g", user_id="u", **other).result  # noqa: B018
        baidu("face/identify", group_id_list="g", **other).result  # noqa: B018
        baidu("face/match", [one, other]).result  # noqa: B018
        baidu("group/delete", group_id="g").result  # noqa: B018
        lines = lines_of(Console(server.url), "gate")
        listed = [(line["action"].rpartition("/")[2], line["target"]) for line in lines]
        u = {"app": "gate", "group": "g", "user": "u", "added": "1"}
        assert listed == [("add", u), ("update", u | {"removed": "1"}), ("delete", {"app": "gate", "group": "g"})]
        assert {(line["name"], line["role"], line["source"]) for line in lines} == {
            (issued.key, "client", "203.0.113.7")
        }
        assert lines[0]["log_id"] == new["log_id"]
        assert issued.secret not in str(lines)
        stored = (tmp_path / "faces.db").read_bytes() + (tmp_path / "faces.db-wal").read_bytes()
        assert issued.secret.encode() not in stored


def test_every_dialect_is_heard(server: ServerProcess, astronaut: bytes) -> None:
    portrait = portrait_of(astronaut)
    console, app = Console(server.url), "heard_by_the_log"
    begun = time.time()
    CloudWalk(server.url).create_group("heard")
    CloudWalk(server.url).delete_group("heard")
    Sid(server.url, app, "12345").add("7", astronaut)
    Enn(server.url, f"{app}-2").register("me", portrait)
    box = FaceBox(server.url)
    box.create("heard")
    box.delete_group("heard", 1)
    baidu = Baidu(server.url, app)
    baidu.http.headers["X-Forwarded-For"] = "6.6.6.6"  # nobody has said that this is a proxy
    baidu("group/add", group_id="heard").result  # noqa: B018
    lines = [line for page in console.pages("/audit", since=begun - 1, limit=100) for line in page]
    mine = {line["action"].partition(" ")[0] for line in lines if line["role"] == "client"}
    assert mine >= {"cloudwalk", "sid", "enn", "facebox", "baidu"}
    assert {line["name"] for line in lines if line["role"] == "client"} == {"open"}
    assert {line["source"] for line in lines if line["role"] == "client"} == {"127.0.0.1"}
    assert text(astronaut)[:40] not in str(lines)
