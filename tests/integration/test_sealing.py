"""Faces at rest: with a key file nothing on the disk shows one, and without the right key nothing is read."""

from __future__ import annotations

import os
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from face_server.errors import FaceExists, StoreFailed
from face_server.faces.apps import Apps
from face_server.index.registry import Registry
from face_server.index.snapshots import Snapshots
from face_server.store.blobs import Blobs
from face_server.store.pictures import NewPicture
from face_server.store.schema import app_keys
from face_server.store.sealed_galleries import GallerySeals
from face_server.store.sealed_tokens import SealedTokens
from face_server.store.sealing import KeyMissing, NotSealed, Sealer
from face_server.store.store import Store
from face_server.store.tokens import TokenCache
from face_server.store.writing import Writing
from scripts.load.server import serving
from tests.baidu_client import Baidu, image, variant
from tests.postgres import Postgres
from tests.small_library import APP, DIMENSIONS, MODEL, Library, face, open_store, scan, token, vector

KEY = bytes(range(32))
OTHER_KEY = bytes(reversed(range(32)))


def files_with(folder: Path, *secrets_: bytes) -> list[str]:
    """Which files have any of these bytes in them."""
    found = []
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        found += [path.name for secret in secrets_ if secret in data]
    return found


# The seal


def test_what_is_sealed_opens_only_at_its_place() -> None:
    sealer = Sealer(KEY)
    wrapped = sealer.wrap_app_key(1, 1, secrets.token_bytes(32))
    one, other = (sealer._seal(app_id, {1: wrapped}) for app_id in (1, 1))
    sealed = one.seal(b"template", "here")
    assert b"template" not in sealed
    assert sealed != one.seal(b"template", "here"), "the same bytes twice look different"
    assert other.open(sealed, "here") == b"template"
    assert one.seal(b"", "here") == one.open(b"", "here") == b""
    flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for wrong, place in ((sealed, "there"), (flipped, "here"), (b"template", "here"), (sealed[:20], "here")):
        with pytest.raises(NotSealed):
            one.open(wrong, place)
    with pytest.raises(NotSealed):  # a key of one app is none of another
        sealer._seal(2, {1: wrapped})


# Rows, in both databases


@asynccontextmanager
async def sealed(place: Path | str, folder: Path, key: bytes | None = KEY) -> AsyncIterator[Library]:
    """A library that is opened with this key."""
    await (await open_store(place)).close()  # with the newest schema
    store = Store(place / "faces.db" if isinstance(place, Path) else place, sealer=Sealer(key, needed=True))
    try:
        await store.open()
        seals = GallerySeals(store.sealer)
        index = Registry(
            store.index_rows, scan, DIMENSIONS, Snapshots(folder / "galleries", MODEL, DIMENSIONS, seals=seals)
        )
        yield Library(store, index)
        await index.close()
    finally:
        await store.close()


async def rows_as_stored(store: Store) -> list[bytes]:
    query = "SELECT template, spot FROM faces UNION ALL SELECT template, spot FROM pictures"
    found = await store._database.rows(sa.text(query).columns(template=sa.LargeBinary, spot=sa.LargeBinary))  # type: ignore[arg-type]
    return [bytes(data) for row in found for data in row]


def picture(number: int) -> NewPicture:
    new = face(number)
    return NewPicture(f"p{number}", "", "", new.token, "me", "", new.spot, new.template, MODEL, {})


async def test_faces_go_into_rows_sealed_and_come_out_as_they_were(place: Path | str, tmp_path: Path) -> None:
    async with sealed(place, tmp_path) as lib:
        for number in range(5):
            await lib.enroll(number)
        await lib.store.pictures.add(APP, picture(7))
        await lib.store.copy_user(APP, "u1", "g", "g2") if await lib.store.add_group(APP, "g2") else None
        await lib.store.bindings.bind(APP, token(7), ["g2"], MODEL, None)
        await lib.store.bindings.bind(APP, token(2), ["g2"], MODEL, None)
        stored = await rows_as_stored(lib.store)
        assert len(stored) == 18
        assert len(set(stored)) == 18, "a copy does not look like what it was made of"
        for number in (*range(5), 7):
            assert not any(face(number).template in data or b"spot" in data for data in stored)
    async with sealed(place, tmp_path) as lib:
        assert [await lib.found(number, "g") for number in range(6)] == [True] * 5 + [False]
        assert [await lib.found(number, "g2") for number in (1, 2, 7)] == [True] * 3
        (row,) = await lib.store.list_faces(APP, "g", "u3")
        assert (row.template, row.spot) == (face(3).template, b"spot")
        by_name = await lib.store.pictures.named(APP, "p7")
        assert by_name is not None
        assert (by_name.template, by_name.spot) == (face(7).template, b"spot")
        bound = await lib.store.bindings.bound(APP, token(7))
        assert bound is not None
        assert (bound.spot, bound.groups) == (b"spot", ("g2",))
        with pytest.raises(FaceExists):  # although no two sealed bytes are the same
            await lib.store.enroll(APP, "g", "u3", face(3), MODEL, shared=True)
        feed = await lib.store.index_rows.changes(row.id and (await lib.store.seq(APP) or (0, 0))[0], 1)
        assert feed is not None
        assert face(3).template in [change.template for change in feed.changes]


async def test_only_the_right_key_opens_a_library(place: Path | str, tmp_path: Path) -> None:
    async with sealed(place, tmp_path) as lib:
        await lib.enroll(1)
    for key, why in ((None, "FACE_KEY_FILE has to name"), (OTHER_KEY, "another key")):
        with pytest.raises(KeyMissing, match=why):
            async with sealed(place, tmp_path, key):
                pass
    store = await open_store(place)  # as a command that needs no face
    assert await store.apps() == ["default", APP]
    with pytest.raises(KeyMissing):
        await store.list_faces(APP, "g", "u1")
    with pytest.raises(KeyMissing):
        await store.enroll(APP, "g", "u2", face(2), MODEL)
    await store.close()


async def test_a_library_that_is_not_sealed_is_not_mixed(place: Path | str, tmp_path: Path) -> None:
    store = await open_store(place)
    await store.enroll(APP, "g", "u", face(1), MODEL)
    await store.close()
    with pytest.raises(KeyMissing, match="face-server seal"):
        async with sealed(place, tmp_path):
            pass


async def test_bytes_of_one_row_cannot_be_put_into_another(tmp_path: Path) -> None:
    async with sealed(tmp_path, tmp_path) as lib:
        for number in (1, 2):
            await lib.enroll(number)
    with closing(sqlite3.connect(tmp_path / "faces.db")) as connection:
        connection.execute("UPDATE faces SET template = (SELECT template FROM faces WHERE id = 1) WHERE id = 2")
        connection.commit()
    async with sealed(tmp_path, tmp_path) as lib:
        with pytest.raises(NotSealed):
            await lib.store.list_faces(APP, "g", "u2")
        assert (await lib.store.list_faces(APP, "g", "u1"))[0].template == face(1).template


async def test_deleting_an_app_destroys_its_key(place: Path | str, tmp_path: Path, postgres: Postgres) -> None:
    async with sealed(place, tmp_path) as lib:
        await lib.enroll(1)
        await lib.store.enroll("other", "g", "u", face(2), MODEL)
        keys = {row.app_id: bytes(row.wrapped) for row in await lib.store._database.rows(sa.select(app_keys))}
        app_id = (await lib.store.seq(APP) or (0, 0))[0]
        assert len(keys) == 2
        await Apps(lib.store, Blobs(tmp_path / "pictures"), tmp_path).delete(APP)
        left = await lib.store._database.rows(sa.select(app_keys.c.app_id))
        assert [row.app_id for row in left] == [number for number in keys if number != app_id]
        files = place if isinstance(place, Path) else postgres.files_of(place)
        assert not files_with(files, keys[app_id])
        assert files_with(files, keys[next(number for number in keys if number != app_id)])


async def test_a_refused_write_leaves_no_key_that_others_would_use(tmp_path: Path) -> None:
    async with sealed(tmp_path, tmp_path) as lib:
        with pytest.raises(FaceExists):
            await lib.store._write(APP, seals_and_fails, create=True)
        assert not await lib.store._database.rows(sa.select(app_keys.c.app_id))
        await lib.enroll(1)
    async with sealed(tmp_path, tmp_path) as lib:
        assert await lib.found(1)


async def test_a_picture_for_an_app_that_was_made_anew_is_refused(place: Path | str, tmp_path: Path) -> None:
    """Another process deletes the app: its key is still remembered here, and would seal for nobody."""
    async with sealed(place, tmp_path) as lib, sealed(place, tmp_path / "other") as elsewhere:
        blobs = Blobs(tmp_path / "pictures", lib.store)
        await lib.enroll(1)
        await blobs.save(b"the first picture", APP)
        await Apps(elsewhere.store, Blobs(tmp_path / "pictures"), tmp_path).delete(APP)
        await elsewhere.enroll(2)
        lost = await blobs.save(b"picture", APP)
        with pytest.raises(StoreFailed, match="made again"):
            await lib.store.enroll(APP, "g", "u3", face(3, lost), MODEL)
        kept = await blobs.save(b"picture", APP)
        await lib.store.enroll(APP, "g", "u3", face(3, kept), MODEL)
    async with sealed(place, tmp_path) as lib:
        assert await Blobs(tmp_path / "pictures", lib.store).load(kept) == b"picture"
        assert await Blobs(tmp_path / "pictures", lib.store).load(lost) is None


def seals_and_fails(writing: Writing) -> None:
    assert writing.seal
    raise FaceExists(1)


# Files


async def test_snapshots_are_sealed(tmp_path: Path) -> None:
    async with sealed(tmp_path, tmp_path) as lib:
        for number in range(3):
            await lib.enroll(number)
        assert await lib.found(1)
        gallery = lib.registry.galleries[0]
        shelf = Snapshots(tmp_path / "galleries", MODEL, DIMENSIONS, seals=GallerySeals(lib.store.sealer))
        assert shelf.save(gallery, gallery.seq)
        path = shelf.path(gallery.group_id)
        assert not files_with(path.parent, *(face(number).template for number in range(3)))
    async with sealed(tmp_path, tmp_path) as lib:
        shelf = Snapshots(tmp_path / "galleries", MODEL, DIMENSIONS, seals=GallerySeals(lib.store.sealer))
        again = shelf.load(gallery.group_id)
        assert again is not None
        assert again.search(vector(2)[None], 1)[0][0].cosine > 0.999
        assert shelf.save(again, again.seq), "its app is still known"
        path.rename(shelf.path(99))
        assert shelf.load(99) is None, "it is of another group"
        shelf.path(99).rename(path)
        assert Snapshots(tmp_path / "galleries", MODEL, DIMENSIONS).load(gallery.group_id) is None


async def test_pictures_and_tokens_are_sealed_for_their_app(tmp_path: Path) -> None:
    shown = b"\xff\xd8 a picture of somebody " * 20
    async with sealed(tmp_path, tmp_path) as lib:
        blobs = Blobs(tmp_path / "pictures", lib.store)
        keys = [await blobs.save(shown, app) for app in ("mine", "mine", "other")]
        assert [await blobs.load(key) for key in keys] == [shown] * 3
        (tmp_path / "pictures" / keys[0][:2] / keys[0]).replace(tmp_path / "pictures" / keys[2][:2] / keys[2])
        assert await blobs.load(keys[2]) is None, "it is the picture of another app"
        cache = TokenCache(tmp_path, 60, 10)
        cache.open()
        tokens = SealedTokens(cache, lib.store.sealer)
        tokens.put("mine", shown, [(token(1), b"a record of somebody")])
        assert await tokens.get("mine", token(1)) == (shown, b"a record of somebody")
        cache.close()
    assert not files_with(tmp_path, shown[:24], b"a record of somebody")
    cache = TokenCache(tmp_path, 60, 10)
    cache.open()
    assert await SealedTokens(cache, Sealer(KEY)).get("mine", token(1)) == (shown, b"a record of somebody")
    assert await SealedTokens(cache, Sealer(OTHER_KEY)).get("mine", token(1)) is None
    cache.close()


# The whole server, and `face-server seal`


def run(folder: Path, key: Path | None, *words: str, database: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
    environment |= {"FACE_KEY_FILE": str(key)} if key else {}
    environment |= {"FACE_DATABASE_URL": database} if database else {}
    command = [sys.executable, "-m", "face_server", *words, "--data-dir", str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_a_disk_shows_no_face(tmp_path: Path, astronaut: bytes) -> None:
    """First without a key file, to see that there is something to find; then sealed, with one key after the other."""
    folder, keys = tmp_path / "data", [tmp_path / name for name in ("first.key", "second.key")]
    for path in keys:
        path.write_text(secrets.token_hex(32))
    pictures = [variant(astronaut, number) for number in range(2)]

    def ask(url: str, number: int) -> list[str]:
        answer = Baidu(url, app="a")("face/identify", **image(pictures[number]), group_id_list="g")
        return [user["user_id"] for user in answer.result["user_list"]]

    with serving(folder) as server:
        api = Baidu(server.url, app="a")
        for number, data in enumerate(pictures):
            api("face/add", **image(data), group_id="g", user_id=f"u{number}")
        busy = run(folder, keys[0], "seal")
        assert (busy.returncode, "is at work" in busy.stderr) == (1, True)
    with closing(sqlite3.connect(folder / "faces.db")) as connection:
        templates = [row[0] for row in connection.execute("SELECT template FROM faces")]
    heads = [path.read_bytes()[-64:] for path in (folder / "pictures").rglob("*") if path.is_file()]
    plain = [*(data[:48] for data in templates), *heads, b"JFIF", pictures[0][100:140]]
    assert files_with(folder, *plain)

    refused = run(folder, keys[0], "serve", "--port", "0")
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "face-server: FACE_KEY_FILE is set, and the library is not sealed: run `face-server seal` first"
    ]
    done = run(folder, keys[0], "seal")
    assert done.returncode == 0, done.stderr
    assert not files_with(folder, *plain)
    with serving(folder, key_file=keys[0]) as server:
        assert ask(server.url, 1)[0] == "u1"
        Baidu(server.url, app="a")("face/add", **image(pictures[0]), group_id="g2", user_id="u2")
    assert not files_with(folder, *plain)

    for words in (["--app", "a"], ["--rotate", str(keys[1])]):
        changed = run(folder, keys[0], "seal", *words)
        assert changed.returncode == 0, changed.stderr
    refused = run(folder, keys[0], "serve", "--port", "0")
    assert (refused.returncode, "another key" in refused.stderr) == (2, True), refused.stderr
    assert "FACE_KEY_FILE has to name" in run(folder, None, "serve", "--port", "0").stderr
    with serving(folder, key_file=keys[1]) as server:
        assert (ask(server.url, 0)[0], ask(server.url, 1)[0]) == ("u0", "u1")
    assert not files_with(folder, *plain)
