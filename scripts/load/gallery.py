"""A library of random templates, written straight into the database of a server that is not running."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from face_server.store.schema import ACTIVE, apps, faces, groups, users
from face_server.store.store import Store
from scripts.load.bare import random_vectors

APP, GROUP = "bench", "bench"


def fill(database: Path, count: int, dimensions: int, embedding_id: str) -> None:
    """One user for each face."""
    templates = random_vectors(count, dimensions).astype(np.float16)
    now = {"created": time.time(), "updated": time.time()}

    def work(connection: sa.Connection) -> None:
        app = {"name": APP, "seq": count, "forgotten": count, "embedding_id": embedding_id, "created": time.time()}
        app_id = connection.execute(sa.insert(apps).returning(apps.c.id), app).scalar_one()
        group = {"app_id": app_id, "name": GROUP, "state": ACTIVE, "meta": "{}", **now}
        group_id = connection.execute(sa.insert(groups).returning(groups.c.id), group).scalar_one()
        people = [
            {"id": n + 1, "group_id": group_id, "name": f"u{n}", "info": "", "meta": "{}", **now} for n in range(count)
        ]
        connection.execute(sa.insert(users), people)
        rows = [
            {
                "app_id": app_id,
                "group_id": group_id,
                "user_id": n + 1,
                "token": f"{n:032x}",
                "template": templates[n].tobytes(),
                "embedding_id": embedding_id,
                "spot": b"",
                "picture": "",
                "meta": "{}",
                "created": time.time(),
            }
            for n in range(count)
        ]
        connection.execute(sa.insert(faces), rows)

    async def main() -> None:
        store = Store(database)
        await store.open()
        await store._database.write(work)
        await store.close()

    asyncio.run(main())
