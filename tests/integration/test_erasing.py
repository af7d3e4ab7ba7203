"""`face-server purge` erases and proves it; faces end when an app keeps them only for some days."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from face_server.housekeeping import DAY, end_old_faces
from face_server.store.blobs import Blobs
from face_server.store.erasing import Erasing, Target
from face_server.store.history import Entry
from face_server.store.pictures import NewPicture
from face_server.store.scanning import LONGEST, Scanner, piece_of, pieces_of_text
from scripts.load.server import serving
from tests.baidu_client import Baidu, image, variant
from tests.integration.test_sealing import files_with, run
from tests.postgres import Postgres
from tests.small_library import APP, MODEL, face, library, open_store, token

NAME, OTHER, INFO = "Annabelle Lee", "Edgar Poe", "王小明住在海边的王国里"


def test_the_scanner_finds_pieces_wherever_they_begin(tmp_path: Path) -> None:
    pieces = {bytes([number]) * 3 + b"piece of number %d" % number for number in range(50)}
    scanner = Scanner(pieces)
    assert scanner.found(b"") == scanner.found(b"short") == scanner.found(b"none of them is here" * 100) == set()
    for offset in range(LONGEST):
        wanted = sorted(pieces)[offset]
        assert scanner.found(b"x" * offset + wanted + b"y" * 5) == {wanted}
        assert scanner.found(b"x" * offset + wanted[:-1]) == set()
    assert scanner.found(b"".join(pieces)) == pieces
    path = tmp_path / "file"
    path.write_bytes(bytes((16 << 20) - 5) + b"\1\1\1piece of number 1" + bytes(10))
    assert scanner.in_file(path) == {b"\1\1\1piece of number 1"}, "across two parts of a file"


def test_pieces_are_what_others_do_not_have_by_chance() -> None:
    assert piece_of(b"short") is None
    assert piece_of(bytes(1000)) is None
    assert (piece_of(bytes(500) + bytes(range(100)) + bytes(500)) or b"none") in bytes(range(100)) + bytes(500)
    assert pieces_of_text("short") == set()
    assert pieces_of_text("王小明王小明") == {
        "王小明王小明".encode()[:LONGEST],
        rb"\u738b\u5c0f\u660e\u738b\u5c0f\u660e"[:LONGEST],
    }


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
def test_a_user_then_a_group_then_an_app_are_erased(tmp_path: Path, astronaut: bytes, sealed: bool) -> None:
    folder, key = tmp_path / "data", tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    one, other = (variant(astronaut, number) for number in range(2))
    with serving(folder, **({"key_file": key} if sealed else {})) as server:
        api = Baidu(server.url, app="first_app")
        api("face/add", **image(one), group_id="mygroup_1", user_id="annabelle_lee", user_info=INFO)
        api("face/add", **image(other), group_id="mygroup_1", user_id="edgar_poe_1", user_info="writes poems")
        api("face/add", **image(other), group_id="mygroup_2", user_id="edgar_poe_2")
        Baidu(server.url, app="second_app")("face/add", **image(other), group_id="mygroup_2", user_id="edgar_poe_2")
        refused = run(folder, key if sealed else None, "purge", "--app", "first_app", "--yes")
        assert (refused.returncode, "is at work" in refused.stderr) == (1, True)
    database = folder / "faces.db"

    def stored(app: str, column: str = "template") -> list[bytes]:
        query = f"SELECT f.{column} FROM faces f JOIN apps a ON a.id = f.app_id WHERE a.name = ? ORDER BY f.id"
        with closing(sqlite3.connect(database)) as connection:
            return [row[0] for row in connection.execute(query, (app,))]

    def note(target: dict[str, str]) -> None:
        with closing(sqlite3.connect(database)) as connection:
            row = (1.0, "root", "admin", "::1", "user.delete", target["app"], json.dumps(target), "ok", 1)
            columns = "time, name, role, source, action, app, target, outcome, log_id"
            connection.execute(f"INSERT INTO audit ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            connection.commit()

    def purge(*words: str) -> str:
        done = run(folder, key if sealed else None, "purge", "--yes", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nothing of it is left" in done.stdout
        return done.stdout

    note({"app": "first_app", "group": "mygroup_1", "user": "annabelle_lee"})
    first = stored("first_app")
    assert len(first) == 3
    assert files_with(folder, first[0], b"annabelle_lee", INFO.encode())
    said = purge("--app", "first_app", "--group", "mygroup_1", "--user", "annabelle_lee")
    assert "1 faces" in said
    assert not files_with(folder, first[0], b"annabelle_lee", INFO.encode())
    assert not (folder / "tokens").exists()
    assert stored("first_app") == first[1:]

    assert files_with(folder, b"mygroup_1", b"edgar_poe_1")
    purge("--app", "first_app", "--group", "mygroup_1")
    assert not files_with(folder, b"mygroup_1", b"edgar_poe_1", b"writes poems")
    assert stored("first_app") == first[2:]

    said = purge("--app", "first_app")
    assert "table faces: 1 rows" in said
    assert not files_with(folder, b"first_app")
    assert len(stored("second_app")) == 1
    gone = run(folder, key if sealed else None, "purge", "--yes", "--app", "first_app")
    assert (gone.returncode, "nobody of this name" in gone.stderr) == (1, True)
    with serving(folder, **({"key_file": key} if sealed else {})) as server:
        answer = Baidu(server.url, app="second_app")("face/identify", **image(other), group_id_list="mygroup_2")
        assert answer.result["user_list"][0]["user_id"] == "edgar_poe_2"


async def test_postgres_is_sealed_and_purged_by_the_same_commands(postgres: Postgres, tmp_path: Path) -> None:
    url, key, folder = postgres.migrated_database(), tmp_path / "key", tmp_path / "data"
    key.write_bytes(bytes(range(32)))
    store = await open_store(url)
    picture = await Blobs(folder / "pictures").save(b"\xff\xd8 a picture of somebody")
    await store.enroll(APP, "g", NAME, face(1, picture), MODEL)
    await store.enroll(APP, "g", OTHER, face(2), MODEL)
    await store.close()

    def dump() -> str:
        rows = postgres.execute("SELECT * FROM faces", "SELECT * FROM users", database=url.rpartition("/")[2])
        return rows.replace("\\x", "")

    assert face(2).template.hex() in dump()
    done = run(folder, key, "seal", database=url)
    assert (done.returncode, done.stdout) == (0, "3 rows and pictures sealed\n"), done.stderr
    assert face(1).template.hex() not in dump()
    assert face(2).template.hex() not in dump()
    assert not files_with(folder, b"somebody")
    words = ("purge", "--app", APP, "--user", NAME, "--yes")
    done = run(folder, key, *words, database=url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 faces, 1 users; 1 pictures; 0 rows are left" in done.stdout
    assert NAME not in dump()
    assert OTHER in dump()
    assert not [path for path in (folder / "pictures").rglob("*") if path.is_file()]
    lost = run(folder, None, *words, database=url)
    assert (lost.returncode, "FACE_KEY_FILE has to name" in lost.stderr) == (1, True)


async def test_what_is_left_is_told(place: Path | str, tmp_path: Path) -> None:
    """The proof does not trust the erasing: here somebody wrote a template and a name where they do not belong."""
    store = await open_store(place)
    folder = tmp_path / "data"
    key = await Blobs(folder / "pictures").save(bytes(range(256)) * 4)
    await store.enroll(APP, "g", NAME, face(1, key), MODEL)
    await store.enroll(APP, "g", OTHER, face(2), MODEL)
    original = await Blobs(folder / "pictures").save(bytes(reversed(range(256))) * 4)
    for number, file in ((1, original), (2, "")):
        name, spot = f"picture {number}", f"place of face {number}".encode()
        new = NewPicture(
            name, file, "", token(number), NAME if number == 1 else OTHER, "", spot, face(number).template, MODEL, {}
        )
        await store.pictures.add(APP, new)
    erasing = Erasing(store, folder, Target(APP, "g", NAME))
    assert await erasing.collect()
    assert await erasing.rows_left() == 2
    (folder / "copy").write_bytes(b"..." + face(1).template)
    await store.audit.add(Entry("me", "admin", "", "user.delete", {"whom": NAME}, "ok", 0))
    await erasing.erase()
    assert await erasing.rows_left() == 0
    assert await erasing.shared() == 0
    assert {name for name, (_, hits) in (await erasing.left_in_tables()).items() if hits} == {"audit"}
    assert {path.name for path, (_, hits) in erasing.left_in_files().items() if hits and place != tmp_path} == (
        {"copy"} if place != tmp_path else set()
    )
    assert [row.template for row in await store.list_faces(APP, "g", OTHER)] == [face(2).template]
    assert await store.pictures.named(APP, "picture 1") is None
    assert await store.pictures.named(APP, "picture 2") is not None
    assert await Blobs(folder / "pictures").load(original) is None
    await store.close()


async def test_faces_end_when_their_time_has_come(place: Path | str, tmp_path: Path) -> None:
    async with library(tmp_path, place) as lib:
        blobs = Blobs(tmp_path / "pictures")
        old = await blobs.save(b"picture")
        for number, app in ((1, APP), (2, "other")):
            await lib.store.enroll(app, "g", f"u{number}", face(number, old if number == 1 else ""), MODEL)
        await lib.store.access.set_retention(APP, 30)
        assert await lib.found(1)

        async def later(days: float) -> None:
            await end_old_faces(lib.store, lib.registry, blobs, time.time() + days * DAY)

        await later(29)
        assert await lib.found(1)
        await later(31)
        assert not await lib.found(1)
        assert await blobs.load(old) is None
        assert await lib.store.list_users(APP, "g") == []
        assert [row.token for row in await lib.store.list_faces("other", "g", "u2")] == [token(2)]
        told = [(entry.action, dict(entry.target)) for entry in await lib.store.audit.page(None, 9)]
        assert told == [("retention", {"app": APP, "days": "30", "faces": "1"})]
        await later(62)  # nothing is left to say
        assert len(await lib.store.audit.page(None, 9)) == 1


def test_days_are_said_on_the_command_line(tmp_path: Path) -> None:
    assert run(tmp_path, None, "apps", "create", "gate").returncode == 0
    for words, said in (
        ([], "stay for ever"),
        (["30"], "end after 30 days"),
        ([], "end after 30 days"),
        (["0"], "stay"),
    ):
        done = run(tmp_path, None, "apps", "retention", "gate", *words)
        assert (done.returncode, said in done.stdout) == (0, True), done.stderr
    assert run(tmp_path, None, "apps", "retention", "nobody").returncode == 1
    assert run(tmp_path, None, "apps", "retention", "gate", "-1").returncode == 2
