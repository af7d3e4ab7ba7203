"""A console's side of the admin API: cookies are kept, changes carry the CSRF token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from face_server.admin import passwords
from face_server.admin.roles import Role
from face_server.store.rows import NewFace
from face_server.store.store import Store
from face_server.store.work import RUNNING
from face_server.vision.packs import BUILTIN, find_pack
from tests.small_library import token, vector

PASSWORD = "correct horse"
CROWD = 260  # users of the large group


class Console(httpx.Client):
    def __init__(self, url: str) -> None:
        super().__init__(base_url=f"{url}/admin/v1", timeout=30)

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        answer = self.post("/session", json={"name": name, "password": password})
        if answer.status_code == 200:
            self.headers["X-CSRF-Token"] = self.cookies["face_csrf"]
        return answer

    def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        answer = self.request(method, path, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def pages(self, path: str, **params: Any) -> Iterator[list[Any]]:
        cursor: str | None = None
        while True:
            page = self.ask("GET", path, params=params | ({"cursor": cursor} if cursor else {}))
            yield page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def ended(self, job_id: str) -> Mapping[str, Any]:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            job: Mapping[str, Any] = self.ask("GET", f"/jobs/{job_id}")
            if job["state"] not in ("waiting", "running"):
                return job
            time.sleep(0.05)
        raise AssertionError("the job does not end")


def furnish(folder: Path, *, accounts: bool) -> None:
    """What a server finds at its start: accounts, a crowd, a group with a face at the wrong person, unfinished jobs."""
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_furnish(folder, accounts))


async def _furnish(folder: Path, accounts: bool) -> None:
    store = Store(folder / "faces.db")
    await store.open()
    if accounts:
        for role in Role:
            await store.operators.put(passwords.new_operator(role.word, role, PASSWORD))
    pack = find_pack(BUILTIN, folder)
    await asyncio.gather(
        *(
            store.enroll("default", "crowd", f"u{n:04}", _face(n, vector(n, 128)), pack.embedding_id)
            for n in range(CROWD)
        )
    )
    anna, bert, almost = vector(1000, 128), vector(1001, 128), vector(1002, 128) * 0.1
    for number, user, place in (
        (2000, "anna", anna),
        (2001, "anna", anna + 2 * almost),
        (2002, "bert", bert),
        (2003, "bert", anna + almost),  # a picture of anna
        (2004, "bert", bert + almost),
    ):
        await store.enroll("default", "mixed", user, _face(number, place), pack.embedding_id)
    for user in ("stays", "goes"):
        await store.enroll("default", "unfinished", user, _face(3000 + len(user), anna), pack.embedding_id)
    await _leave_unfinished(store)
    await store.close()


async def _leave_unfinished(store: Store) -> None:
    """As a process leaves them that was killed."""
    deletion = {"app": "default", "group": "unfinished", "user": "goes"}
    for kind, what in (("delete_user", deletion), ("duplicates", {"app": "default", "group": "mixed", "score": "80"})):
        job = await store.jobs.add(kind, what, time.time() - 1, "admin")
        await store.jobs.change(job, state=RUNNING, seen=time.time() - 60)


def _face(number: int, place: Any) -> NewFace:
    unit = place / np.linalg.norm(place)
    return NewFace(token(number), unit.astype(np.float16).tobytes(), b"spot")
