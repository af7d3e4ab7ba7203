"""What is answered from memory is what the database would say: a write of anybody is seen by the next question."""

import subprocess
import sys
from pathlib import Path

from face_server.store.recall import MOST, Recall
from tests.small_library import APP, MODEL, face, open_store


async def test_a_write_of_another_process_is_seen_by_the_next_question(tmp_path: Path) -> None:
    """Two stores on one file share nothing but the file, as two processes would."""
    one, other = await open_store(tmp_path), await open_store(tmp_path)
    await one.enroll(APP, "g", "u", face(0), embedding_id=MODEL)
    before = (await other.groups(APP, ["g"]))[0]
    assert (await other.groups(APP, ["g"]))[0] == before
    for number in range(1, 50):
        done = await one.enroll(APP, "g", "u", face(number), embedding_id=MODEL)
        assert (await other.groups(APP, ["g"]))[0].seq == done.write.seq
    (user,) = await one.list_users(APP, "g")
    assert (await other.users_by_id([user.id]))[user.id].info == ""
    await one.enroll(APP, "g", "u", face(50), info="new", embedding_id=MODEL)
    assert (await other.users_by_id([user.id]))[user.id].info == "new"
    await one.close()
    await other.close()


async def test_a_question_that_is_asked_again_reads_nothing(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.enroll(APP, "g", "u", face(0), embedding_id=MODEL)
    first = await store.groups(APP, ["g"])
    store._database.rows = None  # type: ignore[assignment, method-assign]
    assert await store.groups(APP, ["g"]) == first
    await store.close()


# SQLite holds this byte of the file for reading as long as it has a connection. Who gets it for writing begins anew.
_LOCK = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 128)"


def can_be_locked(folder: Path) -> bool:
    """By another process."""
    (file,) = folder.glob("*-shm")
    done = subprocess.run([sys.executable, "-c", _LOCK, str(file)], capture_output=True, text=True, check=False)
    assert not done.returncode or "BlockingIOError" in done.stderr
    return not done.returncode


async def test_looking_at_the_file_leaves_the_locks_of_sqlite_alone(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.enroll(APP, "g", "u", face(0), embedding_id=MODEL)
    assert not can_be_locked(tmp_path)
    await store.close()


def test_without_the_shared_memory_nothing_is_remembered(tmp_path: Path) -> None:
    recall = Recall()
    recall.open(tmp_path / "nothing.db")
    assert recall.version() is None


def test_answers_of_an_older_version_are_never_kept_for_a_newer_one() -> None:
    recall = Recall()
    assert recall.get("key", b"1") is None
    recall.get("key", b"2")  # somebody has written while the answer was read
    recall.put("key", b"1", [])
    assert recall.get("key", b"2") is None


def test_memory_is_bounded() -> None:
    recall = Recall()
    recall.get("key", b"1")
    for number in range(MOST + 1):
        recall.put(number, b"1", [])
    assert len(recall._answers) == 1
