"""Making and ending apps. Works on the data folder, whether a server runs on it or not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from face_server.faces.access import Hasher, new_pair
from face_server.faces.limits import Own, checked
from face_server.store.access import AccessRows, AppCount, Credential
from face_server.store.blobs import Blobs
from face_server.store.scrubbing import scrub_keys
from face_server.store.store import Store
from face_server.store.tokens import forget_app

LONGEST_NAME = 128  # characters, the longest of any vendor's


class BadName(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class Issued:
    """What is told once: of the secret only a keyed hash is kept."""

    app: str
    key: str
    secret: str

    @property
    def token(self) -> str:
        """The pair as one text, for callers that have one place for both."""
        return f"{self.key}.{self.secret}"


class Apps:
    def __init__(self, store: Store, blobs: Blobs, data_dir: Path, redis: str = "") -> None:
        self._store, self._blobs, self._data_dir, self._redis = store, blobs, data_dir, redis
        self._rows: AccessRows = store.access

    async def create(self, name: str) -> Issued:
        """A new app, or the first credential of one that clients made while authorization was open."""
        if not name or len(name) > LONGEST_NAME or not name.isprintable() or name != name.strip():
            raise BadName(f"an app's name has 1 to {LONGEST_NAME} printable characters and no space around it")
        issued = Issued(name, *new_pair())
        await self._rows.create(name, issued.key, await self._digest(issued.secret))
        return issued

    async def rotate(self, name: str, overlap_seconds: float) -> Issued:
        """Another key and secret. Those before work on for this long."""
        issued = Issued(name, *new_pair())
        digest = await self._digest(issued.secret)
        await self._rows.rotate(name, issued.key, digest, expires=time.time() + overlap_seconds)
        return issued

    async def list(self) -> list[tuple[AppCount, list[Credential]]]:
        """All apps with what they hold, and the credentials that are still good."""
        _, _, credentials = await self._rows.all()
        now = time.time()
        good = [credential for credential in credentials if credential.valid(now)]
        return [(count, [one for one in good if one.app == count.app]) for count in await self._rows.counts()]

    async def retention(self, name: str, days: int | None) -> int:
        """After how many days its faces end, from now on if a number is given; 0: never."""
        if days is not None:
            await self._rows.set_retention(name, days)
        return await self._rows.retention(name)

    async def limits(self, name: str, changes: Mapping[str, float | None] | None = None, reset: bool = False) -> Own:
        """What was set for it, from now on with these changes: None takes one back, `reset` all from before."""

        def changed(standing: Own) -> Own:
            wanted = {**({} if reset else standing), **(changes or {})}
            return checked({name: value for name, value in wanted.items() if value is not None})

        if reset or changes:
            return await self._store.limits.change(name, changed)
        return await self._store.limits.of(name)

    async def delete(self, name: str) -> None:
        """Nobody may come in from now on; when this returns, nothing of the app is left."""
        pictures = None
        while pictures is None:  # again, when a client has just made another group
            for group_id in await self._rows.close_app(name):
                await self._clear(name, group_id)
            pictures = await self._rows.drop_app(name)
        await self._blobs.remove(pictures)
        await asyncio.to_thread(forget_app, self._data_dir, name)
        if self._redis:
            from face_server.store import shared_tokens  # most servers have no Redis

            await asyncio.to_thread(shared_tokens.forget_app, self._redis, name)
        await scrub_keys(self._store.place)  # the app's key was there as well

    async def _clear(self, app: str, group_id: int) -> None:
        done = False
        while not done:
            done, pictures = await self._store.upkeep.purge(app, group_id)
            await self._blobs.remove(pictures)
        (self._data_dir / "galleries" / f"{group_id}.gallery").unlink(missing_ok=True)

    async def _digest(self, secret: str) -> bytes:
        return Hasher(await self._rows.deployment_key()).digest(secret)
