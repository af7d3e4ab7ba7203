"""Parts of the admin API by themselves: waiting, work in the background, pages that do not get slower."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from face_server.admin import passwords, shown
from face_server.admin.deleting import Deleting
from face_server.admin.failures import Refusal
from face_server.admin.jobs import Job, Jobs, Progress, Result
from face_server.admin.roles import Role, Who
from face_server.admin.stories import Stories
from face_server.admin.throttle import LONGEST, LONGEST_FOR_NAME, WINDOW, Throttle
from face_server.errors import UserMissing
from face_server.request import RequestContext
from face_server.settings import Settings
from face_server.store.rows import GroupRef
from face_server.store.schema import users
from face_server.store.store import Store
from tests.small_library import open_store

WHO = Who("anna", Role.OPERATOR, "127.0.0.1")
WHAT = {"app": "default", "group": "g", "user": "u"}


# Wrong passwords


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def guesses(throttle: Throttle, clock: Clock, seconds: float, source: str, name: str) -> int:
    """How many passwords somebody can try in that time who never rests."""
    end, tried = clock.now + seconds, 0
    while clock.now < end:
        wait = throttle.wait(source, name)
        if wait:
            clock.now += wait
        else:
            throttle.wrong(source, name)
            tried += 1
            clock.now += 0.1
    return tried


def test_who_guesses_waits_longer_each_time() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    assert guesses(throttle, clock, 60, "thief", "admin") < 10
    assert guesses(throttle, clock, 600, "thief", "admin") < 30


def test_others_do_not_wait() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(9):
        throttle.wrong("thief", "admin")
    assert throttle.wait("thief", "admin") > 0
    assert throttle.wait("owner", "admin") == 0
    assert throttle.wait("thief", "somebody behind the same address") == 0
    for _ in range(1000):
        throttle.wrong("thief", "admin")
    assert throttle.wait("thief", "admin") <= LONGEST
    assert throttle.wait("owner", "admin") == 0
    assert 0 < throttle.drag("admin") <= LONGEST_FOR_NAME
    assert throttle.drag("viewer") == 0


def test_wrong_passwords_are_forgotten() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(5):
        throttle.wrong("a", "admin")
    clock.now += WINDOW + 1
    assert throttle.wait("a", "admin") == 0
    for _ in range(5):
        throttle.wrong("a", "admin")
    throttle.right("a", "admin")
    assert throttle.wait("a", "admin") == 0


def test_guessing_many_names_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_server.admin.throttle.MOST", 30)
    throttle = Throttle(Clock())
    for number in range(1000):
        throttle.wrong("a", f"name {number}")
    assert len(throttle._failures) <= 30
    assert throttle.wait("a", "another") > 0  # the address is still known


def test_a_password_is_kept_as_a_salted_slow_hash() -> None:
    one, other = (passwords.new_operator("a", Role.ADMIN, "the same words") for _ in range(2))
    assert one.password != other.password
    assert b"the same words" not in one.password
    assert passwords.matches("the same words", one.password)
    assert not passwords.matches("the same word", one.password)
    assert not passwords.matches("", passwords.NOBODY)


# Jobs


@pytest.fixture
async def store(place: Path | str) -> AsyncIterator[Store]:
    opened = await open_store(place)
    yield opened
    await opened.close()


class Works:
    """Deletions and searches that do what they are told."""

    def __init__(self) -> None:
        self.deleted: list[Mapping[str, str]] = []
        self.going = asyncio.Event()
        self.stopped = False

    async def delete(self, what: Mapping[str, str], progress: Progress) -> Result:
        self.deleted.append(what)
        progress.done = progress.total = 1
        return Result()

    async def find(self, what: Mapping[str, str], progress: Progress) -> Result:
        return Result(("a", "b"), [(1, "x"), (2.5, None)])

    async def linger(self, what: Mapping[str, str], progress: Progress) -> Result:
        self.going.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.stopped = True
            raise
        return Result()

    async def fail(self, what: Mapping[str, str], progress: Progress) -> Result:
        raise UserMissing("u")

    async def break_(self, what: Mapping[str, str], progress: Progress) -> Result:
        raise ZeroDivisionError

    def jobs(self, store: Store, undo_seconds: float = 0.0) -> Jobs:
        searches = {"find": self.find, "linger": self.linger, "fail": self.fail, "break": self.break_}
        return Jobs(store.jobs, {"delete_user": self.delete}, searches, undo_seconds)


@pytest.fixture
def works() -> Works:
    return Works()


async def ended(jobs: Jobs, job: Job) -> Job:
    async with asyncio.timeout(20):
        while True:
            now = await jobs.get(int(job.id))
            if now.state not in ("waiting", "running"):
                return now
            await asyncio.sleep(0.01)


async def test_a_deletion_waits_and_then_happens(store: Store, works: Works) -> None:
    jobs = works.jobs(store, undo_seconds=0.3)
    job = await jobs.delete("delete_user", WHAT, WHO)
    assert (job.state, job.by) == ("waiting", "anna")
    assert jobs.deleting("default", "g", "u") == job.id
    assert works.deleted == []
    assert (await ended(jobs, job)).state == "done"
    assert works.deleted == [WHAT]
    assert jobs.deleting("default", "g", "u") is None


async def test_what_was_taken_back_never_happens(store: Store, works: Works) -> None:
    jobs = works.jobs(store, undo_seconds=0.1)
    job = await jobs.delete("delete_user", WHAT, WHO)
    assert (await jobs.cancel(int(job.id))).state == "cancelled"
    again = await jobs.delete("delete_user", WHAT | {"user": "other"}, WHO)
    await ended(jobs, again)
    assert [what["user"] for what in works.deleted] == ["other"]
    with pytest.raises(Refusal, match="ended"):
        await jobs.cancel(int(again.id))


@pytest.mark.parametrize(
    ("kind", "state", "error"),
    [("find", "done", None), ("fail", "failed", "There is no such user."), ("break", "failed", "Something went wrong")],
)
async def test_how_a_job_ends(store: Store, works: Works, kind: str, state: str, error: str | None) -> None:
    jobs = works.jobs(store)
    job = await ended(jobs, await jobs._add(kind, WHAT, 0.0, WHO))
    assert job.state == state
    assert (job.error or "").startswith(error or "")
    assert job.ended is not None
    if state == "done":
        table = await jobs.result(int(job.id), None, 10)
        assert (table.columns, table.items) == (["a", "b"], [[1, "x"], [2.5, None]])


async def test_a_job_that_runs_is_stopped_and_the_next_begins(store: Store, works: Works) -> None:
    jobs = works.jobs(store)
    first = await jobs._add("linger", WHAT, 0.0, WHO)
    second = await jobs._add("find", WHAT, 0.0, WHO)
    await works.going.wait()
    assert (await jobs.get(int(second.id))).state == "waiting"  # one after the other
    assert (await jobs.cancel(int(first.id))).state == "cancelled"
    assert (await ended(jobs, second)).state == "done"
    assert works.stopped


async def test_a_restart_resumes_deletions_and_interrupts_the_rest(store: Store, works: Works) -> None:
    jobs = works.jobs(store, undo_seconds=60)
    deletion = await jobs.delete("delete_user", WHAT, WHO)
    search = await jobs._add("linger", WHAT, 0.0, WHO)
    await works.going.wait()
    await jobs.close()
    assert works.deleted == []

    after = works.jobs(store)
    await after.open()
    assert (await after.get(int(search.id))).state == "interrupted"
    assert (await after.get(int(deletion.id))).state == "waiting"  # its sixty seconds are not over
    assert after.deleting(*WHAT.values()) == deletion.id
    await after.close()


def test_every_deletion_of_the_library_has_its_work() -> None:
    assert set(Deleting(None).all()) == {"delete_group", "delete_user", "delete_face"}  # type: ignore[arg-type]


# Pages


async def crowd(store: Store, names: list[str]) -> GroupRef:
    await store.add_group("default", "g")
    (group,) = await store.groups("default", ["g"])
    row = {"group_id": group.id, "info": "", "meta": "{}", "created": 0.0, "updated": 0.0}
    rows = [row | {"name": name} for name in names]
    await store._database.write(lambda connection: connection.execute(sa.insert(users), rows))
    return group


async def test_users_by_the_beginning_of_their_name(store: Store) -> None:
    """In the same order on every database, whatever it thinks of letters."""
    names = ["B", "a", "a b", "a%", "a_b", "aB", "aa", "ab", "aé", "a\U0001f600", "b", "人1", "人2"]
    group = await crowd(store, names)
    assert [user.name for user in await store.pages.users_named(group, "a", "", 50)] == sorted(names[1:10])
    assert [user.name for user in await store.pages.users_named(group, "a", "a_b", 3)] == ["aa", "ab", "aé"]
    assert [user.name for user in await store.pages.users_named(group, "人", "", 50)] == ["人1", "人2"]
    assert await store.pages.users_named(group, "A", "", 50) == []


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_a_page_of_users_is_read_from_an_index(store: Store, tmp_path: Path) -> None:
    """The database neither sorts nor walks over what comes before the page."""
    group = await crowd(store, [f"u{n:05}" for n in range(5000)])
    said: list[tuple[str, Any]] = []

    def listen(_: Any, __: Any, statement: str, values: Any, ___: Any, ____: Any) -> None:
        said.append((statement, values))

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        by_id = await store.pages.users(group, 4000, 50)
        by_name = await store.pages.users_named(group, "u04", "u04500", 50)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    assert [user.name for user in by_id][:2] == ["u04000", "u04001"]
    assert [user.name for user in by_name][:2] == ["u04501", "u04502"]
    selects = [(statement, values) for statement, values in said if statement.startswith("SELECT")]
    assert len(selects) == 2
    connection = sqlite3.connect(tmp_path / "faces.db")
    for statement, values in selects:
        plan = [line[3] for line in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
        assert not [line for line in plan if "TEMP B-TREE" in line or line.startswith("SCAN")], plan
        (walk,) = [line for line in plan if line.startswith("SEARCH users")]
        ends = ("(group_id=? AND id>?)", "(group_id=? AND rowid>?)", "(group_id=? AND name>? AND name<?)")
        assert walk.endswith(ends), walk
    connection.close()


# Stories and settings


def story(stories: Stories, log_id: int, code: str = "0", status: int = 200, dialect: str = "baidu") -> None:
    stories.ended(RequestContext(log_id, time.monotonic(), dialect=dialect, code=code), "/path", status, 0.01)


def test_an_error_outlives_what_went_well() -> None:
    stories = Stories(kept=10, kept_errors=3)
    for number in range(5):
        story(stories, number, code="222202")
    for number in range(5, 50):
        story(stories, number)
    story(stories, 50, dialect="")
    assert stories.get(49) is not None
    assert stories.get(20) is None
    assert stories.get(50) is None  # a page, not a request of a client
    assert [one.log_id for one in stories.errors(None, 10)] == [4, 3, 2]
    assert [one.log_id for one in stories.errors(4, 1)] == [3]
    found = stories.get(3)
    assert found is not None
    assert found.failed


@pytest.mark.parametrize(("code", "status", "failed"), [("0", 200, False), ("成功", 200, False), ("x", 200, True)])
def test_what_counts_as_a_failure(code: str, status: int, failed: bool) -> None:
    stories = Stories()
    story(stories, 1, code, status)
    found = stories.get(1)
    assert found is not None
    assert found.failed is failed


@pytest.mark.parametrize(
    ("name", "value", "safe"),
    [
        ("database", "postgresql://face:hunter2@db:5432/face", "postgresql://face:***@db:5432/face"),
        ("database_url", SecretStr("postgresql://face:hunter2@db:5432/face"), "***"),
        ("database_url", SecretStr(""), ""),
        ("some_password", "hunter2", "***"),
        ("signing_key", "hunter2", "***"),
        ("token_minutes", 60, 60),
        ("pack", "builtin", "builtin"),
    ],
)
def test_secrets_among_the_settings_are_hidden(name: str, value: object, safe: object) -> None:
    assert shown._safe(name, value) == safe


async def test_all_settings_are_shown() -> None:
    listed = await shown.SettingsShown(Settings(max_face_num=7)).listed()
    assert [one.name for one in listed.items] == sorted(Settings.model_fields)
    assert next(one.value for one in listed.items if one.name == "max_face_num") == 7
